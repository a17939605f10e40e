"""The words of a question, and how much each of them moved a model. No model, no torch.

A step that marks words (`salient` and its controls, arXiv 2409.12586) stores a `Marking` of all words as JSON. Which of
them are kept is decided where they are used, so that another number of words needs no new gradient.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from .types import Example
from .words import word_spans

_FUNCTION_WORD_TEXT = """
    a about above after again against all also although always am among an and another any are aren't around as
    at away be because been before being below between both but by can can't cannot could couldn't did didn't do
    does doesn't doing don't done down during each either else ever every few for from further get gets getting
    give given gives go goes going had hadn't has hasn't have haven't having he her here hers herself him
    himself his how however i if in instead into is isn't it it's its itself just let likely many may me might
    mine more most much must my myself neither no none nor not now of off often on once one only onto or other
    others our ours ourselves out over own per perhaps put puts same shall she should shouldn't since so some
    somebody someone something sometimes somewhere still such than that that's the their theirs them themselves
    then there these they this those though through to too toward towards under until up upon us very was wasn't
    we were weren't what what's when where whether which while who whoever whom whose why will with within
    without won't would wouldn't yes yet you your yours yourself yourselves
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORD_TEXT.split())
"""English words that carry grammar rather than content: never kept."""


@dataclass(frozen=True)
class Word:
    """A word of an example's data. Words of the prompt, letters of choices and punctuation do not count."""

    text: str
    start: int
    """Of its characters in `Example.text`."""
    end: int
    part: str
    """The part of the example: a field's name, "question", or a choice's "(a)"."""

    @property
    def content(self) -> bool:
        """Whether it may be kept: not a function word."""
        return self.text.lower().replace("’", "'") not in _FUNCTION_WORDS


def words(example: Example) -> tuple[Word, ...]:
    """The words of an example's context, question and choices, in the order of its text (`core.words`).

    Hyphens and apostrophes join: "mother-in-law" and "don't" are one word each.
    """
    text = example.text
    matches: list[Word] = []
    for part, start, end in example.parts:
        # A question that all rows ask, as in NLI, belongs to the prompt: its words tell nothing about this example.
        if part == "question" and example.meta.get("same_question"):
            continue
        matches += [Word(text[first:last], first, last, part) for first, last in word_spans(text, start, end)]
    return tuple(matches)


@dataclass(frozen=True)
class Marking:
    """How much each word of an example's text moved a model."""

    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    """(start, end) of each word's characters in `Example.text`."""
    scores: tuple[float, ...]
    """Not negative, with sum 1."""
    label: str
    """The answer whose probability was moved."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Figures of the attribution's quality, such as `completeness_error` of integrated gradients."""

    def dump(self) -> str:
        """As JSON, the text of a generation."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> Marking:
        """From what `dump` wrote. Raises ValueError for anything else."""
        try:
            row = json.loads(text)
            spans = tuple((int(start), int(end)) for start, end in row["spans"])
            scores = tuple(float(score) for score in row["scores"])
            marking = cls(tuple(map(str, row["words"])), spans, scores, str(row["label"]), dict(row.get("figures", {})))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no marked words: {error!r}") from error
        if not len(marking.words) == len(spans) == len(scores):
            raise ValueError(f"{len(marking.words)} words, {len(spans)} spans and {len(scores)} scores")
        return marking


def mark(example: Example, scores: Sequence[float], label: str, figures: Mapping[str, float] | None = None) -> Marking:
    """The marking of an example by one score for each of `words(example)`; sizes count, signs do not.

    Raises ValueError for a score that is not finite.
    """
    example_words = words(example)
    sizes = [abs(score) for score in scores]
    total = math.fsum(sizes)
    if not math.isfinite(total):
        raise ValueError("an attribution is not a number")
    # A model that no word moved is a result, not an error: all words share alike.
    if not total:
        sizes, total = [1.0] * len(sizes), float(len(sizes))
    spans = tuple((word.start, word.end) for word in example_words)
    # Six digits, about what float32 holds: more would only lengthen the store.
    shares = tuple(float(f"{size / total:.6g}") for size in sizes)
    return Marking(tuple(word.text for word in example_words), spans, shares, label, dict(figures or {}))


@dataclass(frozen=True)
class Keep:
    """The rule by which marked words are kept."""

    top: float = 5
    """Number of words; below 1 a share of the content words, at least one word.

    arXiv 2409.12586 does not state its number: five is this package's choice.
    """
    order: Literal["text", "score"] = "text"

    def count(self, content: int) -> int:
        """The number of kept words among `content` different content words."""
        return min(content, max(1, math.ceil(self.top * content)) if self.top < 1 else int(self.top))

    def choose(self, example: Example, scores: Sequence[float]) -> list[int]:
        """Indices in `words(example)` of the kept words. A repeated word is kept once, where it scores highest."""
        best = best_indices(example, scores)
        # Ties go to the earlier word, so that equal scores always keep the same words.
        ranked = sorted(best, key=lambda index: (-scores[index], index))[: self.count(len(best))]
        return ranked if self.order == "score" else sorted(ranked)


def best_indices(example: Example, scores: Sequence[float]) -> list[int]:
    """The index in `words(example)` of each different content word, where it scores highest."""
    best: dict[str, int] = {}
    for index, word in enumerate(words(example)):
        key = word.text.lower()
        if word.content and (key not in best or scores[index] > scores[best[key]]):
            best[key] = index
    return sorted(best.values())
