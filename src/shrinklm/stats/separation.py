"""Separation: directions of thresholds and effects along which the likelihood of ordinal ratings rises without end.

Where all ratings of a condition lie above those of another, or all in the highest category, no finite odds ratio is the
likeliest (Albert & Anderson 1984; complete or quasi-complete separation). Then Wald's test, of an estimate that stops
anywhere and a standard error that grows faster, finds no difference where there could be no larger one. The directions
do not depend on random intercepts, which have a finite variance: moving along one raises the chance of every rating at
every level of every group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .linear_mixed import Array


@dataclass(frozen=True)
class Face:
    """Directions over [τ, β]; an effect along none of them has a finite estimate."""

    inner: Array
    """One direction along which every chance rises that rises along any of them."""
    span: Array
    """[τ and β, d], orthonormal: the space that the directions span."""


def separation(levels: NDArray[np.intp], x: Array, categories: int) -> Face | None:
    """The directions along which no chance of a rating falls; None where there are none, so that all estimates are
    finite.

    A linear program (Konis 2007): of all directions δ, does one keep x'δβ - δτ_(y-1) ≥ 0 and δτ_y - x'δβ ≥ 0 in every
    row, and lie above zero in some?

    Args:
        levels: [n] ratings as 0, 1, 2 ...; every one occurs.
        x: [n, k], with an intercept of full rank.
        categories: how many ratings there are.
    """
    from scipy.linalg import null_space
    from scipy.optimize import linprog

    rows = np.unique(np.column_stack([levels, x]), axis=0)
    bounds = _bounds(rows[:, 0].astype(int), rows[:, 1:], categories - 1)
    # Σ slack is maximal where every bound that can be slack is; as directions have no length, each slack can reach 1.
    size, width = bounds.shape
    found = linprog(
        np.concatenate([np.zeros(width), -np.ones(size)]),
        A_ub=np.hstack([-bounds, np.eye(size)]),
        b_ub=np.zeros(size),
        bounds=[(None, None)] * width + [(0, 1)] * size,
        method="highs",
    )
    slack = found.x[width:] > 0.5
    if not slack.any():
        return None
    tight = bounds[~slack]
    return Face(found.x[:width], null_space(tight, rcond=1e-9) if len(tight) else np.eye(width))


def decided(levels: NDArray[np.intp], x: Array, categories: int, codes: Sequence[NDArray[np.intp]]) -> bool:
    """Whether thresholds, effects and levels of the groups can order all ratings without one exception.

    Then a model in which nothing is left to chance explains them, and as σ and the effects grow together the likelihood
    comes near to that model's: it need not have a maximum.

    Args:
        levels: [n] ratings as 0, 1, 2 ...; every one occurs.
        x: [n, k].
        categories: how many ratings there are.
        codes: of each grouping, [n] levels as 0, 1, 2 ...
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, hstack, vstack

    rows = np.arange(len(levels))
    shape = [(len(levels), int(code.max()) + 1) for code in codes]
    known = [csr_array((np.ones(len(code)), (rows, code)), shape=s) for code, s in zip(codes, shape, strict=True)]
    bounds = _bounds(levels, x, categories - 1)
    member = hstack(known, format="csr")
    member = vstack([-member[levels < categories - 1], member[levels > 0]])
    every = hstack([csr_array(bounds), member, csr_array(-np.ones((len(bounds), 1)))])
    width = every.shape[1]
    # The largest margin by which every rating lies between its thresholds; bounded, since directions have no length.
    found = linprog(
        -np.eye(width)[-1],
        A_ub=-every,
        b_ub=np.zeros(len(bounds)),
        bounds=[(None, None)] * (width - 1) + [(None, 1)],
        method="highs",
    )
    return bool(found.x[-1] > 0.5)


def _bounds(rating: NDArray[np.intp], x: Array, cuts: int) -> Array:
    """[bounds, τ and β]: for each rating below the highest δτ_y - x'δβ, then for each above the lowest
    x'δβ - δτ_(y-1)."""
    upper, lower = rating < cuts, rating > 0
    above = np.column_stack([np.eye(cuts)[rating[upper]], -x[upper]])
    return np.vstack([above, np.column_stack([-np.eye(cuts)[rating[lower] - 1], x[lower]])])
