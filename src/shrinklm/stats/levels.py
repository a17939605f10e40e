"""Which levels of its own a model of ratings has: of people, of a person in a condition, of questions, of
explanations."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Literal

Level = Literal["person", "taste", "question", "explanation"]
"""What has a level: a person; a person in one condition (who likes it more than others do); a question; a question as
one condition explained it."""


def labels(
    level: Level, people: Sequence[Hashable], conditions: Sequence[Hashable], questions: Sequence[Hashable]
) -> list[Hashable]:
    """The rows' labels of one level."""
    whole = {"person": people, "question": questions}
    if level in whole:
        return list(whole[level])
    return list(zip(people if level == "taste" else questions, conditions, strict=True))


def identified(
    people: Sequence[Hashable], conditions: Sequence[Hashable], questions: Sequence[Hashable] | None = None
) -> list[Level]:
    """The levels that a design tells apart: all that belong into a model of its ratings.

    A person in a condition has one where somebody rates a condition twice or more and sees two or more; an explanation
    where several people rated some, and questions are shown in several conditions. Where each question has one
    condition, its level is the explanation's.

    Args:
        people: [n] who rated.
        conditions: [n] what was rated.
        questions: [n] which question it was about; None: not known.
    """
    levels: list[Level] = ["person"]
    seen: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for person, condition in zip(people, conditions, strict=True):
        seen[person][condition] += 1
    if any(len(counts) > 1 and max(counts.values()) > 1 for counts in seen.values()):
        levels.append("taste")
    # With one question a person, what is a question's and what a person's cannot be told apart.
    if questions is None or not 1 < len(set(questions)) < len(people) or _alike(questions, people):
        return levels
    levels.append("question")
    explanations = labels("explanation", people, conditions, questions)
    alone = len(set(questions)) < len(set(explanations)) < len(people)
    if alone and not _alike(explanations, labels("taste", people, conditions, questions)):
        levels.append("explanation")
    return levels


def _alike(first: Sequence[Hashable], second: Sequence[Hashable]) -> bool:
    """Whether two groupings put the rows together alike."""
    return len(set(first)) == len(set(second)) == len(set(zip(first, second, strict=True)))
