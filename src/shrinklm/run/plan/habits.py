"""How a model writes, from its texts in the store: how long, how fast, how often in vain, how it counts tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import mean

from ...core.types import Generation, Prompt, Turn
from ...models.load import converted
from ...models.locate import PACKAGED, Model, locate_model
from ...teachers.base import BaseTeacher, failed
from ...teachers.costs import TURN_TOKENS, expected_tokens, expected_tokens_of
from ...teachers.refusals import RETRIED
from ...teachers.store import Store

ENOUGH = 5
"""Texts from which a figure is taken; of fewer, chance decides."""
MOST = 400
"""Texts of a step that are looked at."""
REFUSED = 0.05
"""Share of texts that are refused and tried again, where no text of the model is there to tell."""
THOUGHTS = {"low": 500, "high": 2000}
"""Tokens of thoughts, where no text of the model is there to tell."""


@dataclass(frozen=True)
class Known:
    """A figure and where it comes from."""

    value: float
    source: str


class Habits:
    """What the store tells of a model.

    Args:
        teacher: The model.
        store: Holds its texts, and others'.
        thinking: What the recipe says of its thoughts.
    """

    def __init__(self, teacher: BaseTeacher, store: Store, thinking: str | None = None) -> None:
        self.teacher, self.store, self.thinking = teacher, store, thinking
        self._texts: dict[tuple[str, bool], list[Generation]] = {}

    def texts(self, kind: str, own: bool = True) -> list[Generation]:
        """Up to `MOST` texts of a step in the store that the model, or anybody, wrote."""
        if (kind, own) not in self._texts:
            found = self.store.some(kind, MOST, self.teacher.name if own else None)
            self._texts[kind, own] = [one for one in found if not failed(one)]
        return self._texts[kind, own]

    def refused(self, kind: str) -> Known:
        """The share of texts that are refused and tried again."""
        texts = self.texts(kind)
        if len(texts) < ENOUGH:
            return Known(REFUSED, f"assumed: {REFUSED:.0%} refused and tried again")
        # A model of which nothing can be used is given up, which is no plan.
        share = min(0.9, sum(one.refusal in RETRIED for one in texts) / len(texts))
        return Known(share, f"{share:.0%} refused of {len(texts)} texts in the store")

    def written(self, prompt: Prompt) -> Known:
        """The tokens of a completion."""
        for own, whose in ((True, "its own"), (False, "other models'")):
            texts = [one for one in self.texts(prompt.kind, own) if one.source.tokens_out]
            if len(texts) >= ENOUGH:
                length = mean(one.source.tokens_out for one in texts)
                return Known(length, f"mean of {len(texts)} texts in the store ({whose})")
        shown = [expected_tokens_of(turn.text) for turn in prompt.turns if turn.role == "assistant"]
        length, source = (mean(shown), "as long as the examples in the prompt") if shown else (60.0, "assumed")
        if self.thinking in THOUGHTS:
            length, source = (
                length + THOUGHTS[self.thinking],
                f"{source}, thoughts of {THOUGHTS[self.thinking]} assumed",
            )
        return Known(length, source)

    def text(self, kind: str, number: int) -> str | None:
        """A kept text of the step, whose place in a dependent prompt it takes; None where there is none."""
        texts = [one.text for own in (True, False) for one in self.texts(kind, own) if one.text and not one.refusal]
        return texts[number % len(texts)] if texts else None

    @cached_property
    def seconds(self) -> dict[str, Known]:
        """Step → the seconds between two texts of the model, at the concurrency with which they were asked for."""
        figures = {}
        for kind in ("explanation", "critique", "revision", "counterfactual", "label", "trace", "judgement"):
            texts = [one for one in self.texts(kind) if one.source.seconds]
            if len(texts) >= ENOUGH:
                pace = mean(one.source.seconds for one in texts)
                figures[kind] = Known(pace, f"recorded with {len(texts)} texts in the store")
        return figures

    @cached_property
    def reads(self) -> tuple[Callable[[Sequence[Turn]], float], str]:
        """(the tokens of a prompt, where they come from)."""
        texts = [one for kind in self.seconds or ("explanation", "label", "judgement") for one in self.texts(kind)]
        texts = [one for one in islice(texts, MOST) if one.source.tokens_in]
        if len(texts) >= ENOUGH:
            said = sum(one.source.tokens_in for one in texts)
            ratio = said / sum(expected_tokens([Turn(**turn) for turn in json.loads(one.prompt)]) for one in texts)
            return lambda turns: ratio * expected_tokens(turns), f"counts of {len(texts)} texts in the store"
        count = _tokenizer(self.teacher)
        if count is not None:
            return count, "the model's tokenizer"
        return expected_tokens, "estimated from words and characters, without the model's tokenizer"


def _tokenizer(teacher: BaseTeacher) -> Callable[[Sequence[Turn]], float] | None:
    """Counts a prompt's tokens, where the model's tokenizer is on this machine; nothing is downloaded."""
    file = _tokenizer_file(teacher)
    if file is None or not file.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    lengths: dict[str, int] = {}  # the few-shot turns are those of every prompt

    def count(turns: Sequence[Turn]) -> float:
        for turn in turns:
            if turn.text not in lengths:
                lengths[turn.text] = len(tokenizer.encode(turn.text, add_special_tokens=False).ids)
        return sum(lengths[turn.text] + TURN_TOKENS for turn in turns)

    return count


def _tokenizer_file(teacher: BaseTeacher) -> Path | None:
    """Where the tokenizer of a model lies on this machine."""
    name, model = teacher.name, getattr(teacher, "model", None)
    if not isinstance(model, Model) and name in PACKAGED:
        model = locate_model(name)
    if isinstance(model, Model) and model.path is not None:
        return (model.path if model.path.is_dir() else converted(model)) / "tokenizer.json"
    name = model.ref.partition("@")[0] if isinstance(model, Model) else name
    if name.count("/") != 1:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "tokenizer.json")
    return Path(found) if isinstance(found, str) else None
