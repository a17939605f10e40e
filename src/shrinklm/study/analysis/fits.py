"""The records of fitted models: of least squares, and of linear and ordinal mixed models.

The names of the fields, and their order, are keys of JSON, see `base.as_json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...stats.levels import Level
from ...stats.linear import Coefficient
from ...stats.linear_mixed import Joint, Method
from ...stats.planning import Tost
from .base import OPTIONAL, NotComputed


@dataclass(frozen=True)
class Regression:
    """Least squares on condition and controls."""

    formula: str
    coefficients: tuple[Coefficient, ...]
    r2: float
    adjusted_r2: float
    F: float
    df1: int
    df2: int
    p: float
    n: int
    aliased: tuple[str, ...]


@dataclass(frozen=True)
class ModelEffect:
    """A coefficient of a mixed model."""

    term: str
    estimate: float
    se: float
    low: float
    high: float
    z: float
    """estimate / se, a t with `df` degrees of freedom."""
    p: float
    df: float = float("inf")
    """Infinite: the normal distribution."""
    condition: str | None = field(default=None, metadata=OPTIONAL)
    """The condition that the term stands for; None: an intercept or a control."""
    p_adjusted: float | None = field(default=None, metadata=OPTIONAL)
    """Holm-adjusted over the conditions."""
    equivalence: Tost | None = field(default=None, metadata=OPTIONAL)
    odds_ratio: float | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class ConditionEffect:
    """The effect of a condition: a `ModelEffect` whose condition is known."""

    condition: str
    estimate: float
    low: float
    high: float
    p: float
    p_adjusted: float
    equivalence: Tost | None
    odds_ratio: float | None


@dataclass(frozen=True)
class ModelPair:
    """Condition `b` minus condition `a`, by a mixed model."""

    a: str
    b: str
    difference: float
    se: float
    low: float
    high: float
    z: float
    p: float
    p_adjusted: float
    """Holm-adjusted over all pairs."""
    df: float = float("inf")


@dataclass(frozen=True)
class Fit:
    """What every mixed model has."""

    formula: str
    n: int
    groups: dict[str, int]
    """Grouping → number of its levels."""
    effects: list[ModelEffect]
    pairs: list[ModelPair]
    joint: Joint
    """All conditions tested at once."""

    @property
    def conditions(self) -> list[ConditionEffect]:
        """The effects of the conditions against the reference."""
        return [
            ConditionEffect(
                effect.condition,
                effect.estimate,
                effect.low,
                effect.high,
                effect.p,
                effect.p_adjusted,
                effect.equivalence,
                effect.odds_ratio,
            )
            for effect in self.effects
            if effect.condition is not None and effect.p_adjusted is not None
        ]


@dataclass(frozen=True)
class LinearFit(Fit):
    """A linear mixed model."""

    variances: dict[str, float]
    sds: dict[str, float]
    """Standard deviations, in points."""
    shares: dict[str, float]
    """Each variance as a share of their sum."""
    levels: list[Level]
    """What has a level of its own."""
    degrees: Method
    """How degrees of freedom are found."""
    singular: list[str]
    """Groupings whose variance is estimated as zero."""
    loglik: float
    aliased: list[str]
    """Terms left out because the terms before them say the same."""


@dataclass(frozen=True)
class Threshold:
    """A threshold of an ordinal model."""

    between: tuple[float, float]
    """The two ratings that it lies between."""
    value: float


@dataclass(frozen=True)
class OrdinalFit(Fit):
    """A cumulative-logit mixed model: effects are log odds ratios."""

    thresholds: list[Threshold]
    sds: dict[str, float]
    levels: list[Level]
    singular: list[str]
    method: str
    loglik: float
    converged: bool
    """Whether the highest likelihood was found; where not, there is no p."""
    aliased: list[str]
    separated: list[str] = field(default_factory=list)
    """Conditions without a finite odds ratio: all of their ratings lie to one side of others, or in the highest or
    lowest category. They are tested by likelihood ratio."""
    trouble: str = ""
    """Why it did not converge."""


@dataclass(frozen=True)
class Regressions:
    """Least squares with the outliers and without."""

    all: Regression | NotComputed
    without_outliers: Regression | NotComputed


@dataclass(frozen=True)
class LinearFits:
    """The linear mixed models of one measure."""

    full: LinearFit | NotComputed
    """With every level that the design tells apart: the model that sentences, tables and figures speak of."""
    condition_only: LinearFit | NotComputed
    """With people's levels alone."""
    with_items: LinearFit | NotComputed
    """With levels of people and questions."""
    with_explanations: LinearFit | NotComputed
    """With levels of people, questions and explanations."""
    with_controls: LinearFit | NotComputed
    """The full one with the controls."""
    without_outliers: LinearFit | NotComputed
    """The full one without the outliers."""

    @property
    def fullest(self) -> LinearFit | NotComputed:
        """The full model; where it cannot be fitted, the one with people's levels alone."""
        return self.condition_only if isinstance(self.full, NotComputed) else self.full

    @property
    def simpler(self) -> LinearFit | None:
        """The full model without levels of people in a condition, to see what hangs on them; None where it has none."""
        if isinstance(self.full, NotComputed) or "taste" not in self.full.levels:
            return None
        levels = [level for level in self.full.levels if level != "taste"]
        for fit in (self.condition_only, self.with_items, self.with_explanations):
            if not isinstance(fit, NotComputed) and fit.levels == levels:
                return fit
        return None


@dataclass(frozen=True)
class OrdinalFits:
    """The ordinal mixed models of one measure."""

    full: OrdinalFit | NotComputed
    """With the levels that the design tells apart and that can be afforded, see `levels.affordable`."""
    condition_only: OrdinalFit | NotComputed
    with_controls: OrdinalFit | NotComputed
    with_items: OrdinalFit | NotComputed

    @property
    def fullest(self) -> OrdinalFit | NotComputed:
        """The full model; where it cannot be fitted, the one with people's levels alone."""
        return self.condition_only if isinstance(self.full, NotComputed) else self.full
