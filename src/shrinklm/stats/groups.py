"""Tests and effect sizes between groups of values. No torch.

Groups come as a mapping {name: values}, in the order in which pairs are to be formed. NaN = not scored, and is left out; everything else
counts, so an outlier is found here and dropped, if at all, by the caller, who says so. Rows are taken as independent of each other: for
people who rate many items use the mixed models instead. Results agree with R's (stats, car, rstatix, effsize).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimates import holm

Vector = NDArray[np.float64]
Adjust = Literal["bonferroni", "holm", "none"]


@dataclass(frozen=True)
class Outliers:
    """Which values of one group lie outside the fences, q1 - 1.5 (q3 - q1) to q3 + 1.5 (q3 - q1)."""

    low: float
    """Lower fence."""
    high: float
    """Upper fence."""
    places: tuple[int, ...]
    """Indices of the outliers in the values given."""


@dataclass(frozen=True)
class Shapiro:
    """Shapiro–Wilk: are the values of one group normal?"""

    statistic: float
    """W, 0..1; 1 is normal."""
    p: float
    n: int


@dataclass(frozen=True)
class Levene:
    """Levene's test about the median (Brown–Forsythe): are the groups equally spread?"""

    statistic: float
    """F."""
    df1: int
    df2: int
    p: float


@dataclass(frozen=True)
class Kruskal:
    """Kruskal–Wallis: does one group tend to larger values than another?"""

    statistic: float
    """H, corrected for ties; at least 0."""
    df: int
    p: float
    n: int
    eta2: float
    """Effect size eta²_H = (H - k + 1) / (n - k) of k groups; .01 small, .06 moderate, .14 large; below 0 means none."""


@dataclass(frozen=True)
class Dunn:
    """One pair of Dunn's test. Its sign is R's: positive when b ranks above a."""

    a: str
    b: str
    n_a: int
    n_b: int
    statistic: float
    """z."""
    p: float
    p_adjusted: float


@dataclass(frozen=True)
class Tukey:
    """One pair of Tukey's test: the difference of means, a - b, with an interval that holds for all pairs together."""

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    """Adjusted for the number of pairs."""


def quartiles(values: ArrayLike) -> tuple[float, float, float]:
    """(q1, median, q3) by linear interpolation: R's quantile type 7 (Hyndman & Fan 1996). Raises ValueError for none."""
    q1, median, q3 = np.quantile(_scored(values, "values"), (0.25, 0.5, 0.75))
    return float(q1), float(median), float(q3)


def outliers(values: ArrayLike, reach: float = 1.5) -> Outliers:
    """Values further than `reach` interquartile ranges from the box (Tukey 1977): R's `rstatix::identify_outliers`."""
    found = np.asarray(values, dtype=float)
    q1, _, q3 = quartiles(found)
    low, high = q1 - reach * (q3 - q1), q3 + reach * (q3 - q1)
    return Outliers(low, high, tuple(int(place) for place in np.flatnonzero((found < low) | (found > high))))


def shapiro(values: ArrayLike) -> Shapiro:
    """Shapiro–Wilk by Royston's algorithm (1995), as R's `shapiro.test`. Raises ValueError unless 3 to 5,000 values that differ."""
    found = _scored(values, "values")
    if not 3 <= len(found) <= 5000 or np.ptp(found) == 0:
        raise ValueError(
            f"Shapiro–Wilk needs 3 to 5,000 values that differ, found {len(found)} with {len(np.unique(found))} different."
        )
    from scipy.stats import shapiro as test

    statistic, p = test(found)
    return Shapiro(float(statistic), float(p), len(found))


def levene(groups: Mapping[str, ArrayLike]) -> Levene:
    """Analysis of variance of |value - median of its group| (Brown & Forsythe 1974), as R's `car::leveneTest`.

    Raises:
        ValueError: fewer than two groups, or no group of more than one value.
    """
    found = _groups(groups)
    apart = [np.abs(values - np.median(values)) for values in found.values()]
    df1, df2 = len(apart) - 1, sum(map(len, apart)) - len(apart)
    if df2 < 1:
        raise ValueError("Levene's test needs a group of more than one value; every group here has one.")
    every = np.concatenate(apart)
    within = sum(float(((part - part.mean()) ** 2).sum()) for part in apart)
    between = sum(len(part) * float(part.mean() - every.mean()) ** 2 for part in apart)
    if within <= 1e-12 * float((every**2).sum()):
        # Values that all lie equally far from their medians: nothing to weigh a difference against.
        statistic = 0.0 if between <= 1e-12 * float((every**2).sum()) else float("inf")
    else:
        statistic = (between / df1) / (within / df2)
    from scipy.stats import f

    return Levene(statistic, df1, df2, float(f.sf(statistic, df1, df2)))


def kruskal(groups: Mapping[str, ArrayLike]) -> Kruskal:
    """Kruskal & Wallis (1952) on midranks, corrected for ties, as R's `kruskal.test`; eta²_H as `rstatix::kruskal_effsize`.

    Raises:
        ValueError: fewer than two groups, or all values equal.
    """
    found = _groups(groups)
    ranks, spread = _ranks(found)
    n, k = sum(map(len, ranks.values())), len(ranks)
    statistic = sum(len(part) * (float(part.mean()) - (n + 1) / 2) ** 2 for part in ranks.values()) / spread
    from scipy.stats import chi2

    return Kruskal(
        statistic, k - 1, float(chi2.sf(statistic, k - 1)), n, (statistic - k + 1) / (n - k) if n > k else float("nan")
    )


def dunn(groups: Mapping[str, ArrayLike], adjust: Adjust = "bonferroni") -> list[Dunn]:
    """Pairs of groups after Kruskal–Wallis (Dunn 1964): z = difference of mean ranks / its standard error, corrected for ties.

    As R's `rstatix::dunn_test`: ranks are those of all groups together; p is two-sided; `p_adjusted` = p × pairs (bonferroni), or
    Holm's, or p itself ("none").

    Raises:
        ValueError: fewer than two groups, all values equal, or an unknown adjustment.
    """
    if adjust not in ("bonferroni", "holm", "none"):
        raise ValueError(f"Adjustment '{adjust}' is not known. Use bonferroni, holm or none.")
    ranks, spread = _ranks(_groups(groups))
    pairs = list(combinations(ranks, 2))
    from scipy.stats import norm

    zs = [
        (float(ranks[b].mean()) - float(ranks[a].mean()))
        / float(np.sqrt(spread * (1 / len(ranks[a]) + 1 / len(ranks[b]))))
        for a, b in pairs
    ]
    ps = [2 * float(norm.sf(abs(z))) for z in zs]
    adjusted = {"bonferroni": [min(1.0, p * len(ps)) for p in ps], "holm": holm(ps), "none": ps}[adjust]
    return [
        Dunn(a, b, len(ranks[a]), len(ranks[b]), z, p, wide)
        for (a, b), z, p, wide in zip(pairs, zs, ps, adjusted, strict=True)
    ]


def tukey(groups: Mapping[str, ArrayLike], level: float = 0.95) -> list[Tukey]:
    """All pairs of means by the studentized range: Tukey's HSD; for unequal groups Tukey–Kramer (Kramer 1956), as R's `TukeyHSD`.

    The spread is pooled over the groups given: q = |a - b| / sqrt(s² / 2 · (1/n_a + 1/n_b)) on n - k degrees of freedom.

    Raises:
        ValueError: fewer than two groups, or no group of more than one value.
    """
    found = _groups(groups)
    df = sum(map(len, found.values())) - len(found)
    if df < 1:
        raise ValueError("Tukey's test needs a group of more than one value; every group here has one.")
    from scipy.stats import studentized_range

    variance = sum(float(((values - values.mean()) ** 2).sum()) for values in found.values()) / df
    reach = float(studentized_range.ppf(level, len(found), df))
    rows = []
    for a, b in combinations(found, 2):
        difference = float(found[a].mean() - found[b].mean())
        error = float(np.sqrt(variance / 2 * (1 / len(found[a]) + 1 / len(found[b]))))
        q = abs(difference) / error if error > 0 else float("inf") if difference else 0.0
        p = float(np.clip(studentized_range.sf(q, len(found), df), 0.0, 1.0)) if np.isfinite(q) else 0.0
        rows.append(Tukey(a, b, difference, difference - reach * error, difference + reach * error, p))
    return rows


def vargha_delaney(a: ArrayLike, b: ArrayLike) -> float:
    """A = P(a > b) + P(a = b) / 2 (Vargha & Delaney 2000): 0..1, .5 = no difference; .56 small, .64 medium, .71 large (and 1 - A)."""
    first, second = _scored(a, "a"), _scored(b, "b")
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([first, second]))[: len(first)]
    return float((ranks.mean() - (len(first) + 1) / 2) / len(second))


def cliff_delta(a: ArrayLike, b: ArrayLike) -> float:
    """delta = P(a > b) - P(a < b) = 2 A - 1 (Cliff 1993): -1..1, 0 = no difference; |.147| small, |.33| medium, |.474| large."""
    return 2 * vargha_delaney(a, b) - 1


def _scored(values: ArrayLike, name: str) -> Vector:
    """The values that are not NaN."""
    every = np.asarray(values, dtype=float)
    if every.ndim != 1:
        raise ValueError(f"{name} must be one list of numbers, found shape {every.shape}.")
    if np.isinf(every).any():
        raise ValueError(
            f"{name} holds an infinite value at place {int(np.flatnonzero(np.isinf(every))[0])}. Leave it out as NaN."
        )
    found: Vector = every[~np.isnan(every)]
    if not len(found):
        raise ValueError(f"{name} holds no number.")
    return found


def _groups(groups: Mapping[str, ArrayLike]) -> dict[str, Vector]:
    found = {str(name): _scored(values, f"group '{name}'") for name, values in groups.items()}
    if len(found) < 2:
        raise ValueError(
            f"Groups are compared with each other, so at least two are needed; found {len(found)}: {', '.join(found)}."
        )
    return found


def _ranks(groups: Mapping[str, Vector]) -> tuple[dict[str, Vector], float]:
    """Midranks over all groups, and the variance of a rank, corrected for ties: n (n + 1) / 12 - Σ (t³ - t) / (12 (n - 1))."""
    every = np.concatenate(list(groups.values()))
    n, (_, ties) = len(every), np.unique(every, return_counts=True)
    if len(ties) == 1:
        raise ValueError("All values are equal, so no group ranks above another.")
    from scipy.stats import rankdata

    ranks = rankdata(every)
    ends = np.cumsum([len(values) for values in groups.values()])
    spread = n * (n + 1) / 12 - float((ties.astype(float) ** 3 - ties).sum()) / (12 * (n - 1))
    return dict(zip(groups, np.split(ranks, ends[:-1]), strict=True)), spread
