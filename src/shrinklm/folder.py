"""A run folder: which cells it has, what is done in each, and how a file gets there whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .errors import StoreError
from .methods import Method
from .recipe import StudentBlock

_PACKAGES = ("shrinklm", "torch", "transformers", "accelerate", "datasets", "peft", "numpy", "scipy", "sacrebleu", "rouge-score")


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
            f"Cannot write {path}: {error.strerror or error}. Check permissions and free space, or name another folder with `runs:` in the recipe. "
            "What was written before is safe; the same command goes on from there."
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
        "versions": versions, "python": sys.version.split()[0], "platform": platform.platform(), "cpu": processor(), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "device": device, "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
