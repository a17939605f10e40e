"""The tokens of its own that a tokenizer puts around a prompt, and those that end a student's text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError

if TYPE_CHECKING:
    from ...students.base import BaseStudent


@dataclass(frozen=True)
class Around:
    """Token ids before and after the tokens of a text."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def around(tokenizer: Any) -> Around:
    """The tokens that a tokenizer puts around a prompt. Raises ModelError where they change the text's own."""
    plain = list(tokenizer("x", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("x", add_special_tokens=True)["input_ids"])
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return Around(tuple(whole[:start]), tuple(whole[start + len(plain) :]))
    raise ModelError("This tokenizer cuts a text otherwise when it puts its own tokens around it: no runtime does.")


def ends_of(student: BaseStudent) -> list[int]:
    """The tokens that end a student's text, its tokenizer's end token first."""
    ends = student.model.generation_config.eos_token_id
    further = [ends] if isinstance(ends, int) else ends or []
    return list(dict.fromkeys([student.tokenizer.eos_token_id, *further]))
