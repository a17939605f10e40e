"""The table: one row a method, its threshold, and the cascade beside never and always asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...look.numbers import fixed, fraction, p_value, percent, points
from ...look.tables import NONE, Column, Line, Table
from ...results import Results
from .figures import Passing

_COLUMNS = (
    Column("Method", numeric=False),
    Column("Threshold", title="By seed: answers with at least this confidence are kept; picked on dev questions"),
    Column("Passed on, %", title="Of the test questions"),
    Column("Kept, right, %", title="Accuracy among the answers kept, with its 95 % interval"),
    Column(
        "Promised, %", title="On dev, by seed: at least so many of the kept are right, or at most so many passed on"
    ),
    Column("never", "Accuracy, %", title="The student alone"),
    Column("cascade", "Accuracy, %"),
    Column("always", "Accuracy, %", title="The teacher alone"),
    Column("over never", "Cascade", title="Difference in percentage points, with its 95 % interval"),
    Column("p, Holm", "Cascade", title="Of the difference over never, adjusted over the rows"),
    Column("over always", "Cascade", title="Difference in percentage points, with its 95 % interval"),
    Column("p, Holm", "Cascade", title="Of the difference over always, adjusted over the rows"),
    Column("Cost", title="Of the questions passed on: dollars for 1,000 questions, or tokens for one"),
)


def table_of(results: Results, rows: Sequence[Passing]) -> Table:
    """The table; no line where there is no cascade."""
    caption = (
        "Students that keep their sure answers, on the test questions. "
        + ("The rest goes to the teacher." if any(entry.teacher for entry in rows) else "The rest is withheld.")
        + " Intervals are bootstraps over questions, and seeds where there are several."
    )
    lines = tuple(_line(results.label(entry.row), entry) for entry in rows)
    return Table("cascade", caption, _COLUMNS, lines, tuple(_record(entry) for entry in rows))


def _line(name: str, entry: Passing) -> Line:
    cells = [name, *[NONE] * (len(_COLUMNS) - 1)]
    below: dict[int, str] = {}
    cells[5] = percent(float(entry.right.mean()))
    if entry.teacher is not None:
        cells[7] = percent(float(entry.teacher.right.mean()))
    if entry.thresholds is not None:
        cells[1] = ", ".join("none" if value is None else fraction(value) for value in entry.thresholds)
        cells[2] = percent(1 - float(entry.kept.mean()))
        cells[4] = ", ".join(map(percent, entry.bounds)) or NONE
    if entry.selected is not None:
        cells[3] = percent(entry.selected.value)
        below[3] = f"{percent(entry.selected.low)} to {percent(entry.selected.high)}"
    if entry.answered is not None:
        cells[6] = percent(float(entry.answered.mean()))
    for place, key in ((8, "never"), (10, "always")):
        if (comparison := entry.compared.get(key)) is not None:
            cells[place] = points(comparison.difference)
            below[place] = f"{points(comparison.low)} to {points(comparison.high)}"
            cells[place + 1] = p_value(entry.adjusted[key])
    if entry.cost is not None:
        cells[12] = fixed(entry.cost, 2)
    return Line(tuple(cells), below, rank=entry.row.rank)


def _record(entry: Passing) -> dict[str, Any]:
    record: dict[str, Any] = {
        "method": entry.row.method,
        "student": entry.row.student,
        "seeds": len(entry.right),
        "n": entry.right.shape[1],
        "never": float(entry.right.mean()),
    }
    if entry.thresholds is not None:
        record |= {
            "thresholds": " ".join("none" if value is None else f"{value:.6g}" for value in entry.thresholds),
            "passed_on": 1 - float(entry.kept.mean()),
            "promised": " ".join(f"{bound:.6g}" for bound in entry.bounds),
        }
    if entry.selected is not None:
        record |= {"kept_right": entry.selected.value, "kept_right_low": entry.selected.low}
        record |= {"kept_right_high": entry.selected.high}
    if entry.teacher is not None:
        record |= {"teacher": entry.teacher.name, "always": float(entry.teacher.right.mean())}
        if entry.teacher.price is not None:
            each, unit, factor = entry.teacher.price
            record |= {"cost_unit": unit, "cost_always": float(factor * each.mean()), "cost": entry.cost}
    if entry.answered is not None:
        record["cascade"] = float(entry.answered.mean())
    for key, comparison in entry.compared.items():
        record |= {f"over_{key}": comparison.difference, f"over_{key}_low": comparison.low}
        record |= {f"over_{key}_high": comparison.high, f"over_{key}_p": comparison.p}
        record[f"over_{key}_p_holm"] = entry.adjusted[key]
    return record
