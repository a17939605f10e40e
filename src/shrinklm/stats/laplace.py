"""Laplace approximation over the levels of several groupings, crossed or nested: R's ordinal::clmm (Christensen 2019).

With levels v ~ N(0, I) and η = Xβ + Av, where a row of A has σ_g at the row's level of grouping g:
log L ≈ ℓ(v̂) - ½ log |H|, where ℓ(v) = Σ log P(y | η) - v'v/2, v̂ is its mode, and H = I + A'WA is minus its second
derivative, W = diag(-d² log P / dη²) ≥ 0. As ℓ is concave, Newton's method with halved steps always finds v̂. H is
diagonal over the largest grouping, which is eliminated, so that the matrix to invert is as small as the other groupings
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cumulative import Codes, Cumulative, Rows
from .elimination import SMALL, dense
from .linear_mixed import Array


@dataclass(frozen=True)
class _Inverse:
    """H⁻¹ in blocks: `first` is the largest grouping, `rest` the others."""

    first: Array
    """Diagonal of H over the largest grouping."""
    ratio: Any
    """[rest, first]: the coupling of H divided by `first`; sparse where it is large."""
    factor: tuple[Array, bool]
    """Cholesky factor of what is left of H over the rest. Its inverse, which costs more, only `among` needs."""
    logdet: float
    """log |H|."""

    def solve(self, b: Array) -> Array:
        """H⁻¹ b."""
        from scipy.linalg import cho_solve

        size = len(self.first)
        rest = cho_solve(self.factor, b[size:] - self.ratio @ b[:size])
        return np.concatenate([b[:size] / self.first - self.ratio.T @ rest, rest])

    def among(self, levels: Codes) -> Array:
        """The entries [n, g, g] of H⁻¹ between the g levels of each row; `levels` [n, g] counts over all groupings."""
        size, groupings = len(self.first), levels.shape[1]
        from scipy.linalg.lapack import dpotri

        # By the inverse of a block matrix. All of H⁻¹ would be dense: [levels, levels] of all groupings together.
        rest = np.tril(dpotri(self.factor[0], lower=1)[0])
        rest += np.tril(rest, -1).T
        across = -(self.ratio.T @ rest).T
        if isinstance(self.ratio, np.ndarray):
            taken = np.einsum("ij,ij->j", self.ratio, across)
        else:
            row = np.repeat(np.arange(self.ratio.shape[0]), np.diff(self.ratio.indptr))
            column = self.ratio.indices
            taken = np.bincount(column, self.ratio.data * across[row, column], size)
        diagonal = 1 / self.first - taken
        first, others = levels[:, 0], levels[:, 1:] - size
        entries = np.empty((len(levels), groupings, groupings))
        entries[:, 0, 0] = diagonal[first]
        entries[:, 1:, 0] = entries[:, 0, 1:] = across[others, first[:, None]]
        entries[:, 1:, 1:] = rest[others[:, :, None], others[:, None, :]]
        return entries


class Laplace(Cumulative):
    """The approximate likelihood with two groupings or more, the largest first."""

    def __init__(
        self, levels: Codes, x: Array, categories: int, codes: Sequence[Codes], offset: Array | None = None
    ) -> None:
        from scipy.sparse import csr_array

        super().__init__(levels, x, categories, len(codes), offset)
        self.sizes = [int(code.max()) + 1 for code in codes]
        self.level_of_row: Codes = np.column_stack(codes) + np.cumsum([0, *self.sizes[:-1]])
        self.mode = np.zeros(sum(self.sizes))
        # Where the rows stand in H, once for all weights: the others dense, [others, first] too where it is small, and
        # elsewhere as pairs that occur.
        size, total = self.sizes[0], sum(self.sizes)
        rest = self.level_of_row[:, 1:] - size
        self.pair_of_row = rest * size + self.level_of_row[:, :1]
        self.coupling: Any = None
        if size * (total - size) > SMALL:
            pairs, self.pair_of_row = np.unique(self.pair_of_row, return_inverse=True)
            pointers = np.searchsorted(pairs, np.arange(total - size + 1) * size)
            self.coupling = csr_array((np.ones(len(pairs)), pairs % size, pointers), shape=(total - size, size))
        self.cells = (rest[:, :, None] * (total - size) + rest[:, None, :]).reshape(len(levels), -1)

    def adapt(self, parameters: Array) -> None:
        """Finds v̂, starting from the one of the last call."""
        cuts, fixed, sds = self.split(parameters)
        scale = np.repeat(sds, self.sizes)
        rows, height = self._at(cuts, fixed, scale, self.mode)
        for _ in range(100):
            slope = scale * self._by_level(rows.slope[:, 0]) - self.mode
            step = self._inverse(rows.curve[:, 0], scale).solve(slope)
            # A full Newton step can overshoot where the likelihood is far from quadratic.
            # The tolerance: near the mode the gain of a good step is smaller than the rounding of ℓ.
            while True:
                rows, reached = self._at(cuts, fixed, scale, self.mode + step)
                if not reached < height - 1e-9 * (1 + abs(height)):
                    break
                step = step / 2
            self.mode, height = self.mode + step, reached
            # The next step would be about the square of this one.
            if np.max(np.abs(step)) < 1e-6:
                break

    def value(self, parameters: Array) -> tuple[float, Array]:
        """(minus log-likelihood, its gradient).

        log |H| depends on the parameters directly and through v̂; the derivative of v̂ comes from the implicit function
        theorem, d ℓ'(v̂) = 0.
        """
        self.adapt(parameters)
        cuts, fixed, sds = self.split(parameters)
        scale, levels = np.repeat(sds, self.sizes), self.mode[self.level_of_row]
        at, height = self._at(cuts, fixed, scale, self.mode)
        # Slopes of the density at both bounds.
        densities = [density[:, 0] for density in at.densities]
        slopes = [
            density * (1 - 2 * bound[:, 0]) for density, bound in zip(densities, (at.upper, at.lower), strict=True)
        ]
        # Derivatives of log P by η; `second` with its sign turned, which is W.
        first, second, third = at.slope[:, 0], densities[0] + densities[1], -slopes[0] - slopes[1]
        inverse = self._inverse(second, scale)
        reach = inverse.among(self.level_of_row) @ sds  # [n, g]
        spread = reach @ sds  # [n]: the variance of η
        shift = inverse.solve(scale * self._by_level(spread * third))  # H⁻¹ d log |H| / dv
        along = (scale * shift)[self.level_of_row].sum(axis=1)
        over_eta = first - spread * third / 2 + along * second / 2
        high, low = (
            sign * bound[:, 0] - (spread * slope + along * density) / 2
            for sign, bound, density, slope in zip((1, -1), (at.rise, at.fall), densities, slopes, strict=True)
        )
        over_sd = over_eta @ levels - second @ reach - first @ shift[self.level_of_row] / 2
        return inverse.logdet / 2 - height, -np.concatenate(
            [self.cut_slopes(high, low, parameters), over_eta @ self.x, over_sd]
        )

    def _at(self, cuts: Array, fixed: Array, scale: Array, mode: Array) -> tuple[Rows, float]:
        """(the rows at the levels, ℓ(v))."""
        rows = self.rows(cuts, (fixed + (scale * mode)[self.level_of_row].sum(axis=1))[:, None])
        return rows, float(rows.logp.sum()) - float(mode @ mode) / 2

    def _by_level(self, values: Array) -> Array:
        """The sum of the rows' `values` [n] at each level of all groupings."""
        sums: Array = np.bincount(  # type: ignore[assignment]
            self.level_of_row.ravel(), np.repeat(values, len(self.sizes)), sum(self.sizes)
        )
        return sums

    def _inverse(self, weights: Array, scale: Array) -> _Inverse:
        """H⁻¹ for the rows' weights W."""
        from scipy.linalg import cho_factor

        size, others = self.sizes[0], sum(self.sizes[1:])
        scale, rest = scale[:size], scale[size:]
        first = 1 + scale**2 * np.bincount(self.level_of_row[:, 0], weights, size)
        below, ratio = self._coupled(weights, scale, rest, first)
        wide = np.repeat(weights, self.cells.shape[1])
        schur = np.bincount(self.cells.ravel(), wide, others**2).reshape(others, others) * rest * rest[:, None]
        # |H| = Π first · |schur|; dense, as the other groupings together have few levels.
        schur -= dense(ratio @ below.T)
        schur[np.diag_indices(others)] += 1
        factor = cho_factor(schur, lower=True, overwrite_a=True, check_finite=False)
        logdet = float(np.log(first).sum() + 2 * np.log(np.diag(factor[0])).sum())
        return _Inverse(first, ratio, factor, logdet)

    def _coupled(self, weights: Array, scale: Array, rest: Array, first: Array) -> tuple[Any, Any]:
        """The coupling [others, first] of H for the rows' weights, and the same divided by `first`."""
        wide, pairs = np.repeat(weights, len(self.sizes) - 1), self.pair_of_row.ravel()
        if self.coupling is None:
            below = np.bincount(pairs, wide, len(rest) * len(first)).reshape(len(rest), -1) * scale * rest[:, None]
            return below, below / first
        below, ratio = self.coupling.copy(), self.coupling.copy()
        below.data = np.bincount(pairs, wide, len(below.data))
        below.data *= scale[below.indices] * np.repeat(rest, np.diff(below.indptr))
        ratio.data = below.data / first[below.indices]
        return below, ratio
