"""How likely a teacher finds each option of a question, as far as its labels tell. No model, no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from ..core.types import Generation

ALONE = "one label, without log-probabilities"


def chances(label: Generation | None, choices: Sequence[str]) -> dict[str, float] | str:
    """Option → its probability, or in words why that is not known. The probabilities sum to 1.

    They are the mean of the distributions of those labels that come with log-probabilities of all options; where none
    does, the share of each option among two readable labels or more.

    Args:
        label: The text of the step `label`, with its samples.
        choices: The options of the question.
    """
    if label is None:
        return "no label"
    options = dict.fromkeys(choices)
    usable = [text for text in label.texts if not text.refusal]
    told = [text.logprobs.distribution for text in usable if text.logprobs is not None]
    whole = [each for each in told if each is not None and each.keys() == options.keys()]
    if whole:
        return {option: fmean(each[option] for each in whole) for option in options}
    votes = Counter(text.answer for text in usable if text.answer in options)
    if votes.total() > 1:
        return {option: votes[option] / votes.total() for option in options}
    return ALONE if usable else f"label refused: {label.refusal}"
