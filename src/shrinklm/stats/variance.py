"""Analysis of variance over crossed factors. No torch.

Rows are taken as independent of each other. Results agree with R's `car::Anova`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

_TOLERANCE = 1e-7
"""A direction of the design whose singular value is below this share of the largest is rounding."""


@dataclass(frozen=True)
class Term:
    """One factor or interaction of an analysis of variance."""

    term: str
    """Names joined by ":"."""
    sum_of_squares: float
    F: float
    """Infinite when there is no spread within the cells."""
    df1: int
    df2: int
    p: float
    partial_eta2: float
    """Sum of squares / (it + residual sum of squares), 0..1."""


@dataclass(frozen=True)
class Anova:
    """Type-II analysis of variance."""

    terms: tuple[Term, ...]
    residual: float
    """Residual sum of squares."""
    df: int
    """Residual degrees of freedom."""
    n: int
    residuals: Matrix
    """[n] value - mean of its cell, in the order of the rows."""


def anova(values: ArrayLike, factors: Mapping[str, Sequence[Any]]) -> Anova:
    """Type-II analysis of variance over all factors and all their interactions. R: `car::Anova(lm(...), type = 2)`.

    Each term is tested after all terms that do not contain it, against the spread within cells:
    F = (SS / df1) / (residual SS / df2), partial eta² = SS / (SS + residual SS). The order of the factors does not
    matter, and unequal cells are allowed. Where a cell is empty, an interaction has fewer degrees of freedom: only
    contrasts of the cells that exist are tested.

    Args:
        values: [n] numbers.
        factors: name → [n] levels.

    Raises:
        ValueError: unequal lengths, a value that is no finite number, a factor of one level, or no cell with more than
            one value.
    """
    y = np.asarray(values, dtype=float)
    if not factors or y.ndim != 1 or not np.isfinite(y).all():
        raise ValueError("An analysis of variance needs one list of finite numbers, and at least one factor.")
    codes = np.column_stack([_codes(name, levels, len(y)) for name, levels in factors.items()])
    cells, cell_of_row, sizes = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    cell_of_row, df2 = cell_of_row.ravel(), len(y) - len(cells)
    if df2 < 1:
        raise ValueError(
            f"Every one of the {len(cells)} cells has one value, so there is no spread within cells to test against."
        )
    means = np.bincount(cell_of_row, weights=y) / sizes
    residuals: Matrix = y - means[cell_of_row]
    residual = float(residuals @ residuals)
    if residual <= 1e-20 * max(float(y @ y), 1e-300):
        residual = 0.0  # differences of this size are rounding, not spread
    # All terms together fit every cell exactly, so the terms differ in how they fit the cells' means alone. Fitting
    # these, weighted by their sizes, needs a design of cells × columns instead of rows × columns.
    roots = np.sqrt(sizes)
    contrasts = {
        name: cells[:, [column]] == np.arange(1, cells[:, column].max() + 1) for column, name in enumerate(factors)
    }
    blocks = {
        names: roots[:, None] * _product([contrasts[name].astype(float) for name in names])
        for size in range(1, len(factors) + 1)
        for names in combinations(factors, size)
    }
    terms = []
    for names in blocks:
        # Type II: every term but the interactions that contain this one.
        others = [block for other, block in blocks.items() if not set(names) <= set(other)]
        # The intercept is in every fit, so subtracting the mean changes nothing but saves digits.
        without, rank_without = _fit(roots * (means - y.mean()), [roots[:, None], *others])
        with_term, rank_with = _fit(roots * (means - y.mean()), [roots[:, None], *others, blocks[names]])
        # Ranks and not numbers of columns: with an empty cell some columns follow from others.
        df1, ss = rank_with - rank_without, max(0.0, float(without @ without - with_term @ with_term))
        terms.append(_term(":".join(names), ss if ss > 1e-20 * float(y @ y) else 0.0, df1, residual, df2))
    return Anova(tuple(terms), residual, df2, len(y), residuals)


def _codes(name: str, levels: Sequence[Any], n: int) -> NDArray[np.intp]:
    """[n] the number of each row's level, counted in order of appearance."""
    if len(levels) != n:
        raise ValueError(f"Factor '{name}' has {len(levels)} rows, the values have {n}.")
    known = {level: code for code, level in enumerate(dict.fromkeys(str(level) for level in levels))}
    if len(known) < 2:
        raise ValueError(
            f"Factor '{name}' has one level ({', '.join(known)}), so there is nothing to compare. "
            "At least two are needed."
        )
    return np.array([known[str(level)] for level in levels], dtype=np.intp)


def _product(blocks: Sequence[Matrix]) -> Matrix:
    """Columns of an interaction [cells, products]: every product of one column of each factor."""
    product = blocks[0]
    for block in blocks[1:]:
        product = (product[:, :, None] * block[:, None, :]).reshape(len(product), -1)
    return product


def _fit(y: Matrix, blocks: Sequence[Matrix]) -> tuple[Matrix, int]:
    """(residuals, rank) of y on the blocks."""
    design = np.column_stack(blocks)
    # Levels may be very unequal in size, so every column counts by its direction alone.
    design = design / np.maximum(np.linalg.norm(design, axis=0), 1e-300)
    directions, sizes, _ = np.linalg.svd(design, full_matrices=False)
    basis = directions[:, sizes > _TOLERANCE * sizes[0]]
    residuals: Matrix = y - basis @ (basis.T @ y)
    return residuals, basis.shape[1]


def _term(name: str, ss: float, df1: int, residual: float, df2: int) -> Term:
    # No cells tell this term from the others, so it cannot be tested.
    if df1 == 0:
        return Term(name, 0.0, float("nan"), 0, df2, float("nan"), float("nan"))
    if residual == 0:
        return (
            Term(name, ss, float("inf"), df1, df2, 0.0, 1.0)
            if ss > 0
            else Term(name, 0.0, float("nan"), df1, df2, 1.0, float("nan"))
        )
    from scipy.stats import f

    statistic = (ss / df1) / (residual / df2)
    return Term(name, ss, statistic, df1, df2, float(f.sf(statistic, df1, df2)), ss / (ss + residual))
