"""Log-probabilities of a question's options, as a server gives them: what is stored, and the distribution over options.

All are natural logarithms of probabilities, so at most 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Token:
    """One token of a completion, with the likeliest tokens in its place."""

    raw: bytes
    """What it adds to the completion; it may end inside a character."""
    logprob: float | None
    """None: not told."""
    top: tuple[tuple[bytes, float], ...] = ()
    """(token, log p) of the alternatives that the server lists, as a rule this token among them."""


@dataclass(frozen=True)
class OptionLogprobs:
    """How likely each option was where a reply names its answer, given the reply until there."""

    options: Mapping[str, float | None]
    """Option → log p of the tokens that begin it and no other option; None where the server does not tell."""
    tokens: tuple[Token, ...]
    """The tokens of the reply that these come from, with their alternatives."""

    @property
    def distribution(self) -> dict[str, float] | None:
        """The probability of each option among the options, a softmax; None unless all are told. They sum to 1."""
        values = {option: value for option, value in self.options.items() if value is not None}
        if not values or len(values) < len(self.options):
            return None
        most = max(values.values())
        weights = {option: math.exp(value - most) for option, value in values.items()}
        total = sum(weights.values())
        return {option: weight / total for option, weight in weights.items()}


def to_json(logprobs: OptionLogprobs | None) -> str:
    """The text of a store's column; "" for None.

    A token is written as text, or as a list of its bytes where they are no UTF-8.
    """
    if logprobs is None:
        return ""
    tokens = [
        {
            "token": _written(token.raw),
            "logprob": token.logprob,
            "top": [[_written(raw), value] for raw, value in token.top],
        }
        for token in logprobs.tokens
    ]
    text = json.dumps({"options": dict(logprobs.options), "tokens": tokens}, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def from_json(text: str) -> OptionLogprobs | None:
    """What `to_json` wrote. Raises KeyError, TypeError or ValueError for any other text."""
    if not text:
        return None
    data = json.loads(text)
    if not isinstance(data["options"], dict):
        raise TypeError("'options' of 'logprobs' is no object")
    return OptionLogprobs(
        {option: None if value is None else _number(value) for option, value in data["options"].items()},
        tuple(
            Token(
                _read(token["token"]),
                None if token["logprob"] is None else _number(token["logprob"]),
                tuple((_read(raw), _number(value)) for raw, value in token["top"]),
            )
            for token in data["tokens"]
        ),
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -math.inf < value <= 0:
        raise ValueError(f"{value!r} is no log-probability")
    return float(value)


def _written(raw: bytes) -> str | list[int]:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)


def _read(token: Any) -> bytes:
    return token.encode() if isinstance(token, str) else bytes(_bytes(token))


def _bytes(values: Any) -> list[int]:
    # `bytes` would take a number as a length.
    if not isinstance(values, list):
        raise TypeError(f"expected a text or a list of bytes, found {type(values).__name__}")
    return values
