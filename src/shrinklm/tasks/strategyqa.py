"""StrategyQA: yes/no questions that need several steps (arXiv 2101.02235).

Data: https://huggingface.co/datasets/ChilleD/StrategyQA
The official files (strategyqa_train.json) are read as well. Its supporting facts, written by people, are kept as the
reference explanation.
"""

from __future__ import annotations

from typing import Any

from ..core.tables import Rows
from .base import SplitTask, TaskOptions
from .forms import with_column
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
        prepare=_prepared,
    )


def _prepared(rows: Rows) -> Rows:
    # The official files list the facts one by one: together they are one explanation.
    return with_column(rows, "facts", ["facts"], _joined) if "facts" in rows.columns else rows


def _joined(facts: Any) -> Any:
    return " ".join(map(str, facts)) if isinstance(facts, (list, tuple)) else facts
