"""Estimates and comparisons from scores: seeded, and the unit of resampling is stated. No torch.

Scores come as matrices [seeds, items]; NaN means "not scored". Intervals are percentile bootstraps (Efron & Tibshirani
1993) in which questions and, where there are several, training seeds are drawn independently of each other (Owen 2007,
"The pigeonhole bootstrap"), because both are samples: with other seeds or other questions the number would
be another. `scipy.stats.bootstrap` resamples one axis only. Two exceptions: of a share that is 0 or 1 every resample is
the same, and its interval is the score interval (`intervals`); a difference of methods with two seeds or more each has
its interval and p from `crossed`, since few seeds are too few to be resampled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .crossed import SeedSpread, parts
from .intervals import tango, wilson
from .resampling import Matrix, blocks, counts, interval


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval."""

    value: float
    low: float
    high: float
    n: int
    """Questions with a score."""
    seeds: int
    """Training seeds with a score."""
    unit: str
    """What was resampled: "questions", or "questions and seeds"."""


@dataclass(frozen=True)
class McNemar:
    """Two methods on the same questions, by the questions that only one of them answered right."""

    only_a: int
    """Questions that a alone has right."""
    only_b: int
    p: float
    """Exact and two-sided."""


@dataclass(frozen=True)
class Comparison:
    """A difference of two means, a - b, on the same questions."""

    difference: float
    low: float
    high: float
    p: float
    """Two-sided; of the bootstrap never below 2 / (resamples + 1)."""
    n: int
    """Questions that both were scored on."""
    seeds: int = 1
    """Training seeds of the side that has fewer; a side that was not trained does not count."""

    @property
    def unit(self) -> str:
        """What interval and p speak of: "questions", these trainings taken as they are, or "questions and seeds"."""
        return "questions and seeds" if self.seeds > 1 else "questions"

    @property
    def equal(self) -> bool:
        """Whether no difference was seen at any question, so that an interval of no width says nothing."""
        return self.difference == self.low == self.high == 0.0


def estimate(
    values: ArrayLike, seed: int = 0, resamples: int = 10_000, level: float = 0.95, share: bool = False
) -> Estimate:
    """The mean of scores with a percentile bootstrap interval.

    Args:
        values: [seeds, items], or [items] for one seed; NaN = not scored.
        seed: of the resampling.
        resamples: how many.
        level: share of resampled means inside the interval.
        share: The scores are yes or no (1 or 0) of independent items. At 0 and 1, where no resample differs, the
            interval is then Wilson's of so many items; further seeds of the same items do not count as more of them.

    Raises:
        ValueError: nothing was scored, a score is infinite, or a share has a score other than 0 and 1.
    """
    return estimates({"values": values}, seed, resamples, level, ("values",) if share else ())["values"]


def estimates(
    scores: Mapping[str, ArrayLike],
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    shares: Collection[str] = (),
) -> dict[str, Estimate]:
    """`estimate` of each of several scores, those named in `shares` as shares.

    Raises ValueError as `estimate` does, with the name of the score.
    """
    return estimates_of([scores], seed, resamples, level, [shares])[0]


def estimates_of(
    tables: Sequence[Mapping[str, ArrayLike]],
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    shares: Sequence[Collection[str]] = (),
) -> list[dict[str, Estimate]]:
    """`estimates` of each of several methods, in little more time than one of them takes where they have as many seeds
    and questions. `shares`: of each method the scores that are shares; none for ().

    Raises ValueError as `estimate` does, with the name of the score.
    """
    _check(resamples, level)
    # Scores that are missing in the same cells share their sums: fifty metrics cost little more than one. All that are
    # as large share their resamples, since drawing those takes most of the time.
    alike: dict[tuple[int, ...], dict[tuple[int, bytes], dict[str, Matrix]]] = {}
    yes_no = shares or [()] * len(tables)
    for place, scores in enumerate(tables):
        for name, values in scores.items():
            matrix = _matrix(values, name)
            # A question that no seed was scored on is not part of the sample.
            matrix = matrix[:, ~np.isnan(matrix).all(axis=0)]
            if name in yes_no[place]:
                _check_share(matrix, name)
            group = alike.setdefault(matrix.shape, {}).setdefault((place, np.isnan(matrix).tobytes()), {})
            group[name] = matrix
    results: list[dict[str, Estimate]] = [{} for _ in tables]
    for (seeds, items), groups in alike.items():
        unit = "questions and seeds" if seeds > 1 else "questions"
        for (place, _), group, draws in zip(
            groups, groups.values(), _drawn(groups.values(), seed, resamples), strict=True
        ):
            for column, (name, matrix) in enumerate(group.items()):
                low, high = interval(draws[:, column], level)
                value = float(np.nanmean(matrix))
                if name in yes_no[place] and value in (0.0, 1.0):
                    low, high = wilson(round(value) * items, items, level)
                results[place][name] = Estimate(value, low, high, items, seeds, unit)
    # In the caller's order, which the grouping above does not keep.
    return [{name: found[name] for name in scores} for scores, found in zip(tables, results, strict=True)]


def _drawn(groups: Collection[Mapping[str, Matrix]], seed: int, resamples: int) -> list[Matrix]:
    """[resamples, scores] resampled means of each group of scores; all have as many seeds and items."""
    stacks = [np.stack(list(group.values())) for group in groups]
    seeds, items = stacks[0].shape[1:]
    parts: list[list[Matrix]] = [[] for _ in stacks]
    for rows, rng in blocks(items, resamples, seed):
        weights = counts(seeds, len(rows), rng)
        for part, stack in zip(parts, stacks, strict=True):
            part.append(_means(stack, rows, weights))
    return [np.concatenate(part) for part in parts]


def paired(
    a: ArrayLike,
    b: ArrayLike,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    share: bool = False,
    spread: SeedSpread | None = None,
    fixed: bool = False,
) -> Comparison:
    """The difference of two means on the same questions.

    With two training seeds or more on each side, interval and p speak of other questions and of training again
    (`crossed`). With one they speak of the questions alone, by a paired bootstrap: each resample draws the same
    questions for both sides, and p is 2 (k + 1) / (resamples + 1), where k is the smaller number of resampled
    differences on one side of zero.

    Args:
        a: [seeds_a, items], or [items]; NaN = not scored.
        b: [seeds_b, items], the same items in the same order.
        seed: of the resampling.
        resamples: how many.
        level: of the interval.
        share: The scores are yes or no (1 or 0). Where the difference is the same at every question the interval is
            then Tango's for paired shares (1998), which has a width; of other scores nothing is known and it has none.
        spread: How far seeds spread, where more methods than these two say it; None: by these two.
        fixed: b was not trained, so that it has no seeds: an untrained student, or a constant.

    Raises:
        ValueError: not the same items, none that both were scored on, or a share with a score other than 0 and 1.
    """
    first, second = _matrix(a, "a"), _matrix(b, "b")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"a has {first.shape[1]} items, b has {second.shape[1]}. They must be the same items in the same order."
        )
    both = ~np.isnan(first).all(axis=0) & ~np.isnan(second).all(axis=0)
    if not both.any():
        raise ValueError("No item was scored in both a and b, so there is nothing to compare.")
    _check(resamples, level)
    first, second = _scored(first[:, both]), _scored(second[:, both])
    items, seeds = int(both.sum()), len(first) if fixed else min(len(first), len(second))
    difference = float(np.nanmean(first) - np.nanmean(second))
    known = parts(first, second, spread, fixed) if items > 1 else None
    if known is not None and (known.questions or known.seeds):
        half = known.half_width(level)
        low, high, p = difference - half, difference + half, known.p(difference)
    else:
        low, high, p = _resampled(first, second, seed, resamples, level)
    if share:
        _check_share(first, "a")
        _check_share(second, "b")
        if low == high:
            low, high = tango(round(difference * items) if difference > 0 else 0,
                              round(-difference * items) if difference < 0 else 0, items, level)  # fmt: skip
    return Comparison(difference, low, high, p, items, seeds)


def _resampled(first: Matrix, second: Matrix, seed: int, resamples: int, level: float) -> tuple[float, float, float]:
    """(low, high, p) of the difference by a paired bootstrap; every item and seed was scored."""
    # One `rows` for both sides makes it paired; the generator then draws training seeds for each side anew.
    differences = [
        _means(first[None], rows, counts(len(first), len(rows), rng))
        - _means(second[None], rows, counts(len(second), len(rows), rng))
        for rows, rng in blocks(first.shape[1], resamples, seed)
    ]
    draws = np.concatenate(differences)[:, 0]
    low, high = interval(draws, level)
    draws = draws[~np.isnan(draws)]
    # Resampled means of 0/1 scores that should tie differ in their last bits, so zero has a width; ties count on both
    # sides, which keeps p from being too small.
    tail = min(np.count_nonzero(draws <= 1e-12), np.count_nonzero(draws >= -1e-12))
    return low, high, float(min(1.0, 2 * (tail + 1) / (len(draws) + 1)))


def mcnemar(a: ArrayLike, b: ArrayLike) -> McNemar:
    """McNemar's test on right/wrong [items] of two methods: an exact binomial test of `only_a` in `only_a` + `only_b`.

    Raises ValueError unless both are 0/1 and equally long.
    """
    first, second = (np.asarray(side, dtype=float) for side in (a, b))
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(
            f"McNemar's test needs two equally long lists of right/wrong, found shapes {first.shape} and "
            f"{second.shape}."
        )
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise ValueError(
            "McNemar's test needs right/wrong only (True/False or 1/0); leave out questions that were not scored."
        )
    from scipy.stats import binomtest

    only_a, only_b = int(np.sum(first > second)), int(np.sum(second > first))
    # Where both are right and wrong on the same questions nothing speaks for a difference: p = 1.
    p = float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method (1979), in the order of `ps`.

    adjusted_(i) = max over j <= i of min(1, (n - j + 1) p_(j)). Raises ValueError for anything outside 0..1.
    """
    # Not statsmodels' `multipletests`, which returns the same numbers and runs the garbage collector on every call.
    raw = np.asarray(ps, dtype=float)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1, found {list(ps)}.")
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)), 1.0)
    return [float(p) for p in adjusted]


def mean_sd(values: ArrayLike) -> tuple[float, float | None]:
    """(mean, sample standard deviation) of the values that are not NaN; one value has no deviation: None.

    Raises ValueError for no value.
    """
    flat = _matrix(np.ravel(np.asarray(values, dtype=float)), "values")[0]
    flat = flat[~np.isnan(flat)]
    return float(flat.mean()), float(flat.std(ddof=1)) if len(flat) > 1 else None


def _matrix(values: ArrayLike, name: str) -> Matrix:
    """`values` as [seeds, items], without seeds that have no score; `name` is what errors call them."""
    matrix = np.atleast_2d(np.asarray(values, dtype=float))
    if matrix.ndim != 2:
        raise ValueError(f"{name} must be [seeds, items] or [items], found shape {matrix.shape}.")
    if np.isinf(matrix).any():
        raise ValueError(f"{name} holds an infinite score. A metric returns a finite number, or None for not scored.")
    matrix = _scored(matrix)
    if not matrix.size:
        raise ValueError(f"{name} holds no score: it is empty, or nothing was scored.")
    return matrix


def _scored(matrix: Matrix) -> Matrix:
    """The rows that have a score."""
    rows: Matrix = matrix[~np.isnan(matrix).all(axis=1)]
    return rows


def _check_share(matrix: Matrix, name: str) -> None:
    if not np.isin(matrix[~np.isnan(matrix)], (0, 1)).all():
        raise ValueError(f"{name} is no share: a score is neither 0 nor 1.")


def _check(resamples: int, level: float) -> None:
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples must be at least 1 and level between 0 and 1, found {resamples} and {level}.")


def _means(stack: Matrix, rows: Matrix, weights: Matrix) -> Matrix:
    """[resamples, scores] means of `stack` [scores, seeds, items], items weighted by `rows` [resamples, items] and
    seeds by `weights` [resamples, seeds].

    All scores have the same missing cells, which are left out; NaN where a resample holds no scored cell.
    """
    kinds, seeds, items = stack.shape
    scored = ~np.isnan(stack[0])
    sums = (rows @ np.where(scored, stack, 0.0).reshape(-1, items).T).reshape(len(rows), kinds, seeds)
    total: Any = (weights * (rows @ scored.T.astype(float))).sum(axis=1)
    with np.errstate(invalid="ignore"):
        means: Matrix = (weights[:, None, :] * sums).sum(axis=2) / total[:, None]
    return means
