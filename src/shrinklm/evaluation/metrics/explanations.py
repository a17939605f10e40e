"""Length of an explanation, the options it names, and its overlap with a reference.

None: there is no explanation to score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...core.types import Example, Prediction


def length(example: Example, prediction: Prediction) -> float | None:
    """Words of the explanation, divided by blanks; an empty one has 0."""
    return None if prediction.explanation is None else float(len(prediction.explanation.split()))


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

    Sentence BLEU of sacrebleu with effective order (Papineni et al., ACL 2002; Post, arXiv 1804.08771); ROUGE-L of
    rouge-score, unstemmed (Lin, 2004).
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
    """The options that stand in `text` as whole words, in any case.

    Where "bank account" stands, "bank" is not named by it.
    """
    pattern = _pattern(tuple(options))
    matches = pattern.finditer(text.casefold()) if pattern else ()
    spellings = {" ".join(match[0].split()) for match in matches}
    return {option for option in options if spell(option) in spellings}


def spell(option: str) -> str:
    """The spelling that identifies an option: case-folded, with single blanks."""
    return " ".join(option.casefold().split())


@lru_cache(maxsize=4096)
def _pattern(options: tuple[str, ...]) -> re.Pattern[str] | None:
    """A pattern that finds any of the options in a case-folded text as whole words; None where all are blank."""
    # An alternation takes the first alternative that fits: the longest stands first. A hyphen joins words, so that
    # "bank" is no whole word of "bank-note".
    spellings = sorted({spell(option) for option in options if option.strip()}, key=lambda text: (-len(text), text))
    alternatives = "|".join(re.escape(spelling).replace(r"\ ", r"\s+") for spelling in spellings)
    return re.compile(rf"(?<!\w)(?<!\w-)(?:{alternatives})(?!-?\w)") if spellings else None


@lru_cache
def _scorers() -> tuple[Any, Any]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU

    # effective_order: without it, a text of fewer than four words scores 0 whatever its words.
    return BLEU(effective_order=True), RougeScorer(["rougeL"], use_stemmer=False)
