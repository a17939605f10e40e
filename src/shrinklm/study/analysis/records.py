"""The records of an analysis: what `analyze` returns, as typed fields.

The names of the fields, and their order, are the keys of the JSON that `study analyze --json` writes: see `as_json`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np

from ...stats.agreement import Agreement
from ...stats.groups import Adjust, Dunn, Kruskal, Levene, Shapiro
from ...stats.linear import Coefficient
from ...stats.linear_mixed import Joint
from ...stats.multivariate import BoxM
from ...stats.planning import Tost

Result = TypeVar("Result")
OPTIONAL = {"json": "optional"}
"""Metadata of a field that is left out of the JSON when it is None. Any other None is written as null."""
INLINE = {"json": "inline"}
"""Metadata of a field whose own keys are written in its place."""


@dataclass(frozen=True)
class NotComputed:
    """Stands where a result would: the data do not allow it."""

    why: str
    """Reason, as a sentence for the reader."""


@dataclass(frozen=True)
class Raters:
    """The people of a table."""

    column: str
    n: int
    rows_min: int
    rows_median: float
    rows_max: int
    """Rows of the person who rated least, of the median one, and of the one who rated most."""
    always_the_same: list[str]
    """People who gave the same rating throughout."""


@dataclass(frozen=True)
class Items:
    """The questions of a table."""

    column: str | None
    n: int
    explanations: int
    rated_by_several: int
    """Explanations that two people or more rated."""


@dataclass(frozen=True)
class Pair(Dunn):
    """A pair of Dunn's test, with effect sizes."""

    adjustment: Adjust
    A: float
    """Chance that a rating of `a` is above one of `b` (Vargha & Delaney), ties counting half."""
    delta: float
    """Cliff's δ, 2 A - 1."""


@dataclass(frozen=True)
class Battery:
    """The tests that take every rating as independent, of one measure. Mappings are keyed by condition."""

    n: int
    ns: dict[str, int]
    means: dict[str, float]
    sds: dict[str, float | None]
    """None: one rating only."""
    kruskal: Kruskal | NotComputed
    dunn: list[Pair] | NotComputed
    levene: Levene | NotComputed
    shapiro: dict[str, Shapiro | NotComputed]


@dataclass(frozen=True)
class OutlierRow:
    """A rating outside the fences of its condition."""

    place: str
    rater: str
    value: float
    item: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class OutlierGroup:
    """The outliers of one condition, beyond 1.5 interquartile ranges."""

    n: int
    low: float
    high: float
    rows: list[OutlierRow]


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
    p: float
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
    shares: dict[str, float]
    """Each variance as a share of their sum."""
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
    singular: list[str]
    method: str
    loglik: float
    converged: bool
    aliased: list[str]


@dataclass(frozen=True)
class Regressions:
    """Least squares with the outliers and without."""

    all: Regression | NotComputed
    without_outliers: Regression | NotComputed


@dataclass(frozen=True)
class LinearFits:
    """The linear mixed models of one measure."""

    condition_only: LinearFit | NotComputed
    with_controls: LinearFit | NotComputed
    with_items: LinearFit | NotComputed
    with_explanations: LinearFit | NotComputed
    without_outliers: LinearFit | NotComputed

    @property
    def fullest(self) -> LinearFit | NotComputed:
        """The model with a level for each explanation; where explanations were rated once, the one with people's levels alone."""
        return self.condition_only if isinstance(self.with_explanations, NotComputed) else self.with_explanations


@dataclass(frozen=True)
class OrdinalFits:
    """The ordinal mixed models of one measure."""

    condition_only: OrdinalFit | NotComputed
    with_controls: OrdinalFit | NotComputed
    with_items: OrdinalFit | NotComputed

    @property
    def fullest(self) -> OrdinalFit | NotComputed:
        """The model with a level for each question; where it cannot be fitted, the one with people's levels alone."""
        return self.condition_only if isinstance(self.with_items, NotComputed) else self.with_items


@dataclass(frozen=True)
class Estimate:
    """A mean, or a share, with a 95 % interval."""

    value: float
    low: float | None
    high: float | None
    """None: there is no interval."""
    n: int


@dataclass(frozen=True)
class Difference(Estimate):
    """A difference from the reference."""

    low: float
    high: float
    p: float | None


@dataclass(frozen=True)
class Bootstrap:
    """Means and differences from the reference by condition, over resampled people."""

    raters: int
    resamples: int
    means: dict[str, Estimate]
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Agreements:
    """How far raters of the same explanation agree."""

    krippendorff: Agreement | NotComputed
    icc: Agreement | NotComputed
    gwet: Agreement | NotComputed | None = field(default=None, metadata=OPTIONAL)
    """None: the ratings are no whole numbers."""


@dataclass(frozen=True)
class Measure(Battery):
    """Everything about one construct, or about the mean of the constructs."""

    outliers: dict[str, OutlierGroup]
    without_outliers: Battery
    ols: Regressions
    mixed: LinearFits
    ordinal: OrdinalFits
    bootstrap: Bootstrap | NotComputed
    agreement: Agreements | NotComputed


@dataclass(frozen=True)
class Manova:
    """Nonparametric multivariate analysis of variance over the constructs."""

    wilks: float
    p_wilks: float
    anova_type: float
    p_anova_type: float
    permutations: int
    n: int
    effects: dict[str, dict[str, float]]
    """Condition → construct → relative effect."""


@dataclass(frozen=True)
class Together:
    """Statistics over the constructs together."""

    cronbach_alpha: float | NotComputed
    manova: Manova | NotComputed
    box_m: BoxM | NotComputed


@dataclass(frozen=True)
class Analysis:
    """An analysed table of ratings."""

    file: str
    n: int
    condition: str
    """Column of what was rated."""
    conditions: dict[str, int]
    """Condition → ratings, the reference first."""
    reference: str
    scale: list[float]
    constructs: list[str]
    controls: list[str]
    raters: Raters
    items: Items | None
    explained: bool
    """Whether explanations have a level of their own in the models."""
    missing: dict[str, int]
    """Construct → ratings that were not given."""
    adjustment: Adjust
    margin: float | None
    seed: int
    measures: dict[str, Measure]
    """The constructs, and of several also their mean, which comes last."""
    together: Together = field(metadata=INLINE)
    paragraph: str = ""

    @property
    def main(self) -> str:
        """The measure that speaks for all: the mean of the constructs, or the only one."""
        return list(self.measures)[-1]

    @property
    def measure(self) -> Measure:
        """The record of the main measure."""
        return self.measures[self.main]


Json: TypeAlias = dict[str, Any]
"""A record as JSON."""


def tried(call: Callable[[], Result]) -> Result | NotComputed:
    """Return what the call returns; `NotComputed` where the data do not allow it."""
    try:
        return call()
    except (ValueError, np.linalg.LinAlgError) as error:
        return NotComputed(str(error))


def as_json(value: object) -> Any:
    """Return what `json.dumps` takes: records as objects, arrays as lists, numbers that are not finite as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [as_json(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def json_text(record: object) -> str:
    """Return a record as the text of a JSON file."""
    return json.dumps(as_json(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _object(record: Any) -> Json:
    keys: Json = {}
    for column in dataclasses.fields(record):
        value, how = getattr(record, column.name), column.metadata.get("json")
        if how == "inline":
            keys |= as_json(value)
        elif how != "optional" or value is not None:
            keys[column.name] = as_json(value)
    return keys
