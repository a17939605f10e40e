"""CommonsenseQA: five options, about 9,700 train questions (arXiv 1811.00937).

Data: https://huggingface.co/datasets/tau/commonsense_qa
The official files (train_rand_split.jsonl ...) are read as well: https://www.tau-nlp.org/commonsenseqa
The labels of its test split are hidden, so the official validation split is the test split here.
"""

from __future__ import annotations

from .base import SplitTask, TaskOptions
from .table import named

COLUMNS = [
    {"id": "id", "question": "question", "choices": "choices", "answer": "answerKey"},
    {"id": "id", "question": "question.stem", "choices": "question.choices", "answer": "answerKey"},
]
"""Of the hub's files, and of the official ones."""


def csqa(options: TaskOptions) -> SplitTask:
    """CommonsenseQA."""
    return named(
        "csqa", options, COLUMNS, {"train": "tau/commonsense_qa@train", "test": "tau/commonsense_qa@validation"}
    )
