"""Length of an explanation, the options it names, and its overlap with a reference.

None: there is no explanation to score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...core.names import folded, found, spelled
from ...core.types import Example, Prediction
from ...core.words import pieces, spaced, words

NAMING = {"names_answer": "names_answer", "names_distractors": "names_distractors", "support": "names_gold"}
"""Metric → that of its scores which asks whether an explanation names an option: of labels it means nothing."""
_JOINS = re.compile("['-]")


def length(example: Example, prediction: Prediction) -> float | None:
    """Words of the explanation, divided by blanks; an empty one has 0.

    In scripts without blanks between words (Chinese, Japanese, Thai) each character counts (`core.words.pieces`).
    """
    return None if prediction.explanation is None else float(len(pieces(prediction.explanation)))


def names_answer(example: Example, prediction: Prediction) -> float | None:
    """1.0 when the explanation names the predicted answer, right or wrong, else 0.0.

    None without explanation or parsed answer.
    """
    if prediction.explanation is None or prediction.answer is None:
        return None
    return float(prediction.answer in named(prediction.explanation, (*example.choices, prediction.answer)))


def names_distractors(example: Example, prediction: Prediction) -> float | None:
    """1.0 when the explanation names any option but the predicted one, else 0.0.

    None without explanation, parsed answer or options.
    """
    if prediction.explanation is None or prediction.answer is None or not example.choices:
        return None
    return float(bool(named(prediction.explanation, example.choices) - {prediction.answer}))


def overlap(example: Example, prediction: Prediction) -> Mapping[str, float] | None:
    """BLEU and ROUGE-L (F), 0 to 100, against the reference explanation in `meta["reference"]`; None without one.

    Sentence BLEU of sacrebleu with effective order and its tokenizer 13a (Papineni et al., ACL 2002; Post, arXiv
    1804.08771); ROUGE-L of rouge-score, unstemmed (Lin, 2004). Words are those of `core.words`: of Latin letters and
    digits as rouge-score has them, of any other script by Unicode's properties, a character each where it writes no
    blanks between words; for BLEU such characters, and the punctuation of other scripts, stand between blanks.
    """
    reference = example.meta.get("reference")
    if prediction.explanation is None or not reference:
        return None
    bleu, rouge = _scorers()
    said, written = spaced(prediction.explanation), spaced(str(reference))
    return {
        "bleu": float(bleu.sentence_score(said, [written]).score),
        "rougeL": 100 * float(rouge.score(str(reference), prediction.explanation)["rougeL"].fmeasure),
    }


def named(text: str, options: Sequence[str]) -> set[str]:
    """The options that stand in `text` as whole words of their script (`core.names`), in any case.

    Where "bank account" stands, "bank" is not named by it.
    """
    spellings = set(found(folded(text), [spell(option) for option in options]))
    return {option for option in options if spell(option) in spellings}


def spell(option: str) -> str:
    """The spelling that identifies an option: case-folded, with single blanks and one form of each character."""
    return spelled(option)


class _Tokenizer:
    """The words of a text for ROUGE: joined words apart, as rouge-score has them."""

    def tokenize(self, text: str) -> list[str]:
        return [part for word in words(text) for part in _JOINS.split(word)]


@lru_cache
def _scorers() -> tuple[Any, Any]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU

    # effective_order: without it, a text of fewer than four words scores 0 whatever its words.
    return BLEU(effective_order=True), RougeScorer(["rougeL"], tokenizer=_Tokenizer())
