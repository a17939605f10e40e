"""The records of a judge compared with people: what `calibrate` returns, and what it says in words.

The names of the fields, and their order, are keys of JSON, see `records`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from .base import OPTIONAL, NotComputed
from .summary import listed, people, rounded, signed


@dataclass(frozen=True)
class PeopleTable:
    """The table of people's ratings."""

    file: str
    n: int
    raters: int


@dataclass(frozen=True)
class JudgeTable:
    """The table of judges' ratings."""

    file: str
    n: int
    judges: list[str]


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient."""

    value: float


@dataclass(frozen=True)
class ItemCorrelation(Correlation):
    """A correlation coefficient with its 95 % interval."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class PartialCorrelation(Correlation):
    """A correlation coefficient with the influence of length taken out."""

    df: int


@dataclass(frozen=True)
class ConditionMeans:
    """Mean ratings of one condition."""

    people: float
    judge: float
    difference: float
    """Judge minus people."""


@dataclass(frozen=True)
class ByCondition:
    """The conditions' mean ratings compared."""

    n: int
    means: dict[str, ConditionMeans]
    pearson: Correlation | NotComputed
    spearman: Correlation | NotComputed
    same_order: Interval
    """Share of the pairs of conditions that the judge puts in people's order."""
    pearson_without_length: PartialCorrelation | NotComputed
    tied: int | None = field(default=None, metadata=OPTIONAL)
    """Pairs of conditions to which the judge gives the same mean; None: no pair. They count half in `same_order`."""

    @property
    def pairs(self) -> int:
        """The number of pairs of conditions."""
        return self.n * (self.n - 1) // 2

    @property
    def agreeing(self) -> int:
        """The number of pairs that people and the judge put in the same order, ties of either left out."""
        pairs = combinations(self.means.values(), 2)
        return sum((a.people - b.people) * (a.judge - b.judge) > 0 for a, b in pairs)


@dataclass(frozen=True)
class ItemBias:
    """Judge minus people over explanations."""

    value: float
    sd: float


@dataclass(frozen=True)
class ByItem:
    """Mean ratings of single explanations compared."""

    n: int
    bias: ItemBias
    pearson: ItemCorrelation | NotComputed
    spearman: Correlation | NotComputed
    pearson_without_length: PartialCorrelation | NotComputed


@dataclass(frozen=True)
class JudgeMeasure:
    """One judge on one measure."""

    bias: Interval | NotComputed
    """Judge minus people, the mean over conditions, with an interval over resampled people and explanations."""
    by_condition: ByCondition | NotComputed
    by_item: ByItem | NotComputed


@dataclass(frozen=True)
class Calibration:
    """Judges compared with people."""

    people: PeopleTable
    judged: JudgeTable
    conditions: list[str]
    constructs: list[str]
    length: str | None
    judges: dict[str, dict[str, JudgeMeasure]]
    """Judge → measure → comparison. Of several judges the last is their mean."""
    paragraph: str = ""


def calibration_paragraph(calibration: Calibration) -> str:
    """Say of each judge how far off it is, whether it ranks as people do, and how explanations compare."""
    judges, conditions = calibration.judged.judges, len(calibration.conditions)
    sentences = [
        f"{len(judges)} {'judge' if len(judges) == 1 else 'judges'} ({calibration.judged.n:,} rows) against "
        f"{people(calibration.people.raters)} ({calibration.people.n:,} rows) on {conditions} conditions."
    ]
    for judge, measures in calibration.judges.items():
        name = list(measures)[-1]
        sentences.append(_judge(judge, name, measures[name]))
        biased = [
            f"{measure} {signed(entry.bias.value)}"
            for measure, entry in measures.items()
            if not isinstance(entry.bias, NotComputed) and (entry.bias.low > 0 or entry.bias.high < 0)
        ]
        sentences.append(
            f"Off by more than chance on {listed(biased)}."
            if biased
            else "On no construct is it off by more than chance."
        )
    if conditions < 6:
        sentences.append(f"A correlation over {conditions} conditions says little: read the means.")
    return " ".join(sentences)


def _judge(judge: str, name: str, entry: JudgeMeasure) -> str:
    bias, over, item = entry.bias, entry.by_condition, entry.by_item
    if isinstance(bias, NotComputed):
        return f"{judge} cannot be compared on {name}: {bias.why}"
    text = f"{judge} rates {name} {signed(bias.value)} points from people ({signed(bias.low)} to {signed(bias.high)})"
    if not isinstance(over, NotComputed):
        if over.tied == over.pairs:
            text += f" and ties all {over.n} conditions"
        else:
            text += f" and puts {over.agreeing} of {over.pairs} pairs of conditions in people's order"
            text += f" and ties {over.tied}" if over.tied else ""
        text += "" if isinstance(over.pearson, NotComputed) else f" (r = {rounded(over.pearson.value)})"
    if isinstance(item, NotComputed) or isinstance(item.pearson, NotComputed):
        return text + "."
    r, partial = item.pearson, item.pearson_without_length
    reach = "" if r.low is None or r.high is None else f" ({rounded(r.low)} to {rounded(r.high)})"
    text += f"; over {item.n:,} explanations that both rated r = {rounded(r.value)}{reach}"
    return text + ("." if isinstance(partial, NotComputed) else f", {rounded(partial.value)} with length taken out.")
