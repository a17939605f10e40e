"""How likely a teacher finds each option of a question, as far as its labels tell. No model, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from ..core.types import Generation

ALONE = "one label, without log-probabilities"


Shares = Callable[[Sequence[Generation]], Sequence[float]]
"""The shares of the samples of a question, which sum to 1."""


def chances(label: Generation | None, choices: Sequence[str], shares: Shares | None = None) -> dict[str, float] | str:
    """Option → its probability, or in words why that is not known. The probabilities sum to 1.

    They are the mean of the distributions of those labels that come with log-probabilities of all options; where none
    does, the share of each option among two readable labels or more.

    Args:
        label: The text of the step `label`, with its samples.
        choices: The options of the question.
        shares: How much each label counts; None: all alike.
    """
    if label is None:
        return "no label"
    options = dict.fromkeys(choices)
    usable = [text for text in label.texts if not text.refusal]
    told = [(text, text.logprobs.distribution) for text in usable if text.logprobs is not None]
    whole = [(text, each) for text, each in told if each is not None and each.keys() == options.keys()]
    if whole:
        weights = None if shares is None else shares([text for text, _ in whole])
        return {option: fmean((each[option] for _, each in whole), weights) for option in options}
    read = [text for text in usable if text.answer in options]
    if len(read) > 1:
        votes = dict.fromkeys(options, 0.0)
        for text, share in zip(read, shares(read) if shares else [1.0] * len(read), strict=True):
            votes[text.answer] += share
        total = sum(votes.values())
        return {option: vote / total for option, vote in votes.items()}
    return ALONE if usable else f"label refused: {label.refusal}"
