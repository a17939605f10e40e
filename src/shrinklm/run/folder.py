"""A run folder: which cells it has, what is done in each, and how a file gets there whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..core.files import write_text
from ..core.types import Example, Split, Task
from ..methods.view import Method
from ..tasks.base import duplicates_across
from .recipe import StudentBlock

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
)

NO_FOLDER = (
    "Check permissions and free space, or name another folder with `runs:` in the recipe. "
    "What was written before is safe; the same command goes on from there."
)
"""What to do when a run folder cannot be made."""


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

    def done(self, stage: str) -> str | None:
        """What the marker of a finished stage says was asked; None when it is not finished."""
        marker = self.folder / "done" / stage
        return marker.read_text(encoding="utf-8") if marker.is_file() else None

    def mark(self, stage: str, asked: str) -> None:
        """The last thing a stage does."""
        write_text(self.folder / "done" / stage, asked)


def cell_name(method: str, student: str, seed: int) -> str:
    """A cell's name, fit for a folder on any system."""
    return "--".join(re.sub(r"[^A-Za-z0-9._+=&-]", "_", part) for part in (method, student, f"s{seed}"))


def environment() -> dict[str, Any]:
    """What a run ran on: versions, processor, device."""
    import torch

    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "versions": versions, "python": sys.version.split()[0], "platform": platform.platform(), "cpu": processor(),
        "cores": os.cpu_count(), "threads": torch.get_num_threads(), "device": device,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def describe(task: Task, splits: Mapping[Split, Sequence[Example]]) -> dict[str, Any]:
    """What the data are: sizes, questions that stand in two splits, and what guessing would score on the test split."""
    train, tests = splits["train"], splits["test"]
    held_out = len(list(task.examples("train"))) - len(train)
    labels = (
        len({example.choices for example in (*train, *tests)}) == 1
    )  # the same options everywhere: their text counts, not their place
    shown = Counter(_kind(example, labels) for example in train)
    common = shown.most_common(1)[0][0] if shown else ""
    hits = [_kind(example, labels) == common for example in tests]
    guess = [1 / len(set(example.choices)) for example in tests if example.choices]
    return {
        "task": task.name, "type": task.type, **{split: len(examples) for split, examples in splits.items()},
        "duplicates": duplicates_across(task), "held_out": held_out,
        "majority": sum(hits) / len(hits) if guess else None, "random": sum(guess) / len(guess) if guess else None,
    }  # fmt: skip


def _kind(example: Example, labels: bool) -> str:
    return (
        example.answer
        if labels
        else str(example.choices.index(example.answer) if example.answer in example.choices else -1)
    )
