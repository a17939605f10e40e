"""Comparisons: every two methods of a student, and each method with its untrained student."""

from __future__ import annotations

from ...look.md import captioned, picture
from ...results import Results
from ..base import Section
from .pairs import comparisons, differences

_NONE = "There are no two methods that were scored on the same questions."


def section(results: Results) -> Section:
    """The section; every run has it."""
    table = comparisons(results)
    return Section(
        name="compare",
        link="Comparisons",
        template="compare/compare.html.j2",
        context={"table": table, "nothing": _NONE},
        markdown=lambda figures: [
            "## Is the difference real?",
            *(captioned(table) or [_NONE]),
            *picture(figures, "differences"),
        ],
        tables=(table,),
        draw=lambda: (differences(results),),
    )
