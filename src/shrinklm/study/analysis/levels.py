"""The levels of their own that people, people in a condition, questions and explanations have in a model of
ratings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...stats import levels
from ...stats.levels import Level
from .ratings import Ratings

EXPLANATION = "explanation"
"""The grouping of what was rated: a question as one condition explained it."""
_MOST = 400
"""Levels beside those of the largest grouping, of an ordinal model: all of them are in one dense matrix that every step
of its search inverts."""
WORDS: dict[Level, str] = {
    "person": "people",
    "taste": "people in each condition",
    "question": "questions",
    "explanation": "explanations",
}


def column(ratings: Ratings, level: Level) -> str:
    """The name of a level's grouping, as formulas, variances and counts have it."""
    names = {"person": ratings.rater, "taste": f"{ratings.rater}:{ratings.condition}", "explanation": EXPLANATION}
    return names[level] if level in names else str(ratings.item)


def groupings(ratings: Ratings, rows: Sequence[int], wanted: Iterable[Level]) -> dict[str, list[str]]:
    """Grouping → its labels on the rows.

    Raises ValueError for a level that these ratings cannot have.
    """
    found: dict[str, list[str]] = {}
    possible = identified(ratings, rows)
    for level in wanted:
        if level in ("question", "explanation") and ratings.items is None:
            raise ValueError("No column says which question a rating is about. Name it: --item COLUMN")
        if level == "taste" and level not in possible:
            raise ValueError(
                "Nobody rated one of several conditions twice or more, so people in a condition cannot have a level of "
                "their own."
            )
        if level == "explanation" and level not in possible:
            raise ValueError(_no_explanations(ratings, rows))
        found[column(ratings, level)] = _labels(ratings, rows, level)
    return found


def identified(ratings: Ratings, rows: Sequence[int]) -> list[Level]:
    """The levels that the design tells apart, see `stats.levels.identified`."""
    people, conditions = [ratings.raters[row] for row in rows], [ratings.conditions[row] for row in rows]
    questions = None if ratings.items is None else [ratings.items[row] for row in rows]
    return levels.identified(people, conditions, questions)


def affordable(ratings: Ratings, rows: Sequence[int]) -> list[Level]:
    """The levels of an ordinal model: those that are `identified`, without explanations, then without questions, where
    they would make it take minutes.

    Questions stay where each was shown in one condition: their level is then that of the explanations, without which
    every second study finds a difference that is none."""
    kept = identified(ratings, rows)
    nested = "question" in kept and len(set(_labels(ratings, rows, "explanation"))) == len(
        set(_labels(ratings, rows, "question"))
    )
    for level in ("explanation",) if nested else ("explanation", "question"):
        sizes = sorted(len(set(_labels(ratings, rows, each))) for each in kept)
        if sum(sizes[:-1]) > _MOST and level in kept:
            kept.remove(level)
    return kept


def _no_explanations(ratings: Ratings, rows: Sequence[int]) -> str:
    explanations = set(_labels(ratings, rows, "explanation"))
    if len(explanations) == len(rows):
        return "No explanation was rated by several people, so explanations cannot have a level of their own."
    if len(explanations) == len(set(_labels(ratings, rows, "question"))):
        return "Each question was shown in one condition, so the level of a question is that of its explanation."
    return "What is an explanation's cannot be told from what is a person's or a question's."


def _labels(ratings: Ratings, rows: Sequence[int], level: Level) -> list[str]:
    if level == "taste":
        return [f"{ratings.raters[row]} · {ratings.conditions[row]}" for row in rows]
    columns = {"person": ratings.raters, "question": ratings.items, "explanation": ratings.rated}
    column = columns[level]
    return [column[row] for row in rows] if column is not None else []
