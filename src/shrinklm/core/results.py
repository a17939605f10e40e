"""The content of a run folder: the names of its files, and the tables of questions, predictions, scores and probes
(Parquet)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import StoreError
from .files import write_parquet, write_table
from .types import Example, Prediction, Score

if TYPE_CHECKING:
    from pyarrow import ChunkedArray


class RunFile(StrEnum):
    """The files and folders of a run folder."""

    RECIPE = "recipe.yaml"
    ENVIRONMENT = "env.json"
    DATA = "data.json"
    GENERATIONS = "generations.json"
    LABELS = "labels.jsonl"
    EXAMPLES = "examples.parquet"
    WEIGHTS = "weights"
    AUDIT = "audit.json"
    JUDGES = "judge.json"
    JUDGED = "judged.csv"
    SALIENCY = "saliency"
    TEACHER = "teacher"
    CELLS = "cells"
    CASCADE = "cascade.json"
    ESCALATED = "escalated.jsonl"
    REPORT = "report"
    REPORT_PAGE = "report.html"
    REPORT_TEXT = "report.md"
    DONE = "done"
    LOCK = ".lock"


class SaliencyFile(StrEnum):
    """The files of the folder about marked words."""

    ITEMS = "items.jsonl"
    FIGURES = "figures.json"


class CellFile(StrEnum):
    """The files and folders of a cell: one method, one student, one seed."""

    ABOUT = "cell.json"
    PAIRS = "pairs.jsonl"
    LOG = "train.jsonl"
    STUDENT = "student"
    STARTED = "started"
    CHECKPOINTS = "checkpoints"
    MICRO_BATCH = "micro_batch"
    PREDICTIONS = "predictions.parquet"
    PREDICTIONS_PART = "predictions.part"
    TIMING = "timing.json"
    DEV_PREDICTIONS = "dev_predictions.parquet"
    DEV_PREDICTIONS_PART = "dev_predictions.part"
    CALIBRATION = "calibration.json"
    LIKELIHOODS = "likelihoods.parquet"
    CASCADE = "cascade.json"
    SCORES = "scores.parquet"
    PROBES = "probes.parquet"
    SIMULATOR = "simulator.parquet"
    SIMULATOR_FOLDER = "simulator"
    SIMULATOR_PART = "simulator.part"


@dataclass(frozen=True)
class Probed:
    """A student's answer with another explanation, or another tag, in place of its own."""

    run: str
    example_id: str
    explanation: str
    """The explanation that it read; "" for none."""
    tag: str
    """The tag in place of its own; "" where that stayed."""
    answer: str | None
    key: str
    """Identifies the student's weights, questions and settings: under another key the answer is not used."""
    refusal: str | None = None
    """Why the student was not asked; None: it was."""


Row = TypeVar("Row", Prediction, Score, Probed)


def write_examples(tests: Sequence[Example], path: Path) -> None:
    """Writes the test questions, with the explanation that overlap is measured against and who wrote it."""
    import pyarrow as pa

    names = ("id", "question", "choices", "answer", "fields", "reference", "teacher")
    columns = {name: pa.list_(pa.string()) if name == "choices" else pa.string() for name in names}
    rows = [
        {
            "id": example.id,
            "question": example.question,
            "choices": list(example.choices),
            "answer": example.answer,
            "fields": json.dumps(dict(example.fields), ensure_ascii=False),
            "reference": example.meta["reference"],
            "teacher": example.meta["reference_by"],
        }
        for example in tests
    ]
    write_parquet(path, rows, columns)


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """Writes predictions.parquet whole or not at all."""
    import pyarrow as pa

    types = {"explanation_cut": "bool", "likelihoods": pa.list_(pa.float64()), "summed": "bool"}
    rows = list(predictions)
    # A column of the students alone that have it.
    _write(rows, path, Prediction, types, () if any(row.summed for row in rows) else ("summed",))


def read_predictions(path: Path) -> list[Prediction]:
    """What `write_predictions` wrote. Raises StoreError for another file."""
    return _read(path, Prediction)


def write_scores(scores: Iterable[Score], path: Path) -> None:
    """Writes scores.parquet whole or not at all."""
    _write(scores, path, Score, {"value": "float64"})


def read_scores(path: Path) -> list[Score]:
    """What `write_scores` wrote. Raises StoreError for another file."""
    return _read(path, Score)


def write_probes(probes: Iterable[Probed], path: Path) -> None:
    """Writes probes.parquet whole or not at all."""
    _write(probes, path, Probed, {})


def read_probes(path: Path) -> list[Probed]:
    """What `write_probes` wrote. Raises StoreError for another file."""
    return _read(path, Probed)


def with_tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its lists, as Parquet and JSON give them back, as the tuples that the records hold."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _write(
    rows: Iterable[Row], path: Path, kind: type[Row], types: Mapping[str, Any], without: Sequence[str] = ()
) -> None:
    import pyarrow as pa

    # Types are stated: a column of None alone, such as `rater`, would else have none.
    columns = {name: types.get(name, "string") for name in (field.name for field in fields(kind))}
    records = list(rows)
    # Column by column: a mapping for each row would take several times the memory of the records.
    schema = pa.schema([item for item in columns.items() if item[0] not in without])
    arrays = [pa.array([getattr(row, field.name) for row in records], field.type) for field in schema]
    write_table(path, pa.Table.from_arrays(arrays, schema=schema))


def _values(column: ChunkedArray) -> Iterator[Any]:
    """The values of a column, its lists as the tuples that the records hold."""
    values = column.to_pylist()
    return (tuple(value) if isinstance(value, list) else value for value in values)


def _read(path: Path, kind: type[Row]) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # What an earlier version wrote may lack a column that has a default.
        there = pq.read_schema(path).names
        names = [field.name for field in fields(kind) if field.default is MISSING or field.name in there]
        table = pq.read_table(path, columns=names)
        # By name: a file may hold its columns in another order.
        columns = [_values(table[name]) for name in names]
        return [kind(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    except FileNotFoundError:
        raise StoreError(f"No {path.name} in {path.parent}. Make it with: shrinklm evaluate RECIPE") from None
    except (OSError, LookupError, TypeError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read: {error}. Make it again with: shrinklm evaluate RECIPE") from error
