"""The search for the highest likelihood of an ordinal mixed model, and what is known of where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .cumulative import Codes, Cumulative
from .laplace import Laplace
from .linear_mixed import Array
from .quadrature import Quadrature
from .separation import Face, decided, separation

ZERO = 1e-2
"""A σ below this, in logits, is called zero."""
_FAR, _WIDE = 6.0, 40.0
"""A σ or an effect above the first, in logits, may be growing without limit, and a σ above the second is."""
_STILL = 1e-8
"""The search has ended where a Newton step would raise the log-likelihood by less."""


@dataclass(frozen=True)
class Data:
    """All but the fixed effects."""

    levels: Codes
    categories: int
    codes: Sequence[Codes]
    """Of each grouping, the largest first."""
    nodes: int

    def model(self, x: Array, offset: Array | None) -> Cumulative:
        """The likelihood with the columns x [n, k] and a given part of η [n]."""
        if len(self.codes) > 1:
            return Laplace(self.levels, x, self.categories, self.codes, offset)
        return Quadrature(self.levels, x, self.categories, self.codes[0], self.nodes, offset)


@dataclass(frozen=True)
class Fit:
    """Where the likelihood is highest."""

    model: Cumulative
    parameters: Array
    loglik: float
    converged: bool
    beta: Array
    """[k]; of what is separated as far out as the search went."""
    covariance: Array
    """[k, k]."""
    toward: Array
    """[k], where a separated effect goes: 1 or -1 times infinity; NaN where either way, 0 where it stays finite."""
    directions: Array
    """[k, d]."""
    unlimited: bool
    """Whether σ and effects grow without limit, as they decide every rating; it has not converged then."""


def fit(data: Data, x: Array) -> Fit:
    """The highest likelihood with the columns x [n, k], none of them constant."""
    model = data.model(x, None)
    face = separation(data.levels, x, data.categories)
    parameters = _climb(model, model.start()) if face is None else _outward(model, face)
    parameters = _restarted(model, parameters)
    parameters, covariance, converged = _finished(model, parameters, face)
    k = x.shape[1]
    directions, toward = np.zeros((k, 0)), np.zeros(k)
    if face is not None:
        directions = face.span[model.cuts :]
        inner = face.inner[model.cuts :]
        apart = np.abs(directions).max(axis=1, initial=0) > 1e-6
        toward[apart] = np.where(np.abs(inner) > 1e-6, np.sign(inner), np.nan)[apart]
    beta = parameters[model.cuts : -model.groupings] + model.away
    widest = float(np.abs(parameters[-model.groupings :]).max())
    farthest = max(widest, float(np.abs(beta[toward == 0]).max(initial=0)))
    unlimited = widest > _WIDE or (farthest > _FAR and decided(data.levels, x, data.categories, data.codes))
    if unlimited or not converged:
        covariance = np.full((k, k), np.nan)
    height = -model.value(parameters)[0]
    return Fit(model, parameters, height, converged and not unlimited, beta, covariance, toward, directions, unlimited)


def height(data: Data, x: Array, best: Fit, offset: Array) -> Fit:
    """The fit `best` of the same columns, as it moves with a given part of η [n]: only likelihood and place are new."""
    model = data.model(x, offset)
    model.moved, model.away = best.model.moved, best.model.away
    parameters = _climb(model, best.parameters)
    return replace(best, model=model, parameters=parameters, loglik=-model.value(parameters)[0])


def _climb(model: Cumulative, start: Array) -> Array:
    """Where BFGS ends."""
    from scipy.optimize import minimize

    result = minimize(model.value, start, jac=True, method="BFGS", options={"gtol": 1e-4, "maxiter": 500})
    return np.asarray(result.x, dtype=float)


def _outward(model: Cumulative, face: Face) -> Array:
    """Follows a direction of separation until the likelihood no longer rises, and fits what is left there."""
    before, parameters = np.inf, model.start()
    for far in 2.0 ** np.arange(5, 11):
        model.moved, model.away = far * face.inner[: model.cuts], far * face.inner[model.cuts :]
        parameters = _climb(model, parameters)
        value = model.value(parameters)[0]
        if before - value < _STILL:
            break
        before = value
    return parameters


def _restarted(model: Cumulative, best: Array) -> Array:
    """The best of the search and of others that start where no variance is zero."""
    for sd in (0.5, 0.05):
        zero = np.abs(best[-model.groupings :]) < ZERO
        if zero.any():
            # σ = 0 is always a stationary point, whether or not the likelihood is higher further away.
            restart = best.copy()
            restart[-model.groupings :][zero] = sd
            # So near zero the other parameters hardly move, and a slope back to it says where the search would end.
            if sd < 0.1 and np.all(model.value(restart)[1][-model.groupings :][zero] > 0):
                break
            other = _climb(model, restart)
            if model.value(other)[0] < model.value(best)[0] - _STILL:
                best = other
    return best


def _finished(model: Cumulative, parameters: Array, face: Face | None) -> tuple[Array, Array, bool]:
    """Newton's method from where BFGS ended: (parameters, covariance of the effects [k, k], whether it converged).

    What is left to gain is measured in log-likelihood, which no scale of parameters and no flat direction can hide.
    """
    among = slice(model.cuts, len(parameters) - model.groupings)
    for _ in range(10):
        value, gradient = model.value(parameters)
        hessian = model.hessian(parameters)
        if not np.isfinite(hessian).all():
            break
        # A σ at zero lies on the boundary of what it can be; it is left out of the inverse. So is one that changes
        # nothing, where separation leaves no rating to chance.
        kept = np.ones(len(parameters), dtype=bool)
        kept[among.stop :] = np.abs(parameters[among.stop :]) >= ZERO
        if face is not None:
            kept[among.stop :] &= np.abs(np.diag(hessian)[among.stop :]) > 1e-7
        basis = np.zeros((len(parameters), 0)) if not kept.any() else _basis(model, parameters, face, kept)
        curve = basis.T @ hessian @ basis
        if curve.size and np.linalg.eigvalsh(curve)[0] <= 0:
            break
        inverse = basis @ np.linalg.inv(curve) @ basis.T
        step = -inverse @ gradient
        if -float(step @ gradient) / 2 < _STILL:
            return parameters, inverse[among, among], True
        while model.value(parameters + step)[0] > value and np.abs(step).max() > 1e-9:
            step = step / 2
        parameters = parameters + step
    return parameters, np.zeros((model.x.shape[1],) * 2), False


def _basis(model: Cumulative, parameters: Array, face: Face | None, kept: NDArray[np.bool_]) -> Array:
    """[parameters, d] orthonormal directions over what is kept, without those of separation."""
    from scipy.linalg import null_space

    if face is None:
        return np.eye(len(parameters))[:, kept]
    along = np.zeros((len(parameters), face.span.shape[1]))
    along[: len(face.span)] = face.span
    # The span is over thresholds, the parameters are logs of their gaps.
    along[1 : model.cuts] = np.diff(face.span[: model.cuts], axis=0) / model.gaps(parameters)[:, None]
    basis = np.zeros((len(parameters), int(kept.sum())))
    across = null_space(along[kept].T)
    basis[kept, : across.shape[1]] = across
    return basis[:, : across.shape[1]]
