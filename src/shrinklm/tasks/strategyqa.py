"""StrategyQA: yes/no questions that need several steps. Data: https://huggingface.co/datasets/ChilleD/StrategyQA (arXiv 2101.02235).

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
