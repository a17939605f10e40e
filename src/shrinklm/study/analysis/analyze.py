"""Everything that is computed from a table of ratings, as one JSON object."""

from __future__ import annotations

import numpy as np

from ...core.types import Tick
from ...stats.groups import Adjust
from .models import bootstrap, linear_mixed, ordinal_mixed, regression
from .paragraph import paragraph
from .ratings import Array, Ratings
from .tests import Json, agreement, battery, outlying, together, tried


def analyze(
    ratings: Ratings,
    adjust: Adjust = "bonferroni",
    margin: float | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    permutations: int = 1000,
    tick: Tick | None = None,
) -> Json:
    """The battery of tests, the models, agreement and a paragraph, for every construct and for their mean.

    What cannot be computed is {"why": "..."} in its place. `measures` has, by measure: n, ns, means, sds, kruskal, dunn, levene, shapiro
    (by condition), outliers (by condition, rows named), without_outliers (the same tests again), ols {all, without_outliers}, mixed
    {condition_only, with_controls, with_items, with_explanations, without_outliers}, ordinal {condition_only, with_controls, with_items},
    bootstrap, agreement.

    Args:
        ratings: as `read_ratings` gives them.
        adjust: of Dunn's p-values over the pairs.
        margin: a difference of ratings that would not matter; effects are tested for being smaller.
        seed: of bootstraps and permutations.
        resamples: of the bootstrap over raters; agreement takes a fifth of them.
        permutations: of the nonparametric MANOVA.
        tick: progress.
    """
    measures = ratings.measures
    found: Json = {
        "file": ratings.file,
        "n": ratings.n,
        "condition": ratings.condition,
        "conditions": {level: ratings.conditions.count(level) for level in ratings.levels},
        "reference": ratings.reference,
        "scale": list(ratings.scale),
        "constructs": list(ratings.constructs),
        "controls": list(ratings.controls),
        "raters": _raters(ratings),
        "items": _items(ratings),
        "explained": ratings.explained,
        "missing": {name: int(np.isnan(values).sum()) for name, values in ratings.values.items()},
        "adjustment": adjust,
        "margin": margin,
        "seed": seed,
        "measures": {},
    }
    for done, (name, values) in enumerate(measures.items()):
        if tick is not None:
            tick("analyze", done, len(measures), name)
        found["measures"][name] = _measure(ratings, name, values, adjust, margin, seed, resamples)
    found |= together(ratings, seed, permutations)
    found["paragraph"] = paragraph(found)
    if tick is not None:
        tick("analyze", len(measures), len(measures), "")
    return found


def _measure(
    ratings: Ratings, name: str, values: Array, adjust: Adjust, margin: float | None, seed: int, resamples: int
) -> Json:
    outliers, kept = outlying(ratings, values)
    of_rows = name in ratings.constructs
    why = {"why": "No controls are named; name them with --controls."}
    full = {"items": True, "explanations": True} if ratings.explained else {}
    averaged = {"why": f"{name} is a mean of ratings, not a rating: its order has no few steps. See the constructs."}
    return {
        **battery(ratings, values, adjust),
        "outliers": outliers,
        "without_outliers": battery(ratings, kept, adjust),
        "ols": {
            "all": tried(lambda: regression(ratings, name, values)),
            "without_outliers": tried(lambda: regression(ratings, name, kept)),
        },
        "mixed": {
            "condition_only": tried(lambda: linear_mixed(ratings, name, values, margin=margin)),
            "with_controls": tried(lambda: linear_mixed(ratings, name, values, controls=True, **full, margin=margin))
            if ratings.controls
            else why,
            "with_items": tried(lambda: linear_mixed(ratings, name, values, items=True, margin=margin)),
            "with_explanations": tried(
                lambda: linear_mixed(ratings, name, values, items=True, explanations=True, margin=margin)
            ),
            "without_outliers": tried(lambda: linear_mixed(ratings, name, kept, **full, margin=margin)),
        },
        "ordinal": {
            "condition_only": tried(lambda: ordinal_mixed(ratings, name, values)) if of_rows else averaged,
            "with_controls": (
                tried(lambda: ordinal_mixed(ratings, name, values, controls=True)) if ratings.controls else why
            )
            if of_rows
            else averaged,
            "with_items": tried(lambda: ordinal_mixed(ratings, name, values, items=True)) if of_rows else averaged,
        },
        "bootstrap": tried(lambda: bootstrap(ratings, values, seed, resamples)),
        "agreement": agreement(ratings, name, values, seed, max(1, resamples // 5)),
    }


def _raters(ratings: Ratings) -> Json:
    """How many there are, how much each rated, and how many gave one and the same rating throughout."""
    labels = np.asarray(ratings.raters, dtype=object)
    rows = {rater: np.flatnonzero(labels == rater) for rater in dict.fromkeys(ratings.raters)}
    table = np.column_stack(list(ratings.values.values()))
    sizes = [len(found) for found in rows.values()]
    same = [
        rater
        for rater, found in rows.items()
        if len(found) > 1 and len(np.unique(table[found][~np.isnan(table[found])])) == 1
    ]
    return {
        "column": ratings.rater,
        "n": len(rows),
        "rows_min": min(sizes),
        "rows_median": float(np.median(sizes)),
        "rows_max": max(sizes),
        "always_the_same": same,
    }


def _items(ratings: Ratings) -> Json | None:
    """How many questions there are, and how many explanations were rated by two people or more."""
    if ratings.items is None or ratings.rated is None:
        return None
    seen: dict[str, set[str]] = {}
    for rated, rater in zip(ratings.rated, ratings.raters, strict=True):
        seen.setdefault(rated, set()).add(rater)
    shared = sum(len(raters) > 1 for raters in seen.values())
    return {"column": ratings.item, "n": len(set(ratings.items)), "explanations": len(seen), "rated_by_several": shared}
