"""How an explanation is worded: hedges, copying, repetition, readability. English; counted, never judged. None: there is no explanation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...core.types import Example, Prediction
from .mentions import sentences

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_HEDGES = re.compile(
    r"\b(?:may(?! \d)|might|could|possibly|perhaps|maybe|probably|presumably|seems?|seemingly|appears?|apparently|usually|often|sometimes"
    r"|typically|generally|likely|unlikely|tends? to|tended to|somewhat|arguably|suggests?|i (?:think|believe|guess|suppose)|in most cases"
    r"|not necessarily|more or less|kind of|sort of|can be|it is possible)\b",
    re.IGNORECASE,
)
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"(?:(?<![aeiouylsxzcg])(?<![cs]h)es|(?<![td])ed|(?<![aeiouyl])e)$")
_RUN = 3
"""Words in a row that count as copied, and as said again."""


def hedges(example: Example, prediction: Prediction) -> float | None:
    """Words and phrases that soften what is said ("may", "usually", "it seems"): a count from 0; longer texts have more of them."""
    return None if prediction.explanation is None else float(hedging(prediction.explanation))


def copies(example: Example, prediction: Prediction) -> float | None:
    """Share of the explanation's words, 0 to 1, that stand in runs of three which the question or its context has too.

    1.0: it says nothing of its own. Options are no part of it: an explanation has to name them. None for an empty explanation.
    """
    said = words(prediction.explanation or "")
    if not said:
        return None
    shown = [words(text) for text in (*example.fields.values(), example.question)]
    known = {gram for text in shown for gram in _grams(text)}
    if len(said) < _RUN:
        return float(any(said == text[at : at + len(said)] for text in shown for at in range(len(text))))
    covered = [False] * len(said)
    for at, gram in enumerate(_grams(said)):
        if gram in known:
            covered[at : at + _RUN] = [True] * _RUN
    return sum(covered) / len(said)


def repetition(example: Example, prediction: Prediction) -> float | None:
    """1 - distinct / all runs of three words, 0 to 1: 0 says nothing twice, near 1 goes in circles (seq-rep-n, arXiv 1908.04319, n = 3).

    0.0 for one or two words, None for an empty explanation.
    """
    said = words(prediction.explanation or "")
    if not said:
        return None
    grams = _grams(said)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def readability(example: Example, prediction: Prediction) -> Mapping[str, float] | None:
    """Flesch reading ease and Flesch-Kincaid grade of the explanation.

    `reading_ease` = 206.835 - 1.015 words/sentences - 84.6 syllables/words: about 0 (hard) to 100 (easy), open at both ends.
    `grade` = 0.39 words/sentences + 11.8 syllables/words - 15.59: years of school in the USA. Kincaid et al., 1975; syllables are
    groups of vowels, a silent e not counted. None for an empty explanation.
    """
    text = prediction.explanation or ""
    said = words(text)
    if not said:
        return None
    long, heavy = len(said) / max(1, len(sentences(text))), sum(map(syllables, said)) / len(said)
    return {"reading_ease": 206.835 - 1.015 * long - 84.6 * heavy, "grade": 0.39 * long + 11.8 * heavy - 15.59}


def hedging(text: str) -> int:
    """How many hedges a text has."""
    return len(_HEDGES.findall(text))


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def syllables(word: str) -> int:
    """Groups of vowels, a silent e at the end left out, at least 1: "table" 2, "makes" 1, "wanted" 2."""
    return max(1, len(_VOWELS.findall(_SILENT.sub("", word))))


def _grams(said: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(said[start:] for start in range(_RUN)), strict=False))
