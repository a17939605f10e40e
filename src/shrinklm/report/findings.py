"""A run folder → Findings: the files of a run as typed records. Reads files only; no model, no printed text."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..core.errors import StoreError
from ..core.results import CellFile, RunFile
from ..core.trust import trusted
from ..core.types import SPLITS, Prediction
from .fields import Json, block, finite
from .marks import Saliency, read_saliency
from .rated import Values, derived

_ROWS = 10_000
"""Rows of a table in memory at a time."""


@dataclass(frozen=True)
class Item:
    """One test question."""

    id: str
    question: str
    choices: tuple[str, ...]
    answer: str
    fields: Mapping[str, str]
    reference: str
    """The explanation it is compared with; "" when there is none."""
    teacher: str
    """The author of the reference: a teacher's name, or "task"."""


@dataclass(frozen=True)
class Point:
    """One line of a training log."""

    examples: float
    values: Mapping[str, float]
    """loss, loss/VIEW, learning_rate, dev_accuracy ...; NaN where the log holds no finite number."""


@dataclass(frozen=True)
class Cell:
    """One student trained by one method from one seed, or evaluated untrained."""

    name: str
    method: str
    student: str
    seed: int
    info: Json
    """cell.json as it stands."""
    log: tuple[Point, ...]
    predictions: Mapping[str, Prediction]
    """By the id of the test question."""
    scores: Mapping[str, Values]
    """metric → [items], in the order of `Findings.items`; NaN = not scored."""
    timing: Json
    calibration: Json = field(default_factory=dict)
    """calibration.json as it stands; empty where probabilities were not calibrated."""
    cascade: Json = field(default_factory=dict)
    """Its cascade.json: the threshold on its confidence; empty where none was picked."""
    raters: tuple[str, ...] = ()
    """The judges or people who rated its explanations. Their means are scores, such as "rated:completeness"."""

    @property
    def trained(self) -> bool:
        """False for a student that was evaluated before any training."""
        return bool(self.number("examples_seen") or self.number("steps"))

    @property
    def diverged(self) -> bool:
        """Whether its loss became non-finite. It is a result like any other."""
        return bool(self.info.get("diverged"))

    def number(self, key: str) -> float | None:
        """A number of cell.json or timing.json; None when it is missing or not finite."""
        return finite(self.info.get(key, self.timing.get(key)))


@dataclass(frozen=True)
class Findings:
    """Everything that a report is made from, before any statistics."""

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
    """audit.json as it stands: figures about the teacher's texts; empty when no audit was made."""
    weights: Mapping[str, Json] = field(default_factory=dict)
    """The summaries in the folder `weights`, by name: what the weights of samples come to."""
    passed: Json = field(default_factory=dict)
    """The run's cascade.json: the teacher's answers to the test questions; empty where it was not asked."""
    saliency: Saliency | None = None
    """The words that moved the answers; None when the run has no such folder."""
    trusted: bool = True
    """Whether code that its recipe names may run: the folder may be anybody's."""

    @property
    def teacher(self) -> str:
        """Name of the teacher; "" for a run without one."""
        return str(self.generations.get("teacher") or block(self.recipe, "teacher").get("use") or "")

    @property
    def task(self) -> str:
        """The name of the questions: the one in data.json, the folder or name of a user's file, or the task's name."""
        task = block(self.recipe, "task")
        if name := self.data.get("task"):
            return str(name)
        if train := task.get("train"):
            parts = [part for part in str(train).split("/") if part not in ("", ".", "..")]
            # "data/csqa/train.parquet" says the task in the folder's name, "csqa.parquet" in the file's.
            stem = parts[-1].partition(".")[0]
            return parts[-2] if stem in SPLITS and len(parts) > 1 else stem
        return str(task.get("use") or self.name)


def read(folder: Path) -> Findings:
    """Read a run folder. Raises StoreError when it is no run folder, holds no cell, or a file of it is broken."""
    if not folder.is_dir():
        raise StoreError(f"There is no run folder {folder}. Make one with: shrinklm run recipe.yaml")
    homes = sorted(path.parent for path in (folder / RunFile.CELLS).glob(f"*/{CellFile.ABOUT}"))
    if not homes:
        raise StoreError(
            f"{folder} holds no trained cell (cells/*/cell.json), so there is nothing to report. "
            "Run: shrinklm train recipe.yaml"
        )
    recipe_text = _text(folder / RunFile.RECIPE)
    recipe = _yaml(recipe_text, folder / RunFile.RECIPE)
    items = _items(folder / RunFile.EXAMPLES, (_table(home / CellFile.PREDICTIONS) for home in homes))
    index = {item.id: position for position, item in enumerate(items)}
    cells = [_cell(home, index) for home in homes]
    # As the recipe lists the methods, a reader expects them; sizes of students come first, so that each is a block.
    order = [str(name) for name in recipe.get("methods") or ()]

    def rank(cell: Cell) -> tuple[Any, ...]:
        known = order.index(cell.method) if cell.method in order else len(order)
        return (cell.number("parameters") or 0, cell.student, not cell.trained, known, cell.method, cell.seed)

    cells.sort(key=rank)
    data, generations = _json(folder / RunFile.DATA), _json(folder / RunFile.GENERATIONS)
    return Findings(
        name=str(recipe.get("name") or folder.name),
        recipe=recipe,
        recipe_text=recipe_text,
        env=_json(folder / RunFile.ENVIRONMENT),
        data=data,
        generations=generations,
        items=items,
        cells=tuple(cells),
        gaps=tuple(_gaps(folder, items, cells, data)),
        audit=_json(folder / RunFile.AUDIT),
        weights={path.stem: _json(path) for path in sorted((folder / RunFile.WEIGHTS).glob("*.json"))},
        passed=_json(folder / RunFile.CASCADE),
        saliency=read_saliency(folder),
        trusted=trusted(folder / RunFile.RECIPE),
    )


def _gaps(folder: Path, items: Sequence[Item], cells: Sequence[Cell], data: Json) -> list[str]:
    gaps = []
    if not (folder / RunFile.EXAMPLES).is_file():
        gaps.append("examples.parquet is missing, so the test questions cannot be shown.")
    if not data:
        gaps.append("data.json is missing, so the majority and random baselines are unknown.")
    for cell in cells:
        if not cell.predictions:
            gaps.append(f"{cell.name} has no predictions: it is in the tables, without numbers about answers.")
        elif len(cell.predictions) < len(items):
            gaps.append(f"{cell.name} answered {len(cell.predictions):,} of {len(items):,} test questions.")
        # By reason, since each of them counts as wrong.
        for reason, count in Counter(one.refusal for one in cell.predictions.values() if one.refusal).items():
            of = f"{count:,} of {len(items):,} test questions"
            gaps.append(f"{cell.name} was not asked {of} ({reason}); they count as wrong.")
    # One sentence for all of them: where logs were not kept, no cell has one.
    silent = [cell.name for cell in cells if cell.trained and not cell.log]
    if silent:
        gaps.append(f"No training log (train.jsonl) for {', '.join(silent)}.")
    return gaps


def _cell(home: Path, index: Mapping[str, int]) -> Cell:
    """One folder of `cells`; `index` is the position of each test question by its id."""
    info = _json(home / CellFile.ABOUT)
    parts = home.name.split("--")  # METHOD--STUDENT--SEED, for a cell.json that lacks the names
    seed = finite(info.get("seed"))
    # Predictions of an earlier version hold no likelihoods: these may stand in a file of their own.
    added = {row["example_id"]: row["likelihoods"] for row in _table(home / CellFile.LIKELIHOODS)}
    predictions = {
        str(row["example_id"]): _prediction(home.name, {"likelihoods": added.get(row["example_id"]), **row})
        for row in _table(home / CellFile.PREDICTIONS)
    }
    metrics, ratings = _scores(home / CellFile.SCORES, index)
    return Cell(
        name=home.name,
        method=str(info.get("method") or parts[0]),
        student=str(info.get("student") or parts[len(parts) > 1]),
        seed=int(seed or 0),
        info=info,
        log=_log(home / CellFile.LOG),
        predictions=predictions,
        scores=metrics | derived(metrics, ratings),
        timing=_json(home / CellFile.TIMING),
        calibration=_json(home / CellFile.CALIBRATION),
        cascade=_json(home / CellFile.CASCADE),
        raters=tuple(sorted(ratings)),
    )


def _scores(path: Path, index: Mapping[str, int]) -> tuple[dict[str, Values], dict[str, dict[str, Values]]]:
    """(metric → [items], rater → metric → [items]); NaN where nothing was scored."""
    metrics: dict[str, Values] = {}
    ratings: dict[str, dict[str, Values]] = {}
    positions: dict[Any, int | None] = {}  # there are many scores of each question
    for row in _table(path):
        example, value = row["example_id"], row.get("value")
        if example not in positions:
            positions[example] = index.get(str(example))
        position = positions[example]
        value = value if type(value) is float and math.isfinite(value) else finite(value)
        if position is None or value is None:
            continue
        # A rater's score of, say, "length" must not overwrite the metric of that name.
        rater, metric = row.get("rater"), str(row["metric"])
        scores = metrics if rater is None else ratings.setdefault(str(rater), {})
        if metric not in scores:  # a column is made once for each, and not for each of a million scores
            scores[metric] = np.full(len(index), np.nan)
        scores[metric][position] = value
    return metrics, ratings


def _prediction(cell: str, row: Json) -> Prediction:
    """A row of predictions.parquet, which another tool may have written without all of the columns."""
    names = ("answer", "explanation", "raw", "likeliest", "refusal", "unread")
    known: dict[str, Any] = {name: row.get(name) for name in names}
    known |= {"raw": known["raw"] or "", "explanation_cut": bool(row.get("explanation_cut"))}
    known |= {"likelihoods": tuple(row.get("likelihoods") or ()), "summed": bool(row.get("summed"))}
    return Prediction(cell, str(row["example_id"]), **known)


def _items(path: Path, predictions: Iterable[Iterable[Json]]) -> tuple[Item, ...]:
    """The test questions; without their file, the ids that were answered."""
    if not path.is_file():
        ids = dict.fromkeys(str(row["example_id"]) for rows in predictions for row in rows)
        return tuple(Item(name, f"Question {name}", (), "", {}, "", "") for name in ids)
    return tuple(map(_item, _table(path)))


def _item(row: Json) -> Item:
    fields = row.get("fields") or {}
    # Runs write JSON. A Parquet mapping, from another tool, holds None for the keys of other rows.
    fields = json.loads(fields) if isinstance(fields, str) else fields
    return Item(
        id=str(row["id"]),
        question=str(row["question"]),
        choices=tuple(str(choice) for choice in row.get("choices") or ()),
        answer=str(row["answer"]),
        fields={str(key): str(value) for key, value in dict(fields).items() if value is not None},
        reference=str(row.get("reference") or ""),
        teacher=str(row.get("teacher") or ""),
    )


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


def _table(path: Path) -> Iterator[Json]:
    """The rows, of which some thousands are in memory at a time: a score each would take a gigabyte for a million."""
    if not path.is_file():
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{path} cannot be read as Parquet ({error}). Remove it and run: shrinklm evaluate recipe.yaml"
        ) from error
