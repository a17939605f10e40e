"""Adaptive Gauss–Hermite quadrature over one grouping, its nodes at each group's mode (Pinheiro & Bates 1995)."""

from __future__ import annotations

import numpy as np

from .cumulative import Codes, Cumulative, Rows
from .linear_mixed import Array


class Quadrature(Cumulative):
    """The likelihood with one grouping; one node is the Laplace approximation."""

    def __init__(
        self, levels: Codes, x: Array, categories: int, codes: Codes, nodes: int, offset: Array | None = None
    ) -> None:
        order = np.argsort(codes, kind="stable")
        super().__init__(levels[order], x[order], categories, 1, None if offset is None else offset[order])
        self.codes = codes[order]
        self.starts = np.flatnonzero(np.diff(self.codes, prepend=-1))
        self.points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        # hermegauss integrates against exp(-x²/2). Its factor is taken out again, since `value` moves the nodes.
        self.logweights = np.log(weights) - 0.5 * np.log(2 * np.pi) + self.points**2 / 2
        self.mode = np.zeros(len(self.starts))

    def adapt(self, parameters: Array) -> None:
        """Finds each group's mode by Newton's method, starting from the one of the last call."""
        cuts, fixed, [sd] = self.split(parameters)
        rows, height = self._at(cuts, fixed, sd, self.mode)
        for _ in range(100):
            slope = sd * self._sums(rows.slope) - self.mode
            step = slope / (1 + sd**2 * self._sums(rows.curve))
            # Each group's height is concave in its level, so that a step halved often enough goes up; a full one can
            # overshoot where the height is far from quadratic. The tolerance: near the mode the gain is below rounding.
            while True:
                rows, reached = self._at(cuts, fixed, sd, self.mode + step)
                low = reached < height - 1e-9 * (1 + np.abs(height))
                if not low.any():
                    break
                step = np.where(low, step / 2, step)
            self.mode, height = self.mode + step, reached
            if np.max(np.abs(step)) < 1e-9:
                break

    def value(self, parameters: Array) -> tuple[float, Array]:
        """(minus log-likelihood, its gradient). The nodes follow the parameters, and the gradient follows the nodes."""
        self.adapt(parameters)
        cuts, fixed, [sd] = self.split(parameters)
        at, _ = self._at(cuts, fixed, sd, self.mode)
        curve = 1 + sd**2 * self._sums(at.curve)
        spread = 1 / np.sqrt(curve)
        u = self.mode[:, None] + spread[:, None] * self.points
        rows = self.rows(cuts, fixed[:, None] + sd * u[self.codes])
        total = np.add.reduceat(rows.logp, self.starts) - u**2 / 2 + self.logweights + np.log(spread)[:, None]
        # Sums of exponentials relative to the largest: the likelihood of many ratings underflows.
        peak = total.max(axis=1, keepdims=True)
        likelihood = np.log(np.exp(total - peak).sum(axis=1)) + peak[:, 0]
        share = np.exp(total - likelihood[:, None])
        weight = share[self.codes]
        slope = weight * rows.slope
        # How the logarithm of the sum changes as a group's nodes shift, and as they spread: zero where it is exact.
        along = share * (sd * np.add.reduceat(rows.slope, self.starts) - u)
        shift, widen = along.sum(axis=1), along @ self.points + 1 / spread
        # The mode moves by the implicit function theorem, and the spread with the curvature at it.
        second, third = at.curve[:, 0], self._third(at)
        over_curve = -0.5 * spread**3 * widen
        over_mode = (shift + over_curve * sd**3 * self._sums(third[:, None])) / curve
        # By row: the derivative through the slope at the mode, and through the curvature there.
        a, b = (sd * over_mode)[self.codes], (sd**2 * over_curve)[self.codes]
        over_eta = slope.sum(axis=1) - a * second + b * third
        high, low = (
            (weight * bound).sum(axis=1) * sign + a * density[:, 0] + b * density[:, 0] * (1 - 2 * edge[:, 0])
            for sign, bound, density, edge in zip(
                (1, -1), (rows.rise, rows.fall), at.densities, (at.upper, at.lower), strict=True
            )
        )
        at_mode = self.mode[self.codes]
        over_sd = float((slope * u[self.codes]).sum())
        over_sd += float(over_mode @ self._sums(at.slope)) - float((a * second) @ at_mode)
        over_sd += 2 * sd * float(over_curve @ self._sums(second[:, None])) + float((b * third) @ at_mode)
        cut = self.cut_slopes(high, low, parameters)
        return -float(likelihood.sum()), -np.concatenate([cut, over_eta @ self.x, [over_sd]])

    def _at(self, cuts: Array, fixed: Array, sd: float, mode: Array) -> tuple[Rows, Array]:
        """(the rows at the levels, the height of each group there)."""
        rows = self.rows(cuts, (fixed + sd * mode[self.codes])[:, None])
        return rows, self._sums(rows.logp) - mode**2 / 2

    def _sums(self, rows: Array) -> Array:
        """[n, 1] summed by group."""
        sums: Array = np.add.reduceat(rows[:, 0], self.starts)
        return sums

    @staticmethod
    def _third(rows: Rows) -> Array:
        """d of minus the second derivative of log P by η, [n]."""
        (above, below), (upper, lower) = rows.densities, (rows.upper, rows.lower)
        third: Array = -(above * (1 - 2 * upper) + below * (1 - 2 * lower))[:, 0]
        return third
