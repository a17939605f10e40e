"""The teacher's texts: figures of the audit that was made before training."""

from __future__ import annotations

from ...look.md import grid, paragraphs, picture, text
from ...results import Results
from ..base import Figures, Section
from .figures import audit_of, audit_table, sentences
from .plot import audit_plot

TITLE = "What the teacher wrote"


def section(results: Results) -> Section | None:
    """The section; None when the run has no audit."""
    if audit_of(results.findings) is None:
        return None
    lines, table = sentences(results.findings), audit_table(results.findings)

    def markdown(figures: Figures) -> list[str]:
        blocks = [f"## {TITLE}", *paragraphs(lines), text(table.caption), grid(table)]
        return [*blocks, *picture(figures, "audit")]

    return Section(
        name="audit",
        link="Teacher",
        template="audit/audit.html.j2",
        context={"title": TITLE, "sentences": lines, "table": table},
        markdown=markdown,
        tables=(table,),
        draw=lambda: (audit_plot(results),),
    )
