"""Files of predictions and scores: Parquet, written whole or not at all; and the parts of an evaluation under way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from .errors import StoreError
from .types import Prediction, Score


@dataclass(frozen=True)
class Probed:
    """What a student answered when another explanation, or another tag, stood in the place of its own."""

    run: str
    example_id: str
    explanation: str
    """The explanation that it was given; "" for none."""
    tag: str
    """The tag in the place of its own; "" when that stayed."""
    answer: str | None
    key: str
    """What the student was when it was asked: its weights, its questions, its settings."""


Row = TypeVar("Row", Prediction, Score, Probed)


class Part:
    """The finished chunks of an evaluation under way: a first line that says what is asked, then a line for each chunk."""

    def __init__(self, path: Path, about: str) -> None:
        self.path = path
        self.chunks: list[dict[str, Any]] = []
        head = json.dumps({"asked": about}).encode() + b"\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            if lines[:1] != [head]:
                path.write_bytes(head)
                return
            whole = len(head)
            for line in lines[1:]:
                if not line.endswith(b"\n"):
                    break  # torn by a kill: that chunk is asked again
                self.chunks.append(json.loads(line))
                whole += len(line)
            os.truncate(path, whole)
        except (OSError, ValueError) as error:
            raise _unwritable(path, error) from error

    def add(self, chunk: dict[str, Any]) -> None:
        """Writes a finished chunk; it is on the disk when this returns."""
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(chunk).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.chunks.append(chunk)


def _unwritable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} cannot be used: {error}. Check that its folder can be written and has space (a broken file may be deleted), "
        "then run the same command again."
    )


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """Writes predictions.parquet whole or not at all."""
    _write(predictions, path, Prediction, {})


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


def _write(rows: Iterable[Row], path: Path, kind: type[Row], types: Mapping[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(field.name, types.get(field.name, "string")) for field in fields(kind)])
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), beside, compression="zstd")
        os.replace(beside, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _read(path: Path, kind: type[Row]) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, columns=[field.name for field in fields(kind)]).to_pylist()
        return [kind(**row) for row in rows]
    except FileNotFoundError:
        raise StoreError(f"No {path.name} in {path.parent}. Make it with: shrinklm evaluate RECIPE") from None
    except (OSError, TypeError, ValueError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} cannot be read: {error}. Delete it and make it again with: shrinklm evaluate RECIPE"
        ) from error
