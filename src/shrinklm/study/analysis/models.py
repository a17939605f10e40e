"""Models of one measure: a regression that ignores who rated, mixed models that do not, and a bootstrap over people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...stats.bootstrap import holm
from ...stats.clusters import cluster_bootstrap
from ...stats.levels import Level
from ...stats.linear import ols
from ...stats.linear_mixed import Effect, Joint, Method, joint, mixed
from ...stats.ordinal_mixed import Ordinal, likelihood_ratio, ordinal
from ...stats.planning import tost_of
from .fits import LinearFit, ModelEffect, ModelPair, OrdinalFit, Regression, Threshold
from .levels import affordable, groupings, identified
from .ratings import Array, Ratings
from .records import Bootstrap, Difference, Estimate

Rows = NDArray[np.intp]


def regression(ratings: Ratings, name: str, values: Array) -> Regression:
    """Fit least squares on condition and controls: R's lm(measure ~ condition + controls)."""
    rows, columns, formula = _design(ratings, name, values, list(ratings.controls))
    del columns["(Intercept)"]
    fit = ols(values[rows], columns)
    return Regression(
        formula, fit.coefficients, fit.r2, fit.adjusted_r2, fit.F, fit.df1, fit.df2, fit.p, fit.n, fit.aliased
    )


def linear_mixed(
    ratings: Ratings,
    name: str,
    values: Array,
    controls: bool = False,
    levels: Sequence[Level] | None = None,
    margin: float | None = None,
    degrees: Method = "satterthwaite",
) -> LinearFit:
    """Fit a linear mixed model by REML.

    A model that lacks a level which the design has takes each rating of a group for fresh evidence: of an explanation
    that three people rated, or of a condition that one person likes. Its intervals are then too narrow.

    Args:
        ratings: the table.
        name: name of the measure, for the formula.
        values: [n] the measure; NaN = missing.
        controls: whether the controls are fixed effects too.
        levels: what has an intercept of its own; None: all that the rows identify.
        margin: with it, each effect is also tested for being no larger than that in either direction (two one-sided
            tests).
        degrees: how degrees of freedom are found.

    Raises:
        ValueError: the data do not allow the model.
    """
    rows, columns, formula = _design(ratings, name, values, list(ratings.controls) if controls else [])
    aliased = _aliased(len(rows), columns)
    columns = {term: column for term, column in columns.items() if term not in aliased}
    levels = identified(ratings, rows.tolist()) if levels is None else levels
    fit = mixed(values[rows], columns, groupings(ratings, rows.tolist(), levels), degrees)
    total = sum(fit.variances.values())
    terms = _effects(ratings, fit.effects)
    if margin is not None:
        terms = [
            term
            if term.condition is None
            else replace(term, equivalence=tost_of(term.estimate, term.se, margin, term.df))
            for term in terms
        ]
    return LinearFit(
        formula=_formula(formula, fit.groups),
        n=fit.n,
        groups=dict(fit.groups),
        effects=terms,
        pairs=_pairs(ratings, fit.effects, lambda a, b, weights: fit.contrast("", weights)),
        joint=fit.joint([fit.effects[index].name for index in _conditions(ratings, fit.effects).values()]),
        variances=dict(fit.variances),
        sds={group: float(np.sqrt(variance)) for group, variance in fit.variances.items()},
        shares={group: variance / total for group, variance in fit.variances.items()},
        levels=list(levels),
        singular=list(fit.singular),
        degrees=fit.method,
        loglik=fit.loglik,
        aliased=list(aliased),
    )


def ordinal_mixed(
    ratings: Ratings, name: str, values: Array, controls: bool = False, levels: Sequence[Level] | None = None
) -> OrdinalFit:
    """Fit a cumulative-logit model with an intercept for each of the levels; None: those that are `affordable`.

    Effects are log odds ratios; those of `separated` conditions are infinite and tested by likelihood ratio, and where
    the fit did not converge p is NaN.

    Raises ValueError when the data do not allow the model.
    """
    rows, columns, formula = _design(ratings, name, values, list(ratings.controls) if controls else [])
    aliased = _aliased(len(rows), columns)
    # The thresholds take the place of the intercept.
    kept = {term: column for term, column in columns.items() if term not in aliased and term != "(Intercept)"}
    levels = affordable(ratings, rows.tolist()) if levels is None else levels
    groups = groupings(ratings, rows.tolist(), levels)
    fit = ordinal(values[rows], kept, groups)

    def without(merged: Mapping[str, Array]) -> Joint:
        """Compare the likelihood with that of fewer effects."""
        return likelihood_ratio(fit, ordinal(values[rows], merged, groups))

    terms = _effects(ratings, fit.effects)
    apart = [term.condition for term in terms if term.term in fit.separated and term.condition]
    named = [term.term for term in terms if term.condition is not None]
    return OrdinalFit(
        formula=_formula(formula, fit.groups),
        n=fit.n,
        groups=dict(fit.groups),
        effects=[replace(term, odds_ratio=float(np.exp(term.estimate))) for term in terms],
        pairs=_ordinal_pairs(ratings, fit, kept, without),
        # A condition without a finite odds ratio has no covariance with the others.
        joint=without({term: column for term, column in kept.items() if term not in named})
        if apart or not fit.converged
        else _joint(ratings, fit.effects, fit.covariance),
        thresholds=[
            Threshold((low, high), cut)
            for low, high, cut in zip(fit.categories[:-1], fit.categories[1:], fit.thresholds, strict=True)
        ],
        sds=dict(fit.sds),
        levels=list(levels),
        singular=list(fit.singular),
        method=fit.method,
        loglik=fit.loglik,
        converged=fit.converged,
        aliased=list(aliased),
        separated=apart,
        trouble=fit.trouble,
    )


def _ordinal_pairs(
    ratings: Ratings, fit: Ordinal, columns: Mapping[str, Array], without: Callable[[Mapping[str, Array]], Joint]
) -> list[ModelPair]:
    """Return every condition minus every earlier one: by Wald's test, or where no finite odds ratio is between the two
    by the likelihood ratio of one effect for both."""

    def contrast(a: str, b: str, weights: Array) -> Effect:
        row = fit.contrast("", weights)
        if row is not None:
            return row
        first, second = (f"{ratings.condition}{level}" for level in (a, b))
        merged = {term: column for term, column in columns.items() if term != second}
        if first in merged:
            merged[first] = merged[first] + columns[second]
        test = without(merged)
        sign, nan = float(np.sign(weights @ fit.coefficients)), float("nan")
        return Effect("", sign * np.inf, nan, nan, nan, sign * float(np.sqrt(test.chi2)), test.p)

    return _pairs(ratings, fit.effects, contrast)


def _holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm; NaN stays NaN, and counts as a test."""
    known = [index for index, p in enumerate(ps) if p == p]
    adjusted = dict(enumerate(holm([ps[index] if index in known else 1.0 for index in range(len(ps))])))
    return [adjusted[index] if index in known else float("nan") for index in range(len(ps))]


def bootstrap(ratings: Ratings, values: Array, seed: int, resamples: int) -> Bootstrap:
    """Return means and differences from the reference, with intervals over resampled raters, without any model."""
    boot = cluster_bootstrap(
        values, ratings.conditions, ratings.raters, ratings.reference, seed, resamples, share=ratings.yes_no
    )
    return Bootstrap(
        raters=boot.clusters,
        resamples=boot.resamples,
        means={row.name: Estimate(row.value, row.low, row.high, row.n) for row in boot.means},
        differences={row.name: Difference(row.value, row.low, row.high, row.n, row.p) for row in boot.differences},
    )


def _aliased(n: int, columns: dict[str, Array]) -> tuple[str, ...]:
    """Return the terms that follow from the terms before them: a mixed model needs columns that do not."""
    # Which terms follow from others lies in the columns alone; any values that vary do.
    return ols(np.arange(n), {term: column for term, column in columns.items() if term != "(Intercept)"}).aliased


def _design(ratings: Ratings, name: str, values: Array, controls: Sequence[str]) -> tuple[Rows, dict[str, Array], str]:
    """Return the rows that have every value, the columns named as R names them, and the formula."""
    complete = ~np.isnan(values)
    for control in controls:
        column = ratings.controls[control]
        complete &= np.array([cell is not None and cell == cell for cell in column])  # NaN is not equal to itself
    rows = np.flatnonzero(complete)
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
        # Treatment contrasts, as R makes them: the first category is the one that the others are compared with.
        # In the order of the whole table, so that missing values elsewhere do not change which one that is.
        present = [text for text in dict.fromkeys(column) if text is not None and (cells == text).any()]
        for text in present[1:]:
            columns[f"{control}{text}"] = (cells == text).astype(float)
    if not (labels == ratings.reference).any():
        raise ValueError(
            f"No complete row of the reference '{ratings.reference}', so the others have nothing to be compared with."
        )
    return rows, columns, " + ".join([f"{name} ~ {ratings.condition}", *controls])


def _conditions(ratings: Ratings, terms: Sequence[Effect]) -> dict[str, int]:
    """Return condition → index of its effect. A condition without complete rows has none."""
    indices = {effect.name: index for index, effect in enumerate(terms)}
    names = {level: f"{ratings.condition}{level}" for level in ratings.levels[1:]}
    return {level: indices[name] for level, name in names.items() if name in indices}


def _effects(ratings: Ratings, terms: Sequence[Effect]) -> list[ModelEffect]:
    """Return every effect; those of a condition name it, and have a p Holm-adjusted over the conditions."""
    indices = _conditions(ratings, terms)
    adjusted = dict(zip(indices.values(), _holm([terms[index].p for index in indices.values()]), strict=True))
    levels = {index: level for level, index in indices.items()}
    return [
        ModelEffect(
            term.name,
            term.estimate,
            term.se,
            term.low,
            term.high,
            term.z,
            term.p,
            term.df,
            condition=levels.get(index),
            p_adjusted=adjusted.get(index),
        )
        for index, term in enumerate(terms)
    ]


def _formula(formula: str, groups: Mapping[str, int]) -> str:
    return " + ".join([formula, *(f"(1 | {group})" for group in groups)])


def _pairs(
    ratings: Ratings, terms: Sequence[Effect], contrast_of: Callable[[str, str, Array], Effect]
) -> list[ModelPair]:
    """Return every condition minus every earlier one, with Holm-adjusted p.

    `contrast_of` gives the difference of (an earlier condition, a later one) from its weights on the effects.
    """
    indices = _conditions(ratings, terms)
    contrasts = []
    for a, b in combinations([ratings.reference, *indices], 2):
        weights = np.zeros(len(terms))
        weights[indices[b]] += 1
        if a in indices:  # the reference has no coefficient: it is the zero of the others
            weights[indices[a]] -= 1
        contrasts.append((a, b, contrast_of(a, b, weights)))
    adjusted = _holm([row.p for _, _, row in contrasts])
    return [
        ModelPair(a, b, row.estimate, row.se, row.low, row.high, row.z, row.p, p, row.df)
        for (a, b, row), p in zip(contrasts, adjusted, strict=True)
    ]


def _joint(ratings: Ratings, terms: Sequence[Effect], covariance: Array) -> Joint:
    names = [terms[index].name for index in _conditions(ratings, terms).values()]
    return joint(terms, covariance, names)
