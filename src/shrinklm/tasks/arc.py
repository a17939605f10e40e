"""ARC, the challenge set: science questions from school tests (arXiv 1803.05457).

Data: https://huggingface.co/datasets/allenai/ai2_arc
"""

from __future__ import annotations

from .base import SplitTask, TaskOptions
from .table import named

COLUMNS = {"id": "id", "question": "question", "choices": "choices", "answer": "answerKey"}


def arc(options: TaskOptions) -> SplitTask:
    """ARC-Challenge: three to five options."""
    name = "allenai/ai2_arc:ARC-Challenge"
    return named(
        "arc", options, COLUMNS, {"train": f"{name}@train", "dev": f"{name}@validation", "test": f"{name}@test"}
    )
