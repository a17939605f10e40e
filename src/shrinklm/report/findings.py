"""A run folder → Findings: what happened, as typed records. Reads files only; no model, no printed text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..core.errors import StoreError
from ..core.types import SPLITS
from .rated import derived
from .sections.marked import Saliency, read_saliency

Json = dict[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Item:
    """One test question as it was asked."""

    id: str
    question: str
    choices: tuple[str, ...]
    answer: str
    fields: Mapping[str, str]
    reference: str
    """The explanation it is compared with; "" when there is none."""
    teacher: str
    """Who wrote the reference: a teacher's name, or "task"."""


@dataclass(frozen=True)
class Said:
    """What one student said about one question."""

    answer: str | None
    explanation: str | None
    """None: it was not asked to explain."""
    raw: str


@dataclass(frozen=True)
class Point:
    """One line of a training log."""

    examples: float
    values: Mapping[str, float]
    """loss, loss/VIEW, learning_rate, dev_accuracy ...; NaN where the log holds no finite number."""


@dataclass(frozen=True)
class Cell:
    """One student trained by one method from one seed, or asked untrained."""

    name: str
    method: str
    student: str
    seed: int
    info: Json
    """cell.json as it stands."""
    log: tuple[Point, ...]
    said: Mapping[str, Said]
    scores: Mapping[str, Values]
    """metric → [items], in the order of `Findings.items`; NaN = not scored."""
    timing: Json
    raters: tuple[str, ...] = ()
    """Who rated its explanations: judges or people. Their means are scores, such as "rated:completeness"."""

    @property
    def trained(self) -> bool:
        """False for a student that was asked before any training."""
        return bool(self.number("examples_seen") or self.number("steps"))

    @property
    def diverged(self) -> bool:
        """Its loss left the numbers. Still a result."""
        return bool(self.info.get("diverged"))

    def number(self, key: str) -> float | None:
        """A number of cell.json or timing.json; None when it is missing or not finite."""
        return finite(self.info.get(key, self.timing.get(key)))


@dataclass(frozen=True)
class Findings:
    """Everything a report says, before any statistics."""

    name: str
    recipe: Json
    recipe_text: str
    env: Json
    data: Json
    generations: Json
    items: tuple[Item, ...]
    cells: tuple[Cell, ...]
    """By size of the student, then in the recipe's order of methods, then by seed; untrained ones last."""
    gaps: tuple[str, ...] = field(default=())
    """What is missing in the folder, in sentences."""
    audit: Json = field(default_factory=dict)
    """What was found in the teacher's texts (audit.json); empty when nobody looked."""
    saliency: Saliency | None = None
    """The words that moved the answers; None when the run has no such folder."""

    @property
    def teacher(self) -> str:
        """Name of the teacher; "" when none was asked."""
        return str(self.generations.get("teacher") or _block(self.recipe, "teacher").get("use") or "")

    @property
    def task(self) -> str:
        """What the questions are called: the name in data.json, the folder of a user's file, or the task's name."""
        block = _block(self.recipe, "task")
        if name := self.data.get("task"):
            return str(name)
        if train := block.get("train"):
            parts = [part for part in str(train).split("/") if part not in ("", ".", "..")]
            stem = parts[-1].partition(".")[0]
            return parts[-2] if stem in SPLITS and len(parts) > 1 else stem
        return str(block.get("use") or self.name)


def finite(value: Any) -> float | None:
    """`value` as a number, or None when it is not a finite one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def read(folder: Path) -> Findings:
    """The findings of a run folder. Raises StoreError when it is no run folder, holds no cell, or a file of it is broken."""
    if not folder.is_dir():
        raise StoreError(f"There is no run folder {folder}. Make one with: shrinklm run recipe.yaml")
    homes = sorted(path.parent for path in (folder / "cells").glob("*/cell.json"))
    if not homes:
        raise StoreError(
            f"{folder} holds no trained cell (cells/*/cell.json), so there is nothing to report. Run: shrinklm train recipe.yaml"
        )
    recipe_text = _text(folder / "recipe.yaml")
    recipe = _yaml(recipe_text, folder / "recipe.yaml")
    rows = {home: _table(home / "predictions.parquet") for home in homes}
    items = _items(folder / "examples.parquet", rows.values())
    place = {item.id: index for index, item in enumerate(items)}
    cells = [_cell(home, rows[home], place) for home in homes]
    order = [str(name) for name in recipe.get("methods") or ()]

    def rank(cell: Cell) -> tuple[Any, ...]:
        known = order.index(cell.method) if cell.method in order else len(order)
        return (cell.number("parameters") or 0, cell.student, not cell.trained, known, cell.method, cell.seed)

    cells.sort(key=rank)
    data, generations = _json(folder / "data.json"), _json(folder / "generations.json")
    return Findings(
        name=str(recipe.get("name") or folder.name), recipe=recipe, recipe_text=recipe_text, env=_json(folder / "env.json"), data=data,
        generations=generations, items=items, cells=tuple(cells), gaps=tuple(_gaps(folder, items, cells, data)),
        saliency=read_saliency(folder), audit=_json(folder / "audit.json"),
    )  # fmt: skip


def _gaps(folder: Path, items: Sequence[Item], cells: Sequence[Cell], data: Json) -> list[str]:
    gaps = []
    if not (folder / "examples.parquet").is_file():
        gaps.append("examples.parquet is missing, so the test questions cannot be shown.")
    if not data:
        gaps.append("data.json is missing, so the majority and random baselines are unknown.")
    for cell in cells:
        if not cell.said:
            gaps.append(f"{cell.name} has no predictions: it is in the tables, without numbers about answers.")
        elif len(cell.said) < len(items):
            gaps.append(f"{cell.name} answered {len(cell.said):,} of {len(items):,} test questions.")
    silent = [cell.name for cell in cells if cell.trained and not cell.log]
    if silent:
        gaps.append(f"No training log (train.jsonl) for {', '.join(silent)}.")
    return gaps


def _cell(home: Path, rows: Sequence[Json], place: Mapping[str, int]) -> Cell:
    info = _json(home / "cell.json")
    parts = home.name.split("--")
    seed = finite(info.get("seed"))
    said = {
        str(row["example_id"]): Said(row.get("answer"), row.get("explanation"), row.get("raw") or "") for row in rows
    }
    scores: dict[str, Values] = {}
    rated: dict[str, dict[str, Values]] = {}
    for row in _table(home / "scores.parquet"):
        at, value = place.get(str(row["example_id"])), finite(row.get("value"))
        if at is not None and value is not None:
            given = scores if row.get("rater") is None else rated.setdefault(str(row["rater"]), {})
            given.setdefault(str(row["metric"]), np.full(len(place), np.nan))[at] = value
    return Cell(
        name=home.name, method=str(info.get("method") or parts[0]), student=str(info.get("student") or parts[len(parts) > 1]),
        seed=int(seed or 0), info=info, log=_log(home / "train.jsonl"), said=said, scores=scores | derived(scores, rated),
        timing=_json(home / "timing.json"), raters=tuple(sorted(rated)),
    )  # fmt: skip


def _items(path: Path, predictions: Iterable[Sequence[Json]]) -> tuple[Item, ...]:
    """The test questions; without their file, the ids that were answered."""
    if not path.is_file():
        ids = dict.fromkeys(str(row["example_id"]) for rows in predictions for row in rows)
        return tuple(Item(name, f"Question {name}", (), "", {}, "", "") for name in ids)
    found = []
    for row in _table(path):
        fields = row.get("fields") or {}
        fields = json.loads(fields) if isinstance(fields, str) else fields
        shown = {str(key): str(value) for key, value in dict(fields).items() if value is not None}
        choices = tuple(str(choice) for choice in row.get("choices") or ())
        reference, teacher = str(row.get("reference") or ""), str(row.get("teacher") or "")
        found.append(Item(str(row["id"]), str(row["question"]), choices, str(row["answer"]), shown, reference, teacher))
    return tuple(found)


def _log(path: Path) -> tuple[Point, ...]:
    """The lines of a training log. A last line cut by a kill is left out."""
    points = []
    for line in _text(path).splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        examples = finite(row.get("examples")) if isinstance(row, dict) else None
        if examples is not None:
            values = {key: math.nan if (number := finite(value)) is None else number for key, value in row.items()}
            points.append(Point(examples, values))
    return tuple(points)


def _block(recipe: Json, name: str) -> Json:
    block = recipe.get(name)
    return block if isinstance(block, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}. Check its permissions.") from error


def _json(path: Path) -> Json:
    text = _text(path)
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise StoreError(
            f"{path} is not JSON ({error}). Remove it and run the stage that writes it again: shrinklm run recipe.yaml"
        ) from error
    return value if isinstance(value, dict) else {}


def _yaml(text: str, path: Path) -> Json:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StoreError(f"{path} is not YAML ({error}). Copy the recipe there again.") from error
    return value if isinstance(value, dict) else {}


def _table(path: Path) -> list[Json]:
    if not path.is_file():
        return []
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[Json] = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{path} cannot be read as Parquet ({error}). Remove it and run: shrinklm evaluate recipe.yaml"
        ) from error
    return rows
