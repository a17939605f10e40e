"""People's ratings beside what the runs say of the same conditions: accuracy, automatic measures, and judges compared
with people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import ShrinkError
from ...core.results import RunFile
from ...core.tables import read_file
from ...report.findings import Cell, read
from ...report.measures import ordered
from ...report.rated import RATED
from ...report.results import Results, Row, compare
from ..analysis.calibration import calibrate
from ..analysis.ratings import ratings_of
from ..analysis.records import Estimate
from ..design.folder import Study
from ..design.pool import REFERENCE
from ..records.export import Rows
from .records import JudgedRun, Means, MeasureColumn, Method

_Key = tuple[str, str, str]
"""(method, student, seed)."""
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
"""The measures in the table beside people's ratings; the run's own report has all of them."""


@dataclass
class Joined:
    """What the runs add to a study's result."""

    methods: list[Method] = field(default_factory=list)
    columns: list[MeasureColumn] = field(default_factory=list)
    judge: list[JudgedRun] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be joined, and why."""


def join(study: Study, rows: Rows, means: Means, seed: int = 0) -> Joined:
    """Put the conditions beside their runs.

    A run that is not where it was is noted as missing, and the rest goes on.
    """
    joined = Joined()
    runs: dict[Path, Results | None] = {}
    rated: dict[Path, dict[_Key, str]] = {}
    for name in study.design.conditions:
        origin = study.runs.get(name, {})
        folder, cell_name = Path(str(origin.get("run", ""))), str(origin.get("cell", ""))
        if folder not in runs:  # conditions often share a run
            runs[folder] = _results(folder, joined)
        row, cell = _row(runs[folder], cell_name)
        if cell is not None:
            rated.setdefault(folder, {})[cell.method, cell.student, str(cell.seed)] = name
        elif runs[folder] is not None and cell_name != REFERENCE:
            joined.missing.append(f"{folder} no longer has the cell {cell_name} of {name}.")
        joined.methods.append(Method(name, folder.name, cell_name, _measures(row), means.get(name, {})))
    keys = {key for method in joined.methods for key in method.measures}
    joined.columns = [
        MeasureColumn(measure.key, measure.name, measure.title, measure.share, measure.digits)
        for measure in ordered(keys)
    ]
    for folder, conditions in rated.items():
        if study.form.kind == "rating" and (folder / RunFile.JUDGED).is_file():
            _judge(study, rows, folder, conditions, seed, joined)
    return joined


def _results(folder: Path, joined: Joined) -> Results | None:
    try:
        return compare(read(folder))
    except ShrinkError as error:
        joined.missing.append(f"The run {folder} cannot be read, so its own figures are missing here. {error}")
        return None


def _row(results: Results | None, name: str) -> tuple[Row | None, Cell | None]:
    """Return the method's row, over all of its seeds, and the cell whose explanations were rated."""
    for row in results.rows if results else ():
        for cell in row.cells:
            if cell.name == name:
                return row, cell
    return None, None


def _measures(row: Row | None) -> dict[str, Estimate]:
    if row is None:
        return {}
    keys = [key for key in _MEASURES if key in row.estimates] + [key for key in row.estimates if key.startswith(RATED)]
    estimates = {key: row.estimates[key] for key in keys}
    return {key: Estimate(entry.value, entry.low, entry.high, entry.n) for key, entry in estimates.items()}


def _judge(study: Study, rows: Rows, folder: Path, conditions: Mapping[_Key, str], seed: int, joined: Joined) -> None:
    """Compare the judges of a run with the people of this study, over the cells that were rated."""
    try:
        table = read_file(folder / RunFile.JUDGED, RunFile.JUDGED)
        # The judge's columns are in small letters or not, by how the recipe writes the constructs.
        columns = {name.lower(): name for name in table.columns}
        shared = [name for name in study.form.constructs if name.lower() in columns]
        lines = []
        for place, row in table.records(table.columns):
            student = str(row["student"])
            method = str(row["model"]).removesuffix(f" on {student}")
            condition = conditions.get((method, student, str(row["seed"])))
            if condition is not None:
                values = {name: row[columns[name.lower()]] for name in shared}
                lines.append((place, {"model": condition, "rater": row["rater"], "item": row["item"], **values}))
        if not shared or len({line["model"] for _, line in lines}) < 2:
            joined.missing.append(
                f"The judges of {folder.name} rated fewer than two of these conditions on these constructs."
            )
            return
        scale = (1, len(study.form.scale.labels))
        judge = ratings_of(RunFile.JUDGED, lines, "model", "rater", shared, (), None, "item", scale)
        places = [(f"{row['CASE']}, {row['rationale']}", row) for row in rows]
        people = ratings_of(study.home.name, places, "model", "CASE", shared, ["rationale_length"], None, "item", scale)
        joined.judge.append(JudgedRun(folder.name, calibrate(people, judge, "rationale_length", seed)))
    except (ShrinkError, KeyError) as error:
        joined.missing.append(f"The judges of {folder.name} cannot be held against people: {error}")
