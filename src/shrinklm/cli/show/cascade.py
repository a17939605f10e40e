"""What passing on brings, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ...report.look.tables import Table as Shown

_COLUMNS = (0, 1, 2, 3, 5, 6, 7, 12)
"""Those that a terminal has room for; the report has all."""


def cascade(shown: Shown) -> None:
    """Prints a row for each method."""
    table = Table(*(shown.columns[index].heading for index in _COLUMNS))
    for line in shown.lines:
        table.add_row(*(line.texts[index] for index in _COLUMNS))
    Console().print(table)
