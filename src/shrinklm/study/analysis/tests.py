"""The tests that take every rating as independent: what papers report, and what the models of `models.py` are compared
with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from ...stats import cliff_delta, cronbach_alpha, dunn, kruskal, levene, outliers, shapiro, vargha_delaney
from ...stats.agreement import gwet, icc, krippendorff, table_of
from ...stats.groups import Adjust
from ...stats.multivariate import box_m, npmanova
from .base import NotComputed, tried
from .ratings import QUALITY, Array, Ratings
from .records import Agreements, Battery, Manova, OutlierGroup, OutlierRow, Pair, Together


def battery(ratings: Ratings, values: Array, adjust: Adjust) -> Battery:
    """Return counts, means and standard deviations, Kruskal–Wallis, Dunn's pairs with A and δ, Levene, and Shapiro–Wilk
    by condition."""
    groups = {level: group for level, group in ratings.by_condition(values).items() if len(group)}
    return Battery(
        n=int(sum(map(len, groups.values()))),
        ns={level: len(group) for level, group in groups.items()},
        means={level: float(group.mean()) for level, group in groups.items()},
        sds={level: float(group.std(ddof=1)) if len(group) > 1 else None for level, group in groups.items()},
        kruskal=tried(lambda: kruskal(groups)),
        dunn=tried(lambda: _pairs(groups, adjust)),
        levene=tried(lambda: levene(groups)),
        shapiro={level: tried(partial(shapiro, group)) for level, group in groups.items()},
    )


def _pairs(groups: Mapping[str, Array], adjust: Adjust) -> list[Pair]:
    return [
        Pair(
            **vars(pair),
            adjustment=adjust,
            A=vargha_delaney(groups[pair.a], groups[pair.b]),
            delta=cliff_delta(groups[pair.a], groups[pair.b]),
        )
        for pair in dunn(groups, adjust)
    ]


def outlying(ratings: Ratings, values: Array) -> tuple[dict[str, OutlierGroup], Array]:
    """Return condition → its outliers, every row named, and the values with the outliers taken out as NaN."""
    labels, kept = np.asarray(ratings.conditions, dtype=object), values.copy()
    groups: dict[str, OutlierGroup] = {}
    for level in ratings.levels:
        rows = np.flatnonzero((labels == level) & ~np.isnan(values))
        if not len(rows):
            continue
        fences = outliers(values[rows])
        out = rows[list(fences.indices)]
        kept[out] = np.nan
        named = [_named(ratings, values, row) for row in out]
        groups[level] = OutlierGroup(len(out), fences.low, fences.high, named)
    return groups, kept


def _named(ratings: Ratings, values: Array, row: int) -> OutlierRow:
    item = ratings.items[row] if ratings.items else None
    return OutlierRow(ratings.places[row], ratings.raters[row], float(values[row]), item)


def together(ratings: Ratings, seed: int, permutations: int) -> Together:
    """Return Cronbach's alpha, nonparametric MANOVA and Box's M over the constructs; of a single construct there is
    none of them."""
    if len(ratings.constructs) < 2:
        why = NotComputed("One construct only; this needs two or more.")
        return Together(why, why, why)
    rows = np.column_stack([ratings.values[name] for name in ratings.constructs])
    return Together(
        cronbach_alpha=tried(lambda: cronbach_alpha(rows)),
        manova=tried(lambda: _manova(ratings, rows, seed, permutations)),
        box_m=tried(lambda: box_m(rows, ratings.conditions)),
    )


def _manova(ratings: Ratings, rows: Array, seed: int, permutations: int) -> Manova:
    test = npmanova(rows, ratings.conditions, permutations, seed)
    effects = {level: dict(zip(ratings.constructs, shares, strict=True)) for level, shares in test.effects.items()}
    return Manova(test.wilks, test.p_wilks, test.anova_type, test.p_anova_type, test.permutations, test.n, effects)


def agreement(ratings: Ratings, measure: str, values: Array, seed: int, resamples: int) -> Agreements | NotComputed:
    """Return how far raters of the same explanation agree, as ordinal alpha, AC2 and ICC(2,1)."""
    explanations = ratings.rated
    if explanations is None:
        return NotComputed(
            "Agreement cannot be computed: no column says which question a rating is about. Name it: --item COLUMN"
        )
    rows = np.flatnonzero(~np.isnan(values))
    rated, raters = [explanations[row] for row in rows], [ratings.raters[row] for row in rows]
    try:
        table = table_of(rated, raters, values[rows])
        if not ((~np.isnan(table)).sum(axis=1) >= 2).any():
            krippendorff(table)  # raises, in words, that every item has one rater
    except ValueError as error:
        return NotComputed(str(error))
    # A mean of several ratings has no few ordered steps, so its distances are taken as they are.
    mean = measure == QUALITY and measure not in ratings.constructs
    interval = mean or len(np.unique(values[rows])) > 20
    low, high = ratings.scale
    # Gwet's weights need the list of all categories: whole steps, and not too many of them.
    whole = bool((values[rows] == np.round(values[rows])).all()) and high - low <= 100 and low == round(low)
    return Agreements(
        krippendorff=tried(lambda: krippendorff(table, "interval" if interval else "ordinal", seed, resamples)),
        icc=tried(lambda: icc(table, "2", seed, resamples)),
        gwet=tried(lambda: gwet(table, list(np.arange(low, high + 1)), "ordinal", seed, resamples)) if whole else None,
    )
