"""Training: losses and dev accuracy against examples seen."""

from __future__ import annotations

from collections.abc import Iterable

from ...look.figures import Drawn
from ...look.md import picture
from ...results import Results
from ..base import Figures, Section
from .curves import dev, losses
from .logs import dev_log, loss_log


def section(results: Results) -> Section:
    """The section; every run has it, and where nothing was logged it says so."""
    return Section(
        name="training",
        link="Training",
        template="training/training.html.j2",
        context={},
        markdown=_markdown,
        tables=(loss_log(results), dev_log(results)),
        draw=lambda: _curves(results),
    )


def _curves(results: Results) -> Iterable[Drawn | None]:
    for student in results.students:
        yield from (losses(results, student), dev(results, student))


def _markdown(figures: Figures) -> list[str]:
    names = [name for name in figures if name.startswith(("losses", "dev"))]
    return ["## Training", *(block for name in names for block in picture(figures, name))] if names else []
