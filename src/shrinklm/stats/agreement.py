"""Agreement of raters who rate the same items: Krippendorff's alpha, Gwet's AC1 and AC2, intraclass correlations.

Ratings come as a matrix [items, raters]; NaN means "not rated". 1 is full agreement, 0 the agreement of chance.
Intervals are percentile bootstraps over items. Agreement is not defined where every item has one rater: a ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .linear_mixed import Array, variance_components

Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["identity", "ordinal", "linear", "quadratic"]
Icc = Literal["1", "2", "3"]
_NUMBERS = 1_000_000
"""Resamples are computed so many at once that a table of resamples by items has at most so many numbers."""


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
    """Krippendorff's alpha = 1 - observed / expected disagreement, -1..1 (2011, "Computing alpha-reliability").

    Disagreement of two values is 1 (nominal), the squared number of ratings between them (ordinal) or their squared
    difference (interval). Gaps are allowed; items with one rating have no pair to compare and are left out.

    Args:
        ratings: [items, raters]; NaN = not rated.
        level: of measurement.
        seed: of the bootstrap.
        resamples: how many; 0 leaves the interval out (NaN).

    Raises:
        ValueError: no item has two ratings, or all ratings are equal, so that expected disagreement is zero.
    """
    table = _checked(ratings, level, ("nominal", "ordinal", "interval"))
    table = table[(~np.isnan(table)).sum(axis=1) >= 2]
    values = np.unique(table[~np.isnan(table)])
    if len(values) < 2:
        raise ValueError(
            f"Agreement cannot be computed: every rating is {values[0]:g}, so chance cannot disagree either."
        )
    counts = _counts(table, values)
    sizes = counts.sum(axis=1)

    def alpha(copies: Array) -> Array:
        marginal = copies @ counts
        total = marginal.sum(axis=1)
        # Sums over all ratings instead of means: their number cancels. - 1, as a rating is not paired with itself.
        if level == "nominal":
            expected = total**2 - (marginal**2).sum(axis=1)
            observed = copies @ ((sizes**2 - (counts**2).sum(axis=1)) / (sizes - 1))
        else:
            # Anew for each resample: ordinal distances depend on how often each value occurs.
            place = _places(values, marginal, level)
            expected = _apart(total, (marginal * place).sum(axis=1), (marginal * place**2).sum(axis=1))
            observed = (copies * _apart(sizes, place @ counts.T, place**2 @ counts.T) / (sizes - 1)).sum(axis=1)
        defined = (marginal > 0).sum(axis=1) > 1
        return np.where(defined, 1 - observed * (total - 1) / np.where(defined, expected, 1.0), np.nan)

    return _agreement(f"Krippendorff's alpha ({level})", alpha, table, seed, resamples)


def gwet(
    ratings: ArrayLike,
    scale: Sequence[float] | None = None,
    weights: Weights = "ordinal",
    seed: int = 0,
    resamples: int = 2000,
) -> Agreement:
    """Gwet's AC2, and with identity weights AC1 (Gwet 2014, ch. 4).

    (p_a - p_e) / (1 - p_e) with p_e = Σ w / (q (q - 1)) · Σ π_k (1 - π_k) for q points of the scale. Unlike alpha and
    kappa it does not collapse when nearly all ratings are the same. Gaps are allowed.

    Args:
        ratings: [items, raters]; NaN = not rated.
        scale: every possible rating, such as 1 to 5; None takes those that occur.
        weights: credit of a near miss: none (identity), by rank (ordinal), by distance (linear) or its square
            (quadratic).
        seed: of the bootstrap.
        resamples: how many; 0 leaves the interval out (NaN).

    Raises:
        ValueError: no item has two ratings, a rating is not on the scale, or the scale has one point.
    """
    table = _checked(ratings, weights, ("identity", "ordinal", "linear", "quadratic"))
    table = table[(~np.isnan(table)).any(axis=1)]
    points = np.unique(table[~np.isnan(table)] if scale is None else np.asarray(scale, dtype=float))
    strays = np.setdiff1d(table[~np.isnan(table)], points)
    if len(strays) or len(points) < 2:
        raise ValueError(
            f"The scale is {points.tolist()}; it needs two points or more, and every rating on it. "
            f"Found: {strays.tolist()}."
        )
    # Items with one rating have no pair to agree, but count in the shares of chance agreement.
    counts = _counts(table, points)
    sizes = counts.sum(axis=1)
    credit = _credit(points, weights)
    pairs = sizes >= 2
    agreed = np.zeros(len(table))
    # - 1 takes out the agreement of a rating with itself.
    agreed[pairs] = ((counts * (counts @ credit - 1)).sum(axis=1))[pairs] / (sizes * (sizes - 1))[pairs]

    def ac(copies: Array) -> Array:
        rated_twice = copies @ pairs
        shares = copies @ (counts / sizes[:, None]) / copies.sum(axis=1, keepdims=True)
        chance = credit.sum() / (len(points) * (len(points) - 1)) * (shares * (1 - shares)).sum(axis=1)
        # A resample may hold no item with two ratings; it is left out of the interval.
        defined = (rated_twice > 0) & (chance < 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(defined, (copies @ agreed / rated_twice - chance) / (1 - chance), np.nan)

    name = "Gwet's AC1" if weights == "identity" else f"Gwet's AC2 ({weights} weights)"
    return _agreement(name, ac, table, seed, resamples)


def icc(ratings: ArrayLike, kind: Icc = "2", seed: int = 0, resamples: int = 2000) -> Agreement:
    """Intraclass correlation of a single rating (Shrout & Fleiss 1979): the share of variance that lies between items.

    "1" = ICC(1,1): raters differ from item to item. "2" = ICC(2,1): the same raters, a sample of many; their leniency
    counts against agreement. "3" = ICC(3,1): the same raters, and only they; leniency is taken out. A full table uses
    mean squares, so that values below 0 are possible. One with gaps uses variances by REML (0..1), with at most 200
    resamples, as each one fits a model.

    Args:
        ratings: [items, raters]; NaN = not rated.
        kind: "1", "2" or "3".
        seed: of the bootstrap.
        resamples: how many; 0 leaves the interval out (NaN).

    Raises:
        ValueError: no item has two ratings, fewer than two items, or an unknown kind.
    """
    table = _checked(ratings, kind, ("1", "2", "3"))
    table = table[(~np.isnan(table)).any(axis=1)]
    if len(table) < 2:
        raise ValueError("An intraclass correlation compares items, so two or more must have been rated.")
    # Items with one rating stay: they show how lenient their rater is. Mean squares are defined for full tables alone.
    full = not np.isnan(table).any()

    whole = {} if full else _variances(table, kind)
    # A resample's variances are near those of all items: the search for them begins there.
    start = {name: value / whole["residual"] for name, value in whole.items() if name != "residual"}

    def share(copies: Array) -> float:
        rows = np.repeat(table, copies.astype(int), axis=0)
        if full:
            return _mean_squares(rows, kind)
        variances = whole if (copies == 1).all() else _variances(rows, kind, start or None)
        total = sum(variances.values()) - (variances.get("rater", 0.0) if kind == "3" else 0.0)
        return variances["item"] / total if variances else float("nan")

    def shares(copies: Array) -> Array:
        return np.array([share(drawn) for drawn in copies])

    return _agreement(f"ICC({kind},1)", shares, table, seed, resamples if full else min(resamples, 200))


def table_of(items: Sequence[str], raters: Sequence[str], values: ArrayLike) -> Array:
    """A long list of ratings as [items, raters], NaN = not rated.

    Raises ValueError where a rater rated an item twice.
    """
    numbers = np.asarray(values, dtype=float)
    item_names, rows = np.unique(np.asarray(items), return_inverse=True)
    rater_names, columns = np.unique(np.asarray(raters), return_inverse=True)
    cells = rows * len(rater_names) + columns
    twice = np.flatnonzero(np.bincount(cells) > 1)
    if len(twice):
        item, rater = divmod(int(twice[0]), len(rater_names))
        raise ValueError(
            f"Rater {rater_names[rater]} rated item {item_names[item]} more than once; agreement needs one rating each."
        )
    table = np.full((len(item_names), len(rater_names)), np.nan)
    table[rows, columns] = numbers
    return table


def _checked(ratings: ArrayLike, choice: str, known: Sequence[str]) -> Array:
    """The ratings as an array [items, raters]. Raises ValueError, also where `choice` is not among `known`."""
    if choice not in known:
        raise ValueError(f"'{choice}' is not known. Known: {', '.join(known)}.")
    table = np.asarray(ratings, dtype=float)
    if table.ndim != 2 or np.isinf(table).any():
        raise ValueError(f"Ratings must be [items, raters] of finite numbers or NaN, found shape {table.shape}.")
    sizes = (~np.isnan(table)).sum(axis=1)
    if not (sizes >= 2).any():
        reason = "every item has one rater" if (sizes == 1).any() else "nothing was rated"
        raise ValueError(f"Agreement cannot be computed: {reason}. Two or more people must rate the same item.")
    return table


def _counts(table: Array, values: Array) -> Array:
    """[items, values]: how often each item got each value."""
    counts: Array = np.stack([(table == value).sum(axis=1) for value in values], axis=1).astype(float)
    return counts


def _places(values: Array, marginal: Array, level: Level) -> Array:
    """Where each value lies, so that a distance is a squared difference: [resamples, values], with a mean of 0."""
    # Ordinal: between two values lie the ratings of those in between and half of each end, a difference of mid-ranks.
    place = np.broadcast_to(values, marginal.shape) if level == "interval" else marginal.cumsum(1) - marginal / 2
    # Squares of values far from zero would drown their differences in rounding.
    centred: Array = place - (marginal * place).sum(axis=1, keepdims=True) / marginal.sum(axis=1, keepdims=True)
    return centred


def _apart(count: Array, total: Array, squares: Array) -> Array:
    """Squared differences summed over all ordered pairs, from the count, the sum and the sum of squares."""
    return np.maximum(2 * (count * squares - total**2), 0.0)


def _credit(points: Array, weights: Weights) -> Array:
    """[points, points] agreement weights: 1 on the diagonal, 0 for the two ends."""
    if weights == "identity":
        return np.eye(len(points))
    # Ordinal cost: the pairs of points between the two, both included, C(d + 1, 2) for d ranks apart (Gwet 2014).
    position = np.arange(len(points), dtype=float) if weights == "ordinal" else points
    distance = np.abs(position[:, None] - position[None, :])
    cost = {"ordinal": distance * (distance + 1) / 2, "linear": distance, "quadratic": distance**2}[weights]
    credit: Array = 1 - cost / cost.max()
    return credit


def _mean_squares(table: Array, kind: Icc) -> float:
    """The coefficient from the mean squares of a full table."""
    n, k = table.shape
    grand = table.mean()
    between = k * ((table.mean(axis=1) - grand) ** 2).sum()
    judges = n * ((table.mean(axis=0) - grand) ** 2).sum()
    total = ((table - grand) ** 2).sum()
    # Shrout and Fleiss name them by targets (here items) and judges (raters); WMS is within items, EMS the error.
    bms, jms = between / (n - 1), judges / (k - 1)
    wms, ems = (total - between) / (n * (k - 1)), (total - between - judges) / ((n - 1) * (k - 1))
    denominator = {"1": bms + (k - 1) * wms, "2": bms + (k - 1) * ems + k * (jms - ems) / n, "3": bms + (k - 1) * ems}[
        kind
    ]
    return float((bms - (wms if kind == "1" else ems)) / denominator) if denominator > 0 else float("nan")


def _variances(table: Array, kind: Icc, start: dict[str, float] | None = None) -> dict[str, float]:
    """REML variances of a table with gaps; nothing where it has none. `start`: see `mixed`."""
    rows, columns = np.nonzero(~np.isnan(table))
    y = table[rows, columns]
    if np.ptp(y) == 0:
        return {}
    groups = {"item": rows.tolist()} | ({} if kind == "1" else {"rater": columns.tolist()})
    try:
        return variance_components(y, {"(Intercept)": np.ones(len(y))}, groups, start)
    except ValueError:
        # A resample may hold one item or one rater alone; it is left out of the interval.
        return {}


def _agreement(name: str, statistic: Callable[[Array], Array], table: Array, seed: int, resamples: int) -> Agreement:
    """The coefficient with its interval over items.

    `statistic` takes the number of copies of each item [resamples, items], ones for the data, and gives [resamples].
    """
    n, rated = len(table), ~np.isnan(table)
    rng = np.random.default_rng(seed)
    found = [np.empty(0)]
    most = max(1, _NUMBERS // n)
    for start in range(0, resamples, most):
        several = min(most, resamples - start)
        chosen = rng.integers(0, n, (several, n)) + n * np.arange(several)[:, None]
        found.append(statistic(np.bincount(chosen.ravel(), minlength=several * n).reshape(several, n).astype(float)))
    draws = np.concatenate(found)
    # The coefficient is undefined for some resamples, such as one whose ratings are all equal.
    draws = draws[~np.isnan(draws)]
    low, high = np.quantile(draws, [0.025, 0.975]) if len(draws) else (np.nan, np.nan)
    # One rating makes no pair that could agree, but the variances behind an ICC use it.
    used = n if name.startswith("ICC") else int((rated.sum(axis=1) >= 2).sum())
    return Agreement(
        name,
        float(statistic(np.ones((1, n)))[0]),
        float(low),
        float(high),
        used,
        int(rated.any(axis=0).sum()),
        int(rated.sum()),
    )
