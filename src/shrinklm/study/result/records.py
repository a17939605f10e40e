"""The records of a study's result: what `outcome_of` returns, as typed fields.

The names of the fields, and their order, are the keys of `analysis/analysis.json`: see `..analysis.records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..analysis.base import INLINE, OPTIONAL
from ..analysis.judges import Calibration, Interval
from ..analysis.records import Analysis, Estimate
from ..design.booklets import Design

Means = dict[str, dict[str, Estimate]]
"""Condition → measure → mean."""


@dataclass(frozen=True)
class People:
    """Numbers of people."""

    began: int
    finished: int
    answered: int
    """Who answered an item."""
    excluded: int
    analysed: int


@dataclass(frozen=True)
class Answers:
    """Numbers of answers."""

    given: int
    analysed: int


@dataclass(frozen=True)
class ExclusionRow:
    """A reason for which a person, or one of their items, is left out."""

    CASE: str
    """The person's pseudonym."""
    reason: str
    detail: str
    page: int | None
    """Position of the single item; None: the whole person."""


@dataclass(frozen=True)
class Exclusions:
    """The rules of the form, and whom they leave out."""

    rules: dict[str, Any]
    """As the form has them: rule → limit; None or False: not a rule here."""
    counts: dict[str, int]
    """Reason, in words → people, or items."""
    list: tuple[ExclusionRow, ...]


@dataclass(frozen=True)
class Quartiles:
    """A distribution."""

    n: int
    q1: float
    median: float
    q3: float
    least: float
    most: float


@dataclass(frozen=True)
class Time:
    """How long the people took who are analysed. None: nobody has such a time."""

    minutes: Quartiles | None
    """From consent to the end."""
    seconds_an_item: Quartiles | None
    """Medians of the people."""


@dataclass(frozen=True)
class Checks:
    """The attention checks."""

    given: int
    passed: int
    people: int
    """Who met one."""


@dataclass(frozen=True)
class StratumMean:
    """The mean of one condition in one stratum."""

    mean: float
    n: int


@dataclass(frozen=True)
class Strata:
    """Means by stratum; nothing for preferences."""

    measure: str | None = field(default=None, metadata=OPTIONAL)
    means: dict[str, dict[str, StratumMean]] | None = field(default=None, metadata=OPTIONAL)
    """Stratum → condition → mean."""


@dataclass(frozen=True)
class Method:
    """A condition: what its run says of it, and what people said."""

    condition: str
    run: str
    cell: str
    measures: dict[str, Estimate]
    """Automatic measure → estimate; empty for a reference, and for a run that is gone."""
    people: Mapping[str, Estimate]


@dataclass(frozen=True)
class MeasureColumn:
    """An automatic measure that any of the conditions has."""

    key: str
    name: str
    title: str
    share: bool
    digits: int


@dataclass(frozen=True)
class JudgedRun:
    """The judges of one run compared with the people of the study."""

    run: str
    calibration: Calibration = field(metadata=INLINE)


@dataclass(frozen=True)
class Share(Estimate):
    """A share of comparisons won, ties counting half."""

    low: float
    high: float
    p: float
    """Two-sided, of a half."""


@dataclass(frozen=True)
class PairShare:
    """Two conditions compared: the share is that of the first."""

    first: str
    second: str
    share: Share = field(metadata=INLINE)


@dataclass(frozen=True)
class Preference:
    """The preferences in one construct."""

    shares: dict[str, Share]
    """Condition → share of its comparisons that it wins."""
    pairs: list[PairShare]
    strengths: dict[str, Interval]
    """Condition → Bradley–Terry strength, as log odds with a mean of 0."""
    left: Share
    """How often the left side was preferred."""
    alike: float
    """Share of ties."""


@dataclass(frozen=True)
class Preferences:
    """An analysed study of preferences."""

    n: int
    people: int
    conditions: list[str]
    constructs: dict[str, Preference]
    means: Means
    paragraph: str


@dataclass(frozen=True)
class KeptRules:
    """The rules that stood when the first answer came, and what is another one now."""

    registered: str | None
    """When `shrinklm study register` kept rules, UTC; None: it was not called."""
    first: str | None
    """When the first answer came, UTC; None: an earlier version of shrinklm took it, and kept no rules."""
    digest: str | None
    """Of the rules, SHA-256."""
    changes: tuple[ChangedRule, ...]


@dataclass(frozen=True)
class ChangedRule:
    """A rule that changed."""

    rule: str
    before: Any
    after: Any
    since: str
    """ "registered" or "first answer"."""


@dataclass(frozen=True)
class Outcome:
    """Everything about a study."""

    study: str
    """Title."""
    kind: str
    folder: str
    design: str
    """Digest of what people are asked."""
    conditions: list[str]
    measures: list[str]
    people: People
    ratings: Answers
    exclusions: Exclusions
    time: Time
    checks: Checks
    analysis: Analysis | Preferences
    means: Means
    """Of the people who are analysed."""
    everyone: Means
    """The same without any exclusion."""
    strata: Strata
    methods: list[Method]
    columns: list[MeasureColumn]
    judge: list[JudgedRun]
    missing: list[str]
    """What the runs could not give, and why."""
    asked: Design
    facts: Mapping[str, Any]
    """About the choice of questions, as `Study.facts`."""
    rules: KeptRules
    """What was decided before the first answer."""

    @property
    def main(self) -> str:
        """The measure that speaks for all: the mean of the constructs, or the first."""
        return "Quality" if "Quality" in self.measures else self.measures[0]
