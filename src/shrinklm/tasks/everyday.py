"""Everyday: commonsense questions written for this project, five options each.

Data: src/shrinklm/tasks/data/everyday, in the package.
"""

from __future__ import annotations

from pathlib import Path

from .base import SplitTask, TaskOptions
from .table import named

FOLDER = Path(__file__).parent / "data" / "everyday"
COLUMNS = {"id": "id", "question": "question", "choices": "choices", "answer": "answer", "explanation": "explanation"}


def everyday(options: TaskOptions) -> SplitTask:
    """The packaged questions in their fixed splits."""
    return named(
        "everyday", options, COLUMNS, {split: str(FOLDER / f"{split}.jsonl") for split in ("train", "dev", "test")}
    )
