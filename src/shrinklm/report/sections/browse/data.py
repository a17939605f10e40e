"""The data of the browser: items and rows once, then the answers of each seed, parsed when that seed is picked."""

from __future__ import annotations

import math
from typing import Any

from ...findings import Cell, Item
from ...look.style import variable
from ...results import Results, Row


def answered(results: Results) -> list[Row]:
    """The rows that have predictions."""
    return [row for row in results.rows if any(cell.predictions for cell in row.cells)]


def seeds_of(results: Results) -> list[int]:
    """Seeds to pick from; an untrained student has none of its own and stands beside each."""
    cells = [cell for cell in results.findings.cells if cell.predictions]
    return sorted({cell.seed for cell in cells if cell.trained}) or sorted({cell.seed for cell in cells})


def islands(results: Results) -> dict[str, Any]:
    """Name → JSON, with the keys that browse.js reads: "items" holds items and rows, "seed-N" the lines of each row."""
    rows = answered(results)
    about = [{"name": results.label(row), "shade": variable(row.rank), "trained": row.trained} for row in rows]
    data: dict[str, Any] = {"items": {"items": [_item(item) for item in results.findings.items], "rows": about}}
    for seed in seeds_of(results):
        data[f"seed-{seed}"] = [_lines(results, row, seed) for row in rows]
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


def _lines(results: Results, row: Row, seed: int) -> list[Any] | None:
    """The line of each item; None where the row lacks the seed."""
    cell = next((cell for cell in row.cells if cell.seed == seed or not cell.trained), None)
    if cell is None or not cell.predictions:
        return None
    return [_line(cell, index, item) for index, item in enumerate(results.findings.items)]


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
