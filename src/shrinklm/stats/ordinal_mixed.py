"""Ordinal mixed models: effects on a rating that is an order and not a number, when its rows share people and items.

Cumulative logit with random intercepts (Hedeker & Gibbons 1994): log odds of Y > k = x'β + Σ_g u_g - τ_k,
u_g ~ N(0, σ_g²), τ_1 < τ_2 < ... A positive effect moves ratings up; exp(effect) is an odds ratio, the same at every
threshold. One grouping is integrated out by adaptive Gauss–Hermite quadrature, repeated until the estimates stand still
(`quadrature.py`). The integral over several groupings, such as people and items, does not factor into small ones; it is
approximated by Laplace's method (`laplace.py`), which puts variances somewhat low where a group has few rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .cumulative import Cumulative
from .laplace import Laplace
from .linear_mixed import Array, Effect, effects, group_codes, matrix, outcome
from .quadrature import Quadrature

_ZERO = 1e-2
"""A σ below this, in logits, is called zero."""


@dataclass(frozen=True)
class Ordinal:
    """A fitted cumulative-logit mixed model."""

    effects: tuple[Effect, ...]
    """Log odds ratios of a higher rating."""
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
    method: Literal["quadrature", "laplace"]
    """How the random intercepts are integrated out."""
    covariance: Array
    """[effects, effects]."""
    converged: bool

    @property
    def singular(self) -> tuple[str, ...]:
        """Groupings whose variance came out as zero: they explain nothing here."""
        return tuple(name for name, sd in self.sds.items() if sd < _ZERO)


def ordinal(
    y: ArrayLike, columns: Mapping[str, ArrayLike], groups: Mapping[str, Sequence[Any]], nodes: int = 15
) -> Ordinal:
    """A cumulative-logit model with a random intercept for each grouping, by maximum likelihood.

    Args:
        y: [n] ratings; only their order matters.
        columns: name → [n], the fixed effects, without an intercept: the thresholds stand in its place.
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
    data = levels.ravel(), x[:, 1:] / sizes, len(categories)
    model = (
        Laplace(*data, [codes[name] for name in order]) if len(order) > 1 else Quadrature(*data, codes[order[0]], nodes)
    )
    parameters, converged = _maximize(model)
    sds = dict(zip(order, (float(sd) for sd in model.split(parameters)[2]), strict=True))
    beta = slice(model.cuts, model.cuts + x.shape[1] - 1)
    # A σ at zero lies on the boundary, where the likelihood has no curvature in log σ; it is left out of the inverse.
    estimable = np.array([True] * beta.stop + [sds[name] >= _ZERO for name in order])
    covariance = np.linalg.pinv(model.hessian(parameters)[np.ix_(estimable, estimable)], hermitian=True)
    scaled = covariance[beta, beta] / np.outer(sizes, sizes)
    return Ordinal(
        effects=effects(names[1:], parameters[beta] / sizes, scaled),
        categories=tuple(float(category) for category in categories),
        thresholds=tuple(float(cut) for cut in model.thresholds(parameters)),
        sds={name: sds[name] for name in groups},
        groups=counts,
        n=len(y_),
        loglik=-float(model.value(parameters)[0]),
        method="laplace" if len(order) > 1 else "quadrature",
        covariance=scaled,
        converged=converged,
    )


def _maximize(model: Cumulative) -> tuple[Array, bool]:
    """(parameters of the highest likelihood, whether the search converged)."""
    best, converged = _climb(model, model.start())
    zero = best[-model.groupings :] < np.log(_ZERO)
    if zero.any():
        # Near σ = 0 the likelihood is flat over log σ, so one step too long would stay there: search from σ = 0.5.
        restart = best.copy()
        restart[-model.groupings :][zero] = np.log(0.5)
        deviance = model.value(best)[0]
        other, other_converged = _climb(model, restart)
        if model.value(other)[0] < deviance:
            best, converged = other, other_converged
    model.adapt(best)
    return best, converged


def _climb(model: Cumulative, parameters: Array) -> tuple[Array, bool]:
    """(where BFGS ends, whether adapting the integral there leaves the parameters where they are)."""
    from scipy.optimize import minimize

    for _ in range(25):
        model.adapt(parameters)
        result = minimize(model.value, parameters, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 400})
        change = float(np.max(np.abs(result.x - parameters)))
        parameters = result.x
        if change < 1e-5:
            break
    model.adapt(parameters)
    return parameters, change < 1e-5
