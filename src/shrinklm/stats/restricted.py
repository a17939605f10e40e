"""The restricted likelihood of a linear mixed model, its derivatives, and its maximum.

y = Xβ + Σ_g Z_g u_g + e with u_g ~ N(0, σ_g²) and e ~ N(0, σ²). With λ_g = σ_g²/σ² and V = I + Σ λ_g Z_g Z_g', β and σ²
are profiled out (Bates, Mächler, Bolker & Walker 2015, J. Stat. Softw. 67(1), §3), and the search is over λ alone. In λ
the deviance has a slope at zero; in the ratios of standard deviations it is flat there, and a search can stop at a
false zero. P = V⁻¹ - V⁻¹X (X'V⁻¹X)⁻¹ X'V⁻¹ gives the derivatives (Searle, Casella & McCulloch 1992, §6.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, pairwise
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .elimination import Array, Codes, chain, dense, divided, entries, products, stored

ZERO = 1e-8
"""A ratio λ of variances below this is called zero."""
MOST = 1e9
"""The bound of the search: a variance beyond it leaves no residual."""
_START = 0.36
_RESTART = 0.05
"""Where a ratio that came out as zero is started again."""
_SAME = 1e-9
"""Deviances that differ by less are equal."""
_NEAR = 1e-2
"""Where a step from a good start gains less, it is the last."""


@dataclass(frozen=True)
class Curve:
    """The slope of the deviance at one λ, and what it is made of."""

    traces: Array
    """[groups] tr(Z_g'PZ_g)."""
    squares: Array
    """[groups] |Z_g'Py|²."""
    gradient: Array
    """[groups] traces - (n - k) squares / y'Py."""


@dataclass(frozen=True)
class Information:
    """The second derivatives of the deviance at one λ, before and after σ² is profiled out."""

    traces: Array
    """[groups, groups] tr(P V_g P V_h), V_g = Z_g Z_g'."""
    forms: Array
    """[groups, groups] y'P V_g P V_h P y."""
    hessian: Array
    """[groups, groups] of the deviance by λ, σ² profiled out."""


class Restricted:
    """Cross-products of the data, from which the profiled restricted deviance follows for any λ.

    The levels of the first grouping, and of one that it is nested in, are eliminated at the cost of sparse products:
    their blocks are diagonal. What is left to factorise is as small as the other groupings together.
    """

    def __init__(self, y: Array, x: Array, codes: Sequence[Codes]) -> None:
        from scipy.sparse import csr_array

        self.n, self.k = int(x.shape[0]), int(x.shape[1])
        self.free: int = self.n - self.k
        self.scale: Array = np.maximum(np.abs(x).max(axis=0), 1e-300)
        # Where the columns hold an intercept, the mean is subtracted first and added to β at the end: otherwise y'y of
        # values far from zero would drown the residual in rounding.
        intercept = np.linalg.lstsq(x, np.ones(self.n), rcond=None)[0]
        inside = np.allclose(x @ intercept, 1.0)
        mean = float(y.mean()) if inside else 0.0
        self.shift: Array = np.asarray(intercept * mean, dtype=float)
        centred = y - mean
        self.size = float(centred @ centred)
        eliminated = chain(codes)
        self.order = [*eliminated, *(at for at in range(len(codes)) if at not in eliminated)]
        """The groupings as they are eliminated; λ and all that belongs to groupings stand in this order."""
        self.levels = [int(codes[at].max()) + 1 for at in self.order]
        self.chain = len(eliminated)
        ends = np.cumsum([0, *self.levels])
        self.parts = [slice(low, high) for low, high in pairwise(map(int, ends))]
        """The columns of each grouping among the levels of all."""
        self.eliminated, self.rest = int(ends[self.chain]), int(ends[-1] - ends[self.chain])

        # y is the last column: its row of the Cholesky factor holds β's right side, and the corner squared is y'Py, so
        # that one factorisation gives all that the deviance needs.
        numbers = np.column_stack([x / self.scale, centred])
        first, *others = (codes[at] for at in self.order)
        self.counts: Array = np.bincount(first).astype(float)
        self.gram, self.coupling = products(first, others[self.chain - 1 :], numbers)
        """[wide, wide] of Z_rest, X and y, and [first levels, wide] Z_0' [Z_rest, X, y]."""
        self.within: Codes | None = None
        """[first levels] the level of the second grouping that each is nested in."""
        if self.chain == 2:
            self.within = np.empty(self.levels[0], dtype=np.intp)
            self.within[first] = others[0]
            ones = np.ones(self.levels[0])
            gather = csr_array((ones, (self.within, np.arange(self.levels[0]))), shape=self.levels[1::-1])
            self.gather = stored(gather)
            """[second, first levels]: sums over what is nested in a level."""
            self.siblings = (gather.T @ gather).nonzero()
            """All pairs of levels of the first grouping that are nested in the same one."""

    def at(self, ratios: ArrayLike) -> Point | None:
        """The factorisation at λ; None where the residual vanishes."""
        point = Point(self, np.asarray(ratios, dtype=float))
        return point if point.exists else None

    def maximum(self, start: Sequence[float] | None = None) -> Point:
        """The λ of the highest restricted likelihood; with a `start`, one λ for each grouping as given, that of the
        maximum which is reached from there, ended by the step that gains less than `_NEAR`.

        Raises ValueError where the residual vanishes, a variance grows beyond `MOST` times the residual's, or the
        search does not end.
        """
        if start is not None:
            # Not from zero itself: the search leaves it only where the likelihood rises at once.
            return self._search(np.maximum(np.asarray(start, dtype=float)[self.order], _RESTART), _NEAR)
        best = self._search(np.full(len(self.levels), _START))
        zero = best.ratios == 0
        if zero.any():
            # A zero may be one of two maxima. From a start inside, the search finds the other.
            again = self._search(np.where(zero, _RESTART, best.ratios))
            best = min(best, again, key=lambda point: point.deviance - _SAME * (point is best))
        return best

    def _search(self, start: Array, enough: float = _SAME) -> Point:
        """The end of Newton's method from λ = `start`, projected onto λ ≥ 0 (Bertsekas 1982).

        It goes along t = log(1 + λ): λ itself near zero, so that the slope there stays, and a logarithm far out.
        """
        t = np.log1p(start)
        point = self.at(start)
        for _ in range(200):
            if point is None or t.max() > np.log(MOST):
                break
            slope, curvature = _along(point)
            free = (t > 0) | (slope < 0)
            step = np.zeros(len(t))
            step[free] = -np.linalg.solve(curvature[np.ix_(free, free)], slope[free])
            if -float(slope @ step) < enough:
                # The last step squares what is left of the error, unless that is rounding already.
                last = self.at(np.expm1(np.maximum(t + step, 0.0)))
                return last if last is not None and last.deviance < point.deviance + _SAME else point
            # No step leads further than a factor of e², where the quadratic says nothing.
            step *= min(1.0, 2 / np.max(np.abs(step)))
            reached = None
            for _ in range(40):
                moved = np.maximum(t + step, 0.0)
                moved[moved < ZERO] = 0.0
                reached = self.at(np.expm1(moved))
                expected = float(slope @ (moved - t))
                if reached is not None and reached.deviance <= point.deviance + 1e-4 * expected:
                    break
                step, reached = step / 2, None
            if reached is None or np.array_equal(moved, t):
                # No step lowers the deviance any more: what is left of the slope is rounding.
                return point
            t, point = moved, reached
        raise ValueError(
            "The effects and groupings explain every row exactly: nothing is left to measure an error by."
            if point is None or t.max() > np.log(MOST)
            else "The search for the variances did not end. Leave out the grouping with the fewest levels."
        )


def _along(point: Point) -> tuple[Array, Array]:
    """(slope, curvature) of the deviance over t; of the curvature the average information where the observed one is
    not positive (Gilmour, Thompson & Cullis 1995)."""
    curve, found = point.curve, point.information
    stretch = 1 + point.ratios
    slope = curve.gradient * stretch
    observed = found.hessian * np.outer(stretch, stretch) + np.diag(slope)
    if np.linalg.eigvalsh(observed)[0] > 1e-8 * np.abs(observed).max():
        return slope, observed
    average = (found.hessian + found.traces - point.data.free * found.forms / point.r2) * np.outer(stretch, stretch)
    return slope, average + np.eye(len(slope)) * max(1e-3, 1e-3 * np.abs(average).max())


class Point:
    """What is known at one λ.

    A'PB = F_AB - R_A'R_B for any columns A, B of levels, X and y: F is their product without the eliminated groupings,
    R what the Cholesky factor of the others and of X takes away.
    """

    def __init__(self, data: Restricted, ratios: Array) -> None:
        self.data, self.ratios = data, ratios
        block = ratios[0] * data.counts + 1
        self._shares = data.counts / block
        scaled = divided(data.coupling, block)
        self._scaled = scaled
        self._left: Array = data.gram - ratios[0] * dense(data.coupling.T @ scaled)
        if data.within is not None:
            self._sums: Array = dense(data.gather @ scaled)
            self._second: Array = data.gather @ self._shares
            self._outer: Array = ratios[1] * self._second + 1
            self._left -= ratios[1] * (self._sums.T @ (self._sums / self._outer[:, None]))
            block = np.append(block, self._outer)
        self._scale: Array = np.ones(len(self._left))
        self._scale[: data.rest] = np.sqrt(np.repeat(ratios[data.chain :], data.levels[data.chain :]))
        schur = self._left * self._scale * self._scale[:, None]
        schur[np.arange(data.rest), np.arange(data.rest)] += 1
        try:
            self._factor: Array = np.asarray(np.linalg.cholesky(schur), dtype=float)
        except np.linalg.LinAlgError:
            self.exists = False
            return
        diagonal = np.diag(self._factor)
        self.r2 = float(diagonal[-1] ** 2)
        """y'Py, the penalised residual sum of squares."""
        # Beyond the digits of a float the residual is rounding alone.
        self.exists = self.r2 > 1e-22 * data.size
        # The columns were scaled to a largest entry of 1; the restricted likelihood depends on |X'X|, so it is undone.
        logs = float(np.log(block).sum() + 2 * np.log(diagonal[:-1]).sum() + 2 * np.log(data.scale).sum())
        self.deviance = logs + data.free * (1 + float(np.log(2 * np.pi * self.r2 / data.free))) if self.exists else inf
        """-2 × the restricted log-likelihood."""

    @property
    def residual(self) -> float:
        """σ²."""
        return self.r2 / self.data.free

    @cached_property
    def across(self) -> Array:
        """F [levels, rest + k + 1] of all levels with the others' levels, X and y."""
        data, first = self.data, dense(self._scaled)
        if data.within is None:
            return np.vstack([first, self._left[: data.rest]])
        weights = self._shares * (self.ratios[1] / self._outer)[data.within]
        first = first - weights[:, None] * self._sums[data.within]
        return np.vstack([first, self._sums / self._outer[:, None], self._left[: data.rest]])

    @cached_property
    def reduced(self) -> Array:
        """R [rest + k, levels + k + 1]. Its first `rest` rows give A'V⁻¹B."""
        from scipy.linalg import solve_triangular

        data, inner = self.data, self.data.rest + self.data.k
        products = np.hstack([self.across[: data.eliminated].T, self._left])[:inner] * self._scale[:inner, None]
        return np.asarray(solve_triangular(self._factor[:inner, :inner], products, lower=True, check_finite=False))

    @cached_property
    def own(self) -> Any:
        """F [eliminated, eliminated] among the levels of the eliminated groupings, mostly zeros."""
        data, shares = self.data, self._shares
        fine, coarse = np.arange(data.levels[0]), np.arange(data.levels[0], data.eliminated)
        if data.within is None:
            return entries(shares, (fine, fine), data.eliminated)
        # Levels nested in the same level of the second grouping stay coupled.
        left, right = data.siblings
        inside = (left == right) * shares[left]
        inside = inside - (self.ratios[1] / self._outer)[data.within[left]] * shares[left] * shares[right]
        upward = shares / self._outer[data.within]
        up = data.within + data.levels[0]
        values = np.concatenate([inside, upward, upward, self._second / self._outer])
        at = np.concatenate([left, fine, up, coarse]), np.concatenate([right, up, fine, coarse])
        return entries(values, at, data.eliminated)

    @cached_property
    def pulled(self) -> Array:
        """Z'Py [levels]."""
        levels = self.data.parts[-1].stop
        return np.asarray(self.across[:, -1] - self.reduced[:, :levels].T @ self.reduced[:, -1])

    @cached_property
    def curve(self) -> Curve:
        """The slope of the deviance."""
        data = self.data
        reduced = self.reduced[:, : data.parts[-1].stop]
        diagonal = np.concatenate([self.own.diagonal(), np.diag(self._left)[: data.rest]])
        diagonal = diagonal - np.einsum("ij,ij->j", reduced, reduced)
        traces = np.array([diagonal[part].sum() for part in data.parts])
        squares = np.array([self.pulled[part] @ self.pulled[part] for part in data.parts])
        return Curve(traces, squares, traces - data.free * squares / self.r2)

    @cached_property
    def information(self) -> Information:
        """The curvature of the deviance."""
        data, pulled, reduced = self.data, self.pulled, self.reduced
        # All levels by all levels would be dense and large; their squared norm is one of [rest + k] twice.
        large = 0 if isinstance(self.own, np.ndarray) else data.chain
        grams = [reduced[:, part] @ reduced[:, part].T for part in data.parts[:large]]
        traces, forms = np.zeros((2, len(data.parts), len(data.parts)))
        for a, b in combinations_with_replacement(range(len(data.parts)), 2):
            first, second = data.parts[a], data.parts[b]
            if b < large:
                block, left, right = self.own[first, second], reduced[:, first], reduced[:, second]
                mixed = float(np.einsum("ij,ij->", (block.T @ left.T).T, right))
                traces[a, b] = float((block.data**2).sum()) - 2 * mixed + float((grams[a] * grams[b]).sum())
                forms[a, b] = pulled[first] @ (block @ pulled[second])
                forms[a, b] -= (left @ pulled[first]) @ (right @ pulled[second])
            else:
                dense = self.between(a, b)
                traces[a, b] = np.einsum("ij,ij->", dense, dense)
                forms[a, b] = pulled[first] @ dense @ pulled[second]
            traces[b, a], forms[b, a] = traces[a, b], forms[a, b]
        ratio = self.curve.squares / self.r2
        return Information(traces, forms, -traces + data.free * (2 * forms / self.r2 - np.outer(ratio, ratio)))

    def between(self, a: int, b: int, projected: bool = True) -> Array:
        """Z_a'PZ_b [levels, levels] of two groupings, a ≤ b; not `projected`: Z_a'V⁻¹Z_b."""
        data, rows = self.data, slice(None if projected else self.data.rest)
        first, second = data.parts[a], data.parts[b]
        whole = (
            dense(self.own[first, second])
            if b < data.chain
            else self.across[first, second.start - data.eliminated : second.stop - data.eliminated]
        )
        return np.asarray(whole - self.reduced[rows, first].T @ self.reduced[rows, second])

    def onto_effects(self) -> Array:
        """Z'V⁻¹X [levels, k], of the scaled columns of X."""
        data, levels = self.data, self.data.parts[-1].stop
        reduced = self.reduced[: data.rest]
        return np.asarray(self.across[:, data.rest : -1] - reduced[:, :levels].T @ reduced[:, levels:-1])

    def effects(self) -> tuple[Array, Array]:
        """(β [k], (X'V⁻¹X)⁻¹ [k, k] of the scaled columns)."""
        data = self.data
        rows = slice(data.rest, data.rest + data.k)
        inverse = np.linalg.inv(self._factor[rows, rows])
        beta = (inverse.T @ self._factor[-1, rows]) / data.scale + data.shift
        return beta, inverse.T @ inverse
