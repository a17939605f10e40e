"""Adaptive Gauss–Hermite quadrature over one grouping, its nodes at each group's mode (Pinheiro & Bates 1995)."""

from __future__ import annotations

import numpy as np

from .cumulative import Codes, Cumulative
from .linear_mixed import Array


class Quadrature(Cumulative):
    """The likelihood with one grouping; one node is the Laplace approximation."""

    def __init__(self, levels: Codes, x: Array, categories: int, codes: Codes, nodes: int) -> None:
        order = np.argsort(codes, kind="stable")
        super().__init__(levels[order], x[order], categories, 1)
        self.codes = codes[order]
        self.starts = np.flatnonzero(np.diff(self.codes, prepend=-1))
        self.points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        # hermegauss integrates against exp(-x²/2). Its factor is taken out again, since `value` moves the nodes.
        self.logweights = np.log(weights) - 0.5 * np.log(2 * np.pi) + self.points**2 / 2
        self.centre, self.spread = np.zeros(len(self.starts)), np.ones(len(self.starts))

    def adapt(self, parameters: Array) -> None:
        """Centres the nodes at the mode of each group and scales them by its curvature, by Newton's method."""
        cuts, fixed, [sd] = self.split(parameters)
        u = np.zeros(len(self.starts))
        for _ in range(50):
            _, upper, lower = self.rows(cuts, (fixed + sd * u[self.codes])[:, None])
            slope = sd * np.add.reduceat((upper + lower - 1)[:, 0], self.starts) - u
            curve = sd**2 * np.add.reduceat((upper * (1 - upper) + lower * (1 - lower))[:, 0], self.starts) + 1
            # A full Newton step can overshoot where the likelihood is far from quadratic.
            step = np.clip(slope / curve, -2, 2)
            u = u + step
            if np.max(np.abs(step)) < 1e-9:
                break
        self.centre, self.spread = u, 1 / np.sqrt(curve)

    def value(self, parameters: Array) -> tuple[float, Array]:
        """(minus log-likelihood, its gradient) with the nodes where they are."""
        cuts, fixed, [sd] = self.split(parameters)
        u = self.centre[:, None] + self.spread[:, None] * self.points
        logp, upper, lower = self.rows(cuts, fixed[:, None] + sd * u[self.codes])
        total = np.add.reduceat(logp, self.starts) - u**2 / 2 + self.logweights + np.log(self.spread)[:, None]
        # Sums of exponentials relative to the largest: the likelihood of many ratings underflows.
        peak = total.max(axis=1, keepdims=True)
        likelihood = np.log(np.exp(total - peak).sum(axis=1)) + peak[:, 0]
        weight = np.exp(total - likelihood[:, None])[self.codes]
        slope = weight * (upper + lower - 1)
        inside = np.maximum(upper - lower, 1e-300)
        high, low = ((weight * bound * (1 - bound) / inside).sum(axis=1) for bound in (upper, lower))
        cut, spread = self.cut_slopes(high, -low, parameters), sd * float((slope * u[self.codes]).sum())
        return -float(likelihood.sum()), -np.concatenate([cut, slope.sum(axis=1) @ self.x, [spread]])
