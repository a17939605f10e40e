"""The table: one row a method, its calibration before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...look.numbers import fixed, fraction, p_value, percent
from ...look.tables import NONE, Column, Line, Table
from ...results import Results
from .figures import Measured, Side

_ERROR = "Σ over ten bins of equally many answers of |accuracy - confidence|, weighted; in percentage points"
_COLUMNS = (
    Column("Method", numeric=False),
    Column("Temperature", title="By seed, fitted on dev questions; 1 leaves probabilities as they are"),
    Column("before", "Expected calibration error", title=_ERROR),
    Column("after", "Expected calibration error"),
    Column("by chance", "Expected calibration error", title="Of perfectly calibrated students with these confidences"),
    Column("p, calibrated", title="How often such a student shows an error as large as that after"),
    Column("before", "Brier score", title="Mean of (confidence - right)²; 0 is best"),
    Column("after", "Brier score"),
    Column("before", "Log loss", title="Mean of -log p of the right option; 0 is best"),
    Column("after", "Log loss"),
    Column("n", title="Test questions with a confidence"),
    Column("Without", title="Answers of all seeds without a confidence, such as unread ones"),
)


def table_of(results: Results, rows: Sequence[Measured]) -> Table:
    """The table; no line where nothing was measured."""
    caption = (
        "How far confidences can be believed, on the test questions. In brackets: 95 % bootstrap intervals over "
        "questions, and seeds where there are several; a row is the mean over its seeds."
    )
    lines = tuple(_line(results.label(entry.row), entry) for entry in rows)
    return Table("calibration", caption, _COLUMNS, lines, tuple(map(_record, rows)))


def _line(name: str, entry: Measured) -> Line:
    before, after = entry.before, entry.after
    known = [value for value in entry.temperatures if value is not None]
    last = after or before
    cells = (
        name,
        ", ".join(fixed(value, 2) for value in known) or NONE,
        percent(before.error.value),
        percent(after.error.value) if after else NONE,
        percent(last.error.noise),
        p_value(last.error.p),
        fraction(before.brier),
        fraction(after.brier) if after else NONE,
        fixed(before.log_loss, 2),
        fixed(after.log_loss, 2) if after else NONE,
        f"{before.error.n:,}",
        f"{entry.without:,}",
    )
    below = {place: _interval(side) for place, side in ((2, before), (3, after)) if side}
    return Line(cells, below, kind="" if entry.row.trained else "baseline", rank=entry.row.rank)


def _interval(side: Side) -> str:
    return f"{percent(side.error.low)} to {percent(side.error.high)}"


def _record(entry: Measured) -> dict[str, Any]:
    record: dict[str, Any] = {
        "method": entry.row.method,
        "student": entry.row.student,
        "seeds": entry.before.error.seeds,
        "n": entry.before.error.n,
        "without": entry.without,
        "dev_questions": entry.dev,
        "temperatures": " ".join("" if value is None else f"{value:.6g}" for value in entry.temperatures),
    }
    for name, side in (("before", entry.before), ("after", entry.after)):
        if side is None:
            continue
        error = side.error
        record |= {f"ece_{name}": error.value, f"ece_{name}_low": error.low, f"ece_{name}_high": error.high}
        record |= {f"ece_{name}_chance": error.noise, f"p_calibrated_{name}": error.p}
        record |= {f"brier_{name}": side.brier, f"log_loss_{name}": side.log_loss}
    if entry.gain:
        record |= {"ece_gain": entry.gain.value, "ece_gain_low": entry.gain.low, "ece_gain_high": entry.gain.high}
        record |= {"ece_gain_p": entry.gain.p, "ece_gain_p_holm": entry.adjusted}
    return record
