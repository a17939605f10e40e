"""The records of an analysis: what `analyze` returns, as typed fields.

The names of the fields, and their order, are the keys of the JSON that `study analyze --json` writes: see
`base.as_json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...stats.agreement import Agreement
from ...stats.groups import Adjust, Dunn, Kruskal, Levene, Shapiro
from ...stats.linear_mixed import Method
from ...stats.multivariate import BoxM
from .base import INLINE, OPTIONAL, NotComputed
from .fits import LinearFits, OrdinalFits, Regressions


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
    repeated: list[str] | None = field(default=None, metadata=OPTIONAL)
    """Where rows stand in which a person rates an explanation that she or he rated in a row before; None: nowhere."""


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
    """Whether several people rated the same explanations, and a question was shown in several conditions."""
    missing: dict[str, int]
    """Construct → ratings that were not given."""
    adjustment: Adjust
    margin: float | None
    degrees: Method
    """How the linear mixed models find degrees of freedom."""
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
