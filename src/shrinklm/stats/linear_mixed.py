"""Linear mixed models: effects on a number when its rows share people and items, each with a random intercept.

Model: y = Xβ + Σ_g Z_g u_g + e with u_g ~ N(0, σ_g²) for every grouping g (participant, item ...; crossed or not) and
e ~ N(0, σ²), by restricted maximum likelihood (`restricted.py`). Effects are tested by t and F, with degrees of freedom
by Satterthwaite or by Kenward and Roger (`degrees.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .degrees import Degrees, kenward_roger, satterthwaite
from .restricted import ZERO, Point, Restricted

Array = NDArray[np.float64]
Method = Literal["satterthwaite", "kenward-roger"]
_DEGREES: Mapping[Method, Callable[[Any], Degrees]] = {
    "satterthwaite": satterthwaite,
    "kenward-roger": kenward_roger,
}
"""How degrees of freedom are found."""


@dataclass(frozen=True)
class Effect:
    """One coefficient of a model."""

    name: str
    estimate: float
    se: float
    low: float
    high: float
    """95 % interval."""
    z: float
    """estimate / se."""
    p: float
    """Two-sided, of the t distribution with `df`."""
    df: float = float("inf")
    """Degrees of freedom; infinite: the normal distribution (Wald)."""


@dataclass(frozen=True)
class Joint:
    """Several effects tested at once."""

    chi2: float
    """b' V⁻¹ b. Divided by `df` it is an F of `df` and `df2` degrees of freedom."""
    df: int
    p: float
    df2: float = float("inf")
    """Infinite: the χ² distribution (Wald)."""


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
    method: Method = "satterthwaite"
    """How degrees of freedom are found."""
    degrees: Degrees | None = field(default=None, repr=False, compare=False)
    """Of contrasts; None: infinite."""

    @property
    def singular(self) -> tuple[str, ...]:
        """Groupings whose variance came out as zero: they explain nothing here."""
        floor = ZERO * self.variances["residual"]
        return tuple(name for name in self.groups if self.variances[name] <= floor)

    def contrast(self, name: str, weights: ArrayLike) -> Effect:
        """The sum of the effects by `weights` [effects], such as one condition minus another."""
        row = np.asarray(weights, dtype=float)
        value = float(row @ [effect.estimate for effect in self.effects])
        df = self.degrees.of(row[None, :])[0] if self.degrees else float("inf")
        return _effect(name, value, float(np.sqrt(row @ self.covariance @ row)), df)

    def joint(self, names: Sequence[str]) -> Joint:
        """Test that all named effects are zero, by F. Raises ValueError for an unknown name."""
        from scipy.stats import f

        wald = joint(self.effects, self.covariance, names)
        if self.degrees is None:
            return wald
        known = [effect.name for effect in self.effects]
        df, factor = self.degrees.of(np.eye(len(known))[[known.index(name) for name in names]])
        return Joint(wald.chi2 * factor, wald.df, float(f.sf(wald.chi2 * factor / wald.df, wald.df, df)), df)


def mixed(
    y: ArrayLike,
    columns: Mapping[str, ArrayLike],
    groups: Mapping[str, Sequence[Any]],
    method: Method = "satterthwaite",
    start: Mapping[str, float] | None = None,
) -> Mixed:
    """A linear mixed model with a random intercept for each grouping, by REML.

    Args:
        y: [n] numbers.
        columns: name → [n]; the fixed effects, an intercept among them where one is wanted.
        groups: name → [n] labels; one or more groupings, crossed or nested.
        method: of the degrees of freedom. Kenward and Roger's keep the level of tests better below about 20 people;
            they take a matrix of all levels by all levels several times over.
        start: grouping → its variance over the residual's where the search begins. A good guess makes it shorter: a
            variance that comes out as zero is then not tried again from elsewhere.

    Raises:
        ValueError: lengths differ, a value is missing, the columns are collinear, a grouping has one level or one row
            for each level, two groupings are the same, or the residual is zero.
    """
    point, names, codes = _maximum(y, columns, groups, start)
    beta, _ = point.effects()
    degrees = _DEGREES[method](point)
    errors = np.sqrt(np.diag(degrees.covariance))
    return Mixed(
        effects=tuple(
            _effect(name, float(value), float(se), degrees.of(row[None, :])[0])
            for name, value, se, row in zip(names, beta, errors, np.eye(len(names)), strict=True)
        ),
        variances=_variances(point, list(groups)),
        groups={name: int(codes[name].max()) + 1 for name in groups},
        n=point.data.n,
        loglik=-0.5 * point.deviance,
        covariance=degrees.covariance,
        method=method,
        degrees=degrees,
    )


def variance_components(
    y: ArrayLike,
    columns: Mapping[str, ArrayLike],
    groups: Mapping[str, Sequence[Any]],
    start: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """The variances of `mixed` alone, of each grouping and of the "residual", for callers that refit many times.

    Takes and raises what `mixed` does.
    """
    return _variances(_maximum(y, columns, groups, start)[0], list(groups))


def _maximum(
    y: ArrayLike,
    columns: Mapping[str, ArrayLike],
    groups: Mapping[str, Sequence[Any]],
    start: Mapping[str, float] | None = None,
) -> tuple[Point, list[str], dict[str, NDArray[np.intp]]]:
    """(where the restricted likelihood is highest, names of the effects, each grouping's levels)."""
    y_, x, names = outcome(y), *matrix(columns, len(np.asarray(y)))
    codes = {name: group_codes(name, labels, len(y_)) for name, labels in groups.items()}
    if not codes:
        raise ValueError(
            "A mixed model needs at least one grouping, such as the participant. Without one it is ordinary least "
            "squares."
        )
    _distinct(codes)
    begun = None if start is None else [start[name] for name in codes]
    return Restricted(y_, x, list(codes.values())).maximum(begun), names, codes


def _variances(point: Point, known: Sequence[str]) -> dict[str, float]:
    """The variances at a fitted model, in the order of its groupings."""
    ratios = zip(point.data.order, point.ratios, strict=True)
    found = {known[at]: float(ratio) * point.residual for at, ratio in ratios}
    return {name: found[name] for name in known} | {"residual": point.residual}


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
    rows = zip(names, beta, np.sqrt(np.diag(covariance)), strict=True)
    return tuple(_effect(name, float(value), float(se), float("inf")) for name, value, se in rows)


def _effect(name: str, value: float, se: float, df: float) -> Effect:
    """One effect with its interval and test; infinite degrees of freedom give those of the normal distribution."""
    # A distribution object of scipy.stats takes longer to make than a small model to fit.
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    ratio = value / se
    normal = np.isinf(df)
    half = float(ndtri(0.975) if normal else stdtrit(df, 0.975)) * se
    p = 2 * float(ndtr(-abs(ratio)) if normal else stdtr(df, -abs(ratio)))
    return Effect(name, value, se, value - half, value + half, ratio, p, df)


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


def _distinct(codes: Mapping[str, NDArray[np.intp]]) -> None:
    """Raise ValueError where two groupings put the rows together alike: only the sum of their variances is known."""
    names = list(codes)
    for at, name in enumerate(names):
        for other in names[:at]:
            levels = int(codes[name].max()) + 1
            # Of other numbers of levels they cannot be the same, and need no count.
            if levels != codes[other].max() + 1:
                continue
            if levels == len(np.unique(codes[name] * levels + codes[other])):
                raise ValueError(
                    f"Groupings '{other}' and '{name}' are the same, so their variances cannot be told apart. Leave "
                    "one out."
                )
