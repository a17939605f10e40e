"""Models of one measure: a regression that ignores who rated, mixed models that do not, and a bootstrap over people."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...stats.bootstrap import holm
from ...stats.clusters import cluster_bootstrap
from ...stats.linear import ols
from ...stats.linear_mixed import Effect, Mixed, effects, joint, mixed
from ...stats.ordinal_mixed import Ordinal, ordinal
from ...stats.planning import tost_of
from .ratings import Array, Ratings
from .tests import Json, plain

Rows = NDArray[np.intp]


def regression(ratings: Ratings, name: str, values: Array) -> Json:
    """Least squares on condition and controls: R's lm(measure ~ condition + controls)."""
    rows, columns, formula = _design(ratings, name, values, ratings.controls)
    del columns["(Intercept)"]
    found = ols(values[rows], columns)
    dropped = {"residuals", "fitted"}
    return {
        "formula": formula,
        **{
            field.name: plain(getattr(found, field.name))
            for field in dataclasses.fields(found)
            if field.name not in dropped
        },
    }


EXPLANATION = "explanation"
"""The grouping of what was rated: a question as one condition explained it."""


def linear_mixed(
    ratings: Ratings,
    name: str,
    values: Array,
    controls: bool = False,
    items: bool = False,
    explanations: bool = False,
    margin: float | None = None,
) -> Json:
    """A linear mixed model with an intercept for each rater, and with `items` for each question too; fitted by REML.

    With `explanations` each explanation has one as well. Where several people rate the same ones that is needed: the conditions' means vary
    with which explanations were drawn, and a model without that level takes each rating of an explanation for fresh evidence about all of
    them, so that its intervals are too narrow.

    With a margin, each effect is also tested for being no larger than that in either direction (two one-sided tests).
    """
    rows, columns, formula = _design(ratings, name, values, ratings.controls if controls else ())
    aliased = ols(values[rows], {term: column for term, column in columns.items() if term != "(Intercept)"}).aliased
    columns = {term: column for term, column in columns.items() if term not in aliased}
    groups = _groups(ratings, rows, items)
    if explanations:
        rated = ratings.rated  # made anew each time it is asked for
        if rated is None or not ratings.explained:
            raise ValueError(
                "No explanation was rated by several people, so explanations cannot have a level of their own."
            )
        groups[EXPLANATION] = [rated[row] for row in rows]
    found = mixed(values[rows], columns, groups)
    whole = sum(found.variances.values())
    listed = _effects(ratings, found.effects)
    if margin is not None:
        for entry in (entry for entry in listed if "condition" in entry):
            entry["equivalence"] = plain(tost_of(entry["estimate"], entry["se"], margin))
    return {
        **_fitted(ratings, formula, found, listed),
        "variances": dict(found.variances),
        "shares": {group: variance / whole for group, variance in found.variances.items()},
        "singular": list(found.singular),
        "loglik": found.loglik,
        "aliased": list(aliased),
    }


def ordinal_mixed(ratings: Ratings, name: str, values: Array, controls: bool = False, items: bool = False) -> Json:
    """A cumulative-logit model with an intercept for each rater, and with `items` for each question too: effects are log odds ratios."""
    rows, columns, formula = _design(ratings, name, values, ratings.controls if controls else ())
    aliased = ols(values[rows], {term: column for term, column in columns.items() if term != "(Intercept)"}).aliased
    kept = {term: column for term, column in columns.items() if term not in aliased and term != "(Intercept)"}
    groups = _groups(ratings, rows, items)
    found = ordinal(values[rows], kept, groups)
    listed = _effects(ratings, found.effects)
    for entry in listed:
        entry["odds_ratio"] = plain(float(np.exp(entry["estimate"])))
    return {
        **_fitted(ratings, formula, found, listed),
        "thresholds": [
            {"between": [low, high], "value": cut}
            for low, high, cut in zip(found.categories[:-1], found.categories[1:], found.thresholds, strict=True)
        ],
        "sds": dict(found.sds),
        "singular": list(found.singular),
        "method": found.method,
        "loglik": found.loglik,
        "converged": found.converged,
        "aliased": list(aliased),
    }


def bootstrap(ratings: Ratings, values: Array, seed: int, resamples: int) -> Json:
    """Means and differences from the reference with intervals over resampled raters, without any model."""
    found = cluster_bootstrap(values, ratings.conditions, ratings.raters, ratings.reference, seed, resamples)
    keys = ("value", "low", "high", "n")
    return {
        "raters": found.clusters,
        "resamples": found.resamples,
        "means": {row.name: {key: getattr(row, key) for key in keys} for row in found.means},
        "differences": {row.name: {key: getattr(row, key) for key in (*keys, "p")} for row in found.differences},
    }


def _groups(ratings: Ratings, rows: Rows, items: bool) -> dict[str, list[str]]:
    """Grouping → labels of the rows. Raises ValueError where questions are wanted and not known."""
    groups = {ratings.rater: [ratings.raters[row] for row in rows]}
    if items:
        if ratings.item is None or ratings.items is None:
            raise ValueError("No column says which question a rating is about. Name it: --item COLUMN")
        groups[ratings.item] = [ratings.items[row] for row in rows]
    return groups


def _design(
    ratings: Ratings, name: str, values: Array, controls: Sequence[str] | Any
) -> tuple[Rows, dict[str, Array], str]:
    """(rows that have every value, columns named as R names them, the formula)."""
    given = ~np.isnan(values)
    for control in controls:
        column = ratings.controls[control]
        given &= np.array([cell is not None and cell == cell for cell in column])
    rows = np.flatnonzero(given)
    labels = np.asarray(ratings.conditions, dtype=object)[rows]
    columns: dict[str, Array] = {"(Intercept)": np.ones(len(rows))}
    for level in ratings.levels[1:]:
        if (labels == level).any():
            columns[f"{ratings.condition}{level}"] = (labels == level).astype(float)
    for control in controls:
        column = ratings.controls[control]
        if isinstance(column, np.ndarray):
            columns[control] = column[rows]
            continue
        cells = np.array([column[row] for row in rows], dtype=object)
        for text in list(dict.fromkeys(cells))[1:]:
            columns[f"{control}{text}"] = (cells == text).astype(float)
    if not (labels == ratings.reference).any():
        raise ValueError(
            f"No complete row of the reference '{ratings.reference}', so the others have nothing to be compared with."
        )
    return rows, columns, " + ".join([f"{name} ~ {ratings.condition}", *controls])


def _conditions(ratings: Ratings, found: Sequence[Effect]) -> dict[str, int]:
    """Condition → place of its effect."""
    place = {effect.name: index for index, effect in enumerate(found)}
    terms = {level: f"{ratings.condition}{level}" for level in ratings.levels[1:]}
    return {level: place[term] for level, term in terms.items() if term in place}


def _effects(ratings: Ratings, found: Sequence[Effect]) -> list[Json]:
    """Every effect; those of a condition name it, and have a Holm-adjusted p over the conditions."""
    places = _conditions(ratings, found)
    adjusted = dict(zip(places.values(), holm([found[place].p for place in places.values()]), strict=True))
    known = {place: level for level, place in places.items()}
    rows = []
    for index, effect in enumerate(found):
        row = {"term": effect.name, **{key: value for key, value in plain(effect).items() if key != "name"}}
        rows.append(row | ({"condition": known[index], "p_adjusted": adjusted[index]} if index in known else {}))
    return rows


def _fitted(ratings: Ratings, formula: str, found: Mixed | Ordinal, listed: list[Json]) -> Json:
    """What every mixed model says."""
    return {
        "formula": " + ".join([formula, *(f"(1 | {group})" for group in found.groups)]),
        "n": found.n,
        "groups": dict(found.groups),
        "effects": listed,
        "pairs": _pairs(ratings, found.effects, found.covariance),
        "joint": _joint(ratings, found.effects, found.covariance),
    }


def _pairs(ratings: Ratings, found: Sequence[Effect], covariance: Array) -> list[Json]:
    """Every condition minus every earlier one, with Holm-adjusted p."""
    places = _conditions(ratings, found)
    beta = np.array([effect.estimate for effect in found])
    named = []
    for a, b in combinations([ratings.reference, *places], 2):
        contrast = np.zeros(len(found))
        contrast[places[b]] += 1
        if a in places:
            contrast[places[a]] -= 1
        [row] = effects([""], np.array([contrast @ beta]), np.array([[contrast @ covariance @ contrast]]))
        named.append((a, b, row))
    adjusted = holm([row.p for _, _, row in named])
    return [
        {
            "a": a,
            "b": b,
            "difference": row.estimate,
            "se": row.se,
            "low": row.low,
            "high": row.high,
            "z": row.z,
            "p": row.p,
            "p_adjusted": p,
        }
        for (a, b, row), p in zip(named, adjusted, strict=True)
    ]


def _joint(ratings: Ratings, found: Sequence[Effect], covariance: Array) -> Json:
    names = [found[place].name for place in _conditions(ratings, found).values()]
    return dict(plain(joint(found, covariance, names)))
