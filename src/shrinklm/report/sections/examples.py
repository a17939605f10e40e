"""Three test questions that show how two methods differ: where both are right, where the other explains better, where the answers part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..findings import Cell, Item, Said
from ..look.tables import NONE
from ..measures import Measure
from ..results import Results, Row
from .decision import Decision

NUMBER = 3


@dataclass(frozen=True)
class Voice:
    """What one of the two said."""

    row: Row
    said: Said
    right: bool
    value: float
    """Of its explanation, by the measure that decides; NaN = not scored."""


@dataclass(frozen=True)
class Shown:
    """One question, and why it is here."""

    item: Item
    why: str
    voices: tuple[Voice, Voice]


def examples(results: Results, decision: Decision) -> list[Shown]:
    """Up to three questions, the same for equal results; none where there are no two methods to tell apart.

    The two are the ends of the front; where it has one method, that one and the best explaining of the others.
    """
    pair = _pair(decision)
    if pair is None:
        return []
    cells = _cells(*pair)
    if cells is None:
        return []
    axis = decision.axis
    found: list[tuple[int, tuple[Voice, Voice]]] = []
    for at, item in enumerate(results.findings.items):
        said = [cell.said.get(item.id) for cell in cells]
        if said[0] and said[1] and said[0].explanation is not None and said[1].explanation is not None:
            one, two = (
                _voice(row, cell, told, at, item, axis)
                for row, cell, told in zip(pair, cells, said, strict=True)
                if told
            )
            found.append((at, (one, two)))
    picked: dict[int, tuple[tuple[Voice, Voice], str]] = {}
    for fits, lead in _wanted(results, pair):
        best = max(
            (entry for entry in found if entry[0] not in picked and fits(*entry[1])),
            key=lambda entry: (lead(*entry[1]), -entry[0]),
            default=None,
        )
        if best is not None and len(picked) < NUMBER:
            picked[best[0]] = (best[1], _why(results, *best[1], axis))
    return [Shown(results.findings.items[at], why, voices) for at, (voices, why) in picked.items()]


def _pair(decision: Decision) -> tuple[Row, Row] | None:
    best, clearest = decision.front[0], decision.front[-1]
    if best is not clearest:
        return best, clearest
    others = [row for row in decision.rows if row is not best]
    key = decision.axis.key
    return (max(others, key=lambda row: row.estimates[key].value), best) if others else None


def _cells(first: Row, second: Row) -> tuple[Cell, Cell] | None:
    """The cells of the first seed that both have, else the first of each."""
    ours, theirs = ({cell.seed: cell for cell in row.cells if cell.said} for row in (first, second))
    if not ours or not theirs:
        return None
    seed = min(ours.keys() & theirs.keys(), default=None)
    return (ours[min(ours)], theirs[min(theirs)]) if seed is None else (ours[seed], theirs[seed])


def _voice(row: Row, cell: Cell, said: Said, at: int, item: Item, axis: Measure) -> Voice:
    values, scores = cell.scores.get(axis.key), cell.scores.get("accuracy")
    score = math.nan if scores is None else float(scores[at])
    right = said.answer == item.answer if math.isnan(score) else score >= 1
    return Voice(row, said, right, math.nan if values is None else float(values[at]))


Fits = Callable[[Voice, Voice], bool]
Lead = Callable[[Voice, Voice], float]


def _wanted(results: Results, pair: tuple[Row, Row]) -> list[tuple[Fits, Lead]]:
    """What is looked for, in order; the later ones fill up where the first three found nothing."""

    def gap(one: Voice, two: Voice) -> float:
        found = two.value - one.value
        return 0.0 if math.isnan(found) else found

    def differ(one: Voice, two: Voice) -> bool:
        return one.said.explanation != two.said.explanation

    return [
        (lambda one, two: one.right and two.right and gap(one, two) > 0, gap),
        (lambda one, two: one.right and two.right and gap(one, two) < 0, lambda one, two: -gap(one, two)),
        (lambda one, two: one.right != two.right, lambda one, two: abs(gap(one, two))),
        (lambda one, two: one.right != two.right and differ(one, two), lambda one, two: abs(gap(one, two))),
        (differ, lambda one, two: abs(gap(one, two))),
        (differ, lambda one, two: abs(gap(one, two))),
    ]


def _why(results: Results, one: Voice, two: Voice, axis: Measure) -> str:
    """What tells the two apart here."""
    if one.right == two.right:
        start = "Both are right" if one.right else "Both are wrong"
    else:
        start = f"{results.label((one if one.right else two).row)} is right, {results.label((two if one.right else one).row)} is not"
    if math.isnan(one.value) or math.isnan(two.value):
        return f"{start}."
    return f"{start}. {axis.name}: {axis.show(one.value)} against {axis.show(two.value)}."


def value(voice: Voice, axis: Measure) -> str:
    """The explanation's own score, as text."""
    return NONE if math.isnan(voice.value) else axis.show(voice.value)
