"""Every seed: the figures of accuracy and of the explanations."""

from __future__ import annotations

from ...look.md import picture
from ...results import Results
from ..base import Section
from .plots import accuracy, explanations


def section(results: Results) -> Section:
    """The section; every run has it."""
    return Section(
        name="seeds",
        link="Every seed",
        template="seeds/seeds.html.j2",
        context={},
        markdown=lambda figures: [*picture(figures, "accuracy"), *picture(figures, "explanations")],
        draw=lambda: (accuracy(results), explanations(results)),
    )
