"""How far raters agree when they rate the same items: Krippendorff's alpha, Gwet's AC1 and AC2, intraclass correlations.

Ratings come as a matrix [items, raters]; NaN = not rated. 1 is full agreement, 0 what chance gives. Intervals are percentile bootstraps
over items. Where every item has one rater, nothing can be said, and an error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .mixed import Array, mixed

Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["identity", "ordinal", "linear", "quadratic"]
Icc = Literal["1", "2", "3"]


@dataclass(frozen=True)
class Agreement:
    """An agreement coefficient with its interval."""

    coefficient: str
    value: float
    low: float
    high: float
    items: int
    """Items that count: those with two ratings or more (ICC: with one or more)."""
    raters: int
    ratings: int


def krippendorff(ratings: ArrayLike, level: Level = "ordinal", seed: int = 0, resamples: int = 2000) -> Agreement:
    """Krippendorff's alpha, 1 - observed / expected disagreement, from -1 to 1 (Krippendorff 2011, "Computing alpha-reliability").

    Disagreement of two values is 1 (nominal), the squared number of ratings between them (ordinal) or their squared difference (interval).
    Gaps are allowed; items with one rating say nothing and are left out.

    Args:
        ratings: [items, raters]; NaN = not rated.
        level: of measurement.
        seed: of the bootstrap.
        resamples: how many; 0 leaves the interval out (NaN).

    Raises:
        ValueError: no item has two ratings, or all ratings are equal, so that chance cannot disagree.
    """
    table = _table(ratings, level, ("nominal", "ordinal", "interval"))
    table = table[(~np.isnan(table)).sum(axis=1) >= 2]
    values = np.unique(table[~np.isnan(table)])
    if len(values) < 2:
        raise ValueError(
            f"Agreement cannot be computed: every rating is {values[0]:g}, so chance cannot disagree either."
        )
    counts = _counts(table, values)
    sizes = counts.sum(axis=1)

    def alpha(weights: Array) -> float:
        marginal = weights @ counts
        distance = _distance(values, marginal, level)
        total = marginal.sum()
        expected = float(marginal @ distance @ marginal) / (total - 1)
        observed = float(weights @ (((counts @ distance) * counts).sum(axis=1) / (sizes - 1)))
        return 1 - observed / expected if expected > 0 else float("nan")

    return _agreement(f"Krippendorff's alpha ({level})", alpha, table, seed, resamples)


def gwet(
    ratings: ArrayLike,
    scale: Sequence[float] | None = None,
    weights: Weights = "ordinal",
    seed: int = 0,
    resamples: int = 2000,
) -> Agreement:
    """Gwet's AC2, and with identity weights AC1: (p_a - p_e) / (1 - p_e) with p_e = Σ w / (q (q - 1)) · Σ π_k (1 - π_k) (Gwet 2014, ch. 4).

    Unlike alpha and kappa it does not collapse when nearly all ratings are the same. Gaps are allowed.

    Args:
        ratings: [items, raters]; NaN = not rated.
        scale: every rating that could be given, such as 1 to 5; None takes those that were.
        weights: how much credit a near miss gets: none (identity), by rank (ordinal), by distance (linear) or its square (quadratic).
        seed: of the bootstrap.
        resamples: how many; 0 leaves the interval out (NaN).

    Raises:
        ValueError: no item has two ratings, a rating is not on the scale, or the scale has one point.
    """
    table = _table(ratings, weights, ("identity", "ordinal", "linear", "quadratic"))
    table = table[(~np.isnan(table)).any(axis=1)]
    points = np.unique(table[~np.isnan(table)] if scale is None else np.asarray(scale, dtype=float))
    strays = np.setdiff1d(table[~np.isnan(table)], points)
    if len(strays) or len(points) < 2:
        raise ValueError(
            f"The scale is {points.tolist()}; it needs two points or more, and every rating on it. Found: {strays.tolist()}."
        )
    counts = _counts(table, points)
    sizes = counts.sum(axis=1)
    credit = _credit(points, weights)
    pairs = sizes >= 2
    agreed = np.zeros(len(table))
    agreed[pairs] = ((counts * (counts @ credit - 1)).sum(axis=1))[pairs] / (sizes * (sizes - 1))[pairs]

    def ac(drawn: Array) -> float:
        among = float(drawn @ pairs)
        shares = drawn @ (counts / sizes[:, None]) / drawn.sum()
        chance = float(credit.sum() / (len(points) * (len(points) - 1)) * (shares * (1 - shares)).sum())
        return (float(drawn @ agreed) / among - chance) / (1 - chance) if among and chance < 1 else float("nan")

    name = "Gwet's AC1" if weights == "identity" else f"Gwet's AC2 ({weights} weights)"
    return _agreement(name, ac, table, seed, resamples)


def icc(ratings: ArrayLike, kind: Icc = "2", seed: int = 0, resamples: int = 2000) -> Agreement:
    """Intraclass correlation of a single rating (Shrout & Fleiss 1979): the share of variance that lies between items.

    "1" = ICC(1,1): raters differ from item to item. "2" = ICC(2,1): the same raters, a sample of many; their leniency counts against
    agreement. "3" = ICC(3,1): the same raters, and only they; leniency is taken out. A full table uses mean squares, so that values below 0
    are possible; one with gaps uses variances by REML (0 to 1), with at most 200 resamples, as each is a model.

    Args:
        ratings: [items, raters]; NaN = not rated.
        kind: "1", "2" or "3".
        seed: of the bootstrap.
        resamples: how many; 0 leaves the interval out (NaN).

    Raises:
        ValueError: no item has two ratings, fewer than two items, or an unknown kind.
    """
    table = _table(ratings, kind, ("1", "2", "3"))
    table = table[(~np.isnan(table)).any(axis=1)]
    if len(table) < 2:
        raise ValueError("An intraclass correlation compares items, so two or more must have been rated.")
    whole = not np.isnan(table).any()

    def share(drawn: Array) -> float:
        rows = np.repeat(table, drawn.astype(int), axis=0)
        return _mean_squares(rows, kind) if whole else _variances(rows, kind)

    return _agreement(f"ICC({kind},1)", share, table, seed, resamples if whole else min(resamples, 200))


def table_of(items: Sequence[str], raters: Sequence[str], values: ArrayLike) -> Array:
    """A long list of ratings as [items, raters], NaN = not rated. Raises ValueError where a rater rated an item twice."""
    numbers = np.asarray(values, dtype=float)
    item_names, rows = np.unique(np.asarray(items), return_inverse=True)
    rater_names, columns = np.unique(np.asarray(raters), return_inverse=True)
    places = rows * len(rater_names) + columns
    twice = np.flatnonzero(np.bincount(places) > 1)
    if len(twice):
        item, rater = divmod(int(twice[0]), len(rater_names))
        raise ValueError(
            f"Rater {rater_names[rater]} rated item {item_names[item]} more than once; agreement needs one rating each."
        )
    table = np.full((len(item_names), len(rater_names)), np.nan)
    table[rows, columns] = numbers
    return table


def _table(ratings: ArrayLike, choice: str, known: Sequence[str]) -> Array:
    """The ratings, checked; `choice` must be among `known`."""
    if choice not in known:
        raise ValueError(f"'{choice}' is not known. Known: {', '.join(known)}.")
    table = np.asarray(ratings, dtype=float)
    if table.ndim != 2 or np.isinf(table).any():
        raise ValueError(f"Ratings must be [items, raters] of finite numbers or NaN, found shape {table.shape}.")
    given = (~np.isnan(table)).sum(axis=1)
    if not (given >= 2).any():
        said = "every item has one rater" if (given == 1).any() else "nothing was rated"
        raise ValueError(f"Agreement cannot be computed: {said}. Two or more people must rate the same item.")
    return table


def _counts(table: Array, values: Array) -> Array:
    """[items, values]: how often each item got each value."""
    found: Array = np.stack([(table == value).sum(axis=1) for value in values], axis=1).astype(float)
    return found


def _distance(values: Array, marginal: Array, level: Level) -> Array:
    """[values, values] squared differences."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    # Half of each end counts: the mid-rank of every value.
    place = values if level == "interval" else np.cumsum(marginal) - marginal / 2
    apart: Array = (place[:, None] - place[None, :]) ** 2
    return apart


def _credit(points: Array, weights: Weights) -> Array:
    """[points, points] agreement weights: 1 on the diagonal, 0 for the two ends."""
    if weights == "identity":
        return np.eye(len(points))
    place = np.arange(len(points), dtype=float) if weights == "ordinal" else points
    apart = np.abs(place[:, None] - place[None, :])
    cost = {"ordinal": apart * (apart + 1) / 2, "linear": apart, "quadratic": apart**2}[weights]
    credit: Array = 1 - cost / cost.max()
    return credit


def _mean_squares(table: Array, kind: Icc) -> float:
    """The coefficient from the mean squares of a full table."""
    n, k = table.shape
    grand = table.mean()
    between = k * ((table.mean(axis=1) - grand) ** 2).sum()
    judges = n * ((table.mean(axis=0) - grand) ** 2).sum()
    total = ((table - grand) ** 2).sum()
    bms, jms = between / (n - 1), judges / (k - 1)
    wms, ems = (total - between) / (n * (k - 1)), (total - between - judges) / ((n - 1) * (k - 1))
    below = {"1": bms + (k - 1) * wms, "2": bms + (k - 1) * ems + k * (jms - ems) / n, "3": bms + (k - 1) * ems}[kind]
    return float((bms - (wms if kind == "1" else ems)) / below) if below > 0 else float("nan")


def _variances(table: Array, kind: Icc) -> float:
    """The coefficient from REML variances of a table with gaps."""
    rows, columns = np.nonzero(~np.isnan(table))
    y = table[rows, columns]
    if np.ptp(y) == 0:
        return float("nan")
    groups: dict[str, NDArray[np.intp]] = {"item": rows} if kind == "1" else {"item": rows, "rater": columns}
    try:
        found = mixed(
            y, {"(Intercept)": np.ones(len(y))}, {name: list(labels) for name, labels in groups.items()}
        ).variances
    except ValueError:
        return float("nan")
    whole = sum(found.values()) - (found["rater"] if kind == "3" else 0.0)
    return float(found["item"] / whole)


def _agreement(name: str, statistic: Callable[[Array], float], table: Array, seed: int, resamples: int) -> Agreement:
    """The statistic with every item once, and its interval with items drawn with replacement."""
    n, given = len(table), ~np.isnan(table)
    rng = np.random.default_rng(seed)
    draws = np.array(
        [statistic(np.bincount(rng.integers(0, n, n), minlength=n).astype(float)) for _ in range(resamples)]
    )
    draws = draws[~np.isnan(draws)]
    low, high = np.quantile(draws, [0.025, 0.975]) if len(draws) else (np.nan, np.nan)
    used = n if name.startswith("ICC") else int((given.sum(axis=1) >= 2).sum())
    return Agreement(
        name,
        float(statistic(np.ones(n))),
        float(low),
        float(high),
        used,
        int(given.any(axis=0).sum()),
        int(given.sum()),
    )
