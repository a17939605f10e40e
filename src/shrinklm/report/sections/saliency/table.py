"""The figures about marked words, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ....stats import Estimate
from ...fields import block, finite, whole
from ...look.numbers import DASH, MINUS, count, percent
from ...look.tables import NONE, Column, Line, Table
from ...marks import Saliency

CHANCE_STEP = "random-tokens"
"""The step that stands for chance where no expectation can be computed."""


def nats(value: float) -> str:
    """0.4917 → "0.49"."""
    return f"{value:.2f}".replace("-", MINUS) if abs(value) >= 0.005 else "0.00"


def rho(value: float) -> str:
    """A correlation with two decimals and a true minus."""
    return f"{value:.2f}".replace("-", MINUS)


@dataclass(frozen=True)
class Measure:
    """One figure of the section."""

    key: str
    name: str
    group: str
    title: str
    show: Callable[[float], str] = percent

    def interval(self, estimate: Estimate) -> str:
        """The ends of an interval; "to" between nats, since a dash before a minus reads badly."""
        return f"{self.show(estimate.low)}{' to ' if self.show is nats else DASH}{self.show(estimate.high)}"


_GOLD, _PEOPLE, _ERASED = "In gold option, %", "Human highlights, %", "Erasure, nats"
MEASURES = (
    Measure("gold_hit", "Any kept", _GOLD, "Items where at least one kept word is a word of the gold option"),
    Measure("gold_hit_top1", "Best word", _GOLD,
            "Items where the content word with the highest score is a word of the gold option"),
    Measure("precision", "Precision", _PEOPLE, "Kept words of the question that people marked too"),
    Measure("recall", "Recall", _PEOPLE, "Words that people marked and that are kept"),
    Measure("f1", "F1", _PEOPLE, "Of precision and recall, item by item"),
    Measure("auprc", "AUPRC", _PEOPLE, "Average precision of the scores, whatever number of words is kept"),
    Measure("comprehensiveness", "Comprehensiveness", _ERASED,
            "Nats of log p lost without the kept words; more is better", nats),
    Measure("sufficiency", "Sufficiency", _ERASED,
            "Nats of log p lost with the kept words alone; less is better", nats),
)  # fmt: skip
BY_KEY = {entry.key: entry for entry in MEASURES}


def measured(saliency: Saliency) -> list[Measure]:
    """The measures that at least one step has."""
    return [entry for entry in MEASURES if any(saliency.estimate(step, entry.key) for step in saliency.steps)]


def estimates(saliency: Saliency, key: str) -> dict[str, Estimate]:
    """Step → estimate of a measure, for the steps that have it."""
    results = {step: saliency.estimate(step, key) for step in saliency.steps}
    return {step: estimate for step, estimate in results.items() if estimate is not None}


def keeps(saliency: Saliency) -> str:
    """How many words are kept: "5 words", "1 word", "30 % of the content words"."""
    top = finite(block(saliency.figures, "keep").get("top"))
    if top is None:
        return "words"
    return f"{100 * top:g} % of the content words" if top < 1 else "1 word" if top == 1 else f"{top:g} words"


def erasure_chance(saliency: Saliency) -> str:
    """The sentence on the chance level of erasure."""
    if saliency.estimate(CHANCE_STEP, "comprehensiveness") or saliency.estimate(CHANCE_STEP, "sufficiency"):
        return f"For erasure chance is what {CHANCE_STEP} has."
    return f"For erasure the chance level is not known: there is no step {CHANCE_STEP}."


def saliency_table(saliency: Saliency, ranks: Mapping[str, int]) -> Table:
    """One row a step, then chance. `ranks`: the rank of the method that is named after a step, for its colour."""
    measures = measured(saliency)
    if not measures:
        return Table("saliency", "", (), ())
    columns = (Column("Words marked by", numeric=False), *(Column(m.name, m.group, title=m.title) for m in measures))
    lines, records = [], []
    for step, figures in saliency.steps.items():
        cells, below = [step], {}
        record: dict[str, Any] = {"step": step, **{key: figures.get(key) for key in ("by", "method", "n")}}
        for column, entry in enumerate(measures, 1):
            estimate = saliency.estimate(step, entry.key)
            cells.append(NONE if estimate is None else entry.show(estimate.value))
            if estimate is not None:
                below[column] = entry.interval(estimate)
                record |= _record(entry.key, estimate, saliency.chance(entry.key))
        lines.append(Line(tuple(cells), below, rank=ranks.get(step)))
        records.append(record)
    chances = {entry.key: chance for entry in measures if (chance := saliency.chance(entry.key)) is not None}
    # Erasure asks a model, so it has no expectation to compute: its cells are dashes.
    shares = (entry.show(chances[entry.key]) if entry.key in chances else NONE for entry in measures)
    lines.append(Line((f"Chance: {keeps(saliency)} at random", *shares), kind="baseline"))
    records.append({"step": "chance", **chances})
    return Table("saliency", _caption(saliency, measures), columns, tuple(lines), tuple(records))


def _record(key: str, estimate: Estimate, chance: float | None) -> dict[str, Any]:
    ends = {f"{key}_low": estimate.low, f"{key}_high": estimate.high}
    return {key: estimate.value, **ends, f"{key}_n": estimate.n, f"{key}_chance": chance}


def _caption(saliency: Saliency, measures: list[Measure]) -> str:
    erased = any(entry.key in ("comprehensiveness", "sufficiency") for entry in measures)
    items = count(finite(saliency.figures.get("n")) or 0)
    return (
        f"What the kept words are worth ({keeps(saliency)} of each of {items} items of the "
        f"{saliency.figures.get('split') or 'train'} split), with 95 % bootstrap intervals over items below. "
        "Last row: the exact expectation for as many different content words of the same items, drawn at random."
        f"{f' {erasure_chance(saliency)}' if erased else ''} "
        "Of two steps one is called better only where their intervals do not overlap."
    )


def steps_table(saliency: Saliency) -> Table:
    """One row a step: the model that marked the words, the items it marked, and those refused, by reason."""
    lines, records = [], []
    for step, figures in saliency.steps.items():
        reasons = {str(reason): whole(times) for reason, times in block(figures, "refused").items()}
        ranked = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
        why = "; ".join(f"{reason}: {count(times)}" for reason, times in ranked)
        by, method = (str(figures.get(key) or NONE) for key in ("by", "method"))
        n, refused = whole(figures.get("n")), sum(reasons.values())
        lines.append(Line((step, by, method, count(n), count(refused), why or NONE)))
        records.append({"step": step, "by": by, "method": method, "marked": n, "refused": refused, "reasons": why})
    names = ("Step", "Marked by", "Method", "Marked", "Refused", "Reasons")
    columns = tuple(Column(name, numeric=name in ("Marked", "Refused")) for name in names)
    return Table("saliency-steps", "Who marked the words, and what was refused.", columns, tuple(lines), tuple(records))


def agreement(saliency: Saliency) -> Table:
    """Rank correlations of the ways of attributing, as CSV alone: the figure shows them."""
    names, rows = correlations(saliency)
    records = [{"method": name, **dict(zip(names, row, strict=True))} for name, row in zip(names, rows, strict=True)]
    return Table("saliency-agreement", "", (), (), tuple(records))


def correlations(saliency: Saliency) -> tuple[list[str], list[list[float | None]]]:
    """(names, mean rank correlation of each two); empty when it was not measured or is no square."""
    figures = block(saliency.figures, "agreement")
    names = [str(name) for name in figures.get("names") or ()]
    rows = [[finite(value) for value in row] for row in figures.get("spearman") or ()]
    return (names, rows) if len(rows) == len(names) and all(len(row) == len(names) for row in rows) else ([], [])
