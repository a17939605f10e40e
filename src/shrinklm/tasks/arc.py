"""ARC, the challenge set: science questions from school tests (arXiv 1803.05457).

Data: https://huggingface.co/datasets/allenai/ai2_arc
The official files are read as well, JSONL and CSV; in the CSV files the options stand in the question's text.
"""

from __future__ import annotations

from ..core.tables import Rows
from ..core.types import Split
from .base import SplitTask, TaskOptions
from .forms import with_options
from .table import named

COLUMNS = [
    {"id": "id", "question": "question", "choices": "choices", "answer": "answerKey"},
    {"id": "id", "question": "question.stem", "choices": "question.choices", "answer": "answerKey"},
    {"id": "questionID", "question": "question: stem", "choices": "question: options", "answer": "AnswerKey"},
]
"""Of the hub's files, and of the official JSONL and CSV files."""


def arc(options: TaskOptions) -> SplitTask:
    """ARC-Challenge: three to five options."""
    name = "allenai/ai2_arc:ARC-Challenge"
    sources: dict[Split, str] = {"train": f"{name}@train", "dev": f"{name}@validation", "test": f"{name}@test"}
    return named("arc", options, COLUMNS, sources, prepare=_prepared)


def _prepared(rows: Rows) -> Rows:
    return with_options(rows, "question") if "AnswerKey" in rows.columns else rows
