"""Every cell with its exposure, which a fair comparison needs equal, its training time and its score."""

from __future__ import annotations

from typing import Any

from ...findings import Cell
from ...look.numbers import count, duration, percent, plural, short
from ...look.tables import NONE, Column, Line, Table
from ...rated import Values
from ...results import Results

_EXPOSURE = ("examples_seen", "batch", "steps")
"""Numbers of cell.json that must be equal."""
_COLUMNS = (
    Column("Cell", numeric=False),
    Column("Seed"),
    Column("Examples"),
    Column("Batch"),
    Column("Micro-batch"),
    Column("Steps"),
    Column("Tokens"),
    Column("Pairs of each view", numeric=False),
    Column("Training time"),
    Column("Accuracy, %"),
)
_NUMBERS = (
    *("examples_seen", "batch", "micro_batch", "steps", "tokens_seen"),
    *("train_seconds", "parameters", "bytes", "latency_ms"),
)
"""Numbers of cell.json and timing.json that the CSV holds."""


def equal_exposure(results: Results) -> str:
    """Whether the trained cells saw as much, so that their methods can be compared."""
    trained = [cell for cell in results.findings.cells if cell.trained]
    if not trained:
        return "No student was trained."
    # A set: a cell that lacks a number differs from one that has it.
    exposures = {tuple(cell.number(key) for key in _EXPOSURE) for cell in trained}
    if len(exposures) > 1:
        return (
            f"Exposure was not equal: the {len(trained)} trained cells differ in examples seen, "
            "effective batch or steps."
        )
    examples, batch, steps = ("an unknown number of" if number is None else count(number) for number in exposures.pop())
    return (
        f"Every one of the {plural(len(trained), 'trained cell')} saw {examples} examples in {steps} optimizer steps "
        f"at an effective batch of {batch}. "
        "Memory changes only the micro-batch; tokens differ with what a method shows of an example."
    )


def cells_table(results: Results) -> Table:
    """Exposure, training time and score of every cell."""
    lines, records = [], []
    for row in results.rows:
        for cell in row.cells:
            scores = {name: _mean(values) for name, values in cell.scores.items()}
            lines.append(_line(cell, row.rank, scores.get(results.primary or "")))
            record = {
                "cell": cell.name,
                "method": cell.method,
                "student": cell.student,
                "seed": cell.seed,
                "diverged": cell.diverged,
            }
            records.append({**record, **{key: cell.number(key) for key in _NUMBERS}, **scores})
    caption = "Every cell: what it was shown, and what came of it."
    return Table("seeds", caption, _COLUMNS, tuple(lines), tuple(records))


def _line(cell: Cell, rank: int, score: float | None) -> Line:
    def number(key: str, show: Any = count) -> str:
        value = cell.number(key)
        return NONE if value is None or not cell.trained else show(value)

    pairs = cell.info.get("pairs") or {}
    state = "diverged" if cell.diverged else "" if cell.trained else "untrained"
    text = (
        f"{cell.method} on {cell.student}{f', {state}' if state else ''}",
        str(cell.seed) if cell.trained else NONE,
        *(number(key) for key in ("examples_seen", "batch", "micro_batch", "steps")),
        number("tokens_seen", short),
        ", ".join(f"{view} {count(pairs[view])}" for view in pairs) or NONE,
        number("train_seconds", duration),
        NONE if score is None else percent(score),
    )
    return Line(text, kind="baseline" if state == "untrained" else state, rank=rank)


def _mean(values: Values) -> float | None:
    scored = values[values == values]
    return float(scored.mean()) if scored.size else None
