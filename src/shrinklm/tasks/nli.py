"""Natural language inference: premise, hypothesis, and one of three labels in a fixed order.

- e-SNLI (arXiv 1812.01193): SNLI with explanations written by people. Its loading script no longer runs, so the hub's
  own Parquet copy is read. https://huggingface.co/datasets/esnli/esnli
- ANLI round 1 (arXiv 1910.14599): adversarial, with the writers' reasons. https://huggingface.co/datasets/facebook/anli
- MultiNLI (arXiv 1704.05426): tested on the matched validation split.
  https://huggingface.co/datasets/nyu-mll/multi_nli
- SNLI (arXiv 1508.05326), under the name of e-SNLI. https://huggingface.co/datasets/stanfordnlp/snli

The official files are read as well, JSONL, tab-separated text and CSV. Pairs on which the annotators did not agree
(gold label "-", or -1 on the hub) are left out and counted.
"""

from __future__ import annotations

from typing import Any

from ..core.types import Split
from .base import SplitTask, TaskOptions
from .columns import LABELS
from .table import named

QUESTION = "Does the premise entail the hypothesis, contradict it, or neither (neutral)?"
# The label column of all of them counts entailment, neutral, contradiction from 0, on the hub.
COLUMNS: dict[str, Any] = {
    "question": QUESTION,
    "context": ["premise", "hypothesis"],
    "choices": list(LABELS),
    "answer": "label",
}
AGREED = {"gold_label": {"not": "-"}}


def _official(first: str, second: str, **more: Any) -> dict[str, Any]:
    """The columns of an official file, whose sentences have names of their own."""
    return {**COLUMNS, "context": {"premise": first, "hypothesis": second}, **more}


OFFICIAL = _official("sentence1", "sentence2", answer="gold_label", where=AGREED)


def esnli(options: TaskOptions) -> SplitTask:
    """e-SNLI; files of SNLI, which have no explanations, are read as well."""
    name = "esnli/esnli:plain_text"
    sources: dict[Split, str] = {"train": f"{name}@train", "dev": f"{name}@validation", "test": f"{name}@test"}
    official = _official("Sentence1", "Sentence2", answer="gold_label", explanation="Explanation_1", where=AGREED)
    hub = {**COLUMNS, "explanation": "explanation_1"}
    plain = {**COLUMNS, "where": {"label": {"not": -1}}}
    return named("esnli", options, [hub, official, OFFICIAL, plain], sources, type="nli")


def anli(options: TaskOptions) -> SplitTask:
    """ANLI, round 1."""
    sources: dict[Split, str] = {
        "train": "facebook/anli@train_r1",
        "dev": "facebook/anli@dev_r1",
        "test": "facebook/anli@test_r1",
    }
    more = {"id": "uid", "explanation": "reason"}
    return named(
        "anli", options, [{**COLUMNS, **more}, _official("context", "hypothesis", **more)], sources, type="nli"
    )


def mnli(options: TaskOptions) -> SplitTask:
    """MultiNLI."""
    return named(
        "mnli",
        options,
        [COLUMNS, OFFICIAL],
        {"train": "nyu-mll/multi_nli@train", "test": "nyu-mll/multi_nli@validation_matched"},
        type="nli",
    )
