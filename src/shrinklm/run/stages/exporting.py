"""Exports a cell's student into the format of another runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.types import Example, Split, Task, Tick
from ...deploy.export import Wanted, export
from ..folder import Cell
from ..recipe import Recipe
from .answering import trained_student


def export_cell(
    cell: Cell,
    recipe: Recipe,
    task: Task,
    splits: Mapping[Split, Sequence[Example]],
    wanted: Wanted,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Exports the student of a trained cell; returns what export.json says, and the folder.

    Args:
        cell: The cell, see `trained_cell`.
        recipe: The run's.
        task: The run's.
        splits: The run's; the student is asked those of test.
        wanted: The format and its place.
        tick: Told the progress.

    Raises as `deploy.export.export` does.
    """

    def load() -> Any:
        return trained_student(cell, recipe, task, splits, "float32")

    return {**export(load, task, splits["test"], wanted, tick), "folder": str(wanted.folder)}


def default_place(run: Path, cell: Cell, to: str, bits: int | None) -> Path:
    """Where an export stands that nobody gave a place."""
    return run / "export" / "--".join([cell.name, f"{to}-{bits}" if bits else to])
