"""What the teachers that run on this machine share: the model, its prompts as tokens, and its room for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..core.errors import TeacherError
from ..core.types import Prompt, Turn, digest
from ..models.load import family_of
from ..models.locate import locate_model
from .base import DOES_NOT_FIT, BaseTeacher, TeacherOptions, Thinking, without_system
from .costs import Price


class LocalTeacher(BaseTeacher):
    """A checkpoint by hub id, folder, GGUF file or packaged name. A subclass loads it and writes `complete`."""

    unpaid = True
    kind: str
    """Its name in a spec."""

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        if not rest:
            raise TeacherError(
                f"'{self.kind}' names no model. Write {self.kind}:PATH_OR_ID, such as {self.kind}:smollm2-135m-instruct"
            )
        self.model = locate_model(rest, options.root)
        self.name, self.revision = self.model.name, self.model.revision
        self.tokenizer_revision = self.model.tokenizer
        if options.thinking in ("low", "high"):  # another text is written then
            self.revision += f", thinking {options.thinking}"
        self.options, self.max_tokens = options, options.max_tokens

    @property
    def price(self) -> Price | None:
        """The recipe's; None when it states none."""
        return self.options.price

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer of transformers."""
        raise NotImplementedError

    @property
    def limit(self) -> int:
        """Tokens that it can read and write together."""
        raise NotImplementedError

    @cached_property
    def seq2seq(self) -> bool:
        """Whether it is an encoder–decoder."""
        return family_of(self.model, self.options.trust_remote_code) == "seq2seq"

    def tokens(self, prompt: Prompt) -> list[int]:
        """The prompt as the model reads it: through its chat template where it has one."""
        return self.read(prompt.turns, self.options.thinking)

    def read(self, turns: tuple[Turn, ...], thinking: Thinking | None) -> list[int]:
        """The turns of a dialogue as tokens. Raises TeacherError where the chat template cannot take them."""
        if self.seq2seq or not getattr(self.tokenizer, "chat_template", None):
            # A base model goes on with the text: the line break lets its reply begin on a line of its own.
            text = "\n\n".join(turn.text for turn in turns) + ("" if self.seq2seq else "\n")
            tokens: list[int] = self.tokenizer(text)["input_ids"]
            return tokens
        try:
            return _chat(self.tokenizer, turns, thinking)
        except Exception as error:  # jinja2's, raised by the template itself
            merged = without_system(turns)
            if merged == turns:
                raise TeacherError(f"The chat template of {self.name} cannot take the prompt: {error}") from error
            return _chat(self.tokenizer, merged, thinking)

    def too_long(self, length: int, cap: int) -> str | None:
        """The reason why a prompt of `length` tokens does not fit, or None."""
        # An encoder–decoder writes its completion with the decoder: it takes no room in the prompt's window.
        if length + (0 if self.seq2seq else cap) <= self.limit:
            return None
        return (
            f"{DOES_NOT_FIT}: {length} tokens"
            + ("" if self.seq2seq else f" and {cap} for the completion")
            + f", limit {self.limit}"
        )


def row_seed(seed: int, tokens: Sequence[int]) -> int:
    """The seed of a prompt's own random numbers: the rest of the batch changes nothing."""
    return int(digest(seed, list(tokens))[:15], 16)  # 15 hex digits: torch takes seeds of 64 bits with a sign


def _chat(tokenizer: Any, turns: Sequence[Turn], thinking: Thinking | None) -> list[int]:
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    # Switches of some templates, ignored by the others. Thoughts are for a recipe to ask for.
    on = thinking in ("low", "high")
    tokens: list[int] = tokenizer.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
        enable_thinking=on,
        **({"reasoning_effort": thinking} if on else {}),
    )
    return tokens
