"""Equal exposure: examples, batches, steps and tokens of each cell in training, and the time they took."""

from __future__ import annotations

from ...look.md import grid, text
from ...results import Results
from ..base import Section
from .cells import cells_table, equal_exposure


def section(results: Results) -> Section:
    """The section; every run has it."""
    table, statement = cells_table(results), equal_exposure(results)
    return Section(
        name="exposure",
        link="Exposure",
        template="exposure/exposure.html.j2",
        context={"exposure": statement, "table": table},
        markdown=lambda figures: ["## Equal exposure", text(statement), grid(table)],
        tables=(table,),
    )
