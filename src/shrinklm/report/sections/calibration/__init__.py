"""Probabilities: how far the confidence of a student can be believed, before and after calibration."""

from __future__ import annotations

from ...look.md import grid, paragraphs, picture, text
from ...results import Results
from ..base import Figures, Section
from .figures import measure as measure
from .figures import reason
from .plot import reliability_plot
from .table import table_of
from .words import sentences

TITLE = "Probabilities"


def section(results: Results) -> Section | None:
    """The section: a sentence alone where there are no probabilities; None where nothing was answered or trained."""
    if not any(cell.predictions for row in results.trained for cell in row.cells):
        return None
    rows = measure(results)
    table, lines = table_of(results, rows), sentences(results, rows)
    if not rows:
        lines = [("Not measured", reason(results))]

    def markdown(figures: Figures) -> list[str]:
        blocks = [f"## {TITLE}", *paragraphs(lines)]
        if rows:
            blocks += [text(table.caption), grid(table)]
        return [*blocks, *picture(figures, "calibration")]

    return Section(
        name="calibration",
        link=TITLE,
        template="calibration/calibration.html.j2",
        context={"title": TITLE, "sentences": lines, "table": table if rows else None},
        markdown=markdown,
        tables=(table,),
        draw=lambda: (reliability_plot(results, rows),),
    )
