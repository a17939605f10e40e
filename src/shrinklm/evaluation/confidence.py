"""How probable a student finds each option, and the answer that it gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..core.types import Prediction


def scores(likelihoods: Mapping[str, float], summed: bool = False) -> dict[str, float]:
    """Option → Σ log p / characters, by which options are compared; {} where one of them is no number.

    `summed`: Σ log p itself; see `Prediction.summed`.
    """
    if any(map(math.isnan, likelihoods.values())):
        return {}
    return {option: value / (1 if summed else len(option)) for option, value in likelihoods.items()}


def probabilities(
    likelihoods: Mapping[str, float], temperature: float | None = None, summed: bool = False
) -> dict[str, float]:
    """Option → probability, from Σ log p of each; {} where one of them is no number, or none is possible.

    softmax over the options of Σ log p / characters of the option / temperature: the highest is the option that
    `likeliest` names, whatever the temperature. None stands for 1, which is no calibrated figure.
    """
    values = scores(likelihoods, summed)
    top = max(values.values(), default=-math.inf)
    if top == -math.inf:
        return {}
    weights = {option: math.exp((value - top) / (temperature or 1.0)) for option, value in values.items()}
    whole = sum(weights.values())
    return {option: weight / whole for option, weight in weights.items()}


def likelihoods(prediction: Prediction, choices: Sequence[str]) -> dict[str, float]:
    """Option → Σ log p; {} where the student was not scored."""
    return dict(zip(dict.fromkeys(choices), prediction.likelihoods, strict=False))


def confidence(prediction: Prediction, choices: Sequence[str], temperature: float | None = None) -> float:
    """The probability of the answer that the student gave; NaN where it gave none, or there is no probability.

    An answer is read from what the student wrote, and need not be its likeliest option: its probability then is lower.
    """
    if prediction.answer is None:
        return math.nan
    values = likelihoods(prediction, choices)
    return probabilities(values, temperature, prediction.summed).get(prediction.answer, math.nan)
