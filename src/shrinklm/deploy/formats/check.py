"""Asks a student the test questions in two runtimes, and says how far the answers and the costs are apart."""

from __future__ import annotations

import ctypes
import statistics
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.types import Example, Prediction, Task, Tick
from ...evaluation.ask import EvaluateSettings, Evaluation
from ...evaluation.metrics.answers import accuracy
from ...students.room import TOO_LONG
from ..answering import Answering
from .asked import RuntimeStudent

if TYPE_CHECKING:
    from ...students.protocol import Student

EXPLAINED = 20
"""Questions that are explained, and that the chat endpoint is asked."""
_TIMED = 10
"""Questions that are asked alone, for the latency."""
_BATCH = 16


@dataclass(frozen=True)
class Asked:
    """What a student said in one runtime, and what it cost."""

    runtime: str
    predictions: list[Prediction]
    right: list[bool]
    explanations: list[str]
    """Of the first questions; [] where the method teaches none, or gives them with its answers."""
    latency_ms: float
    """Median of single questions, answer only."""
    memory: int
    """Bytes of memory that loading and asking took."""

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return sum(self.right) / len(self.right)

    def to_json(self) -> dict[str, Any]:
        """Its row of the table."""
        return {
            "runtime": self.runtime,
            "accuracy": self.accuracy,
            "latency_ms": self.latency_ms,
            "memory_bytes": self.memory,
        }


def ask(
    student: Student, runtime: str, answering: Answering, task: Task, tests: Sequence[Example], before: int, tick: Tick
) -> Asked:
    """Asks all test questions, and the first `EXPLAINED` for an explanation.

    Args:
        student: Is asked.
        runtime: Its name.
        answering: How it answers.
        task: Reads its answers.
        tests: The questions.
        before: Memory of the process before it was loaded, see `resident`.
        tick: Told the progress.
    """
    evaluation = Evaluation(
        student, task, answering.as_method(), answering.name, EvaluateSettings(answering.max_tokens, _BATCH, None)
    )
    tokens = max(evaluation.answer_tokens(tests), answering.answer_tokens)
    # A question that is too long is not asked, and counts as wrong.
    short = [example for example in tests if evaluation.fits(example, tokens)]
    found: dict[str, Prediction] = {}
    for start in range(0, len(short), _BATCH):
        chunk = short[start : start + _BATCH]
        found |= {each.example_id: each for each in evaluation.answer(chunk, tokens)[1]}
        tick(f"ask {runtime}", len(found), len(short), "")
    missing = Prediction(answering.name, "", None, None, "", None, TOO_LONG)
    predictions = [found.get(example.id, missing) for example in tests]
    first = short[:EXPLAINED]
    explain, texts = answering.explain, []
    if explain is not None and explain != answering.answer:
        texts = [reply.raw for reply in evaluation.explain(first)[0]]
    alone = evaluation.latency(first[:_TIMED], tokens)
    return Asked(
        runtime=runtime,
        predictions=predictions,
        right=[bool(accuracy(*row)) for row in zip(tests, predictions, strict=True)],
        explanations=texts,
        latency_ms=1000 * statistics.median(alone) if alone else 0.0,
        memory=max(0, resident() - before),
    )


def agreement(original: Asked, exported: Asked) -> dict[str, Any]:
    """How far the exported student's answers are the original's.

    The shares of the same answers, of the same texts and of the same explanations (None: there are none); the
    difference in accuracy in points, with its 95 % interval (Tango's, of paired shares).
    """
    from ...stats.intervals import tango

    pairs = list(zip(original.predictions, exported.predictions, strict=True))
    rights = list(zip(exported.right, original.right, strict=True))
    low, high = tango(rights.count((True, False)), rights.count((False, True)), len(rights))
    explained = list(zip(original.explanations, exported.explanations, strict=True))
    return {
        "same_answers": _share([one.answer == other.answer for one, other in pairs]),
        "same_texts": _share([one.raw == other.raw for one, other in pairs]),
        "same_explanations": _share([one == other for one, other in explained]) if explained else None,
        "accuracy_points": 100 * (exported.accuracy - original.accuracy),
        "accuracy_points_interval": [100 * low, 100 * high],
    }


def misread(original: Any, exported: RuntimeStudent, answering: Answering, tests: Sequence[Example]) -> list[str]:
    """The prompts whose tokens the exported student has otherwise, in composed Unicode.

    llama.cpp composes no letters, as some tokenizers do (NFC): prompts with decomposed ones are not counted.
    """
    found = []
    for example in tests:
        prompt = answering.answer.prompt(example)
        if unicodedata.is_normalized("NFC", prompt) and original.prompt_ids(prompt) != exported.prompt_ids(prompt):
            found.append(prompt)
    return found


def resident() -> int:
    """Bytes of memory that this process and those below it hold, when what is free was given back to the system."""
    import psutil

    with suppress(AttributeError, OSError):  # Linux's C library alone has it
        ctypes.CDLL(None).malloc_trim(0)
    process, total = psutil.Process(), 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return int(total)


def _share(same: Sequence[bool]) -> float:
    return sum(same) / len(same)
