"""The answers to every test question, in a browser that filters and searches; on the page alone."""

from __future__ import annotations

from ...look.html import island
from ...results import Results
from ..base import Section, beside
from .data import answered, islands, seeds_of, shown


def section(results: Results) -> Section:
    """The section; every run has it, and without predictions it says so."""
    rows, places = answered(results), shown(results)
    return Section(
        name="browse",
        link="Test questions",
        template="browse/browse.html.j2",
        foot="browse/foot.html.j2",
        context={
            "labels": [results.label(row) for row in rows],
            "seeds": seeds_of(results),
            "left_out": _left_out(len(results.findings.items), places),
            "islands": {name: island(value) for name, value in islands(results, places).items()},
            "js": beside(__file__, "browse.js"),
        },
    )


def _left_out(items: int, places: range) -> str:
    """What the page says where it does not show all questions."""
    if len(places) == items:
        return ""
    return (
        f"{len(places):,} of the {items:,} test questions, one in {places.step}, so that the page opens; "
        "all figures are of all of them."
    )
