"""What can be counted in an explanation. None: the student was not asked to explain, so there is nothing to score."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...core.types import Example, Prediction


def length(example: Example, prediction: Prediction) -> float | None:
    """Words of the explanation; an empty one has 0."""
    return None if prediction.explanation is None else float(len(prediction.explanation.split()))


def names_answer(example: Example, prediction: Prediction) -> float | None:
    """1.0 when the explanation names the predicted answer, right or wrong; None when there is no explanation or no answer."""
    if prediction.explanation is None or prediction.answer is None:
        return None
    return float(prediction.answer in named(prediction.explanation, (*example.choices, prediction.answer)))


def names_distractors(example: Example, prediction: Prediction) -> float | None:
    """1.0 when the explanation names any option but the predicted one; None without explanation, answer or options."""
    if prediction.explanation is None or prediction.answer is None or not example.choices:
        return None
    return float(bool(named(prediction.explanation, example.choices) - {prediction.answer}))


def overlap(example: Example, prediction: Prediction) -> Mapping[str, float] | None:
    """BLEU and ROUGE-L (F), 0 to 100, against the reference explanation in `meta["reference"]`; None without one.

    Sentence BLEU of sacrebleu with effective order; ROUGE-L of rouge-score, unstemmed.
    """
    reference = example.meta.get("reference")
    if prediction.explanation is None or not reference:
        return None
    bleu, rouge = _scorers()
    return {
        "bleu": float(bleu.sentence_score(prediction.explanation, [str(reference)]).score),
        "rougeL": 100 * float(rouge.score(str(reference), prediction.explanation)["rougeL"].fmeasure),
    }


def named(text: str, options: Sequence[str]) -> set[str]:
    """The options that stand in `text` as whole words, in any case. Where "bank account" stands, "bank" is not named by it."""
    seen = {spelling for _, _, spelling in places(text.casefold(), tuple(options))}
    return {option for option in options if spell(option) in seen}


def places(folded: str, options: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """(start, end, `spell(option)`) of every option that stands in a case-folded text as whole words, from left to right."""
    pattern = _pattern(options)
    return (
        [(match.start(), match.end(), " ".join(match[0].split())) for match in pattern.finditer(folded)]
        if pattern
        else []
    )


def spell(option: str) -> str:
    """What makes two spellings the same option: case and blanks taken away."""
    return " ".join(option.casefold().split())


@lru_cache(maxsize=4096)
def _pattern(options: tuple[str, ...]) -> re.Pattern[str] | None:
    # An alternation takes the first that fits: the longest stands first.
    spelled = sorted({spell(option) for option in options if option.strip()}, key=lambda text: (-len(text), text))
    words = "|".join(re.escape(spelling).replace(r"\ ", r"\s+") for spelling in spelled)
    return re.compile(rf"(?<!\w)(?<!\w-)(?:{words})(?!-?\w)") if spelled else None


@lru_cache
def _scorers() -> tuple[Any, Any]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True), RougeScorer(["rougeL"], use_stemmer=False)
