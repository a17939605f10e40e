"""The data of the browser: items and rows once, then the answers of each seed, parsed when that seed is picked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...findings import Cell, Item
from ...look.style import variable
from ...results import Results, Row

_MOST = 40_000_000
"""Characters of data on the page, about: a browser opens more than that slowly, or not at all."""
_MARKS = 60
"""Characters around the texts of an item or a line: keys, quotes, numbers."""


def answered(results: Results) -> list[Row]:
    """The rows that have predictions."""
    return [row for row in results.rows if any(cell.predictions for cell in row.cells)]


def seeds_of(results: Results) -> list[int]:
    """Seeds to pick from; an untrained student has none of its own and stands beside each."""
    cells = [cell for cell in results.findings.cells if cell.predictions]
    return sorted({cell.seed for cell in cells if cell.trained}) or sorted({cell.seed for cell in cells})


def shown(results: Results) -> range:
    """The places of the questions that the page shows: all, or of very many every second, third, ... one."""
    items = results.findings.items
    cells = [cell for row in answered(results) for cell in row.cells]
    whole = sum(map(_length, items)) + sum(
        _MARKS + len(said.answer or "") + len(said.explanation or "") + (len(said.raw) if said.answer is None else 0)
        for cell in cells
        for said in cell.predictions.values()
    )
    return range(0, len(items), max(1, -(-whole // _MOST)))


def _length(item: Item) -> int:
    texts = (item.id, item.question, item.answer, item.reference, item.teacher, *item.choices, *item.fields.values())
    return _MARKS + sum(map(len, texts))


def islands(results: Results, places: Sequence[int]) -> dict[str, Any]:
    """Name → JSON of the questions at `places`, with the keys that browse.js reads: "items" holds items and rows,
    "seed-N" the lines of each row."""
    rows = answered(results)
    about = [{"name": results.label(row), "shade": variable(row.rank), "trained": row.trained} for row in rows]
    data: dict[str, Any] = {
        "items": {"items": [_item(results.findings.items[place]) for place in places], "rows": about}
    }
    for seed in seeds_of(results):
        data[f"seed-{seed}"] = [_lines(results, row, seed, places) for row in rows]
    return data


def _item(item: Item) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": item.id,
        "q": item.question,
        "a": item.answer,
        "c": list(item.choices),
        "f": list(item.fields.items()),
    }
    if item.reference:
        entry |= {"r": item.reference, "w": item.teacher}
    return entry


def _lines(results: Results, row: Row, seed: int, places: Sequence[int]) -> list[Any] | None:
    """The line of each item; None where the row lacks the seed."""
    cell = next((cell for cell in row.cells if cell.seed == seed or not cell.trained), None)
    if cell is None or not cell.predictions:
        return None
    return [_line(cell, place, results.findings.items[place]) for place in places]


def _line(cell: Cell, index: int, item: Item) -> list[Any] | None:
    """[answer, right, explanation, whether that was cut], then raw text and reason where no answer was parsed.

    None for an unanswered item.
    """
    prediction = cell.predictions.get(item.id)
    if prediction is None:
        return None
    score = cell.scores["accuracy"][index] if "accuracy" in cell.scores else math.nan
    # The score knows further accepted answers; without one the answers are compared as they stand.
    right = prediction.answer == item.answer if math.isnan(score) else score >= 1
    line: list[Any] = [prediction.answer, int(right), prediction.explanation, int(prediction.explanation_cut)]
    return [*line, prediction.raw, prediction.unread or ""] if prediction.answer is None else line
