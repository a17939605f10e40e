"""Which words moved the answer: figures about marked words, and a picker that shows them in any item."""

from __future__ import annotations

from ...look.html import island
from ...look.md import captioned, paragraphs, picture
from ...results import Results
from ..base import Figures, Section, beside
from .picker import legend, picker_data
from .plots import agreement_plot, ranks_of, worth
from .table import agreement, saliency_table, steps_table
from .words import sentences

TITLE = "Which words moved the answer"


def section(results: Results) -> Section | None:
    """The section; None when the run has no marked words."""
    saliency = results.findings.saliency
    if saliency is None:
        return None
    lines, table, steps = sentences(saliency), saliency_table(saliency, ranks_of(results)), steps_table(saliency)

    def markdown(figures: Figures) -> list[str]:
        pictures = [*picture(figures, "saliency"), *picture(figures, "agreement")]
        return [f"## {TITLE}", *paragraphs(lines), *captioned(table), *captioned(steps), *pictures]

    return Section(
        name="saliency",
        link="Words",
        template="saliency/saliency.html.j2",
        context={
            "title": TITLE,
            "sentences": lines,
            "table": table,
            "refused": steps,
            "items": len(saliency.items),
            "legend": legend(saliency),
            "island": island(picker_data(saliency)),
            "js": beside(__file__, "saliency.js"),
        },
        css=beside(__file__, "saliency.css"),
        markdown=markdown,
        tables=(table, steps, agreement(saliency)),
        draw=lambda: (worth(results), agreement_plot(results)),
    )
