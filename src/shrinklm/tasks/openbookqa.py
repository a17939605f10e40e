"""OpenBookQA: elementary science with four options (arXiv 1809.02789).

Data: https://huggingface.co/datasets/allenai/openbookqa
"""

from __future__ import annotations

from .base import SplitTask, TaskOptions
from .table import named

COLUMNS = {"id": "id", "question": "question_stem", "choices": "choices", "answer": "answerKey"}


def openbookqa(options: TaskOptions) -> SplitTask:
    """OpenBookQA without its book of facts."""
    name = "allenai/openbookqa:main"
    return named(
        "openbookqa", options, COLUMNS, {"train": f"{name}@train", "dev": f"{name}@validation", "test": f"{name}@test"}
    )
