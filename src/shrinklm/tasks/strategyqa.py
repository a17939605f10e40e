"""StrategyQA: yes/no questions that need several steps (arXiv 2101.02235).

Data: https://huggingface.co/datasets/ChilleD/StrategyQA
Its supporting facts, written by people, are kept as the reference explanation.
"""

from __future__ import annotations

from .base import SplitTask, TaskOptions
from .table import named

COLUMNS = {"id": "qid", "question": "question", "choices": ["yes", "no"], "answer": "answer", "explanation": "facts"}


def strategyqa(options: TaskOptions) -> SplitTask:
    """StrategyQA."""
    return named(
        "strategyqa",
        options,
        COLUMNS,
        {"train": "ChilleD/StrategyQA@train", "test": "ChilleD/StrategyQA@test"},
        type="yesno",
    )
