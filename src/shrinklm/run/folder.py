"""A run folder: its cells, the machine it was made on, and what its data are."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..core import trust
from ..core.files import write_json, write_text
from ..core.intact import intact
from ..core.results import CellFile, RunFile
from ..core.types import Example, Split, Task
from ..methods.view import Method
from ..students.saved import whole_student
from ..tasks.base import duplicates_across
from .blocks import StudentBlock
from .once import marker, read_marker
from .recipe import Recipe
from .values import folder_name

_PACKAGES = (
    "shrinklm",
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "peft",
    "numpy",
    "scipy",
    "sacrebleu",
    "rouge-score",
    "regex",
)
"""Packages whose version may change a weight, an answer or a score: env.json names them."""
NO_FOLDER = (
    "Check permissions and free space, or name another folder with `runs:` in the recipe. "
    "What was written before is safe; the same command goes on from there."
)
"""Advice in the message for a run folder that cannot be made."""


@dataclass(frozen=True)
class Cell:
    """One method, one student, one seed: a folder of its own."""

    method: Method
    student: StudentBlock
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Its name in tables: "multitask--smollm2--s0"."""
        return self.folder.name

    @property
    def trained(self) -> bool:
        """Whether its training has ended and what came of it is there and whole: the weights, and cell.json."""
        return self.done("train") is not None and whole_student(self.folder / CellFile.STUDENT) and self._described

    @property
    def answered(self) -> bool:
        """Whether its student was asked and the predictions are there and whole."""
        return self.done("predict") is not None and intact(self.folder / CellFile.PREDICTIONS)

    @property
    def scored(self) -> bool:
        """Whether it was evaluated, and predictions and scores are there and whole."""
        return self.done("evaluate") is not None and self.answered and intact(self.folder / CellFile.SCORES)

    @property
    def kept(self) -> bool:
        """Whether its weights are gone, but what was measured of them stays: `run` and `evaluate` then use that."""
        return self.done("train") is not None and not self.trained and self.answered and self._described

    @property
    def opens(self) -> bool:
        """Whether the student that it starts from is still to be opened."""
        return not (self.trained or self.kept) if self.method.views else not self.answered

    @property
    def _described(self) -> bool:
        return intact(self.folder / CellFile.ABOUT)

    def done(self, stage: str) -> str | None:
        """The content of a finished stage's marker, such as its key; None when the stage is not finished."""
        return read_marker(marker(self.folder, stage))

    def mark(self, stage: str, content: str) -> None:
        """Write the marker of a stage."""
        write_text(marker(self.folder, stage), content)


def weightless(folder: Path) -> list[str]:
    """The trained cells of a run folder whose weights are missing or damaged, and whose predictions are kept."""
    cells = (path.parent for path in sorted((folder / RunFile.CELLS).glob(f"*/{CellFile.PREDICTIONS}")))
    return [
        home.name
        for home in cells
        if read_marker(marker(home, "train")) is not None and not whole_student(home / CellFile.STUDENT)
    ]


def cell_name(method: str, student: str, seed: int) -> str:
    """A cell's name, fit for a folder on any system."""
    return "--".join(folder_name(part) for part in (method, student, f"s{seed}"))


def about_cell(cell: Cell) -> dict[str, Any]:
    """The first entries of cell.json."""
    return {"cell": cell.name, "method": cell.method.name, "student": cell.student.label, "seed": cell.seed}


def begin(folder: Path, recipe: Recipe) -> None:
    """Write the environment, once, and the recipe."""
    path = folder / RunFile.ENVIRONMENT
    if not intact(path):
        # Before recipe.yaml: a folder with a recipe and no env.json is one that `shrinklm init` made.
        write_json(path, {**environment(), "root": str(recipe.root.resolve())}, NO_FOLDER)
    write_text(folder / RunFile.RECIPE, recipe.dump())
    trust.trust(folder / RunFile.RECIPE)  # the one that is at work here


def environment() -> dict[str, Any]:
    """The environment of a run: versions of packages, processor, device."""
    import torch

    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The processor's name."""
    # `platform.processor()` is empty or a mere "x86_64" on Linux.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def describe(task: Task, splits: Mapping[Split, Sequence[Example]], asked: int) -> dict[str, Any]:
    """Figures of the data: sizes, questions in two splits, and the accuracy of guessing on the test split.

    `asked`: training questions that are not held out because a prompt shows them.
    """
    train, tests = splits["train"], splits["test"]
    held_out = len(list(task.examples("train"))) - asked
    # Where all questions have the same options (labels), an answer is its text; elsewhere only its position can be
    # guessed.
    labels = len({example.choices for example in (*train, *tests)}) == 1
    # The majority is that of train: a guesser that knew the test split would not be a baseline.
    answers = Counter(_guessable(example, labels) for example in train)
    majority = answers.most_common(1)[0][0] if answers else ""
    hits = [_guessable(example, labels) == majority for example in tests]
    # Different options are counted: a question of CommonsenseQA may list one twice.
    chances = [1 / len(set(example.choices)) for example in tests if example.choices]
    return {
        "task": task.name,
        "type": task.type,
        **{split: len(examples) for split, examples in splits.items()},
        "duplicates": duplicates_across(task),
        "held_out": held_out,
        "majority": sum(hits) / len(hits) if chances else None,
        "random": sum(chances) / len(chances) if chances else None,
    }


def _guessable(example: Example, labels: bool) -> str:
    """The part of an answer that can be guessed without the question: the label, or the position of the answer."""
    if labels:
        return example.answer
    return str(example.choices.index(example.answer) if example.answer in example.choices else -1)
