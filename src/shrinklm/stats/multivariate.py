"""Tests of several values of a row at once: differences between groups, and equality of covariances. No torch.

Rows are taken as independent of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class NpManova:
    """Nonparametric multivariate analysis of variance: statistics on ranks, p by permutation."""

    wilks: float
    """det(within) / det(within + between) of the ranks: 0..1, 1 = no difference."""
    p_wilks: float
    anova_type: float
    """tr(between) / tr(within), each per degree of freedom: about 1 = no difference.

    It needs no inverse, so it exists for many variables too."""
    p_anova_type: float
    permutations: int
    n: int
    effects: Mapping[str, tuple[float, ...]]
    """Group → relative effect of each variable, the chance that its value exceeds that of a random row; .5 = none."""


@dataclass(frozen=True)
class BoxM:
    """Box's M: are the covariance matrices of the groups equal?"""

    statistic: float
    """Chi², M times Box's correction."""
    df: int
    p: float
    M: float


def npmanova(rows: ArrayLike, groups: Sequence[Any], permutations: int = 1000, seed: int = 0) -> NpManova:
    """Rank-based test whether groups differ in any variable, as R's npmv (Ellis, Burchett, Harrar & Bathke 2017).

    Each variable is ranked over all rows (midranks); Wilks' lambda and the ANOVA-type statistic are computed on the
    ranks, and the group labels are permuted over whole rows:
    p = (1 + permutations at least as extreme) / (1 + permutations).

    Args:
        rows: [n, variables]; rows with a NaN are left out.
        groups: [n] labels.
        permutations: how many.
        seed: of the permutations.

    Raises:
        ValueError: unequal lengths, fewer than two groups, a group of one row, fewer rows than groups and variables
            together, or ranks of a variable that are a sum of the others'.
    """
    matrix, labels, names = _rows(rows, groups)
    if permutations < 1:
        raise ValueError(f"At least one permutation is needed, found {permutations}.")
    from scipy.stats import rankdata

    ranks: Matrix = rankdata(matrix, axis=0)
    (n, variables), k = ranks.shape, len(names)
    # The part within groups has n - k degrees of freedom. With fewer than variables its determinant, and with it
    # Wilks' lambda, is zero whatever the values are.
    if n - k < variables:
        raise ValueError(
            f"{n} complete rows in {k} groups are too few for {variables} variables: a multivariate analysis needs at "
            f"least {k + variables}. Add rows, or leave variables out."
        )
    centred = ranks - ranks.mean(axis=0)
    total = centred.T @ centred
    # Wilks' lambda divides by |total|. Ranks reach n, so the tolerance is relative to their spread.
    if np.linalg.matrix_rank(total, tol=1e-9 * float(np.trace(total))) < total.shape[0]:
        raise ValueError("A variable is constant, or its ranks follow from the other variables'. Leave it out.")
    sizes = np.bincount(labels, minlength=k).astype(float)
    logdet = float(np.linalg.slogdet(total)[1])

    def statistics(order: NDArray[np.intp]) -> tuple[float, float]:
        sums = np.zeros((k, ranks.shape[1]))
        np.add.at(sums, order, centred)
        # Permuting labels leaves the total as it is, so only the part between groups is computed anew.
        between = (sums / sizes[:, None]).T @ sums
        wilks = float(np.exp(np.linalg.slogdet(total - between)[1] - logdet))
        within = float(np.trace(total) - np.trace(between))
        return wilks, (float(np.trace(between)) / (k - 1)) / (within / (n - k)) if within > 0 else float("inf")

    wilks, anova_type = statistics(labels)
    rng = np.random.default_rng(seed)
    draws = np.array([statistics(rng.permutation(labels)) for _ in range(permutations)])
    # Permutations that tie with the data differ from it in the last bits, and must count.
    p_wilks = (1 + int(np.count_nonzero(draws[:, 0] <= wilks * (1 + 1e-9)))) / (1 + permutations)
    p_anova = (1 + int(np.count_nonzero(draws[:, 1] >= anova_type * (1 - 1e-9)))) / (1 + permutations)
    effects = {
        name: tuple(float(e) for e in (ranks[labels == label].mean(axis=0) - 0.5) / n)
        for label, name in enumerate(names)
    }
    return NpManova(wilks, p_wilks, anova_type, p_anova, permutations, n, effects)


def box_m(rows: ArrayLike, groups: Sequence[Any]) -> BoxM:
    """Box's M (1949) with its chi² approximation. R: `heplots::boxM`. Very sensitive to values that are not normal.

    M = (n - k) ln|S| - Σ (n_i - 1) ln|S_i| with S the pooled covariance of v variables; chi² = M (1 - c) on
    v (v + 1)(k - 1) / 2 degrees of freedom, c = (Σ 1/(n_i - 1) - 1/(n - k)) (2 v² + 3 v - 1) / (6 (v + 1)(k - 1)).

    Args:
        rows: [n, variables]; rows with a NaN are left out.
        groups: [n] labels.

    Raises:
        ValueError: fewer than two groups, or a group with too few rows or a variable that is a sum of the others.
    """
    matrix, labels, names = _rows(rows, groups)
    k, v = len(names), matrix.shape[1]
    logs, dfs, pooled = [], [], np.zeros((v, v))
    for label, name in enumerate(names):
        part = matrix[labels == label]
        centred = part - part.mean(axis=0)
        scatter = centred.T @ centred
        # The rank and not the determinant, which rounding takes away from zero.
        if np.linalg.matrix_rank(centred) < v:
            raise ValueError(
                f"The covariance of group '{name}' ({len(part)} rows, {v} variables) has no inverse: Box's M needs one."
            )
        # As logarithms: determinants of many variables leave the range of floats.
        logs.append(float(np.linalg.slogdet(scatter / (len(part) - 1))[1]))
        dfs.append(len(part) - 1)
        pooled += scatter
    df = sum(dfs)
    m = df * float(np.linalg.slogdet(pooled / df)[1]) - sum(d * log for d, log in zip(dfs, logs, strict=True))
    c = (sum(1 / d for d in dfs) - 1 / df) * (2 * v**2 + 3 * v - 1) / (6 * (v + 1) * (k - 1))
    from scipy.stats import chi2

    chi2_df = v * (v + 1) * (k - 1) // 2
    statistic = m * (1 - c)
    return BoxM(statistic, chi2_df, float(chi2.sf(statistic, chi2_df)), m)


def _rows(rows: ArrayLike, groups: Sequence[Any]) -> tuple[Matrix, NDArray[np.intp], list[str]]:
    """Complete rows, the number of each row's group, and the groups' names in order of appearance."""
    matrix = np.asarray(rows, dtype=float)
    if matrix.ndim != 2 or len(matrix) != len(groups):
        raise ValueError(
            f"Rows must be [n, variables] with n groups, found shape {matrix.shape} and {len(groups)} groups."
        )
    if not matrix.shape[1]:
        raise ValueError("A multivariate test needs at least one variable.")
    if np.isinf(matrix).any():
        raise ValueError(
            f"Row {int(np.flatnonzero(np.isinf(matrix).any(axis=1))[0])} holds an infinite value. Leave it out as NaN."
        )
    kept = ~np.isnan(matrix).any(axis=1)
    group_of_row = [str(group) for group, keep in zip(groups, kept, strict=True) if keep]
    names = list(dict.fromkeys(group_of_row))
    labels = np.array([names.index(group) for group in group_of_row], dtype=np.intp)
    small = [name for label, name in enumerate(names) if np.count_nonzero(labels == label) < 2]
    if len(names) < 2 or small:
        raise ValueError(
            f"At least two groups of two rows are needed; found {', '.join(names) or 'none'}; "
            f"of one row: {', '.join(small) or 'none'}."
        )
    return matrix[kept], labels, names
