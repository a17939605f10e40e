"""What a question to a teacher takes: tokens, as a fair estimate or at most, and the dollars for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from ..core.types import Turn

Price = Mapping[Literal["input", "output"], float]
"""Dollars per million tokens."""

TURN_TOKENS, TURN_TOKENS_AT_MOST = 5, 16
"""Tokens that a chat template writes around one turn."""
TEMPLATE_TOKENS_AT_MOST = 256
"""Tokens of a chat template's own text: dates, a default system turn, the channels of gpt-oss."""

_PIECES = re.compile(r"([^\W\d_]+)|(\d)|[^\w\s]|_|\n+")
_LETTERS = 9
"""A Latin word is one token, and one more for so many further letters."""


def dollars(tokens_in: int, tokens_out: int, price: Price) -> float:
    """The price of so many tokens of prompts and of completions."""
    return (tokens_in * price.get("input", 0.0) + tokens_out * price.get("output", 0.0)) / 1_000_000


def money(value: float) -> str:
    """Dollars as text: with cents, and below a dollar with as many digits as it takes to show three."""
    digits = 2
    while value and abs(value) * 10**digits < 100 and abs(value) < 1 and digits < 9:
        digits += 1
    whole, _, cents = f"{value:,.{digits}f}".partition(".")
    return f"${whole}.{cents.rstrip('0'):0<2}"


def expected_tokens(turns: Sequence[Turn]) -> int:
    """The tokens of a prompt, estimated without its model's tokenizer.

    Within 5 % of SmolLM2's tokenizer for the package's prompts. A token is a short word, a part of a long one, a digit,
    a mark, a line break; of scripts without spaces a character.
    """
    return sum(expected_tokens_of(turn.text) + TURN_TOKENS for turn in turns)


def most_tokens(turns: Sequence[Turn]) -> int:
    """A bound on the tokens of a prompt for any tokenizer: none makes more tokens of a text than it has bytes."""
    return TEMPLATE_TOKENS_AT_MOST + sum(_bytes(turn.text) + TURN_TOKENS_AT_MOST for turn in turns)


@lru_cache(maxsize=256)  # the instructions and few-shot turns are those of every prompt
def expected_tokens_of(text: str) -> int:
    """The tokens of a text, estimated as in `expected_tokens`."""
    return sum(_word(match[1]) if match[1] else 1 for match in _PIECES.finditer(text))


def _word(word: str) -> int:
    size = len(word.encode("utf-8", "replace"))
    if size < 1.5 * len(word):
        return 1 + (len(word) - 1) // _LETTERS
    # Two bytes a letter (Greek, Cyrillic, Hebrew, Arabic), or three and more (Indic scripts, Chinese, Japanese, Thai).
    return -(-len(word) // 3) if size < 2.5 * len(word) else len(word)


@lru_cache(maxsize=256)
def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
