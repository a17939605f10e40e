"""The sections of the report, in the order of the page. A new one is a folder here and a line in `SECTIONS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..look.figures import Drawn, Figure, styled
from ..results import Results
from . import (
    audit,
    browse,
    calibration,
    cascade,
    compare,
    decision,
    exposure,
    recipe,
    refused,
    saliency,
    seeds,
    table,
    training,
)
from .base import Section

SECTIONS: tuple[Callable[[Results], Section | None], ...] = (
    decision.section,
    table.section,
    seeds.section,
    compare.section,
    calibration.section,
    cascade.section,
    training.section,
    browse.section,
    saliency.section,
    audit.section,
    refused.section,
    exposure.section,
    recipe.section,
)
FOLDER = Path(__file__).parent
"""Where templates are found: a section's is NAME/NAME.html.j2."""


def assemble(results: Results) -> list[Section]:
    """The sections that the results have something for."""
    return [section for make in SECTIONS if (section := make(results)) is not None]


def draw(sections: Sequence[Section]) -> dict[str, Figure]:
    """The figures of the sections by name; equal results give equal bytes."""

    def figures() -> Iterable[Drawn | None]:
        for section in sections:
            yield from section.draw()

    return {figure.name: figure for figure in styled(figures)}
