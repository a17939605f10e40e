"""SVAMP: short arithmetic stories with a number as answer (arXiv 2103.07191).

Data: https://huggingface.co/datasets/ChilleD/SVAMP
Answers are read as numbers: "7", "7.0" and "7 marbles" are the same.
"""

from __future__ import annotations

from .base import SplitTask, TaskOptions
from .table import named

COLUMNS = {"id": "ID", "question": ["Body", "Question"], "answer": "Answer"}


def svamp(options: TaskOptions) -> SplitTask:
    """SVAMP."""
    return named("svamp", options, COLUMNS, {"train": "ChilleD/SVAMP@train", "test": "ChilleD/SVAMP@test"}, type="free")
