"""Which groupings of a linear mixed model are eliminated, and how the products of their levels are stored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

SMALL = 150_000
"""Entries of a matrix up to which a dense product takes less time than the bookkeeping of a sparse one."""
_FEW = 500_000
"""Rows times levels up to which the same holds of the columns of all levels."""


def chain(codes: Sequence[Codes]) -> list[int]:
    """The groupings to eliminate: the largest, or two of which the first is nested in the second, if they have more
    levels together."""
    sizes = [int(code.max()) + 1 for code in codes]
    best = [int(np.argmax(sizes))]
    for fine, coarse in permutations(range(len(codes)), 2):
        pairs = codes[fine].astype(np.int64) * sizes[coarse] + codes[coarse]
        nested = sizes[fine] > sizes[coarse] and len(np.unique(pairs)) == sizes[fine]
        if nested and sizes[fine] + sizes[coarse] > sum(sizes[at] for at in best):
            best = [fine, coarse]
    return best


def products(first: Codes, others: Sequence[Codes], numbers: Array) -> tuple[Array, Any]:
    """The products of the wide columns, of the levels of the `others` and of `numbers` [n, m], with themselves
    [wide, wide] and with the levels of the `first` grouping [levels, wide]; the latter sparse where it is large."""
    from scipy.sparse import csr_array, hstack

    n = len(first)
    levels = [int(code.max()) + 1 for code in (first, *others)]
    if n * sum(levels) <= _FEW:
        columns, *blocks = (np.eye(size)[code] for size, code in zip(levels, (first, *others), strict=True))
        wide = np.hstack([*blocks, numbers])
        return wide.T @ wide, stored(columns.T @ wide)
    columns, *blocks = (
        csr_array((np.ones(n), code, np.arange(n + 1)), shape=(n, size))
        for size, code in zip(levels, (first, *others), strict=True)
    )
    wide = hstack([*blocks, csr_array(numbers)], format="csr")
    return (wide.T @ wide).toarray(), stored((columns.T @ wide).tocsr())


def stored(matrix: Any) -> Any:
    """A matrix as a dense one where it is small, and as a sparse one elsewhere."""
    from scipy.sparse import csr_array

    return dense(matrix) if matrix.shape[0] * matrix.shape[1] <= SMALL else csr_array(matrix)


def dense(matrix: Any) -> Array:
    """A matrix, sparse or dense, as a dense one."""
    return np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray(), dtype=float)


def divided(matrix: Any, by: Array) -> Any:
    """The rows of a matrix, sparse or dense, divided by `by` [rows]."""
    if isinstance(matrix, np.ndarray):
        return matrix / by[:, None]
    scaled = matrix.copy()
    scaled.data = scaled.data / np.repeat(by, np.diff(scaled.indptr))
    return scaled


def entries(values: Array, at: tuple[Codes, Codes], size: int) -> Any:
    """The matrix [size, size] with these values at (rows, columns), each named once: dense where it is small."""
    from scipy.sparse import csr_array

    if size * size > SMALL:
        return csr_array((values, at), shape=(size, size))
    matrix = np.zeros((size, size))
    matrix[at] = values
    return matrix
