"""OpenBookQA: elementary science with four options (arXiv 1809.02789).

Data: https://huggingface.co/datasets/allenai/openbookqa
The official files are read as well, JSONL and TSV, with or without the columns of the additional ones.
"""

from __future__ import annotations

from ..core.tables import Rows
from ..core.types import Split
from .base import SplitTask, TaskOptions
from .forms import with_options
from .table import named

COLUMNS = [
    {"id": "id", "question": "question_stem", "choices": "choices", "answer": "answerKey"},
    {"id": "id", "question": "question.stem", "choices": "question.choices", "answer": "answerKey"},
    {"id": "ID", "question": "Question Stem", "choices": "Choices: options", "answer": "Answer Key"},
]
"""Of the hub's files, and of the official JSONL and TSV files."""


def openbookqa(options: TaskOptions) -> SplitTask:
    """OpenBookQA without its book of facts."""
    name = "allenai/openbookqa:main"
    sources: dict[Split, str] = {"train": f"{name}@train", "dev": f"{name}@validation", "test": f"{name}@test"}
    return named("openbookqa", options, COLUMNS, sources, prepare=_prepared)


def _prepared(rows: Rows) -> Rows:
    return with_options(rows, "Choices") if "Choices" in rows.columns else rows
