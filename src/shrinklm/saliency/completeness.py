"""How exact integrated gradients must be, and the warning where they are not. Loads no torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

COMPLETENESS = 0.05
"""Integrated gradients that miss F(x) − F(baseline) by a larger share are computed again with more steps.

The report names it: `above_5_percent` in figures.json.
"""
MOST_STEPS = 1024
"""The steps are doubled up to this number; what is above `COMPLETENESS` then is warned of and counted."""


def warn_of_missed(figures: Iterable[Mapping[str, float]]) -> None:
    """Warn of attributions, by their figures, that miss what they should add up to with all steps allowed."""
    found = [each for each in figures if "completeness_error" in each]
    missed = [each for each in found if each["completeness_error"] > COMPLETENESS]
    if missed:
        worst = max(missed, key=lambda each: each["completeness_error"])
        warnings.warn(
            f"Integrated gradients of {len(missed):,} of {len(found):,} questions miss the difference that they should "
            f"add up to by more than {COMPLETENESS:.0%}, by {worst['completeness_error']:.0%} at most, though steps "
            "were doubled up to the limit. Allow more: salient: {most_steps: ...}",
            stacklevel=3,
        )
