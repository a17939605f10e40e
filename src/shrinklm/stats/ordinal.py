"""Ordinal mixed models: effects on a rating that is an order and not a number, when its rows share people and items.

Cumulative logit with a level of its own for each group (Hedeker & Gibbons 1994): log odds of Y > k = x'β + Σ_g u_g - τ_k, u_g ~ N(0, σ_g²),
τ_1 < τ_2 < ... A positive effect moves ratings up; exp(effect) is a ratio of odds, the same at every threshold. One grouping is integrated
out by adaptive Gauss–Hermite quadrature, renewed until nothing moves (`quadrature.py`); several, such as people and items, whose integral
does not fall apart into small ones, by the Laplace approximation (`laplace.py`). The latter puts variances somewhat low where a group has
few rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from .cumulative import Cumulative
from .laplace import Laplace
from .mixed import Array, Effect, effects, group_codes, matrix, outcome
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
    """τ between each two of them."""
    sds: Mapping[str, float]
    """σ of each grouping: the standard deviation of people's or items' levels, in logits."""
    groups: Mapping[str, int]
    """How many people, items ... there are."""
    n: int
    loglik: float
    method: Literal["quadrature", "laplace"]
    """How the levels are integrated out."""
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
        ValueError: lengths differ, a value is missing, all ratings are equal, columns are collinear or constant, there is no grouping, or
            one has one level or one row a level.
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
    found = {name: group_codes(name, labels, len(y_)) for name, labels in groups.items()}
    counts = {name: int(codes.max()) + 1 for name, codes in found.items()}
    order = sorted(found, key=lambda name: -counts[name])
    sizes = np.maximum(np.abs(x[:, 1:]).max(axis=0), 1e-300)
    data = levels.ravel(), x[:, 1:] / sizes, len(categories)
    model = (
        Laplace(*data, [found[name] for name in order]) if len(order) > 1 else Quadrature(*data, found[order[0]], nodes)
    )
    parameters, converged = _top(model)
    sds = dict(zip(order, (float(sd) for sd in model.split(parameters)[2]), strict=True))
    beta = slice(model.cuts, model.cuts + x.shape[1] - 1)
    known = np.array([True] * beta.stop + [sds[name] >= _ZERO for name in order])
    covariance = np.linalg.pinv(model.hessian(parameters)[np.ix_(known, known)], hermitian=True)
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


def _top(model: Cumulative) -> tuple[Array, bool]:
    """(parameters of the highest likelihood, whether they stand still); where a σ ends at zero, looked for again from a σ of 0.5.

    Near zero the likelihood is flat over log σ, so one step too long would stay there.
    """
    found, converged = _climb(model, model.start())
    zero = found[-model.groupings :] < np.log(_ZERO)
    if zero.any():
        nearer = found.copy()
        nearer[-model.groupings :][zero] = np.log(0.5)
        height = model.value(found)[0]
        other, stands = _climb(model, nearer)
        if model.value(other)[0] < height:
            found, converged = other, stands
    model.adapt(found)
    return found, converged


def _climb(model: Cumulative, parameters: Array) -> tuple[Array, bool]:
    """(where BFGS ends, whether renewing the integral there moves nothing)."""
    from scipy.optimize import minimize

    for _ in range(25):
        model.adapt(parameters)
        found = minimize(model.value, parameters, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 400})
        moved = float(np.max(np.abs(found.x - parameters)))
        parameters = found.x
        if moved < 1e-5:
            break
    model.adapt(parameters)
    return parameters, moved < 1e-5
