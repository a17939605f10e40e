"""What passing on brings, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ..terminal import Terminal

if TYPE_CHECKING:
    from ...report.look.tables import Table as Shown

_COLUMNS = {0: "Method", 1: "Threshold", 2: "Passed on, %", 5: "Never, %", 6: "Cascade, %", 7: "Always, %", 12: "Cost"}
"""Those that a terminal has room for, with their names there; the report has all."""


def cascade(shown: Shown) -> None:
    """Prints a row for each method."""
    table = Table(*_COLUMNS.values())
    for column in table.columns[1:]:
        column.justify = "right"
    for line in shown.lines:
        table.add_row(*(line.texts[index] for index in _COLUMNS))
    Terminal().print(table)
