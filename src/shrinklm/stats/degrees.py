"""Degrees of freedom for contrasts of a linear mixed model: Satterthwaite's, as R's lmerTest has them (Kuznetsova,
Brockhoff & Christensen 2017, J. Stat. Softw. 82(13)), and Kenward & Roger's (1997, Biometrics 53), as R's pbkrtest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .elimination import Array
from .restricted import ZERO, Point


class Degrees(Protocol):
    """How the spread of estimates, and their degrees of freedom, are found."""

    @property
    def covariance(self) -> Array:
        """[k, k] of the estimates."""

    def of(self, contrasts: Array) -> tuple[float, float]:
        """(degrees of freedom of the denominator, factor of F) for contrasts [m, k] of full rank."""


@dataclass(frozen=True)
class Satterthwaite:
    """The variance of a contrast is taken for a multiple of χ², whose degrees of freedom follow from how sure the
    variances are. A variance of zero is taken for known."""

    covariance: Array
    slopes: Array
    """[parameters, k, k] of the covariance by each parameter of variance."""
    spread: Array
    """[parameters, parameters], the covariance of those."""

    def of(self, contrasts: Array) -> tuple[float, float]:
        """As `Degrees.of`; the factor is 1."""
        values, vectors = np.linalg.eigh(contrasts @ self.covariance @ contrasts.T)
        rows = vectors.T @ contrasts
        along = np.einsum("mi,pij,mj->mp", rows, self.slopes, rows)
        single = 2 * values**2 / np.einsum("mp,pq,mq->m", along, self.spread, along)
        if len(single) == 1 or np.ptp(single) < 1e-8:
            return float(single.mean()), 1.0
        # The F whose mean is that of the sum of squared t's (Fai & Cornelius 1996).
        if single.min() <= 2:
            return 2.0, 1.0
        mean = float((single / (single - 2)).sum())
        return 2 * mean / (mean - len(single)), 1.0


@dataclass(frozen=True)
class KenwardRoger:
    """The covariance of the estimates is raised by what the variances' own spread adds, and F is scaled so that two of
    its moments are right. For few people it keeps its level best."""

    covariance: Array
    plain: Array
    """The covariance without what is added."""
    slopes: Array
    """[parameters, k, k] of the inverse covariance by each variance, with its sign turned."""
    spread: Array

    def of(self, contrasts: Array) -> tuple[float, float]:
        """As `Degrees.of`."""
        q = len(contrasts)
        middle = contrasts.T @ np.linalg.solve(contrasts @ self.plain @ contrasts.T, contrasts)
        terms = [middle @ self.plain @ slope @ self.plain for slope in self.slopes]
        a1 = sum(
            self.spread[i, j] * np.trace(a) * np.trace(b) for i, a in enumerate(terms) for j, b in enumerate(terms)
        )
        a2 = sum(self.spread[i, j] * np.trace(a @ b) for i, a in enumerate(terms) for j, b in enumerate(terms))
        b = (a1 + 6 * a2) / (2 * q)
        g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
        below = 3 * q + 2 * (1 - g)
        c1, c2, c3 = g / below, (q - g) / below, (q + 2 - g) / below
        mean = 1 / (1 - a2 / q)
        variance = 2 / q * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
        rho = variance / (2 * mean**2)
        df = 4 + (q + 2) / (q * rho - 1)
        return float(df), float(df / (mean * (df - 2)))


def satterthwaite(point: Point) -> Satterthwaite:
    """Satterthwaite's degrees of freedom at a fitted model, by the observed information of λ and σ²."""
    data, sigma2 = point.data, point.residual
    inside = np.flatnonzero(point.ratios > ZERO)
    _, unit = point.effects()
    unscaled = np.outer(data.scale, data.scale)
    onto = point.onto_effects()
    slopes = [sigma2 * unit @ (onto[data.parts[g]].T @ onto[data.parts[g]]) @ unit / unscaled for g in inside]
    found, curve = point.information, point.curve
    hessian = np.empty((len(inside) + 1, len(inside) + 1))
    hessian[:-1, :-1] = (-found.traces + 2 * found.forms / sigma2)[np.ix_(inside, inside)]
    hessian[:-1, -1] = hessian[-1, :-1] = curve.squares[inside] / sigma2**2
    hessian[-1, -1] = data.free / sigma2**2
    spread = np.asarray(2 * np.linalg.inv(_symmetric(hessian)), dtype=float)
    return Satterthwaite(sigma2 * unit / unscaled, np.array([*slopes, unit / unscaled]), spread)


def kenward_roger(point: Point) -> KenwardRoger:
    """Kenward & Roger's covariance and degrees of freedom at a fitted model, by the expected information of all σ_g²
    and σ²; variances of zero are parameters too, as in pbkrtest."""
    data, sigma2, lam = point.data, point.residual, point.ratios
    groups, k = len(data.parts), data.k
    onto = point.onto_effects()
    _, unit = point.effects()
    # The residual's own terms follow from V⁻¹ = V⁻¹ V V⁻¹ = V⁻¹ V⁻¹ + Σ λ_g V⁻¹ V_g V⁻¹.
    p = np.zeros((groups + 1, k, k))
    q = np.zeros((groups + 1, groups + 1, k, k))
    traces = np.zeros((groups + 1, groups + 1))
    for a, first in enumerate(data.parts):
        p[a] = onto[first].T @ onto[first]
        for b in range(a, groups):
            q[a, b] = onto[first].T @ point.between(a, b, projected=False) @ onto[data.parts[b]]
            q[b, a] = q[a, b].T
    p[-1] = np.linalg.inv(unit) - np.einsum("g,gij->ij", lam, p[:-1])
    for a in range(groups):
        q[a, -1] = p[a] - np.einsum("h,hij->ij", lam, q[a, :-1])
        q[-1, a] = q[a, -1].T
    q[-1, -1] = p[-1] - np.einsum("h,hij->ij", lam, q[-1, :-1])
    traces[:-1, :-1] = point.information.traces
    traces[:-1, -1] = traces[-1, :-1] = point.curve.traces - traces[:-1, :-1] @ lam
    traces[-1, -1] = data.free - lam @ point.curve.traces - lam @ traces[:-1, -1]
    # All of them are at σ² = 1: V is σ² times what they were computed with.
    spread = np.asarray(2 * sigma2**2 * np.linalg.inv(_symmetric(traces)), dtype=float)
    added = sum(spread[a, b] * (q[a, b] - p[a] @ unit @ p[b]) for a in range(groups + 1) for b in range(groups + 1))
    unscaled = np.outer(data.scale, data.scale)
    raised = sigma2 * unit + 2 * unit @ np.asarray(added) @ unit / sigma2
    return KenwardRoger(raised / unscaled, sigma2 * unit / unscaled, p * unscaled / sigma2**2, spread)


def _symmetric(matrix: Array) -> Array:
    """The symmetric part."""
    return (matrix + matrix.T) / 2
