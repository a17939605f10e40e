"""The tests that take every rating as independent: what papers report, and what the models of `models.py` are to be held against."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...stats import cliff_delta, cronbach_alpha, dunn, kruskal, levene, outliers, shapiro, vargha_delaney
from ...stats.agreement import gwet, icc, krippendorff, table_of
from ...stats.groups import Adjust
from ...stats.multivariate import box_m, npmanova
from .ratings import QUALITY, Array, Ratings

Json = dict[str, Any]


def tried(call: Callable[[], Any]) -> Any:
    """What the call gives, as JSON; {"why": ...} in words where the data do not allow it."""
    try:
        return plain(call())
    except (ValueError, np.linalg.LinAlgError) as error:
        return {"why": str(error)}


def plain(value: Any) -> Any:
    """Dataclasses, arrays and numbers → what JSON knows; a number that is none → None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def battery(ratings: Ratings, values: Array, adjust: Adjust) -> Json:
    """n, means, standard deviations, Kruskal–Wallis, Dunn's pairs with A and δ, Levene, and Shapiro–Wilk by condition."""
    groups = {level: found for level, found in ratings.by_condition(values).items() if len(found)}
    return {
        "n": int(sum(map(len, groups.values()))),
        "ns": {level: len(found) for level, found in groups.items()},
        "means": {level: float(found.mean()) for level, found in groups.items()},
        "sds": {level: float(found.std(ddof=1)) if len(found) > 1 else None for level, found in groups.items()},
        "kruskal": tried(lambda: kruskal(groups)),
        "dunn": tried(lambda: _pairs(groups, adjust)),
        "levene": tried(lambda: levene(groups)),
        "shapiro": {level: tried(partial(shapiro, found)) for level, found in groups.items()},
    }


def _pairs(groups: Mapping[str, Array], adjust: Adjust) -> list[Json]:
    """Dunn's tests, each with the chance A that a rating of `a` is above one of `b`, and Cliff's δ."""
    return [
        {
            **dataclasses.asdict(pair),
            "adjustment": adjust,
            "A": vargha_delaney(groups[pair.a], groups[pair.b]),
            "delta": cliff_delta(groups[pair.a], groups[pair.b]),
        }
        for pair in dunn(groups, adjust)
    ]


def outlying(ratings: Ratings, values: Array) -> tuple[Json, Array]:
    """The 1.5-IQR outliers of each condition, every row named; and the values with them taken out as NaN."""
    labels, kept, found = np.asarray(ratings.conditions, dtype=object), values.copy(), {}
    for level in ratings.levels:
        rows = np.flatnonzero((labels == level) & ~np.isnan(values))
        if not len(rows):
            continue
        fences = outliers(values[rows])
        out = rows[list(fences.places)]
        kept[out] = np.nan
        found[level] = {
            "n": len(out),
            "low": fences.low,
            "high": fences.high,
            "rows": [_named(ratings, values, row) for row in out],
        }
    return found, kept


def _named(ratings: Ratings, values: Array, row: int) -> Json:
    known = {"place": ratings.places[row], "rater": ratings.raters[row], "value": float(values[row])}
    return known | ({"item": ratings.items[row]} if ratings.items else {})


def together(ratings: Ratings, seed: int, permutations: int) -> Json:
    """Cronbach's alpha, nonparametric MANOVA and Box's M over the constructs; of one construct there is none of them."""
    if len(ratings.constructs) < 2:
        why = {"why": "One construct only; this needs two or more."}
        return {"cronbach_alpha": why, "manova": why, "box_m": why}
    rows = np.column_stack([ratings.values[name] for name in ratings.constructs])
    manova = tried(lambda: npmanova(rows, ratings.conditions, permutations, seed))
    for effects in [manova["effects"]] if "effects" in manova else []:
        manova["effects"] = {
            level: dict(zip(ratings.constructs, shares, strict=True)) for level, shares in effects.items()
        }
    return {
        "cronbach_alpha": tried(lambda: cronbach_alpha(rows)),
        "manova": manova,
        "box_m": tried(lambda: box_m(rows, ratings.conditions)),
    }


def agreement(ratings: Ratings, measure: str, values: Array, seed: int, resamples: int) -> Json:
    """How far raters of the same explanation agree: ordinal alpha, AC2 and ICC(2,1), or why this cannot be said."""
    if ratings.rated is None:
        return {
            "why": "Agreement cannot be computed: no column says which question a rating is about. Name it: --item COLUMN"
        }
    rows = np.flatnonzero(~np.isnan(values))
    rated, raters = [ratings.rated[row] for row in rows], [ratings.raters[row] for row in rows]
    try:
        table = table_of(rated, raters, values[rows])
        if not ((~np.isnan(table)).sum(axis=1) >= 2).any():
            krippendorff(table)
    except ValueError as error:
        return {"why": str(error)}
    mean = measure == QUALITY and measure not in ratings.constructs
    level = "interval" if mean or len(np.unique(values[rows])) > 20 else "ordinal"
    low, high = ratings.scale
    whole = bool((values[rows] == np.round(values[rows])).all())
    found = {
        "krippendorff": tried(
            lambda: krippendorff(table, "interval" if level == "interval" else "ordinal", seed, resamples)
        ),
        "icc": tried(lambda: icc(table, "2", seed, resamples)),
    }
    if whole and high - low <= 100 and low == round(low):
        found["gwet"] = tried(lambda: gwet(table, list(np.arange(low, high + 1)), "ordinal", seed, resamples))
    return found
