"""Everything that was measured, as one table."""

from __future__ import annotations

from ....stats import Estimate
from ...look.numbers import count, listing, percent
from ...look.tables import NONE, Column, Line, Table
from ...measures import UNSCORED, Group, Measure, measure_of, ordered
from ...results import Results, Row

_ARROWS = {"higher": " ↑", "lower": " ↓"}
_MAX_NAMES = 4
"""Raters that are named; more are counted."""


def measures_table(results: Results) -> Table:
    """Every measure that was scored, one row each, by group; one column a method, with the interval below."""
    rows = [row for row in results.rows if row.estimates]
    lines, records = [], []
    group: Group | None = None
    for measure in ordered({key for row in rows for key in row.estimates}):
        if measure.group != group:
            group = measure.group
            heading = f"{group.name}{f': {group.note}' if group.note else ''}"
            lines.append(Line((heading, *("",) * len(rows)), kind="group"))
        estimates = [row.estimates.get(measure.key) for row in rows]
        lines.append(_line(measure, rows, estimates))
        records += [
            _record(row, measure, estimate)
            for row, estimate in zip(rows, estimates, strict=True)
            if estimate is not None
        ]
    columns = (Column("Measure", numeric=False), *(Column(results.label(row)) for row in rows))
    return Table("measures", _caption(results, rows), columns, tuple(lines), tuple(records))


def _line(measure: Measure, rows: list[Row], estimates: list[Estimate | None]) -> Line:
    unit = f", {measure.unit}" if measure.share else ""
    cells = [f"{measure.name}{unit}{_ARROWS.get(measure.better, '')}"]
    below = {}
    for column, (row, estimate) in enumerate(zip(rows, estimates, strict=True), 1):
        cells.append(NONE if estimate is None else measure.show(estimate.value))
        if estimate is not None:
            lacking = percent(row.missing(measure.key))
            of = "" if not float(lacking) else f"; {lacking} % without"
            below[column] = f"{measure.between(estimate.low, estimate.high)}{of}"
    # The names of chance levels begin alike: see `measures`.
    return Line(tuple(cells), below, kind="chance" if measure.name.startswith(("the same", "both by")) else "")


def _caption(results: Results, rows: list[Row]) -> str:
    caption = (
        "Means with 95 % intervals below: bootstraps over questions, and seeds where there are several; Wilson's over "
        "the questions where a share is 0 or 100 %. "
        "↑ more is better, ↓ less is better, neither: it describes. A dash: not measured."
    )
    if any(row.missing(key) for row in rows for key in row.estimates):
        caption += (
            " Each measure is over the questions that every trained method has a score for; “without” is the share of "
            "questions that a method has none for and another has."
        )
        if counted := [measure_of(key).word for key in UNSCORED if any(row.missing(key) for row in rows)]:
            caption += f" In {listing(counted)} they count against it."
    caption = f"{caption} {_raters(results)}".rstrip()
    empty = [results.label(row) for row in rows if "simulatability" in row.estimates and "las" not in row.estimates]
    if empty:
        caption += (
            f" LAS has no value for {listing(empty)}: one of its groups, "
            "explanations that leak the answer and those that do not, is empty."
        )
    return caption


def _raters(results: Results) -> str:
    """The raters in a sentence; "" without any."""
    names = sorted({name for row in results.rows for cell in row.cells for name in cell.raters})
    if not names:
        return ""
    return f"Rated by {listing(names)}." if len(names) <= _MAX_NAMES else f"Rated by {count(len(names))} raters."


def _record(row: Row, measure: Measure, estimate: Estimate) -> dict[str, object]:
    return {
        "group": measure.group.name,
        "measure": measure.key,
        "method": row.method,
        "student": row.student,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "missing": row.missing(measure.key),
        "seeds": estimate.seeds,
    }
