"""Raters' scores beside the metrics of a cell: means over raters, and differences of a score from its baseline."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..evaluation.judges.sitting import PREFERRED

Values = NDArray[np.float64]

RATED = "rated:"
"""Prefix of a construct that raters scored, such as "rated:completeness": a metric may have the same name."""
QUALITY = f"{RATED}quality"
"""The mean over the constructs, of the raters who scored all of them."""


def derived(scores: Mapping[str, Values], ratings: Mapping[str, Mapping[str, Values]]) -> dict[str, Values]:
    """Scores that follow from a cell's scores item by item.

    Args:
        scores: Metric → [items].
        ratings: Rater → construct → [items].

    Returns the mean of each construct over raters, the raters' quality, and "cf_gain": the counterfactual consistency
    above its baseline.
    """
    columns: dict[str, Values] = {}
    for construct in sorted({name for constructs in ratings.values() for name in constructs}):
        columns[RATED + construct] = _mean(
            [constructs[construct] for constructs in ratings.values() if construct in constructs]
        )
    # A judge of pairs alone scored no construct, so it has no quality.
    qualities = [
        _quality(constructs) for constructs in ratings.values() if set(constructs) - {PREFERRED}
    ]  # pairwise judging gives a share, not a rating
    if qualities:
        columns[QUALITY] = _mean(qualities)
    if "cf_consistency" in scores and "cf_baseline" in scores:
        columns["cf_gain"] = scores["cf_consistency"] - scores["cf_baseline"]
    return columns


def _quality(constructs: Mapping[str, Values]) -> Values:
    """One rater's mean over the constructs, [items]; NaN where one is missing: all means are of the same constructs."""
    mean: Values = np.mean([values for name, values in constructs.items() if name != PREFERRED], axis=0)
    return mean


def _mean(columns: list[Values]) -> Values:
    """Mean over raters, item by item; NaN where nobody rated."""
    stack = np.stack(columns)
    counts = (~np.isnan(stack)).sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 where nobody rated
        mean: Values = np.nansum(stack, axis=0) / counts
    return mean
