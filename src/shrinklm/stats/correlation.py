"""How two measurements of the same things go together: correlation, the same with a third thing taken out, and order. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's r, -1 to 1. Raises ValueError for fewer than three pairs, gaps, or a side that does not vary."""
    first, second = _pair(a, b)
    return float(_pearson(first[None], second[None])[0])


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation, -1 to 1; ties share their rank. Raises ValueError as `pearson` does."""
    from scipy.stats import rankdata

    first, second = _pair(a, b)
    return pearson(rankdata(first), rankdata(second))


def partial(a: ArrayLike, b: ArrayLike, *held: ArrayLike) -> float:
    """Pearson's r of what is left of a and b when the held columns are taken out by least squares: -1 to 1.

    Raises:
        ValueError: gaps, no more pairs than held columns plus two, or nothing is left of a side.
    """
    first, second = _pair(a, b)
    columns = np.column_stack([np.ones(len(first)), *(np.asarray(column, dtype=float) for column in held)])
    if not np.isfinite(columns).all():
        raise ValueError("What is to be held fixed has gaps.")
    if len(first) < columns.shape[1] + 2:
        raise ValueError(
            f"{len(first)} pairs are too few to hold {len(held)} columns fixed; {columns.shape[1] + 2} or more are needed."
        )
    left = [side - columns @ np.linalg.lstsq(columns, side, rcond=None)[0] for side in (first, second)]
    for rest, side in zip(left, (first, second), strict=True):
        if np.ptp(rest) <= 1e-9 * np.ptp(side):
            raise ValueError("A side follows entirely from what is held fixed, so nothing is left to correlate.")
    return pearson(*left)


def concordance(a: ArrayLike, b: ArrayLike) -> Array:
    """Share of pairs of things that a and b put in the same order, 0 to 1; a tie on a side counts half. [..., things] → [...]."""
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape[-1] != second.shape[-1] or first.shape[-1] < 2:
        raise ValueError(
            f"Two equally long lists of two things or more are needed, found shapes {first.shape} and {second.shape}."
        )
    upper, lower = np.triu_indices(first.shape[-1], 1)
    signs = np.sign(first[..., upper] - first[..., lower]) * np.sign(second[..., upper] - second[..., lower])
    share: Array = (1 + signs).mean(axis=-1) / 2
    return share


def bootstrap_pearson(a: ArrayLike, b: ArrayLike, seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """95 % percentile interval of Pearson's r, pairs resampled. Raises ValueError as `pearson` does."""
    first, second = _pair(a, b)
    rows = np.random.default_rng(seed).integers(0, len(first), size=(resamples, len(first)))
    low, high = np.nanquantile(_pearson(first[rows], second[rows]), [0.025, 0.975])
    return float(low), float(high)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or not np.isfinite([first, second]).all():
        raise ValueError(
            f"A correlation needs two equally long lists without gaps, found shapes {first.shape} and {second.shape}."
        )
    if len(first) < 3:
        raise ValueError(f"A correlation needs three pairs or more, found {len(first)}.")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError("One side does not vary, so there is no correlation.")
    return first, second


def _pearson(a: Array, b: Array) -> Array:
    """[rows] of two [rows, pairs]; NaN where a side does not vary."""
    apart = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        r: Array = (apart[0] * apart[1]).sum(axis=1) / np.sqrt(
            (apart[0] ** 2).sum(axis=1) * (apart[1] ** 2).sum(axis=1)
        )
    return r
