"""Correlation of two measurements of the same things: plain, partial, and by order. No torch."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's r of two lists [pairs], -1..1.

    Raises ValueError for fewer than three pairs, gaps, or a side that does not vary.
    """
    from scipy.stats import pearsonr

    return float(pearsonr(*_pair(a, b)).statistic)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of two lists [pairs], -1..1; ties share ranks. Raises ValueError as `pearson`."""
    from scipy.stats import spearmanr

    return float(spearmanr(*_pair(a, b)).statistic)


def partial(a: ArrayLike, b: ArrayLike, *held: ArrayLike) -> float:
    """Pearson's r of the residuals of a and b after least squares on the columns `held`, all [pairs]: -1..1.

    Raises:
        ValueError: gaps, fewer pairs than held columns plus three, or a side without residuals.
    """
    first, second = _pair(a, b)
    columns = np.column_stack([np.ones(len(first)), *(np.asarray(column, dtype=float) for column in held)])
    if not np.isfinite(columns).all():
        raise ValueError("What is to be held fixed has gaps.")
    if len(first) < columns.shape[1] + 2:
        raise ValueError(
            f"{len(first)} pairs are too few to hold {len(held)} columns fixed; "
            f"{columns.shape[1] + 2} or more are needed."
        )
    residuals = [side - columns @ np.linalg.lstsq(columns, side, rcond=None)[0] for side in (first, second)]
    for residual, side in zip(residuals, (first, second), strict=True):
        # Residuals of this size are rounding: their correlation would be noise.
        if np.ptp(residual) <= 1e-9 * np.ptp(side):
            raise ValueError("A side follows entirely from what is held fixed, so nothing is left to correlate.")
    return pearson(*residuals)


def concordance(a: ArrayLike, b: ArrayLike) -> Array:
    """Share of pairs of things that a and b put in the same order, 0..1: [..., things] → [...].

    A tie on a side counts half. Without ties this is (1 + Kendall's tau) / 2. Raises ValueError for fewer than two
    things or unequal lengths.
    """
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
    """95 % percentile interval of Pearson's r, pairs resampled. Raises ValueError as `pearson`."""
    from scipy.stats import pearsonr

    first, second = _pair(a, b)
    rows = np.random.default_rng(seed).integers(0, len(first), size=(resamples, len(first)))
    with warnings.catch_warnings():
        # Of few pairs a resample may hold one pair alone; its r is NaN and is left out below.
        warnings.simplefilter("ignore")
        draws = pearsonr(first[rows], second[rows], axis=1).statistic
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """Both sides as vectors [pairs], checked."""
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
