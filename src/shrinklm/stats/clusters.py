"""Means of conditions and their differences when people rate many items each: whole people are resampled.

No model and no normality are assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import wilson

Array = NDArray[np.float64]

_BLOCK = 1000
"""Resamples drawn at a time: bounds the memory."""


@dataclass(frozen=True)
class ClusterMean:
    """A mean, or a difference of two, with an interval over resampled people."""

    name: str
    value: float
    low: float
    high: float
    p: float | None
    """Two-sided, of a difference from zero; None for a mean."""
    n: int
    """Ratings of the condition."""
    clusters: int
    """People who rated it."""


@dataclass(frozen=True)
class ClusterBootstrap:
    """Every condition, and each against the reference."""

    means: tuple[ClusterMean, ...]
    differences: tuple[ClusterMean, ...]
    clusters: int
    resamples: int


def cluster_bootstrap(
    values: ArrayLike,
    conditions: Sequence[Any],
    clusters: Sequence[Any],
    reference: Any = None,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
    share: bool = False,
) -> ClusterBootstrap:
    """Percentile bootstrap of the conditions' means and of their differences from the reference, over whole clusters.

    A person drawn twice brings all ratings twice, so that intervals carry the spread between people (Davison & Hinkley
    1997, §3.8). With fewer than about 20 clusters they are too narrow.

    Args:
        values: [n]; NaN = not rated, left out.
        conditions: [n].
        clusters: [n], the people.
        reference: the condition that others are compared with; None: the first to appear.
        seed: of the resampling.
        resamples: how many.
        level: share of resampled values inside the interval.
        share: The values are yes or no (1 or 0). A mean of 0 or 1, where no resample differs, then has Wilson's
            interval of so many clusters: further answers of one person are not as good as those of further people.

    Raises:
        ValueError: unequal lengths, one cluster, or no rating of the reference.
    """
    points, draws, counts, names = cluster_draws(values, conditions, clusters, seed, resamples)
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise ValueError(f"No rating of '{reference}'. Rated were: {names}.")
    base = names.index(reference)

    def row(column: int, minus: bool) -> ClusterMean:
        values = draws[:, column] - (draws[:, base] if minus else 0.0)
        values = values[~np.isnan(values)]
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        # Differences that should be zero differ from it in their last bits; they count on both sides.
        tail = min(np.count_nonzero(values <= 1e-12), np.count_nonzero(values >= -1e-12))
        p = min(1.0, 2 * (tail + 1) / (len(values) + 1)) if minus else None
        value = float(points[column] - (points[base] if minus else 0.0))
        raters = int((counts[:, column] > 0).sum())
        if share and not minus and value in (0.0, 1.0):
            low, high = wilson(round(value) * raters, raters, level)
        return ClusterMean(str(names[column]), value, float(low), float(high), p, int(counts[:, column].sum()), raters)

    means = tuple(row(column, False) for column in range(len(names)))
    differences = tuple(row(column, True) for column in range(len(names)) if column != base)
    return ClusterBootstrap(means, differences, len(counts), resamples)


def cluster_draws(
    values: ArrayLike, conditions: Sequence[Any], clusters: Sequence[Any], seed: int = 0, resamples: int = 10_000
) -> tuple[Array, Array, Array, list[Any]]:
    """The means, and their resamples by whole clusters.

    Returns:
        (means [conditions], resampled means [resamples, conditions], number of ratings [clusters, conditions], the
        conditions). A resampled mean is NaN where no cluster of the resample has a rating of the condition.

    Raises:
        ValueError: unequal lengths, or fewer than two clusters with a rating.
    """
    y = np.asarray(values, dtype=float)
    if not (y.ndim == 1 and len(y) == len(conditions) == len(clusters)):
        raise ValueError(
            f"{len(y)} values, {len(conditions)} conditions and {len(clusters)} clusters: they must be equally many."
        )
    kept = ~np.isnan(y)
    labels = np.asarray(conditions, dtype=object)[kept]
    names = list(dict.fromkeys(labels))
    people, rows = np.unique(np.asarray(clusters)[kept], return_inverse=True)
    if len(people) < 2:
        raise ValueError(f"At least two clusters with a rating are needed to resample, found {len(people)}.")
    position = {name: index for index, name in enumerate(names)}
    columns = np.array([position[name] for name in labels])
    # Sums by person and condition carry all that a mean of whole people needs.
    sums, counts = np.zeros((len(people), len(names))), np.zeros((len(people), len(names)))
    np.add.at(sums, (rows, columns), y[kept])
    np.add.at(counts, (rows, columns), 1.0)
    rng, parts = np.random.default_rng(seed), []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        copies = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=size)
        with np.errstate(invalid="ignore"):
            parts.append((copies @ sums) / (copies @ counts))
    return sums.sum(axis=0) / counts.sum(axis=0), np.concatenate(parts), counts, names
