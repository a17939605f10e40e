"""Seeded resamples, as counts and in blocks, for the bootstraps over questions and training seeds. No torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_BLOCK = 256
"""Resamples drawn at a time: bounds the memory. Another size would draw other resamples, so results depend on it."""
_CACHED = 1 << 16
"""Draws that are counted at a time. Results do not depend on it."""


def blocks(items: int, resamples: int, seed: int) -> Iterator[tuple[Matrix, np.random.Generator]]:
    """Blocks of [resamples, items]: how often each resample draws each item; and the generator, for drawing seeds."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        yield counts(items, min(_BLOCK, resamples - start), rng), rng


def counts(items: int, resamples: int, rng: np.random.Generator) -> Matrix:
    """[resamples, items]: multinomial counts of drawing `items` times with replacement."""
    drawn = np.empty((resamples, items))
    # One bincount for as many resamples as the processor's cache holds: each has its own range of numbers.
    some = max(1, _CACHED // max(items, 1))
    for start in range(0, resamples, some):
        part = drawn[start : start + some]
        draws = rng.integers(0, items, size=part.shape)
        draws += items * np.arange(len(part))[:, None]
        part[...] = np.bincount(draws.ravel(), minlength=part.size).reshape(part.shape)
    return drawn


def interval(draws: Matrix, level: float) -> tuple[float, float]:
    """Percentile interval (low, high) of resampled values; NaN is left out."""
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
