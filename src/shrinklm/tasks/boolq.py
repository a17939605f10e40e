"""BoolQ: yes/no questions about a passage (arXiv 1905.10044).

Data: https://huggingface.co/datasets/google/boolq
It has no public test labels, so the official validation split is the test split here.
"""

from __future__ import annotations

from .base import SplitTask, TaskOptions
from .table import named

COLUMNS = {"question": "question", "context": "passage", "choices": ["yes", "no"], "answer": "answer"}


def boolq(options: TaskOptions) -> SplitTask:
    """BoolQ."""
    return named(
        "boolq", options, COLUMNS, {"train": "google/boolq@train", "test": "google/boolq@validation"}, type="yesno"
    )
