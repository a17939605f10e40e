"""Natural language inference: premise, hypothesis, and one of three labels in a fixed order.

- e-SNLI (arXiv 1812.01193): SNLI with explanations written by people. Its loading script no longer runs, so the hub's
  own Parquet copy is read. https://huggingface.co/datasets/esnli/esnli
- ANLI round 1 (arXiv 1910.14599): adversarial, with the writers' reasons. https://huggingface.co/datasets/facebook/anli
- MultiNLI (arXiv 1704.05426): tested on the matched validation split. https://huggingface.co/datasets/nyu-mll/multi_nli
"""

from __future__ import annotations

from typing import Any

from ..core.types import Split
from .base import SplitTask, TaskOptions
from .columns import LABELS
from .table import named

QUESTION = "Does the premise entail the hypothesis, contradict it, or neither (neutral)?"
# The label column of all three counts entailment, neutral, contradiction from 0.
COLUMNS: dict[str, Any] = {
    "question": QUESTION,
    "context": ["premise", "hypothesis"],
    "choices": list(LABELS),
    "answer": "label",
}


def esnli(options: TaskOptions) -> SplitTask:
    """e-SNLI."""
    name = "esnli/esnli:plain_text"
    sources: dict[Split, str] = {"train": f"{name}@train", "dev": f"{name}@validation", "test": f"{name}@test"}
    return named("esnli", options, {**COLUMNS, "explanation": "explanation_1"}, sources, type="nli")


def anli(options: TaskOptions) -> SplitTask:
    """ANLI, round 1."""
    sources: dict[Split, str] = {
        "train": "facebook/anli@train_r1",
        "dev": "facebook/anli@dev_r1",
        "test": "facebook/anli@test_r1",
    }
    return named("anli", options, {**COLUMNS, "id": "uid", "explanation": "reason"}, sources, type="nli")


def mnli(options: TaskOptions) -> SplitTask:
    """MultiNLI."""
    return named(
        "mnli",
        options,
        COLUMNS,
        {"train": "nyu-mll/multi_nli@train", "test": "nyu-mll/multi_nli@validation_matched"},
        type="nli",
    )
