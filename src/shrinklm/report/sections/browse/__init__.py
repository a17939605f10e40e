"""The answers to every test question, in a browser that filters and searches; on the page alone."""

from __future__ import annotations

from ...look.html import island
from ...results import Results
from ..base import Section, beside
from .data import answered, islands, seeds_of


def section(results: Results) -> Section:
    """The section; every run has it, and without predictions it says so."""
    rows = answered(results)
    return Section(
        name="browse",
        link="Test questions",
        template="browse/browse.html.j2",
        foot="browse/foot.html.j2",
        context={
            "labels": [results.label(row) for row in rows],
            "seeds": seeds_of(results),
            "islands": {name: island(value) for name, value in islands(results).items()},
            "js": beside(__file__, "browse.js"),
        },
    )
