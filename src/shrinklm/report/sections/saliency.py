"""The report's section about marked words: its figures, its tables, and what its picker of items reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...stats import Estimate
from ..look.tables import NONE, Column, Line, Table
from ..look.words import DASH, MINUS, count, percent
from .marked import Saliency, block, number, pieces

CHANCE_STEP = "random-tokens"
"""The step that stands for chance where no expectation can be computed."""


def nats(value: float) -> str:
    """0.4917 → "0.49"."""
    return f"{value:.2f}".replace("-", MINUS) if abs(value) >= 0.005 else "0.00"


@dataclass(frozen=True)
class Measure:
    """One figure of the section."""

    key: str
    name: str
    group: str
    title: str
    show: Callable[[float], str] = percent


_GOLD, _PEOPLE, _ERASED = "In gold option, %", "Human highlights, %", "Erasure, nats"
MEASURES = (
    Measure("gold_hit", "Any kept", _GOLD, "Items where at least one kept word is a word of the gold option"),
    Measure("gold_hit_top1", "Best word", _GOLD, "Items where the content word with the highest score is a word of the gold option"),
    Measure("precision", "Precision", _PEOPLE, "Kept words of the question that people marked too"),
    Measure("recall", "Recall", _PEOPLE, "Words that people marked and that are kept"),
    Measure("f1", "F1", _PEOPLE, "Of precision and recall, item by item"),
    Measure("auprc", "AUPRC", _PEOPLE, "Average precision of the scores, whatever number of words is kept"),
    Measure("comprehensiveness", "Comprehensiveness", _ERASED, "Nats of log p lost without the kept words; more is better", nats),
    Measure("sufficiency", "Sufficiency", _ERASED, "Nats of log p lost with the kept words alone; less is better", nats),
)  # fmt: skip

BY_KEY = {measure.key: measure for measure in MEASURES}


def measured(found: Saliency) -> list[Measure]:
    """The figures that at least one step has."""
    return [measure for measure in MEASURES if any(found.estimate(step, measure.key) for step in found.steps)]


def keeps(found: Saliency) -> str:
    """How many words are kept: "5 words", "1 word", "30 % of the content words"."""
    top = number(block(found.figures, "keep").get("top"))
    if top is None:
        return "words"
    return f"{100 * top:g} % of the content words" if top < 1 else "1 word" if top == 1 else f"{top:g} words"


def table(found: Saliency, ranks: Mapping[str, int]) -> Table:
    """One row a way of marking, then chance. `ranks`: the place of a method of that name, for its colour."""
    shown = measured(found)
    if not shown:
        return Table("saliency", "", (), ())
    columns = (Column("Words marked by", numeric=False), *(Column(m.name, m.group, title=m.title) for m in shown))
    lines, records = [], []
    for step, about in found.steps.items():
        record: dict[str, Any] = {
            "step": step,
            "by": about.get("by"),
            "method": about.get("method"),
            "n": about.get("n"),
        }
        cells, below = [step], {}
        for place, measure in enumerate(shown, 1):
            got = found.estimate(step, measure.key)
            cells.append(NONE if got is None else measure.show(got.value))
            if got is not None:
                below[place] = f"{measure.show(got.low)}{_between(measure)}{measure.show(got.high)}"
                key = measure.key
                record |= {key: got.value, f"{key}_low": got.low, f"{key}_high": got.high, f"{key}_n": got.n}
                record[f"{key}_chance"] = found.chance(key)
        lines.append(Line(tuple(cells), below, rank=ranks.get(step)))
        records.append(record)
    chances = [found.chance(measure.key) for measure in shown]
    shares = (NONE if chance is None else m.show(chance) for m, chance in zip(shown, chances, strict=True))
    lines.append(Line((f"Chance: {keeps(found)} at random", *shares), kind="baseline"))
    records.append(
        {"step": "chance"} | {m.key: chance for m, chance in zip(shown, chances, strict=True) if chance is not None}
    )
    erasure = ""
    if any(m.key in ("comprehensiveness", "sufficiency") for m in shown):
        erasure = f" {erasure_chance(found)}"
    caption = (
        f"What the kept words are worth ({keeps(found)} of each of {count(number(found.figures.get('n')) or 0)} items of the "
        f"{found.figures.get('split') or 'train'} split), with 95 % bootstrap intervals over items below. Last row: the exact expectation "
        f"for as many different content words of the same items, drawn at random.{erasure} Of two steps one is called better only where "
        "their intervals do not overlap."
    )
    return Table("saliency", caption, columns, tuple(lines), tuple(records))


def refused(found: Saliency) -> Table:
    """Who marked, how many items, and how many were refused and why."""
    lines, records = [], []
    for step, about in found.steps.items():
        reasons = {str(reason): int(number(times) or 0) for reason, times in block(about, "refused").items()}
        why = "; ".join(
            f"{reason}: {count(times)}"
            for reason, times in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        )
        by, way, n = str(about.get("by") or NONE), str(about.get("method") or NONE), int(number(about.get("n")) or 0)
        lines.append(Line((step, by, way, count(n), count(sum(reasons.values())), why or NONE)))
        records.append(
            {"step": step, "by": by, "method": way, "marked": n, "refused": sum(reasons.values()), "reasons": why}
        )
    names = ("Step", "Marked by", "Method", "Marked", "Refused", "Reasons")
    columns = tuple(Column(name, numeric=name in ("Marked", "Refused")) for name in names)
    return Table("saliency-steps", "Who marked the words, and what was refused.", columns, tuple(lines), tuple(records))


def agreement(found: Saliency) -> Table:
    """Rank correlations of the ways to attribute, for machines: the figure shows them."""
    names, rows = matrix(found)
    records = [{"method": name, **dict(zip(names, row, strict=True))} for name, row in zip(names, rows, strict=True)]
    return Table("saliency-agreement", "", (), (), tuple(records))


def matrix(found: Saliency) -> tuple[list[str], list[list[float | None]]]:
    """(names, mean rank correlation of each two); empty when it was not measured or is no square."""
    about = block(found.figures, "agreement")
    names = [str(name) for name in about.get("names") or ()]
    rows = [[number(value) for value in row] for row in about.get("spearman") or ()]
    return (names, rows) if len(rows) == len(names) and all(len(row) == len(names) for row in rows) else ([], [])


def island(found: Saliency) -> dict[str, Any]:
    """What the page's picker reads: each item's text cut at its words, and for each step the words' shares (per mille) and the kept places.

    The kept places come with their shares in percent.
    """
    steps = list(found.steps)
    steps += sorted({marks.step for item in found.items for marks in item.markings} - set(steps))
    items = []
    for item in found.items:
        cuts: list[list[str]] = []
        rows = []
        for marks in item.markings:
            cut = pieces(item.text, marks.spans)
            if cut not in cuts:
                cuts.append(cut)
            rows.append(
                [
                    steps.index(marks.step),
                    cuts.index(cut),
                    [round(1000 * score) for score in marks.scores],
                    [[at, round(100 * marks.scores[at])] for at in marks.kept],
                ]
            )
        items.append({"id": item.id, "a": item.answer, "p": cuts, "m": rows})
    return {"steps": [{"name": step, "about": _about(found, step)} for step in steps], "items": items}


def picked(found: Saliency) -> str:
    """What the picker holds, and where the rest is."""
    legend = (
        "The stronger a word's colour, the larger its share of the step's scores in this item. Underlined words are kept; "
        "words such as “the” or “what” never are."
    )
    if found.total <= len(found.items):
        return legend
    return (
        f"{legend} The page holds the first {count(len(found.items))} of {count(found.total)} items; any other: "
        "shrinklm explain-saliency RUN --item ID."
    )


def estimates(found: Saliency, key: str) -> dict[str, Estimate]:
    """A figure of every step that has it."""
    return {step: got for step in found.steps if (got := found.estimate(step, key)) is not None}


def erasure_chance(found: Saliency) -> str:
    """What stands for chance where words are erased."""
    if found.estimate(CHANCE_STEP, "comprehensiveness") or found.estimate(CHANCE_STEP, "sufficiency"):
        return f"For erasure chance is what {CHANCE_STEP} has."
    return f"For erasure the chance level is not known: there is no step {CHANCE_STEP}."


def rho(value: float) -> str:
    """A correlation, with a true minus."""
    return f"{value:.2f}".replace("-", MINUS)


def _about(found: Saliency, step: str) -> str:
    about = found.steps.get(step, {})
    return ", ".join(str(about[key]) for key in ("by", "method") if about.get(key))


def _between(measure: Measure) -> str:
    return " to " if measure.show is nats else DASH  # a dash before a minus reads badly
