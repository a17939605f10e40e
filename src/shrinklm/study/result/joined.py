"""People's ratings beside what the runs say of the same conditions: accuracy, automatic measures, and judges held against people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import ShrinkError
from ...core.tables import read_file
from ...report.findings import Cell, read
from ...report.measures import ordered
from ...report.rated import RATED
from ...report.results import Results, Row, compare
from ..analysis.calibrate import calibrate
from ..analysis.ratings import ratings_of
from ..design.folder import Study
from ..design.pool import REFERENCE
from ..records.export import Rows

Json = dict[str, Any]
_Key = tuple[str, str, str]
"""(method, student, seed)."""
JUDGED = "judged.csv"
_MEASURES = (
    "accuracy",
    "f1",
    "cf_gain",
    "las",
    "simulatability",
    "supports_predicted",
    "leaks",
    "length",
    "rougeL",
    "similarity",
)
"""What stands in the table beside people's ratings; the run's own report has all of them."""


@dataclass
class Joined:
    """What the runs add."""

    methods: list[Json] = field(default_factory=list)
    """By condition: {condition, run, cell, measures: key → {value, low, high, n}, people: measure → {value, low, high, n}}."""
    columns: list[Json] = field(default_factory=list)
    """The automatic measures that any condition has: {key, name, title, share, digits}."""
    judge: list[Json] = field(default_factory=list)
    """By run: what `calibrate` finds, and the run's folder."""
    missing: list[str] = field(default_factory=list)
    """What could not be joined, and why."""


def joined(study: Study, rows: Rows, means: Mapping[str, Json], seed: int = 0) -> Joined:
    """Conditions beside their runs. A run that is not where it was is said to be missing, and the rest goes on."""
    found = Joined()
    runs: dict[Path, Results | None] = {}
    rated: dict[Path, dict[_Key, str]] = {}
    for name in study.design.conditions:
        origin = study.runs.get(name, {})
        folder, cell = Path(str(origin.get("run", ""))), str(origin.get("cell", ""))
        if folder not in runs:
            runs[folder] = _results(folder, found)
        row, here = _row(runs[folder], cell)
        if here is not None:
            rated.setdefault(folder, {})[here.method, here.student, str(here.seed)] = name
        elif runs[folder] is not None and cell != REFERENCE:
            found.missing.append(f"{folder} no longer has the cell {cell} of {name}.")
        people = means.get(name, {})
        found.methods.append(
            {"condition": name, "run": folder.name, "cell": cell, "measures": _measures(row), "people": people}
        )
    keys = {key for entry in found.methods for key in entry["measures"]}
    shown = ("key", "name", "title", "share", "digits")
    found.columns = [{name: getattr(one, name) for name in shown} for one in ordered(keys)]
    for folder, cells in rated.items():
        if study.form.kind == "rating" and (folder / JUDGED).is_file():
            _judge(study, rows, folder, cells, seed, found)
    return found


def _results(folder: Path, found: Joined) -> Results | None:
    try:
        return compare(read(folder))
    except ShrinkError as error:
        found.missing.append(f"The run {folder} cannot be read, so its own figures are missing here. {error}")
        return None


def _row(results: Results | None, name: str) -> tuple[Row | None, Cell | None]:
    """The method's row, over all of its seeds, and the cell whose explanations were rated."""
    for row in results.rows if results else ():
        for cell in row.cells:
            if cell.name == name:
                return row, cell
    return None, None


def _measures(row: Row | None) -> Json:
    if row is None:
        return {}
    shown = [key for key in _MEASURES if key in row.estimates] + [key for key in row.estimates if key.startswith(RATED)]
    found = {key: row.estimates[key] for key in shown}
    return {key: {"value": one.value, "low": one.low, "high": one.high, "n": one.n} for key, one in found.items()}


def _judge(study: Study, rows: Rows, folder: Path, cells: Mapping[_Key, str], seed: int, found: Joined) -> None:
    """Holds the judges of a run against the people of this study, over the cells that were rated."""
    try:
        judged = read_file(folder / JUDGED, JUDGED)
        titles = {name.lower(): name for name in judged.columns}
        shared = [name for name in study.form.constructs if name.lower() in titles]
        lines = []
        for place, row in judged.records(judged.columns):
            student = str(row["student"])
            label = cells.get((str(row["model"]).removesuffix(f" on {student}"), student, str(row["seed"])))
            if label is not None:
                given = {name: row[titles[name.lower()]] for name in shared}
                lines.append((place, {"model": label, "rater": row["rater"], "item": row["item"], **given}))
        if not shared or len({line["model"] for _, line in lines}) < 2:
            found.missing.append(
                f"The judges of {folder.name} rated fewer than two of these conditions on these constructs."
            )
            return
        scale = (1, len(study.form.scale.labels))
        judge = ratings_of(JUDGED, lines, "model", "rater", shared, (), None, "item", scale)
        own = [(f"{row['CASE']}, {row['rationale']}", row) for row in rows]
        people = ratings_of(study.home.name, own, "model", "CASE", shared, ["rationale_length"], None, "item", scale)
        found.judge.append({"run": folder.name, **calibrate(people, judge, "rationale_length", seed)})
    except (ShrinkError, KeyError) as error:
        found.missing.append(f"The judges of {folder.name} cannot be held against people: {error}")
