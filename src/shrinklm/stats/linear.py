"""Regression by least squares with controls, and Cronbach's alpha. No torch.

Rows are taken as independent of each other. Results agree with R's (`lm`, `psych::alpha`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

_TOLERANCE = 1e-7
"""A column whose residual on the columns before it is a smaller share of its length is aliased, as in R's `lm`."""
_EXACT = 1e-13
"""A share of the values' length that is rounding."""


@dataclass(frozen=True)
class Coefficient:
    """One term of a regression."""

    term: str
    """As R names it: "(Intercept)", a column, or a column and its level without a space."""
    estimate: float
    error: float
    """Standard error; zero where the terms explain every row."""
    t: float
    """Infinite, or NaN of an estimate of zero, where the error is zero."""
    p: float
    """Two-sided."""
    low: float
    high: float


@dataclass(frozen=True)
class Regression:
    """Ordinary least squares."""

    coefficients: tuple[Coefficient, ...]
    r2: float
    adjusted_r2: float
    F: float
    """Of all terms together."""
    df1: int
    df2: int
    p: float
    n: int
    """Rows with every value."""
    aliased: tuple[str, ...]
    """Terms left out because they are sums of the terms before them."""
    residuals: Matrix
    """[n]."""
    fitted: Matrix
    """[n]."""


def ols(
    values: ArrayLike,
    columns: Mapping[str, Sequence[Any] | ArrayLike],
    references: Mapping[str, str] | None = None,
    level: float = 0.95,
) -> Regression:
    """Least squares of the values on the columns: R's `lm(values ~ column + ...)`.

    A column of numbers is one term. A column of text is one term for each level but its reference (treatment
    contrasts), which is the one named, else the first to appear, be it in a row that lacks values. Rows that lack a
    value (NaN or None) are left out; `n` counts the others. Solved by QR without the aliased columns; intervals and
    tests are of t on n - terms degrees of freedom.

    Args:
        values: [n].
        columns: name → [n] numbers or text, in the order in which they enter.
        references: name → reference level.
        level: of the intervals.

    Raises:
        ValueError: unequal lengths, an unknown reference, no more rows than terms, or values that do not vary.
    """
    y = np.asarray(values, dtype=float)
    for name in references or {}:
        if name not in columns:
            raise ValueError(
                f"A reference level is given for '{name}', which is no column. Columns: {', '.join(columns)}."
            )
    # As objects: numpy would turn the numbers of a mixed column into text.
    raw = {name: list(np.asarray(column, dtype=object)) for name, column in columns.items()}
    missing = {name: _missing(column) for name, column in columns.items()}
    for name, column in raw.items():
        if len(column) != len(y):
            raise ValueError(f"'{name}' has {len(column)} rows, the values have {len(y)}.")
    # Complete rows only, as R's `lm`; levels that occur in dropped rows alone make no term.
    kept = np.isfinite(y) & ~np.array(list(missing.values()), dtype=bool).any(axis=0)
    y = y[kept]
    parts, names, constant = [np.ones(len(y))], ["(Intercept)"], []
    for name, column in raw.items():
        cells = [cell for cell, keep in zip(column, kept, strict=True) if keep]
        order = list(dict.fromkeys(str(cell) for cell, gap in zip(column, missing[name], strict=True) if not gap))
        terms = _columns(name, cells, (references or {}).get(name), order)
        if cells and not terms:  # text of one level makes no term; it is told as a constant column of numbers is
            constant.append(f"{name}{cells[0]}")
        for term, values_of_term in terms:
            names.append(term)
            parts.append(values_of_term)
    design, aliased = _independent(np.column_stack(parts), names)
    names = [name for name in names if name not in aliased]
    aliased = (*aliased, *constant)
    df2 = len(y) - len(names)
    if df2 < 1:
        raise ValueError(f"{len(y)} complete rows cannot tell {len(names)} terms apart: more rows, or fewer columns.")
    # What is left of a constant after the intercept is rounding: t and F would be ratios of rounding errors.
    if np.ptp(y) <= 1e-12 * float(np.abs(y).max()):
        raise ValueError(
            f"The values do not vary: each of the {len(y)} complete rows has {y[0]:g}, so there is nothing to explain."
        )
    return _regression(y, design, names, aliased, df2, level)


def cronbach_alpha(items: ArrayLike) -> float:
    """alpha = k / (k - 1) · (1 - Σ variance of an item / variance of the sum) of [rows, k items] (Cronbach 1951).

    At most 1: how far the items of a scale move together. Rows with a NaN are left out. R: `psych::alpha`.

    Raises ValueError for fewer than two items or rows, or when no row differs from another.
    """
    matrix = np.asarray(items, dtype=float)
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise ValueError(f"Cronbach's alpha needs [rows, items] of at least two items, found shape {matrix.shape}.")
    matrix = matrix[~np.isnan(matrix).any(axis=1)]
    k = matrix.shape[1]
    total = float(matrix.sum(axis=1).var(ddof=1)) if len(matrix) > 1 else 0.0
    if not total > 0:
        raise ValueError(f"Cronbach's alpha needs rows whose sums differ; the {len(matrix)} complete rows do not.")
    return float(k / (k - 1) * (1 - matrix.var(axis=0, ddof=1).sum() / total))


def _missing(column: Sequence[Any] | ArrayLike) -> NDArray[np.bool_]:
    """[n] whether a cell is None, NaN or infinite."""
    cells = np.asarray(column)
    if np.issubdtype(cells.dtype, np.floating):
        return np.asarray(~np.isfinite(cells))
    cells = np.asarray(column, dtype=object)
    gaps = [cell is None or (isinstance(cell, float | np.floating) and not np.isfinite(cell)) for cell in cells]
    return np.array(gaps, dtype=bool)


def _columns(name: str, cells: Sequence[Any], reference: str | None, order: Sequence[str]) -> list[tuple[str, Matrix]]:
    """(term, [n]) of a column: itself when it holds numbers, else one for each level but the reference, in `order`."""
    # Numbers for which a reference is named are meant as levels.
    if reference is None and all(isinstance(cell, int | float | np.number) for cell in cells):
        return [(name, np.array(cells, dtype=float))]
    known = {str(cell) for cell in cells}
    levels = [level for level in order if level in known]
    reference = levels[0] if reference is None and levels else reference
    if reference not in levels:
        raise ValueError(f"'{name}' has no level '{reference}'. Its levels: {', '.join(levels)}.")
    return [
        (f"{name}{level}", np.array([str(cell) == level for cell in cells], dtype=float))
        for level in levels
        if level != reference
    ]


def _independent(design: Matrix, names: Sequence[str]) -> tuple[Matrix, tuple[str, ...]]:
    """The columns that are no sum of the columns before them, and the names of the others."""
    kept: list[int] = []
    basis = np.zeros((len(design), 0))
    for index in range(design.shape[1]):
        column = design[:, index]
        residual = column - basis @ (basis.T @ column)
        # Gram–Schmidt a second time: rounding of the first leaves parts along the basis.
        residual = residual - basis @ (basis.T @ residual)
        size = float(np.linalg.norm(residual))
        if size > _TOLERANCE * float(np.linalg.norm(column)):
            kept.append(index)
            basis = np.column_stack([basis, residual / size])
    return design[:, kept], tuple(name for index, name in enumerate(names) if index not in kept)


def _regression(
    y: Matrix, design: Matrix, names: Sequence[str], aliased: tuple[str, ...], df2: int, level: float
) -> Regression:
    # Not `statsmodels.OLS`: its pseudo-inverse loses digits where columns differ much in scale, and it keeps aliased
    # columns. docs/concepts.md has the numbers.
    from scipy.stats import f, t

    # By QR and (X'X)⁻¹ = R⁻¹R⁻ᵀ: forming X'X would square the condition number.
    q, r = np.linalg.qr(design)
    inverse = np.linalg.inv(r)
    estimates = inverse @ (q.T @ y)
    fitted: Matrix = design @ estimates
    residuals: Matrix = y - fitted
    rss, tss = float(residuals @ residuals), float(((y - y.mean()) ** 2).sum())
    if rss <= (_EXACT * float(np.linalg.norm(y))) ** 2:
        # The terms explain every row. What is left is rounding, and t of a term that adds nothing would be a ratio of
        # two roundings.
        rss, residuals, fitted = 0.0, np.zeros(len(y)), y.copy()
        estimates[np.abs(estimates) * np.linalg.norm(design, axis=0) <= _EXACT * float(np.linalg.norm(y))] = 0.0
    errors = np.sqrt(np.maximum((inverse**2).sum(axis=1) * rss / df2, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ts = estimates / errors
    reach = float(t.ppf((1 + level) / 2, df2))
    rows = tuple(
        Coefficient(
            name, float(b), float(e), float(s), 2 * float(t.sf(abs(s), df2)), float(b - reach * e), float(b + reach * e)
        )
        for name, b, e, s in zip(names, estimates, errors, ts, strict=True)
    )
    df1 = len(names) - 1
    r2 = max(0.0, 1 - rss / tss) if tss > 0 else float("nan")  # below zero by rounding alone
    statistic = float("nan") if not df1 else ((tss - rss) / df1) / (rss / df2) if rss > 0 else float("inf")
    adjusted = 1 - (1 - r2) * (len(y) - 1) / df2
    return Regression(
        rows, r2, adjusted, statistic, df1, df2, float(f.sf(statistic, df1, df2)), len(y), aliased, residuals, fitted
    )
