"""95 % intervals of a share and of a mean from one sample. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

_Z = 1.959964
"""The normal quantile of .975, to the digits with which the figures of stored audits were made."""
_LEVEL = math.erf(_Z / math.sqrt(2))
"""The share of a normal distribution within `_Z` standard deviations: 0.95 to eight digits."""


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval (low, high) of the share `hits` / `n`: the score interval of Wilson (1927), within 0..1.

    Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(_LEVEL, "wilson")
    return float(interval.low), float(interval.high)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval (low, high) of a mean: mean ± z · sd / √n. One value has no spread: (value, value).

    Raises ValueError for no value.
    """
    if not values:
        raise ValueError("An interval of a mean needs at least one value.")
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    half = _Z * math.sqrt(variance / len(values))
    return mean - half, mean + half
