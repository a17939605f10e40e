"""The students' part of a plan: time, memory and disk of each training, and the time of its evaluation.

Times come from earlier cells of the same student and method on this machine, else from a few steps that are done now,
in a temporary folder; memory is the most that such a trial held.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import MethodError, TeacherError
from ...core.files import read_json
from ...core.intact import intact
from ...core.results import CellFile, RunFile
from ...methods.corpus import Corpus
from ..folder import Cell, environment
from ..run import Run
from ..stages.calibrate import asked as calibrated
from ..stages.distil import logit_teacher
from ..stages.generate import Teaching
from ..students import student_start
from .counted import counted
from .hardware import Fleet
from .trial import Trial, Weights, tried, weighed

_LOG = 260
"""Bytes of a step in train.jsonl."""
_ANSWERED = 700
"""Bytes of a question in predictions.parquet and scores.parquet."""

Made = tuple[Path, Mapping[str, Any], Mapping[str, Any]]
"""(folder, cell.json, timing.json) of an earlier cell."""


def plan_students(run: Run, teaching: Teaching, trials: bool, on: Fleet | None = None) -> list[dict[str, Any]]:
    """A row for each cell that is not trained or not evaluated yet. `teaching` has stand-ins for its teachers.

    Where `on` names an accelerator, the figures are counted for one of them, and nothing is timed here.
    """
    rows = []
    before = list(_cells(run.folder.parent))
    for student in run.recipe.student:
        cells = [cell for cell in run.cells if cell.student == student and not (cell.trained and cell.scored)]
        if not cells:
            continue
        try:
            texts = teaching.known(student)[0]
        except TeacherError:  # words that are marked by a model which is not fine-tuned yet
            texts = {}
        corpus = Corpus(teaching.splits["train"], texts, run.recipe.train.seeds[0])
        weights = weighed(cells[0], run.recipe)
        figures = _figures(run, cells, corpus, before, trials, on)
        rows += [_row(run, cell, weights, figures[cell.method.name]) for cell in cells]
    return rows


def _figures(
    run: Run, cells: Sequence[Cell], corpus: Corpus, before: Sequence[Made], trials: bool, on: Fleet | None
) -> dict[str, Trial | str]:
    """Method → the figures of a cell of one student, or why there are none."""
    of = {cell.method.name: cell for cell in cells}
    named = on if on is not None and on.accelerator is not None else None
    earlier = {name: None if named else _earlier(run, cell, before) for name, cell in of.items()}
    figures: dict[str, Trial | str] = {name: found or "no trial" for name, found in earlier.items()}
    if not (trials or named):
        return figures
    usable = []
    for name, cell in of.items():
        try:
            if cell.method.views:
                corpus.usable(cell.method)
            if not named:
                logit_teacher(cell, run.recipe)
            usable.append(cell.method)
        except (MethodError, TeacherError) as error:
            figures[name] = str(error)
    if usable:
        about = usable, cells[0], run.recipe, run.task, corpus, run.splits["test"]
        tried_now = counted(*about, named) if named else tried(*about)
        for name, trial in tried_now.items():
            known = earlier[name]
            figures[name] = trial if known is None else known.with_memory(trial)
    return figures


def _row(run: Run, cell: Cell, weights: Weights, trial: Trial | str) -> dict[str, Any]:
    block, tests = run.recipe.train, run.splits["test"]
    trains, asks = bool(cell.method.views) and not cell.trained, not cell.scored
    steps = -(-block.examples // block.batch)
    row: dict[str, Any] = {
        "cell": cell.name, "method": cell.method.name, "student": cell.student.label, "seed": cell.seed,
        "parameters": weights.parameters, "steps": steps if trains else 0,
        "train_seconds": 0.0, "evaluate_seconds": 0.0, "memory_bytes": None, "disk_bytes": 0, "checkpoint_bytes": 0,
        "sources": [],
    }  # fmt: skip
    if isinstance(trial, str):
        unknown = {"train_seconds": None if trains else 0.0, "evaluate_seconds": None if asks else 0.0}
        return row | unknown | {"disk_bytes": weights.saved if trains else 0, "sources": [trial]}
    if trains:
        row["train_seconds"] = trial.seconds_each * block.examples
        row["memory_bytes"] = trial.memory
        # The next is written before the last is removed.
        row["checkpoint_bytes"] = min(block.checkpoints, 2) * weights.checkpoint
        row["disk_bytes"] = weights.saved + _LOG * steps + trial.pair_bytes * len(run.splits["train"])
        measured = block.curve and min(len(run.splits["dev"]), block.dev_questions)
        row["evaluate_seconds"] += block.curve * measured * trial.answer_each
    if asks:
        explained = len(tests) if run.recipe.evaluate.explanations is None else run.recipe.evaluate.explanations
        asked = len(tests) + (len(calibrated(run.recipe, run.splits["dev"])) if cell.method.views else 0)
        row["evaluate_seconds"] += (
            asked * (trial.answer_each + trial.score_each) + min(explained, len(tests)) * trial.explain_each
        )
        row["disk_bytes"] += _ANSWERED * len(tests)
    return row | {"sources": list(trial.sources)}


def _earlier(run: Run, cell: Cell, before: Sequence[Made]) -> Trial | None:
    """What an earlier cell of the same student, method and batch took on this machine."""
    wanted = student_start(cell, run.recipe).revision
    for folder, about, timing in before:
        same = about.get("method") == cell.method.name and about.get("batch") == run.recipe.train.batch
        base, origin = about.get("base") or {}, about.get("origin") or {}
        whole = (cell.student.lora, cell.student.keep_every)
        same = same and bool(wanted) and base.get("revision") == wanted and bool(about.get("examples_seen"))
        if not same or (origin.get("student.lora"), origin.get("student.keep_every", 1)) != whole or not timing:
            continue
        questions = max(1, timing["questions"])
        rows = (folder / CellFile.PAIRS).stat().st_size if (folder / CellFile.PAIRS).is_file() else 0
        return Trial(
            seconds_each=about["train_seconds"] / about["examples_seen"],
            answer_each=timing["answer_seconds"] / questions,
            score_each=0.0,
            explain_each=timing["explain_seconds"] / questions,
            memory=None,
            pair_bytes=rows / max(1, len(run.splits["train"])),
            sources=(f"time: recorded by {folder.parent.parent.name}/{folder.name}",),
        )
    return None


def _cells(runs: Path) -> Iterator[Made]:
    """The cells in the run folders that were made on this machine."""
    here = environment()
    for path in sorted(runs.glob(f"*/{RunFile.CELLS}/*/{CellFile.ABOUT}")):
        made, timing = path.parents[2] / RunFile.ENVIRONMENT, path.parent / CellFile.TIMING
        try:
            there = read_json(made)
            if all(there.get(key) == here[key] for key in ("cpu", "device", "threads")) and intact(timing):
                yield path.parent, read_json(path), read_json(timing)
        except (OSError, ValueError, KeyError, json.JSONDecodeError):
            continue
