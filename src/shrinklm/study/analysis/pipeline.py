"""Analyses a table of ratings: every construct and their mean, by every test and model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from ...core.types import Tick
from ...stats.groups import Adjust
from ...stats.levels import Level
from ...stats.linear_mixed import Method
from .base import NotComputed, tried
from .fits import LinearFit, LinearFits, OrdinalFit, OrdinalFits, Regressions
from .models import bootstrap, linear_mixed, ordinal_mixed, regression
from .ratings import Array, Ratings
from .records import Analysis, Items, Measure, Raters
from .summary import paragraph
from .tests import agreement, battery, outlying, together


def analyze(
    ratings: Ratings,
    adjust: Adjust = "bonferroni",
    margin: float | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    permutations: int = 1000,
    degrees: Method = "satterthwaite",
    tick: Tick | None = None,
) -> Analysis:
    """Compute the battery of tests, the models, agreement and a paragraph, for every construct and for their mean.

    What the data do not allow is a `NotComputed` in its place.

    Args:
        ratings: the table, as `read_ratings` returns it.
        adjust: adjustment of Dunn's p-values over the pairs.
        margin: a difference of ratings that would not matter; effects are tested for being smaller.
        seed: seed of bootstraps and permutations.
        resamples: draws of the bootstrap over raters; agreement takes a fifth of them.
        permutations: permutations of the nonparametric MANOVA.
        degrees: how the linear mixed models find degrees of freedom; below about 20 people "kenward-roger" keeps the
            level of their tests better.
        tick: progress.
    """
    values = ratings.measures
    measures: dict[str, Measure] = {}
    for index, (name, column) in enumerate(values.items()):
        if tick is not None:
            tick("analyze", index, len(values), name)
        measures[name] = _measure(ratings, name, column, adjust, Models(margin, degrees), seed, resamples)
    analysis = Analysis(
        file=ratings.file,
        n=ratings.n,
        condition=ratings.condition,
        conditions={level: ratings.conditions.count(level) for level in ratings.levels},
        reference=ratings.reference,
        scale=list(ratings.scale),
        constructs=list(ratings.constructs),
        controls=list(ratings.controls),
        raters=_raters(ratings),
        items=_items(ratings),
        explained=ratings.explained,
        missing={name: int(np.isnan(column).sum()) for name, column in ratings.values.items()},
        adjustment=adjust,
        margin=margin,
        degrees=degrees,
        seed=seed,
        measures=measures,
        together=together(ratings, seed, permutations),
    )
    if tick is not None:
        tick("analyze", len(values), len(values), "")
    # The paragraph reads the finished record, of which it is a part.
    return replace(analysis, paragraph=paragraph(analysis))


AnyFit = TypeVar("AnyFit", LinearFit, OrdinalFit)


@dataclass(frozen=True)
class Models:
    """How linear mixed models are fitted and tested."""

    margin: float | None
    degrees: Method


def _measure(
    ratings: Ratings, name: str, values: Array, adjust: Adjust, models: Models, seed: int, resamples: int
) -> Measure:
    outliers, kept = outlying(ratings, values)
    return Measure(
        **vars(battery(ratings, values, adjust)),
        outliers=outliers,
        without_outliers=battery(ratings, kept, adjust),
        ols=Regressions(
            all=tried(lambda: regression(ratings, name, values)),
            without_outliers=tried(lambda: regression(ratings, name, kept)),
        ),
        mixed=_linear_fits(ratings, name, values, kept, models),
        ordinal=_ordinal_fits(ratings, name, values),
        bootstrap=tried(lambda: bootstrap(ratings, values, seed, resamples)),
        agreement=agreement(ratings, name, values, seed, max(1, resamples // 5)),
    )


_NO_CONTROLS = NotComputed("No controls are named; name them with --controls.")


def _linear_fits(ratings: Ratings, name: str, values: Array, kept: Array, models: Models) -> LinearFits:
    def fit(of: Array, levels: list[Level] | None = None, controls: bool = False) -> LinearFit | NotComputed:
        return tried(lambda: linear_mixed(ratings, name, of, controls, levels, models.margin, models.degrees))

    full = fit(values)
    simpler = partial(_unless_same, full, partial(fit, values))
    return LinearFits(
        full=full,
        condition_only=simpler(["person"]),
        with_items=simpler(["person", "question"]),
        with_explanations=simpler(["person", "question", "explanation"]),
        with_controls=fit(values, controls=True) if ratings.controls else _NO_CONTROLS,
        without_outliers=fit(kept),
    )


def _unless_same(
    full: AnyFit | NotComputed, fit: Callable[[list[Level]], AnyFit | NotComputed], levels: list[Level]
) -> AnyFit | NotComputed:
    """The model with these levels: the full one where it has just them, so that none is fitted twice."""
    return full if not isinstance(full, NotComputed) and full.levels == levels else fit(levels)


def _ordinal_fits(ratings: Ratings, name: str, values: Array) -> OrdinalFits:
    if name not in ratings.constructs:
        averaged = NotComputed(
            f"{name} is a mean of ratings, not a rating: its order has no few steps. See the constructs."
        )
        return OrdinalFits(averaged, averaged, averaged, averaged)

    def fit(levels: list[Level] | None, controls: bool = False) -> OrdinalFit | NotComputed:
        return tried(lambda: ordinal_mixed(ratings, name, values, controls, levels))

    full = fit(None)
    simpler = partial(_unless_same, full, fit)
    return OrdinalFits(
        full=full,
        condition_only=simpler(["person"]),
        with_controls=fit(["person"], controls=True) if ratings.controls else _NO_CONTROLS,
        with_items=simpler(["person", "question"]),
    )


def _raters(ratings: Ratings) -> Raters:
    labels = np.asarray(ratings.raters, dtype=object)
    rows = {rater: np.flatnonzero(labels == rater) for rater in dict.fromkeys(ratings.raters)}
    table = np.column_stack(list(ratings.values.values()))
    sizes = [len(indices) for indices in rows.values()]
    same = [
        rater
        for rater, indices in rows.items()
        if len(indices) > 1 and len(np.unique(table[indices][~np.isnan(table[indices])])) == 1
    ]
    return Raters(ratings.rater, len(rows), min(sizes), float(np.median(sizes)), max(sizes), same)


def _items(ratings: Ratings) -> Items | None:
    """Count the questions and explanations; None where questions are not known."""
    if ratings.items is None or ratings.rated is None:
        return None
    raters_of: dict[str, set[str]] = {}
    repeated = []
    for explanation, rater, place in zip(ratings.rated, ratings.raters, ratings.places, strict=True):
        if rater in raters_of.setdefault(explanation, set()):
            repeated.append(place)
        raters_of[explanation].add(rater)
    shared = sum(len(raters) > 1 for raters in raters_of.values())
    return Items(ratings.item, len(set(ratings.items)), len(raters_of), shared, repeated or None)
