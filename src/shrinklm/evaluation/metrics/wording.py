"""Wording of an explanation: hedges, copying, repetition, readability. None: there is no explanation.

Hedges and readability are those of English; copying and repetition go by the words of any script (`core.words`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...core.types import Example, Prediction
from ...core.words import latin, words
from .mentions import sentences

# "may" before a number is the month.
_HEDGES = re.compile(
    r"\b(?:may(?! \d)|might|could|possibly|perhaps|maybe|probably|presumably|seems?|seemingly|appears?|apparently"
    r"|usually|often|sometimes|typically|generally|likely|unlikely|tends? to|tended to|somewhat|arguably"
    r"|suggests?|i (?:think|believe|guess|suppose)|in most cases|not necessarily|more or less|kind of|sort of"
    r"|can be|it is possible)\b",
    re.IGNORECASE,
)
_VOWELS = re.compile(r"[aeiouy]+")
# The e is spoken in "table", in "boxes" and "wishes" after a hiss, and in "wanted" after t or d.
_SILENT = re.compile(r"(?:(?<![aeiouylsxzcg])(?<![cs]h)es|(?<![td])ed|(?<![aeiouyl])e)$")
_RUN = 3
"""Words in a row that count as copied, and as repeated."""


def hedges(example: Example, prediction: Prediction) -> float | None:
    """The number of words and phrases that soften a statement ("may", "usually"). Longer texts have more of them.

    The words are English: None for a text in another script.
    """
    text = prediction.explanation
    return None if text is None or not latin(text) else float(hedging(text))


def copies(example: Example, prediction: Prediction) -> float | None:
    """Share of the explanation's words, 0 to 1, that stand in runs of three which the question or its context has too.

    1.0: all of it is copied. Options do not count as the question's: an explanation has to name them. None for an empty
    explanation.
    """
    explanation = words(prediction.explanation or "")
    if not explanation:
        return None
    sources = [words(text) for text in (*example.fields.values(), example.question)]
    # Source by source: no run may begin in the context and end in the question.
    known = {gram for source in sources for gram in _grams(source)}
    size = len(explanation)
    # One or two words make no run: they count as copied when the question has all of them in a row.
    if size < _RUN:
        return float(any(explanation == source[at : at + size] for source in sources for at in range(len(source))))
    copied = [False] * size
    for start, gram in enumerate(_grams(explanation)):
        if gram in known:
            copied[start : start + _RUN] = [True] * _RUN
    return sum(copied) / size


def repetition(example: Example, prediction: Prediction) -> float | None:
    """1 - distinct runs of three words / all: 0 without repetition, near 1 in a loop (seq-rep-3, arXiv 1908.04319).

    0.0 for one or two words, None for an empty explanation.
    """
    explanation = words(prediction.explanation or "")
    if not explanation:
        return None
    grams = _grams(explanation)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def readability(example: Example, prediction: Prediction) -> Mapping[str, float] | None:
    """Flesch reading ease and Flesch-Kincaid grade of the explanation.

    `reading_ease` = 206.835 - 1.015 words/sentences - 84.6 syllables/words: about 0 (hard) to 100 (easy), open at both
    ends. `grade` = 0.39 words/sentences + 11.8 syllables/words - 15.59: years of school in the USA. Kincaid et al.,
    1975; syllables are groups of vowels, a silent e not counted. None for an empty explanation, and for one
    in a script other than Latin, which the formulas do not know.
    """
    text = prediction.explanation or ""
    spelled = words(text)
    if not spelled or not latin(text):
        return None
    words_per_sentence = len(spelled) / max(1, len(sentences(text)))
    syllables_per_word = sum(map(syllables, spelled)) / len(spelled)
    return {
        "reading_ease": 206.835 - 1.015 * words_per_sentence - 84.6 * syllables_per_word,
        "grade": 0.39 * words_per_sentence + 11.8 * syllables_per_word - 15.59,
    }


def hedging(text: str) -> int:
    """The number of hedges in a text."""
    return len(_HEDGES.findall(text))


def syllables(word: str) -> int:
    """Groups of vowels, a silent e at the end left out, at least 1: "table" 2, "makes" 1, "wanted" 2."""
    return max(1, len(_VOWELS.findall(_SILENT.sub("", word))))


def _grams(text: Sequence[str]) -> list[tuple[str, ...]]:
    """All runs of `_RUN` words."""
    return list(zip(*(text[start:] for start in range(_RUN)), strict=False))
