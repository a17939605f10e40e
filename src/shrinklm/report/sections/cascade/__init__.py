"""Cascade: what passing unsure answers on to the teacher, or withholding them, does on the test questions."""

from __future__ import annotations

from ...look.md import grid, paragraphs, picture, text
from ...results import Results
from ..base import Figures, Section
from .figures import measure as measure
from .plot import cascade_plot
from .table import table_of as table_of
from .words import sentences

TITLE = "When to ask the teacher"


def section(results: Results) -> Section | None:
    """The section; None where the recipe has no cascade and the teacher was not asked, or there are no confidences."""
    rows = measure(results)
    if not rows:
        return None
    table, lines = table_of(results, rows), sentences(results, rows)

    def markdown(figures: Figures) -> list[str]:
        return [
            f"## {TITLE}", *paragraphs(lines), text(table.caption), grid(table), *picture(figures, "cascade")
        ]  # fmt: skip

    return Section(
        name="cascade",
        link=TITLE,
        template="cascade/cascade.html.j2",
        context={"title": TITLE, "sentences": lines, "table": table},
        markdown=markdown,
        tables=(table,),
        draw=lambda: (cascade_plot(results, rows),),
    )
