"""A teacher on this machine: a causal or encoder–decoder checkpoint, by hub id, folder, GGUF file or packaged name."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.errors import TeacherError
from ..core.types import Completion, Prompt, Sampling
from ..models.load import default_device, default_dtype, load_model
from .base import first_stop
from .local import LocalTeacher, row_seed

if TYPE_CHECKING:
    from ..models.rows import Row


class TransformersTeacher(LocalTeacher):
    """`transformers:PATH_OR_ID`: a checkpoint, a folder or a GGUF file that runs here.

    The weights are loaded at the first `complete`.
    """

    kind = "transformers"
    contrasts = True
    dtype: str | None = None
    """"float32" or "bfloat16"; None: bfloat16 where the device is faster with it."""

    def check(self) -> None:
        """Raises ModelError when its configuration cannot be read."""
        _ = self.seq2seq

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield each completion as soon as it has ended, the longest prompts first.

        A prompt that does not fit with its completion is refused with its length and the limit, never cut.
        """
        from ..models.rows import Row

        rows = []
        for position, prompt in enumerate(prompts):
            tokens = self.tokens(prompt)
            other = self.read(prompt.against, self.options.thinking) if prompt.against else []
            refusal = self.too_long(max(len(tokens), len(other)), sampling.max_tokens)
            if refusal is not None:
                yield position, Completion("", len(tokens), refusal=refusal)
                continue
            stop = (lambda text: first_stop(text, sampling.stop) is not None) if sampling.stop else None
            seed = row_seed(sampling.seed, tokens)
            row = Row(tokens, sampling.max_tokens, stop, sampling.temperature, sampling.top_p, seed, position)
            row.against = Row(other, sampling.max_tokens, stop) if other else None
            rows.append(row)
        if any(row.against for row in rows) and not self.decoder.several:
            raise TeacherError(
                f"{self.name} is continued one prompt at a time here, and a contrast needs two. "
                "Leave `contrast` out, or take another model."
            )
        # Prompts of like length are read together, so that little is padding; the longest come first, so that memory
        # that does not suffice is noticed at once.
        rows.sort(key=lambda row: -len(row.prompt))
        began = time.perf_counter()
        for row in self.decoder.stream(rows, self.options.batch):
            yield row.key, self.completion(row, sampling.stop, time.perf_counter() - began)
            began = time.perf_counter()

    def completion(self, row: Row, stops: Sequence[str], seconds: float = 0.0) -> Completion:
        """The completion of a row that has ended."""
        text = self.decoder.text(row.said.tokens)
        text = text[: first_stop(text, stops)]
        read = len(row.prompt) + (len(row.against.prompt) if row.against else 0)
        return Completion(text, read, len(row.said.tokens), row.said.finished, seconds=seconds)

    @property
    def tokenizer(self) -> Any:
        """See LocalTeacher."""
        return self.decoder.tokenizer

    @cached_property
    def limit(self) -> int:
        """See LocalTeacher."""
        built = getattr(self.decoder.model.config.get_text_config(), "max_position_embeddings", None)
        return int(built or self.tokenizer.model_max_length)  # a huge number when the tokenizer states none

    @cached_property
    def decoder(self) -> Any:
        """The loaded model, which continues rows of tokens."""
        dtype = self.dtype or default_dtype()
        model, tokenizer = load_model(
            self.model, "seq2seq" if self.seq2seq else "causal", dtype, self.options.trust_remote_code
        )
        from ..models.exact import exact_decoder

        return exact_decoder(model.to(default_device()), tokenizer)
