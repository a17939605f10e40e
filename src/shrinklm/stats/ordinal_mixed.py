"""Ordinal mixed models: effects on a rating that is an order and not a number, when its rows share people and items.

Cumulative logit with random intercepts (Hedeker & Gibbons 1994): log odds of Y > k = x'β + Σ_g u_g - τ_k,
u_g ~ N(0, σ_g²), τ_1 < τ_2 < ... A positive effect moves ratings up; exp(effect) is an odds ratio, the same at every
threshold. One grouping is integrated out by adaptive Gauss–Hermite quadrature (`quadrature.py`). The integral over
several groupings, such as people and items, does not factor into small ones; it is approximated by Laplace's method
(`laplace.py`), which puts variances somewhat low where a group has few rows.

Tests are Wald's. Where ratings are separated (`separation.py`) an estimate is infinite, and Wald's test has no meaning:
there the likelihoods with the effect and without it are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .linear_mixed import Array, Effect, Joint, effects, group_codes, matrix, outcome
from .ordinal_search import ZERO, Data, Fit, fit, height

_CHI2 = 3.841458820694124
"""95 % of χ² with one degree of freedom."""


@dataclass(frozen=True)
class Ordinal:
    """A fitted cumulative-logit mixed model."""

    effects: tuple[Effect, ...]
    """Log odds ratios of a higher rating. Of one in `separated` the estimate is ±∞, p is of a likelihood ratio, z its
    signed root, and the interval that of the profile likelihood, with one end at ∞."""
    categories: tuple[float, ...]
    """The ratings that occur, lowest first."""
    thresholds: tuple[float, ...]
    """τ between neighbouring categories."""
    sds: Mapping[str, float]
    """σ of each grouping: the standard deviation of people's or items' levels, in logits."""
    groups: Mapping[str, int]
    """How many people, items ... there are."""
    n: int
    loglik: float
    """Where effects are separated, the limit that it approaches."""
    method: Literal["quadrature", "laplace"]
    """How the random intercepts are integrated out."""
    covariance: Array
    """[effects, effects] of `coefficients`; NaN where the search did not converge."""
    converged: bool
    """Whether the highest likelihood was found. Where not, standard errors, intervals and p are NaN."""
    trouble: str
    """Why the search did not converge, as a sentence; empty where it did."""
    separated: tuple[str, ...]
    """Effects without a finite estimate: the ratings lie so that the likelihood rises with them without end."""
    coefficients: Array
    """[effects]; those that are separated as far out as the search went, where only their differences may be finite."""
    directions: Array
    """[effects, d]: a difference of effects is finite where its weights are orthogonal to these columns."""

    @property
    def singular(self) -> tuple[str, ...]:
        """Groupings whose variance came out as zero: they explain nothing here."""
        return tuple(name for name, sd in self.sds.items() if sd < ZERO)

    def contrast(self, name: str, weights: ArrayLike) -> Effect | None:
        """Σ weights [effects] · effects with Wald's test; None where it is separated and has no finite estimate."""
        contrast = np.asarray(weights, dtype=float)
        if np.any(np.abs(contrast @ self.directions) > 1e-6):
            return None
        variance = np.array([[contrast @ self.covariance @ contrast]])
        return effects([name], np.array([contrast @ self.coefficients]), variance)[0]


def ordinal(
    y: ArrayLike, columns: Mapping[str, ArrayLike], groups: Mapping[str, Sequence[Any]], nodes: int = 15
) -> Ordinal:
    """A cumulative-logit model with a random intercept for each grouping, by maximum likelihood.

    Args:
        y: [n] ratings; only their order matters.
        columns: name → [n], the fixed effects, without an intercept: the thresholds stand in its place. May be empty.
        groups: name → [n] labels; one or more groupings, crossed or nested.
        nodes: of the quadrature over one grouping, 5 or more.

    Raises:
        ValueError: lengths differ, a value is missing, all ratings are equal, columns are collinear or constant, there
            is no grouping, or a grouping has one level or one row for each level.
    """
    if nodes < 5:
        raise ValueError(f"The quadrature needs 5 nodes or more, found {nodes}.")
    if not groups:
        raise ValueError("A mixed model needs at least one grouping, such as the participant.")
    y_ = outcome(y)
    categories, levels = np.unique(y_, return_inverse=True)
    if len(categories) < 2:
        raise ValueError(f"All {len(y_)} ratings are {y_[0]:g}, so nothing can move them.")
    x, names = matrix({"(Intercept)": np.ones(len(y_)), **columns}, len(y_))
    codes = {name: group_codes(name, labels, len(y_)) for name, labels in groups.items()}
    counts = {name: int(code.max()) + 1 for name, code in codes.items()}
    order = sorted(codes, key=lambda name: -counts[name])
    # Columns are scaled to a largest entry of 1, so that BFGS meets gradients of like size; undone below.
    sizes = np.maximum(np.abs(x[:, 1:]).max(axis=0), 1e-300)
    data = Data(levels.ravel(), len(categories), [codes[name] for name in order], nodes)
    best = fit(data, x[:, 1:] / sizes)
    spread = best.model.split(best.parameters)[2]
    sds = {name: abs(float(sd)) for name, sd in zip(order, spread, strict=True)}
    found = _tested(data, x[:, 1:] / sizes, best, names[1:])
    return Ordinal(
        effects=tuple(_scaled(effect, size) for effect, size in zip(found, sizes, strict=True)),
        categories=tuple(float(category) for category in categories),
        thresholds=tuple(float(cut) for cut in best.model.thresholds(best.parameters)),
        sds={name: sds[name] for name in groups},
        groups=counts,
        n=len(y_),
        loglik=best.loglik,
        method="laplace" if len(order) > 1 else "quadrature",
        covariance=best.covariance / np.outer(sizes, sizes),
        converged=best.converged,
        trouble=_trouble(best, sds),
        separated=tuple(name for name, toward in zip(names[1:], best.toward, strict=True) if toward != 0),
        coefficients=best.beta / sizes,
        directions=best.directions / sizes[:, None],
    )


def likelihood_ratio(full: Ordinal, simpler: Ordinal) -> Joint:
    """Twice the difference of log-likelihoods against χ², with as many degrees of freedom as the simpler model lacks
    effects.

    `simpler` is of the same ratings and groupings. p is NaN where one of the two did not converge.

    Raises ValueError where it does not lack any, or has other rows or groupings.
    """
    from scipy.stats import chi2

    df = len(full.effects) - len(simpler.effects)
    if df < 1 or full.n != simpler.n or full.groups != simpler.groups:
        raise ValueError(
            f"A likelihood ratio compares a model with one that lacks some of its effects, on the same rows: found "
            f"{len(full.effects)} and {len(simpler.effects)} effects, {full.n} and {simpler.n} rows."
        )
    if not (full.converged and simpler.converged):
        return Joint(float("nan"), df, float("nan"))
    value = max(0.0, 2 * (full.loglik - simpler.loglik))
    return Joint(value, df, float(chi2.sf(value, df)))


def _tested(data: Data, x: Array, best: Fit, names: Sequence[str]) -> list[Effect]:
    """Each effect with its test: Wald's, or of the likelihood ratio where it is separated."""
    apart = best.toward != 0
    covariance = best.covariance.copy()
    covariance[apart] = covariance[:, apart] = np.nan
    found = list(effects(names, best.beta, covariance))
    for j in np.flatnonzero(apart).tolist() if best.converged else []:
        found[j] = _by_ratio(data, x, best, j, names[j])
    return found


def _by_ratio(data: Data, x: Array, best: Fit, j: int, name: str) -> Effect:
    """An effect without a finite estimate, by the likelihood with it and without it."""
    from scipy.stats import chi2

    others, toward = np.delete(x, j, axis=1), float(best.toward[j])
    without = fit(data, others)
    ratio = max(0.0, 2 * (best.loglik - without.loglik)) if without.converged else float("nan")
    held = without

    def lost(effect: float) -> float:
        """Twice the log-likelihood that holding the effect there costs."""
        nonlocal held
        held = height(data, others, held, effect * x[:, j])
        return 2 * (best.loglik - held.loglik)

    if np.isnan(toward):
        low, high, root = -np.inf, np.inf, float(np.sqrt(ratio))
    else:
        end = toward * _end(lambda out: lost(toward * out), ratio)
        low, high, root = min(end, toward * np.inf), max(end, toward * np.inf), toward * float(np.sqrt(ratio))
    return Effect(name, toward * np.inf, float("inf"), low, high, root, float(chi2.sf(ratio, 1)))


def _end(lost: Callable[[float], float], ratio: float) -> float:
    """Where a loss that falls towards infinity, and is `ratio` at zero, crosses the 95 % of χ²; NaN where not found."""
    from scipy.optimize import brentq

    def above(out: float) -> float:
        # The loss falls about exponentially, so that its logarithm is nearly a line.
        return float(np.log(max(lost(out), 1e-12) / _CHI2))

    step = 1.0 if ratio > _CHI2 else -1.0
    near, far = 0.0, 4 * step
    while step * above(far) > 0 and abs(far) < 64:
        near, far = far, 2 * far
    try:
        return float(brentq(above, near, far, xtol=0.01))
    except ValueError:  # no crossing within 64 logits, or a fit on the way that did not converge
        return float("nan")


def _scaled(effect: Effect, size: float) -> Effect:
    """The effect of a column that was divided by its size."""
    return replace(
        effect,
        estimate=effect.estimate / size,
        se=effect.se / size,
        low=effect.low / size,
        high=effect.high / size,
    )


def _trouble(best: Fit, sds: Mapping[str, float]) -> str:
    if best.unlimited:
        widest = max(sds, key=lambda name: sds[name])
        return (
            f"The standard deviation of '{widest}' grows without limit together with the effects: they decide every "
            "rating, so that no finite estimate is the likeliest."
        )
    if not best.converged:
        return "The search for the highest likelihood did not end: the ratings are too few for these effects."
    return ""
