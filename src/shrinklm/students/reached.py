"""Whether a student reaches an answer when it is given a text about the question, before any training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..core.types import Example, Pair
from ..methods.builtin import ASK
from ..methods.view import answer_pair, sentence
from .base import BaseStudent
from .likeliest import best, option_pairs

_GROUPS = 16
"""Questions with their text in one pass."""


@dataclass(frozen=True)
class Reached:
    """What a text about a question does to a student's answer."""

    reaches: float | None
    """1 where the answer is then the likeliest option, else 0; None for a free answer."""
    gain: float
    """log p of the answer with the text - without it, in nats: among the options, where there are any."""


def reached(student: BaseStudent, asked: Sequence[tuple[Example, str, str]]) -> list[Reached | None]:
    """What each (question, text, answer) of those does; None where the question with the text does not fit."""
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for example, text, answer in asked:
        for premise in ("", text):
            key = (example.id, premise, "" if example.choices else answer)
            groups.setdefault(key, _pairs(example, premise, answer))
    fitting = {key: pairs for key, pairs in groups.items() if _fits(student, pairs)}
    values = iter(
        student.likelihood([pair for pairs in fitting.values() for pair in pairs], _GROUPS) if fitting else ()
    )
    likely = {key: {pair.option: next(values) for pair in pairs} for key, pairs in fitting.items()}
    return [_one(example, text, answer, likely) for example, text, answer in asked]


def _pairs(example: Example, premise: str, answer: str) -> list[Pair]:
    prompt = ASK.prompt(example, premise=sentence(premise) if premise else "")
    return option_pairs(prompt, ASK.lead, example.choices) or [answer_pair(prompt, ASK.lead, answer)]


def _fits(student: BaseStudent, pairs: Iterable[Pair]) -> bool:
    return all(student.length(pair) <= student.positions for pair in pairs)


def _one(
    example: Example, text: str, answer: str, likely: Mapping[tuple[str, str, str], Mapping[str, float]]
) -> Reached | None:
    free = "" if example.choices else answer
    with_it, alone = (likely.get((example.id, premise, free)) for premise in (text, ""))
    if with_it is None or alone is None or answer not in with_it:
        return None
    gain = _chance(with_it, answer) - _chance(alone, answer)
    if not math.isfinite(gain):
        return None
    return Reached(float(best(with_it) == answer) if example.choices else None, gain)


def _chance(values: Mapping[str, float], answer: str) -> float:
    """The log-probability of an answer among the options; of a free answer its own."""
    if len(values) == 1:
        return values[answer]
    most = max(values.values())
    return values[answer] - most - math.log(math.fsum(math.exp(value - most) for value in values.values()))
