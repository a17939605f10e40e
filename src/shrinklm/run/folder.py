"""A run folder: which cells it has, what is done in each, and how a file gets there whole or not at all."""

from __future__ import annotations

import json
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

from ..core.errors import StoreError
from ..core.types import Example, Split, Task
from ..methods.builtin import Method
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


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all. Raises StoreError when the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        raise StoreError(
            f"Cannot write {path}: {error.strerror or error}. Check permissions and free space, or name another folder with `runs:` in the "
            "recipe. What was written before is safe; the same command goes on from there."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, keys in the order given."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON. Raises StoreError when it is missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}. Delete it and run the same command again.") from error


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


def write_examples(tests: Sequence[Example], path: Path) -> None:
    """The test questions, with the explanation that overlap is measured against and who wrote it, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "id": example.id, "question": example.question, "choices": list(example.choices), "answer": example.answer,
            "fields": json.dumps(dict(example.fields), ensure_ascii=False), "reference": example.meta["reference"],
            "teacher": example.meta["reference_by"],
        }
        for example in tests
    ]  # fmt: skip
    columns = {name: pa.string() for name in ("id", "question", "choices", "answer", "fields", "reference", "teacher")}
    schema = pa.schema(list({**columns, "choices": pa.list_(pa.string())}.items()))
    new = path.with_name(f".{path.name}.new")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), new, compression="zstd")
    new.replace(path)
