"""The cumulative logit: probabilities of ratings and their derivatives, for both ways of integrating over groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .linear_mixed import Array

Codes = NDArray[np.intp]

_MAX_LOG_GAP = 50.0
"""Logs of gaps between thresholds are clipped here, where a line search tries a step far too long."""


class Rows(NamedTuple):
    """What each row says at each of q values of η, every array [n, q]."""

    logp: Array
    """log P(y)."""
    upper: Array
    lower: Array
    """Logistic distribution function at the upper and the lower bound of the rating."""
    rise: Array
    fall: Array
    """d log P by the upper bound, and minus that by the lower."""

    @property
    def slope(self) -> Array:
        """d log P / dη."""
        # The density is F (1 - F), so P cancels out: no division by a tiny P.
        return self.upper + self.lower - 1

    @property
    def densities(self) -> tuple[Array, Array]:
        """Density of the logistic distribution at the upper and the lower bound."""
        return self.upper * (1 - self.upper), self.lower * (1 - self.lower)

    @property
    def curve(self) -> Array:
        """-d² log P / dη²."""
        above, below = self.densities
        return above + below


class Cumulative(ABC):
    """Minus log-likelihood and gradient over [τ_1, log gaps of τ, β, σ of each grouping].

    σ may have either sign, which the likelihood does not tell apart: zero is no boundary for the search.
    """

    def __init__(self, levels: Codes, x: Array, categories: int, groupings: int, offset: Array | None = None) -> None:
        self.levels, self.x, self.groupings = levels, x, groupings
        self.cuts = categories - 1
        self.offset = np.zeros(len(levels)) if offset is None else offset
        """[n], a part of η that is given."""
        self.moved, self.away = np.zeros(self.cuts), np.zeros(x.shape[1])
        """Added to τ and to β: how far the fit stands out along a direction in which the likelihood has no maximum."""

    @abstractmethod
    def adapt(self, parameters: Array) -> None:
        """Finds the mode of each group's level, around which the integral is taken."""

    @abstractmethod
    def value(self, parameters: Array) -> tuple[float, Array]:
        """(minus log-likelihood, its gradient)."""

    def start(self) -> Array:
        """Thresholds from the shares of the ratings, no effects, σ = 1."""
        shares = np.bincount(self.levels, minlength=self.cuts + 1).cumsum()[:-1] / len(self.levels)
        # Logits of pooled shares lie too close together by √(1 + 0.35 σ²) (Zeger, Liang & Albert 1988): 1.2 for σ = 1.
        cuts = np.log(shares / (1 - shares)) * 1.2
        return np.concatenate([cuts[:1], np.log(np.diff(cuts)), np.zeros(self.x.shape[1]), np.ones(self.groupings)])

    def gaps(self, parameters: Array) -> Array:
        """Distances of neighbouring thresholds, without `moved`."""
        return np.exp(np.minimum(parameters[1 : self.cuts], _MAX_LOG_GAP))

    def thresholds(self, parameters: Array) -> Array:
        """τ from its first value and the logs of its gaps."""
        return np.cumsum(np.concatenate([parameters[:1], self.gaps(parameters)])) + self.moved

    def split(self, parameters: Array) -> tuple[Array, Array, Array]:
        """(τ, Xβ and what is given of η [n], σ of each grouping)."""
        fixed = self.x @ (parameters[self.cuts : -self.groupings] + self.away) + self.offset
        return self.thresholds(parameters), fixed, parameters[-self.groupings :]

    def rows(self, cuts: Array, eta: Array) -> Rows:
        """The rows' parts for η [n, q]."""
        edges = np.concatenate([[-np.inf], cuts, [np.inf]])
        high, low = edges[self.levels + 1][:, None] - eta, edges[self.levels][:, None] - eta
        (upper, under_high, above_high), (lower, under_low, above_low) = _logistic(high), _logistic(low)
        # F(high) - F(low) as the product F(high) (1 - F(low)) (1 - e^(low - high)): neither tail loses its digits.
        inside = np.maximum(-np.expm1(low - high), 1e-300)
        return Rows(
            under_high + above_low + np.log(inside),
            upper,
            lower,
            np.exp(above_high - above_low) / inside,
            np.exp(under_low - under_high) / inside,
        )

    def cut_slopes(self, upper: Array, lower: Array, parameters: Array) -> Array:
        """Gradient over the first threshold and the log gaps, from the slopes [n] over each row's two bounds."""
        # Moving the first threshold moves all of them, and a gap all those above it: cumulative sums from the top.
        above = np.bincount(self.levels, upper, self.cuts + 1)[:-1]
        below = np.bincount(self.levels, lower, self.cuts + 1)[1:]
        slopes = np.cumsum((above + below)[::-1])[::-1]
        return np.concatenate([slopes[:1], slopes[1:] * self.gaps(parameters)])

    def hessian(self, parameters: Array) -> Array:
        """Central differences of the gradient."""
        steps = 1e-4 * np.eye(len(parameters))
        rows = [(self.value(parameters + step)[1] - self.value(parameters - step)[1]) / 2e-4 for step in steps]
        # Differences are symmetric but for rounding.
        matrix: Array = (np.array(rows) + np.array(rows).T) / 2
        return matrix


def _logistic(z: Array) -> tuple[Array, Array, Array]:
    """(F(z), log F(z), log (1 - F(z))) to full precision in both tails."""
    small = np.exp(-np.abs(z))
    rest = np.log1p(small)
    return np.where(z >= 0, 1.0, small) / (1 + small), np.minimum(z, 0) - rest, -np.maximum(z, 0) - rest
