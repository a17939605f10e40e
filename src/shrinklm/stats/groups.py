"""Tests and effect sizes between groups of values. No torch.

Groups come as a mapping {name: values}, in the order in which pairs are formed. NaN means "not scored" and is left
out. Everything else counts: `outliers` reports, and the caller decides whether to drop. Rows are taken as independent
of each other; for people who rate many items use the mixed models instead. Results agree with R's (stats, car, rstatix,
effsize).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bootstrap import holm

Vector = NDArray[np.float64]
Adjust = Literal["bonferroni", "holm", "none"]


@dataclass(frozen=True)
class Outliers:
    """Which values of one group lie outside the fences, q1 - 1.5 (q3 - q1) to q3 + 1.5 (q3 - q1)."""

    low: float
    """Lower fence."""
    high: float
    """Upper fence."""
    indices: tuple[int, ...]
    """Of the outliers in the values."""


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
    """Effect size eta²_H = (H - k + 1) / (n - k) of k groups; .01 small, .06 moderate, .14 large; below 0: none."""


@dataclass(frozen=True)
class Dunn:
    """One pair of Dunn's test. The sign is R's: positive when b ranks above a."""

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
    """(q1, median, q3) by linear interpolation: R's quantile type 7 (Hyndman & Fan 1996).

    Raises ValueError for no value.
    """
    q1, median, q3 = np.quantile(_scored(values, "values"), (0.25, 0.5, 0.75))
    return float(q1), float(median), float(q3)


def outliers(values: ArrayLike, reach: float = 1.5) -> Outliers:
    """Values further than `reach` interquartile ranges from the quartiles (Tukey 1977).

    R: `rstatix::identify_outliers`. Raises ValueError for no value.
    """
    vector = np.asarray(values, dtype=float)
    q1, _, q3 = quartiles(vector)
    low, high = q1 - reach * (q3 - q1), q3 + reach * (q3 - q1)
    return Outliers(low, high, tuple(int(index) for index in np.flatnonzero((vector < low) | (vector > high))))


def shapiro(values: ArrayLike) -> Shapiro:
    """Shapiro–Wilk test of normality by Royston's algorithm (1995). R: `shapiro.test`.

    Raises ValueError unless there are 3 to 5,000 values that differ, the range for which the algorithm was fitted.
    """
    vector = _scored(values, "values")
    if not 3 <= len(vector) <= 5000 or np.ptp(vector) == 0:
        raise ValueError(
            f"Shapiro–Wilk needs 3 to 5,000 values that differ, found {len(vector)} with "
            f"{len(np.unique(vector))} different."
        )
    from scipy.stats import shapiro as test

    statistic, p = test(vector)
    return Shapiro(float(statistic), float(p), len(vector))


def levene(groups: Mapping[str, ArrayLike]) -> Levene:
    """Analysis of variance of |value - median of its group| (Brown & Forsythe 1974). R: `car::leveneTest`.

    Raises:
        ValueError: fewer than two groups, or fewer than two of more than two values. Two values always lie equally far
            from their median, so the deviations of such a group do not vary: F of none but these would be infinite
            whatever the spreads are, and beside a single larger one it finds differences that are not there (21 % in
            groups of 2, 2, 2 and 3).
    """
    vectors = list(_groups(groups).values())
    df1, df2 = len(vectors) - 1, sum(map(len, vectors)) - len(vectors)
    larger = sum(len(vector) > 2 for vector in vectors)
    if larger < 2:
        found = "only one group here has them" if larger else "every group here has at most two"
        raise ValueError(f"Levene's test needs two groups of at least three values; {found}.")
    deviations = [np.abs(vector - np.median(vector)) for vector in vectors]
    rounding = 1e-6 * max(float(deviation.max()) for deviation in deviations)
    if all(np.ptp(deviation) <= rounding for deviation in deviations):
        # Within each group all values lie equally far from the median. F would be a ratio of rounding errors, so the
        # answer is decided here: the spreads are equal, or they differ for certain.
        equal = np.ptp([deviation.mean() for deviation in deviations]) <= rounding
        return Levene(0.0 if equal else float("inf"), df1, df2, 1.0 if equal else 0.0)
    from scipy.stats import levene as test

    statistic, p = test(*vectors, center="median")
    return Levene(float(statistic), df1, df2, float(p))


def kruskal(groups: Mapping[str, ArrayLike]) -> Kruskal:
    """Kruskal–Wallis test (1952) on midranks, corrected for ties. R: `kruskal.test`, `rstatix::kruskal_effsize`.

    Raises:
        ValueError: fewer than two groups, or all values equal.
    """
    vectors = list(_groups(groups).values())
    _check_not_all_equal(np.concatenate(vectors))
    from scipy.stats import kruskal as test

    n, k = sum(map(len, vectors)), len(vectors)
    result = test(*vectors)
    # Rounding can take H of groups with equal mean ranks below its lowest value, 0.
    statistic = max(0.0, float(result.statistic))
    eta2 = (statistic - k + 1) / (n - k) if n > k else float("nan")
    return Kruskal(statistic, k - 1, float(result.pvalue), n, eta2)


def dunn(groups: Mapping[str, ArrayLike], adjust: Adjust = "bonferroni") -> list[Dunn]:
    """All pairs of groups after Kruskal–Wallis (Dunn 1964). R: `rstatix::dunn_test`.

    z = difference of mean ranks / sqrt(σ² (1/n_a + 1/n_b)), where the ranks are those of all groups together and σ² is
    the variance of a rank, corrected for ties. p is two-sided. `p_adjusted` is p × pairs ("bonferroni"), Holm's
    ("holm"), or p itself ("none").

    Raises:
        ValueError: fewer than two groups, all values equal, or an unknown adjustment.
    """
    if adjust not in ("bonferroni", "holm", "none"):
        raise ValueError(f"Adjustment '{adjust}' is not known. Use bonferroni, holm or none.")
    # Not scikit-posthocs, which returns p without z (docs/concepts.md, "By hand, and why").
    ranks, variance = _ranks(_groups(groups))
    pairs = list(combinations(ranks, 2))
    from scipy.stats import norm

    zs = [
        (float(ranks[b].mean()) - float(ranks[a].mean()))
        / float(np.sqrt(variance * (1 / len(ranks[a]) + 1 / len(ranks[b]))))
        for a, b in pairs
    ]
    ps = [2 * float(norm.sf(abs(z))) for z in zs]
    adjusted = {"bonferroni": [min(1.0, p * len(ps)) for p in ps], "holm": holm(ps), "none": ps}[adjust]
    return [
        Dunn(a, b, len(ranks[a]), len(ranks[b]), z, p, p_adjusted)
        for (a, b), z, p, p_adjusted in zip(pairs, zs, ps, adjusted, strict=True)
    ]


def tukey(groups: Mapping[str, ArrayLike], level: float = 0.95) -> list[Tukey]:
    """All pairs of means by the studentized range: Tukey's HSD. R: `TukeyHSD`.

    Unequal groups are compared by Tukey–Kramer (Kramer 1956): q = |a - b| / sqrt(s² / 2 · (1/n_a + 1/n_b)) on n - k
    degrees of freedom, with s² pooled over all groups.

    Raises:
        ValueError: fewer than two groups, or no group of more than one value.
    """
    vectors = _groups(groups)
    df = sum(map(len, vectors.values())) - len(vectors)
    if df < 1:
        raise ValueError("Tukey's test needs a group of more than one value; every group here has one.")
    # Not `scipy.stats.tukey_hsd`, which refuses a group of one value. Its mean can be compared all the same, as the
    # spread comes from the other groups; factorial tables have such cells.
    from scipy.stats import studentized_range

    variance = sum(float(((vector - vector.mean()) ** 2).sum()) for vector in vectors.values()) / df
    reach = _range_quantile(level, len(vectors), df)
    rows = []
    for a, b in combinations(vectors, 2):
        difference = float(vectors[a].mean() - vectors[b].mean())
        error = float(np.sqrt(variance / 2 * (1 / len(vectors[a]) + 1 / len(vectors[b]))))
        q = abs(difference) / error if error > 0 else float("inf") if difference else 0.0
        # The integral behind `sf` can leave 0..1 by its own error.
        p = float(np.clip(studentized_range.sf(q, len(vectors), df), 0.0, 1.0)) if np.isfinite(q) else 0.0
        rows.append(Tukey(a, b, difference, difference - reach * error, difference + reach * error, p))
    return rows


@cache
def _range_quantile(level: float, groups: int, df: int) -> float:
    """Of the studentized range: an integral inside a search, and the same for each cell of a balanced table."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(level, groups, df))


def vargha_delaney(a: ArrayLike, b: ArrayLike) -> float:
    """A = P(a > b) + P(a = b) / 2 (Vargha & Delaney 2000), 0..1; .5 means no difference.

    .56 is small, .64 medium, .71 large, and so is 1 - A. Raises ValueError where a side has no value.
    """
    first, second = _scored(a, "a"), _scored(b, "b")
    from scipy.stats import rankdata

    # From the rank sum: midranks count ties as a half, and no table of all n_a × n_b pairs is needed.
    ranks = rankdata(np.concatenate([first, second]))[: len(first)]
    return float((ranks.mean() - (len(first) + 1) / 2) / len(second))


def cliff_delta(a: ArrayLike, b: ArrayLike) -> float:
    """delta = P(a > b) - P(a < b) = 2 A - 1 (Cliff 1993), -1..1; 0 means no difference.

    |.147| is small, |.33| medium, |.474| large. Raises ValueError where a side has no value.
    """
    return 2 * vargha_delaney(a, b) - 1


def _scored(values: ArrayLike, name: str) -> Vector:
    """The values that are not NaN; `name` is what errors call them."""
    vector: Vector = np.asarray(values, dtype=float)
    if vector.ndim != 1:
        raise ValueError(f"{name} must be one list of numbers, found shape {vector.shape}.")
    if np.isinf(vector).any():
        index = int(np.flatnonzero(np.isinf(vector))[0])
        raise ValueError(f"{name} holds an infinite value at index {index}. Leave it out as NaN.")
    vector = vector[~np.isnan(vector)]
    if not len(vector):
        raise ValueError(f"{name} holds no number.")
    return vector


def _groups(groups: Mapping[str, ArrayLike]) -> dict[str, Vector]:
    """The scored values of each group. Raises ValueError for fewer than two groups, or a group without a value."""
    vectors = {str(name): _scored(values, f"group '{name}'") for name, values in groups.items()}
    if len(vectors) < 2:
        raise ValueError(
            f"Groups are compared with each other, so at least two are needed; found {len(vectors)}: "
            f"{', '.join(vectors)}."
        )
    return vectors


def _check_not_all_equal(values: Vector) -> None:
    if np.ptp(values) == 0:
        raise ValueError("All values are equal, so no group ranks above another.")


def _ranks(groups: Mapping[str, Vector]) -> tuple[dict[str, Vector], float]:
    """(midranks over all groups, variance of a rank corrected for ties).

    Variance: n (n + 1) / 12 - Σ (t³ - t) / (12 (n - 1)) over groups of t tied values.
    """
    values = np.concatenate(list(groups.values()))
    _check_not_all_equal(values)
    from scipy.stats import rankdata

    n, (_, ties) = len(values), np.unique(values, return_counts=True)
    ends = np.cumsum([len(vector) for vector in groups.values()])
    variance = n * (n + 1) / 12 - float((ties.astype(float) ** 3 - ties).sum()) / (12 * (n - 1))
    return dict(zip(groups, np.split(rankdata(values), ends[:-1]), strict=True)), variance
