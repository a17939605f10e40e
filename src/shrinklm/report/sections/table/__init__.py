"""The main table: one row for each method and student, then the baselines."""

from __future__ import annotations

from ...look.md import grid, text
from ...look.tables import Table
from ...results import Results
from ..base import Figures, Section
from .overview import main_table

_LATER = ("Explanation", "Student", "Seen in training", "Teacher")
"""Groups of columns that Markdown shows below the first ones: one wide table would not fit where it is read."""


def section(results: Results) -> Section:
    """The section; every run has it."""
    table = main_table(results)
    return Section(
        name="table",
        link="Table",
        template="table/table.html.j2",
        context={"table": table},
        markdown=lambda figures: _markdown(table, figures),
        tables=(table,),
    )


def _markdown(table: Table, figures: Figures) -> list[str]:
    blocks = ["## The table", text(table.caption)]
    for groups in ((), _LATER[:1], _LATER[1:]):
        columns = [
            index
            for index, column in enumerate(table.columns)
            if index and (column.group in groups if groups else column.group not in _LATER)
        ]
        blocks.append(grid(table, [0, *columns]))
    return blocks
