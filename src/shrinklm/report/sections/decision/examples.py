"""Three test questions that show how two methods differ, in their explanations and in their answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ....core.types import Prediction
from ...findings import Cell, Item
from ...look.tables import NONE
from ...measures import Measure
from ...results import Results, Row
from .choice import Decision

_MAX_EXAMPLES = 3
"""Questions that are shown at most."""


@dataclass(frozen=True)
class Response:
    """The answer and explanation of one of the two methods."""

    row: Row
    prediction: Prediction
    right: bool
    value: float
    """The explanation's score by the measure that decides; NaN = not scored."""


Pair = tuple[Response, Response]


@dataclass(frozen=True)
class Contrast:
    """One question, and why it is shown."""

    item: Item
    why: str
    responses: Pair


def pick_examples(results: Results, decision: Decision) -> list[Contrast]:
    """Up to three questions, the same for equal results; none where there are no two methods to tell apart.

    The two are the ends of the front; where it has one method, that one and the best explaining of the others.
    """
    rows = _rows(decision)
    cells = _cells(*rows) if rows else None
    if rows is None or cells is None:
        return []
    candidates = dict[int, Pair]()
    for index, item in enumerate(results.findings.items):
        first, second = (
            _response(row, cell, index, item, decision.axis) for row, cell in zip(rows, cells, strict=True)
        )
        if first and second:
            candidates[index] = (first, second)
    picked: dict[int, Pair] = {}
    for fits, lead in _criteria():
        matches = [index for index, pair in candidates.items() if index not in picked and fits(*pair)]
        if matches and len(picked) < _MAX_EXAMPLES:
            # The largest lead; of equal ones the first question, so that equal results give equal examples.
            index = max(matches, key=lambda index: (lead(*candidates[index]), -index))
            picked[index] = candidates[index]
    items = results.findings.items
    return [Contrast(items[index], _why(results, *pair, decision.axis), pair) for index, pair in picked.items()]


def _rows(decision: Decision) -> tuple[Row, Row] | None:
    most_accurate, best_explaining = decision.front[0], decision.front[-1]
    if most_accurate is not best_explaining:
        return most_accurate, best_explaining
    others = [row for row in decision.rows if row is not most_accurate]
    key = decision.axis.key
    return (max(others, key=lambda row: row.estimates[key].value), most_accurate) if others else None


def _cells(first: Row, second: Row) -> tuple[Cell, Cell] | None:
    """The cells of the first seed that both have, else the first of each."""
    ours, theirs = ({cell.seed: cell for cell in row.cells if cell.predictions} for row in (first, second))
    if not ours or not theirs:
        return None
    # The same seed sees the same order of examples: the two differ in the method alone.
    seed = min(ours.keys() & theirs.keys(), default=None)
    return (ours[min(ours)], theirs[min(theirs)]) if seed is None else (ours[seed], theirs[seed])


def _response(row: Row, cell: Cell, index: int, item: Item, axis: Measure) -> Response | None:
    """The answer of a cell to the question at `index`; None without an answer or without an explanation."""
    prediction = cell.predictions.get(item.id)
    if prediction is None or prediction.explanation is None:
        return None
    values, scores = cell.scores.get(axis.key), cell.scores.get("accuracy")
    score = math.nan if scores is None else float(scores[index])
    right = prediction.answer == item.answer if math.isnan(score) else score >= 1
    return Response(row, prediction, right, math.nan if values is None else float(values[index]))


Fits = Callable[[Response, Response], bool]
Lead = Callable[[Response, Response], float]


def _criteria() -> list[tuple[Fits, Lead]]:
    """(condition, lead) of each question to pick: of those that fulfil the condition, the one with the largest lead.

    Both are right and the second explains better; both are right and the first does; their answers differ. The others
    fill up where one of these finds no question.
    """

    def gap(first: Response, second: Response) -> float:
        # Without both scores no gap is known; zero meets neither of the conditions on its sign.
        difference = second.value - first.value
        return 0.0 if math.isnan(difference) else difference

    def width(first: Response, second: Response) -> float:
        return abs(gap(first, second))

    def differ(first: Response, second: Response) -> bool:
        return first.prediction.explanation != second.prediction.explanation

    return [
        (lambda first, second: first.right and second.right and gap(first, second) > 0, gap),
        (
            lambda first, second: first.right and second.right and gap(first, second) < 0,
            lambda first, second: -gap(first, second),
        ),
        (lambda first, second: first.right != second.right, width),
        # From here on they fill up. Two equal explanations would show no difference.
        (lambda first, second: first.right != second.right and differ(first, second), width),
        (differ, width),
        (differ, width),
    ]


def _why(results: Results, first: Response, second: Response, axis: Measure) -> str:
    """The sentence on how the two differ at this question."""
    if first.right == second.right:
        start = "Both are right" if first.right else "Both are wrong"
    else:
        right, wrong = (first, second) if first.right else (second, first)
        start = f"{results.label(right.row)} is right, {results.label(wrong.row)} is not"
    if math.isnan(first.value) or math.isnan(second.value):
        return f"{start}."
    return f"{start}. {axis.name}: {axis.show(first.value)} against {axis.show(second.value)}."


def score(response: Response, axis: Measure) -> str:
    """The explanation's own score, as text."""
    return NONE if math.isnan(response.value) else axis.show(response.value)
