"""The cumulative logit: probabilities of ratings and their derivatives, for both ways of integrating over groups."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from .linear_mixed import Array

Codes = NDArray[np.intp]

_MAX_LOGIT = 35.0
"""Logits are clipped here: beyond it a probability is 0 or 1 to double precision."""


class Cumulative(ABC):
    """Minus log-likelihood and gradient over [τ_1, log gaps of τ, β, log σ of each grouping]."""

    def __init__(self, levels: Codes, x: Array, categories: int, groupings: int) -> None:
        self.levels, self.x, self.groupings = levels, x, groupings
        self.cuts = categories - 1

    @abstractmethod
    def adapt(self, parameters: Array) -> None:
        """Recomputes the parts of the integral that `value` holds fixed."""

    @abstractmethod
    def value(self, parameters: Array) -> tuple[float, Array]:
        """(minus log-likelihood, its gradient)."""

    def start(self) -> Array:
        """Thresholds from the shares of the ratings, no effects, σ = 1."""
        shares = np.bincount(self.levels, minlength=self.cuts + 1).cumsum()[:-1] / len(self.levels)
        # Logits of pooled shares lie too close together by √(1 + 0.35 σ²) (Zeger, Liang & Albert 1988): 1.2 for σ = 1.
        cuts = np.log(shares / (1 - shares)) * 1.2
        return np.concatenate([cuts[:1], np.log(np.diff(cuts)), np.zeros(self.x.shape[1] + self.groupings)])

    def thresholds(self, parameters: Array) -> Array:
        """τ from its first value and the logs of its gaps."""
        return np.cumsum(np.concatenate([parameters[:1], np.exp(parameters[1 : self.cuts])]))

    def split(self, parameters: Array) -> tuple[Array, Array, Array]:
        """(τ, Xβ [n], σ of each grouping)."""
        # The bounds keep σ finite and above zero where a line search tries a step far too long.
        sds = np.exp(np.clip(parameters[-self.groupings :], -12, 6))
        return self.thresholds(parameters), self.x @ parameters[self.cuts : -self.groupings], sds

    def rows(self, cuts: Array, eta: Array) -> tuple[Array, Array, Array]:
        """(log P(y), logistic of the upper and of the lower bound of each row's rating), each [n, q], for η [n, q]."""
        edges = np.concatenate([[-np.inf], cuts, [np.inf]])
        high = np.clip(edges[self.levels + 1][:, None] - eta, -_MAX_LOGIT, _MAX_LOGIT)
        low = np.clip(edges[self.levels][:, None] - eta, -_MAX_LOGIT, _MAX_LOGIT)
        upper, lower = 1 / (1 + np.exp(-high)), 1 / (1 + np.exp(-low))
        # logistic(high) - logistic(low) as a product, so that neither tail loses its digits in the difference.
        # The floors keep log P finite where both bounds were clipped to the same logit.
        inside = np.maximum(-np.expm1(np.minimum(low - high, -1e-12)), 1e-300)
        return np.log(upper) + np.log(1 / (1 + np.exp(low))) + np.log(inside), upper, lower

    def cut_slopes(self, upper: Array, lower: Array, parameters: Array) -> Array:
        """Gradient over the first threshold and the log gaps, from the slopes [n] over each row's two bounds."""
        # Moving the first threshold moves all of them, and a gap all those above it: cumulative sums from the top.
        above = np.bincount(self.levels, upper, self.cuts + 1)[:-1]
        below = np.bincount(self.levels, lower, self.cuts + 1)[1:]
        slopes = np.cumsum((above + below)[::-1])[::-1]
        return np.concatenate([slopes[:1], slopes[1:] * np.exp(parameters[1 : self.cuts])])

    def hessian(self, parameters: Array) -> Array:
        """Central differences of the gradient."""
        steps = 1e-4 * np.eye(len(parameters))
        rows = [(self.value(parameters + step)[1] - self.value(parameters - step)[1]) / 2e-4 for step in steps]
        # Differences are symmetric but for rounding, and the inverse (`pinv`, hermitian) reads one triangle alone.
        matrix: Array = (np.array(rows) + np.array(rows).T) / 2
        return matrix
