"""What raters gave, beside the metrics of a cell: means over raters, and what follows from two scores of one explanation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RATED = "rated:"
"""Before the name of a construct that raters scored, such as "rated:completeness": a metric may be called the same."""
QUALITY = f"{RATED}quality"
"""The mean of the constructs, of every rater who gave all of them."""
PREFERRED = "preferred"
"""What pairwise judging gives: a share, no construct."""


def derived(scores: Mapping[str, Values], rated: Mapping[str, Mapping[str, Values]]) -> dict[str, Values]:
    """What follows from a cell's scores item by item: means over raters (rater → construct → [items]), and differences to a baseline."""
    found: dict[str, Values] = {}
    for construct in sorted({name for given in rated.values() for name in given}):
        found[RATED + construct] = _mean([given[construct] for given in rated.values() if construct in given])
    wholes = [_whole(given) for given in rated.values() if set(given) - {PREFERRED}]
    if wholes:
        found[QUALITY] = _mean(wholes)
    if "cf_consistency" in scores and "cf_baseline" in scores:
        found["cf_gain"] = scores["cf_consistency"] - scores["cf_baseline"]
    return found


def _whole(given: Mapping[str, Values]) -> Values:
    """One rater's mean over the constructs; NaN where one is missing."""
    found: Values = np.mean([values for name, values in given.items() if name != PREFERRED], axis=0)
    return found


def _mean(columns: list[Values]) -> Values:
    """Mean over raters, item by item; NaN where nobody rated."""
    stack = np.stack(columns)
    counts = (~np.isnan(stack)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        found: Values = np.nansum(stack, axis=0) / counts
    return found
