"""SQuAD 1.1: answers are spans of a passage (arXiv 1606.05250).

Data: https://huggingface.co/datasets/rajpurkar/squad
Its test set is not public, so the official validation split is the test split here.
`meta["answers"]` holds every accepted answer.
"""

from __future__ import annotations

from ..core.types import Split
from .answers import stated_text
from .base import SplitTask, TaskOptions
from .table import named

COLUMNS = {"id": "id", "question": "question", "context": "context", "answer": "answers"}


def squad(options: TaskOptions) -> SplitTask:
    """SQuAD 1.1; answers keep their own words, exact match and F1 compare them."""
    sources: dict[Split, str] = {"train": "rajpurkar/squad@train", "test": "rajpurkar/squad@validation"}
    return named("squad", options, COLUMNS, sources, type="free", parse=stated_text)
