"""Which characters of a target weigh more, or less, than others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..core.marking import words as words_of
from ..core.types import Example, Pair
from ..core.words import word_spans, words

Spans = tuple[tuple[int, int, float], ...]
"""See `Pair.emphasis`."""


@dataclass(frozen=True)
class Emphasis:
    """The weights of the tokens of an explanation; those of the sentence that states the answer have 1."""

    thought: float = 1.0
    """Of the whole explanation, where the target holds the answer too."""
    keypoints: float = 1.0
    """Of its words that stand in the question, its context, its options or the answer, function words apart."""

    def spans(self, example: Example, pair: Pair, said: tuple[int, int]) -> Spans:
        """The spans of a pair whose explanation stands between two characters of its target."""
        # Of what only explains there is nothing to weigh it against, and what is internalised may be gone.
        alone = said == (0, len(pair.target)) or said[0] == said[1]
        thought = () if self.thought == 1 or alone else ((*said, self.thought),)
        points = () if self.keypoints == 1 else tuple(self._points(example, pair, *said))
        return thought + points

    def _points(self, example: Example, pair: Pair, start: int, end: int) -> Iterator[tuple[int, int, float]]:
        known = {form for word in words_of(example) if word.content for form in words(word.text)}
        # A free answer stands nowhere in the question.
        known.update(words(pair.option or example.answer))
        for first, last in word_spans(pair.target, start, end):
            if known.issuperset(forms := words(pair.target[first:last])) and forms:
                yield first, last, self.keypoints


def explanation_of(pair: Pair, says: tuple[str, ...], states: str) -> tuple[int, int] | None:
    """(start, end) of the explanation among the characters of a target; None where it cannot be told.

    Args:
        pair: The pair.
        says: See `View`.
        states: The sentence in which the view states the answer.
    """
    target = pair.target
    if says == ("explanation",):
        return 0, len(target)
    if says == ("explanation", "answer") and target.endswith(states):
        return 0, len(target) - len(states)
    if says == ("answer", "explanation") and target.startswith(states):
        return len(states), len(target)
    return None
