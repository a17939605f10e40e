"""The tokens of its own that a tokenizer puts around a question and an option, for models that read both at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.errors import StudentError


@dataclass(frozen=True)
class Around:
    """Token ids around two texts that a model reads as one row, such as [CLS] question [SEP] option [SEP]."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    kinds: bool
    """Whether the model is told of each token which of the two texts it belongs to."""

    @classmethod
    def of(cls, tokenizer: Any, config: Any) -> Around:
        """As a tokenizer does it. Raises StudentError where it changes the texts' own tokens."""
        # Read off an example, since tokenizers have no common way to state them.
        first, second = (list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("a", "b"))
        row = tokenizer("a", "b", add_special_tokens=True)
        whole = list(row["input_ids"])
        start = _place(whole, first, 0)
        stop = start + len(first)
        second_start = _place(whole, second, stop)
        kinds = (row.get("token_type_ids") or [0] * len(whole))[second_start]
        return cls(
            tuple(whole[:start]),
            tuple(whole[stop:second_start]),
            tuple(whole[second_start + len(second) :]),
            # A model that knows no kinds (RoBERTa, ModernBERT) has one of them at most, whatever its tokenizer says.
            kinds=kinds == 1 and int(getattr(config, "type_vocab_size", 0) or 0) > 1,
        )


def _place(whole: list[int], part: list[int], start: int) -> int:
    for place in range(start, len(whole) - len(part) + 1):
        if whole[place : place + len(part)] == part:
            return place
    raise StudentError(
        "This tokenizer cuts a question and an option otherwise when they stand in one row: no option could be told "
        "from its question. Take another encoder."
    )
