"""Intervals of a share, of a difference of paired shares, and of a mean, from one sample. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

_Z = 1.959964
"""The normal quantile of .975, to the digits with which the figures of stored audits were made."""
_LEVEL = math.erf(_Z / math.sqrt(2))
"""The share of a normal distribution within `_Z` standard deviations: 0.95 to eight digits."""


def wilson(hits: int, n: int, level: float = _LEVEL) -> tuple[float, float]:
    """Interval (low, high) of the share `hits` / `n`, of 95 %: the score interval of Wilson (1927), within 0..1.

    Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(level, "wilson")
    return float(interval.low), float(interval.high)


def tango(only_a: int, only_b: int, n: int, level: float = _LEVEL) -> tuple[float, float]:
    """Interval (low, high) of a difference of two shares of the same `n` items, within -1..1.

    The score interval of Tango (1998, Statistics in Medicine 17:891). It has a width also where the two agree
    everywhere: ± z² / (n + z²).

    Args:
        only_a: Items that a alone has.
        only_b: Items that b alone has.
        n: All items.
        level: Of the interval.

    Raises ValueError unless the counts are not negative and add up to at most n > 0.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    if min(only_a, only_b) < 0 or not n or only_a + only_b > n:
        raise ValueError(f"{only_a} and {only_b} of {n} are no counts of discordant pairs.")
    z, seen = float(norm.ppf((1 + level) / 2)), (only_a - only_b) / n

    def score(delta: float) -> float:
        """Tango's T at a true difference of `delta`: standard normal there."""
        b = -only_a - only_b + (2 * n - only_a + only_b) * delta
        q = (math.sqrt(b * b + 8 * n * only_b * delta * (1 - delta)) - b) / (4 * n)  # the likeliest share of `only_b`
        deviation = math.sqrt(max(0.0, n * (2 * q + delta * (1 - delta))))
        return (only_a - only_b - n * delta) / deviation if deviation else math.copysign(math.inf, seen - delta)

    # The score falls from one end to the other. At the ends it has no deviation, so the search stays off them.
    edge, tiny = 1 - 1e-12, 1e-12
    low = -1.0 if seen <= -edge else brentq(lambda delta: score(delta) - z, -edge, seen - tiny)
    high = 1.0 if seen >= edge else brentq(lambda delta: score(delta) + z, seen + tiny, edge)
    return float(low), float(high)


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
