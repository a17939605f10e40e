"""A teacher on this machine: a causal or encoder–decoder checkpoint, by hub id, folder, GGUF file or packaged name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from ..core.errors import TeacherError
from ..core.types import Completion, Prompt, Sampling, Turn, digest
from ..models.load import default_device, default_dtype, family_of, load_model
from ..models.locate import locate_model
from .base import DOES_NOT_FIT, BaseTeacher, Price, TeacherOptions, Thinking, first_stop, without_system

BATCH = 16
"""Prompts in one forward pass where the recipe does not say."""


class TransformersTeacher(BaseTeacher):
    """`transformers:PATH_OR_ID`: a checkpoint, a folder or a GGUF file that runs here.

    The weights are loaded at the first `complete`.
    """

    dtype: str | None = None
    """"float32" or "bfloat16"; None: bfloat16 where the device is faster with it."""

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        if not rest:
            raise TeacherError(
                "'transformers' names no model. Write transformers:PATH_OR_ID, "
                "such as transformers:smollm2-135m-instruct"
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

    def check(self) -> None:
        """Raises ModelError when its configuration cannot be read."""
        _ = self._seq2seq

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield completions batch by batch, the longest prompts first.

        A prompt that does not fit with its completion is refused with its length and the limit, never cut.
        """
        fitting: dict[int, list[int]] = {}
        for position, prompt in enumerate(prompts):
            tokens = self.tokens(prompt)
            refusal = self._too_long(len(tokens), sampling.max_tokens)
            if refusal is None:
                fitting[position] = tokens
            else:
                yield position, Completion("", len(tokens), refusal=refusal)
        # Prompts of like length share a batch, so that little is padding; the longest come first, so that memory that
        # does not suffice is noticed at once.
        order = sorted(fitting, key=lambda position: -len(fitting[position]))
        # Of all prompts and not of one batch's, so that every batch can use the same.
        shared = len(os.path.commonprefix(list(fitting.values())))  # noqa: RUF071
        size = self.options.batch or BATCH
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            began = time.perf_counter()
            decoded = self._decoder.decode(
                [fitting[position] for position in batch],
                sampling.max_tokens,
                lambda text: first_stop(text, sampling.stop) is not None,
                sampling.temperature,
                sampling.top_p,
                # Each prompt has its own random numbers: the rest of the batch changes nothing. 15 hex digits, since
                # torch takes seeds of 64 bits with a sign.
                [int(digest(sampling.seed, fitting[position])[:15], 16) for position in batch],
                shared,
            )
            seconds = (time.perf_counter() - began) / len(batch)
            for position, row in zip(batch, decoded, strict=True):
                text = self._decoder.text(row.tokens)
                text = text[: first_stop(text, sampling.stop)]
                yield position, Completion(text, len(fitting[position]), len(row.tokens), row.finished, seconds=seconds)

    def tokens(self, prompt: Prompt) -> list[int]:
        """The prompt as the model reads it: through its chat template where it has one."""
        tokenizer = self._decoder.tokenizer
        if self._seq2seq or not getattr(tokenizer, "chat_template", None):
            # A base model goes on with the text: the line break lets its reply begin on a line of its own.
            tokens: list[int] = tokenizer(prompt.text + ("" if self._seq2seq else "\n"))["input_ids"]
            return tokens
        try:
            return _chat(tokenizer, prompt.turns, self.options.thinking)
        except Exception as error:  # jinja2's, raised by the template itself
            merged = without_system(prompt.turns)
            if merged == prompt.turns:
                raise TeacherError(f"The chat template of {self.name} cannot take the prompt: {error}") from error
            return _chat(tokenizer, merged, self.options.thinking)

    @cached_property
    def _decoder(self) -> Any:
        """The loaded model."""
        dtype = self.dtype or default_dtype()
        model, tokenizer = load_model(
            self.model, "seq2seq" if self._seq2seq else "causal", dtype, self.options.trust_remote_code
        )
        from ..models.exact import exact_decoder

        return exact_decoder(model.to(default_device()), tokenizer)

    @cached_property
    def _seq2seq(self) -> bool:
        return family_of(self.model, self.options.trust_remote_code) == "seq2seq"

    def _too_long(self, length: int, cap: int) -> str | None:
        """The reason why a prompt of `length` tokens does not fit, or None."""
        built = getattr(self._decoder.model.config.get_text_config(), "max_position_embeddings", None)
        stated = self._decoder.tokenizer.model_max_length  # a huge number when the tokenizer states none
        limit = int(built or stated)
        # An encoder–decoder writes its completion with the decoder: it takes no room in the prompt's window.
        if length + (0 if self._seq2seq else cap) <= limit:
            return None
        return (
            f"{DOES_NOT_FIT}: {length} tokens"
            + ("" if self._seq2seq else f" and {cap} for the completion")
            + f", limit {limit}"
        )


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
