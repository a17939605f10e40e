"""What a student's answers cost: time and tokens."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Timing:
    """The cost of the answers. A method whose one text both answers and explains has all of it in `answer_seconds`."""

    questions: int
    answer_seconds: float
    explain_seconds: float
    tokens_out: int | None
    """None where the student cannot count its tokens."""
    tokens_per_second: float | None
    latency_ms: float
    """Median of single questions, batch 1, answer only."""
    latency_n: int


def with_explanations(before: Timing, chunks: Sequence[Mapping[str, Any]]) -> Timing:
    """An earlier timing, with the explanations that were asked for later."""
    explaining = before.explain_seconds + sum(chunk["explain_seconds"] for chunk in chunks)
    tokens, speed = _speed(
        [before.tokens_out, *(chunk["tokens_out"] for chunk in chunks)], before.answer_seconds + explaining
    )
    return replace(before, explain_seconds=explaining, tokens_out=tokens, tokens_per_second=speed)


def timing(chunks: Sequence[Mapping[str, Any]], alone: Sequence[float]) -> Timing:
    """What chunks of questions took, beside the seconds of single questions."""
    answering, explaining = (sum(chunk[name] for chunk in chunks) for name in ("answer_seconds", "explain_seconds"))
    tokens, speed = _speed([chunk["tokens_out"] for chunk in chunks], answering + explaining)
    questions = sum(len(chunk["predictions"]) for chunk in chunks)
    return Timing(questions, answering, explaining, tokens, speed, 1000 * statistics.median(alone), len(alone))


def _speed(counts: Iterable[int | None], seconds: float) -> tuple[int | None, float | None]:
    """(all tokens, tokens a second); None where one chunk could not be counted."""
    tokens = total(counts)
    # The fake student of the tests takes no measurable time.
    return tokens, None if tokens is None else tokens / max(seconds, 1e-9)


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of counts; None where one is unknown."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)
