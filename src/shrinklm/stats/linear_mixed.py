"""Linear mixed models: effects on a number when its rows share people and items, each with a random intercept.

Model: y = Xβ + Σ_g Z_g u_g + e with u_g ~ N(0, σ_g²) for every grouping g (participant, item ...; crossed or not) and
e ~ N(0, σ²). Estimation: restricted maximum likelihood, profiled over β and σ² as in Bates, Mächler, Bolker & Walker
2015 (J. Stat. Softw. 67(1), §3), so that the search is over the ratios θ_g = σ_g/σ alone. Eliminating the largest
grouping first leaves a matrix as small as the other groupings together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_ZERO = 1e-4
"""A ratio θ below this is called zero."""
_NO_DEVIANCE = 1e25
"""The deviance where it does not exist: the residual vanishes."""


@dataclass(frozen=True)
class Effect:
    """One coefficient of a model."""

    name: str
    estimate: float
    se: float
    low: float
    high: float
    """95 % interval, estimate ± 1.96 se."""
    z: float
    p: float
    """Two-sided, of the normal distribution (Wald)."""


@dataclass(frozen=True)
class Mixed:
    """A fitted linear mixed model."""

    effects: tuple[Effect, ...]
    variances: Mapping[str, float]
    """σ² of each grouping, and of the "residual"."""
    groups: Mapping[str, int]
    """How many people, items ... there are."""
    n: int
    loglik: float
    """Restricted log-likelihood."""
    covariance: Array
    """[effects, effects] of the coefficients."""

    @property
    def singular(self) -> tuple[str, ...]:
        """Groupings whose variance came out as zero: they explain nothing here."""
        floor = _ZERO**2 * self.variances["residual"]
        return tuple(name for name in self.groups if self.variances[name] <= floor)


@dataclass(frozen=True)
class Joint:
    """Several effects tested at once."""

    chi2: float
    df: int
    p: float


def mixed(y: ArrayLike, columns: Mapping[str, ArrayLike], groups: Mapping[str, Sequence[Any]]) -> Mixed:
    """A linear mixed model with a random intercept for each grouping, by REML.

    Tests are Wald's, on the normal distribution: with fewer than about 20 people they reject slightly too often.

    Args:
        y: [n] numbers.
        columns: name → [n]; the fixed effects, an intercept among them where one is wanted.
        groups: name → [n] labels; one or more groupings, crossed or nested.

    Raises:
        ValueError: lengths differ, a value is missing, the columns are collinear, a grouping has one level or one row
            for each level, or the residual is zero.
    """
    from scipy.optimize import minimize

    y_, x, names = outcome(y), *matrix(columns, len(np.asarray(y)))
    codes = {name: group_codes(name, labels, len(y_)) for name, labels in groups.items()}
    if not codes:
        raise ValueError(
            "A mixed model needs at least one grouping, such as the participant. Without one it is ordinary least "
            "squares."
        )
    # The largest comes first: `_Cross` eliminates that one at the cost of one product.
    order = sorted(codes, key=lambda name: -(int(codes[name].max()) + 1))
    cross = _Cross(y_, x, [codes[name] for name in order])

    def search(start: float) -> Any:
        bounds, options = [(0.0, 1e3)] * len(order), {"ftol": 1e-13}
        return minimize(cross.deviance, [start] * len(order), method="L-BFGS-B", bounds=bounds, options=options)

    result = search(0.6)
    if not result.success or min(result.x) < 1e-2:
        # The deviance is flat near a ratio of zero, where a long first step can end by mistake: search from nearby.
        result = min(result, search(0.1), key=lambda end: float(end.fun))
    if result.fun >= _NO_DEVIANCE:
        raise ValueError("The effects and groupings explain every row exactly: nothing is left to measure an error by.")
    theta = np.asarray(result.x)
    beta, covariance, residual = cross.solve(theta)
    variances = {name: float(value**2 * residual) for name, value in zip(order, theta, strict=True)}
    return Mixed(
        effects=effects(names, beta, covariance),
        variances={name: variances[name] for name in groups} | {"residual": residual},
        groups={name: int(codes[name].max()) + 1 for name in groups},
        n=len(y_),
        loglik=-0.5 * cross.deviance(theta),
        covariance=covariance,
    )


def joint(fit_effects: Sequence[Effect], covariance: Array, names: Sequence[str]) -> Joint:
    """Wald test that all named effects are zero: b' V⁻¹ b against χ² with as many degrees of freedom.

    Raises ValueError for an unknown name.
    """
    from scipy.stats import chi2

    position = {effect.name: index for index, effect in enumerate(fit_effects)}
    missing = [name for name in names if name not in position]
    if missing or not names:
        raise ValueError(f"No effects called {missing or 'nothing'}; the model has {list(position)}.")
    rows = [position[name] for name in names]
    b = np.array([fit_effects[row].estimate for row in rows])
    value = float(b @ np.linalg.solve(covariance[np.ix_(rows, rows)], b))
    return Joint(value, len(rows), float(chi2.sf(value, len(rows))))


def effects(names: Sequence[str], beta: Array, covariance: Array) -> tuple[Effect, ...]:
    """Coefficients with Wald intervals and tests from estimates [k] and their covariance [k, k]."""
    from scipy.stats import norm

    rows = []
    for name, value, se in zip(names, beta, np.sqrt(np.diag(covariance)), strict=True):
        z = float(value / se)
        half = float(norm.ppf(0.975) * se)
        rows.append(
            Effect(
                name, float(value), float(se), float(value) - half, float(value) + half, z, float(2 * norm.sf(abs(z)))
            )
        )
    return tuple(rows)


def outcome(y: ArrayLike) -> Array:
    """The outcome as a vector [n]. Raises ValueError for missing values or another shape."""
    y_ = np.asarray(y, dtype=float)
    if y_.ndim != 1 or not y_.size or not np.isfinite(y_).all():
        raise ValueError(
            f"The outcome must be a list of numbers without gaps, found shape {y_.shape}; "
            "leave out rows that have none."
        )
    return y_


def matrix(columns: Mapping[str, ArrayLike], n: int) -> tuple[Array, list[str]]:
    """Fixed effects as a matrix [n, k] and their names.

    Raises ValueError for gaps, other lengths, or columns that are sums of others.
    """
    names = list(columns)
    if not names:
        raise ValueError("The model has no fixed effects. Give at least one column, such as an intercept of ones.")
    for name in names:
        if np.asarray(columns[name]).shape != (n,):
            raise ValueError(f"Column '{name}' has shape {np.asarray(columns[name]).shape}, the outcome has {n} rows.")
    x = np.column_stack([np.asarray(columns[name], dtype=float) for name in names])
    if not np.isfinite(x).all():
        raise ValueError("A fixed effect has missing values; leave out those rows.")
    # Scaled, since the tolerance of a rank is relative: a column in small units would pass for rounding.
    scaled = x / np.maximum(np.abs(x).max(axis=0), 1e-300)
    if np.linalg.matrix_rank(scaled) < len(names):
        # The first column at which the rank does not grow is the one to name.
        spare = next(name for k, name in enumerate(names) if np.linalg.matrix_rank(scaled[:, : k + 1]) < k + 1)
        raise ValueError(
            f"Column '{spare}' follows from the columns before it, so its effect cannot be told apart. Leave it out."
        )
    if n <= len(names):
        raise ValueError(f"{n} rows cannot carry {len(names)} effects.")
    return x, names


def group_codes(name: str, labels: Sequence[Any], n: int) -> NDArray[np.intp]:
    """Labels → 0, 1, 2 ... Raises ValueError where they do not identify a variance."""
    if len(labels) != n:
        raise ValueError(f"Grouping '{name}' has {len(labels)} labels, the outcome has {n} rows.")
    levels, codes = np.unique(np.asarray(labels), return_inverse=True)
    if len(levels) < 2:
        raise ValueError(f"Grouping '{name}' has one level only, so it has no variance. Leave it out.")
    if len(levels) == n:
        raise ValueError(
            f"Every row has its own '{name}', so its variance cannot be told from the residual's. Leave it out."
        )
    return np.asarray(codes, dtype=np.intp).ravel()


class _Cross:
    """Cross-products of the data, from which the profiled REML deviance follows for any θ."""

    def __init__(self, y: Array, x: Array, codes: Sequence[NDArray[np.intp]]) -> None:
        self.n, self.k = x.shape
        self.scale = np.maximum(np.abs(x).max(axis=0), 1e-300)
        # Where the columns hold an intercept, the mean is subtracted first and added to β at the end: otherwise y'y of
        # values far from zero would drown the residual in rounding.
        self.mean = float(y.mean())
        intercept = np.linalg.lstsq(x, np.ones(self.n), rcond=None)[0]
        self.shift = intercept * self.mean if np.allclose(x @ intercept, 1.0) else np.zeros(self.k)
        levels = [int(code.max()) + 1 for code in codes]
        rest = [np.eye(count)[code] for code, count in zip(codes[1:], levels[1:], strict=True)]
        # y is the last column: its row of the Cholesky factor holds β's right side, and the corner squared is the
        # penalised residual sum of squares, so that one factorisation gives all that the deviance needs.
        wide = np.column_stack([*rest, x / self.scale, y - x @ self.shift])
        self.sizes = levels[1:]
        self.counts = np.bincount(codes[0]).astype(float)
        self.gram: Array = wide.T @ wide
        sums = np.zeros((levels[0], wide.shape[1]))
        np.add.at(sums, codes[0], wide)
        self.sums = sums

    def _factor(self, theta: Array) -> tuple[Array, float]:
        """(lower Cholesky factor after eliminating the largest grouping, log determinant of that grouping's block)."""
        random = sum(self.sizes)
        scale = np.ones(self.gram.shape[0])
        scale[:random] = np.repeat(theta[1:], self.sizes)
        block = theta[0] ** 2 * self.counts + 1
        # The largest grouping's block is diagonal, so its elimination costs one product; what remains is its Schur
        # complement.
        coupling = (theta[0] * self.sums * scale) / np.sqrt(block)[:, None]
        schur = self.gram * scale * scale[:, None] - coupling.T @ coupling
        schur[np.arange(random), np.arange(random)] += 1
        return np.linalg.cholesky(schur), float(np.log(block).sum())

    def deviance(self, theta: Any) -> float:
        """-2 × the restricted log-likelihood, profiled; `_NO_DEVIANCE` where the residual vanishes."""
        try:
            factor, logdet = self._factor(np.asarray(theta, dtype=float))
        except np.linalg.LinAlgError:
            return _NO_DEVIANCE
        diagonal = np.diag(factor)
        # The columns were scaled to a largest entry of 1; the restricted likelihood depends on |X'X|, so it is undone.
        free = self.n - self.k
        scaled = 2 * float(np.log(diagonal[:-1]).sum()) + 2 * float(np.log(self.scale).sum())
        value = logdet + scaled + free * (1 + float(np.log(2 * np.pi * diagonal[-1] ** 2 / free)))
        return float(value)

    def solve(self, theta: Array) -> tuple[Array, Array, float]:
        """(β [k], its covariance [k, k], residual variance) at θ."""
        factor, _ = self._factor(theta)
        random = sum(self.sizes)
        corner = factor[random:-1, random:-1]
        residual = float(factor[-1, -1] ** 2 / (self.n - self.k))
        inverse = np.linalg.inv(corner)
        beta = (inverse.T @ factor[-1, random:-1]) / self.scale + self.shift
        covariance = residual * (inverse.T @ inverse) / np.outer(self.scale, self.scale)
        return beta, covariance, residual
