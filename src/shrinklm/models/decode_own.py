"""Decoding by a model's own `generate`: slower, for models that `models.decode` does not compute exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from .decode import BaseDecoder, below_lora
from .rows import Choose, Row, Source, choose


class OwnDecoder(BaseDecoder):
    """Decodes with the `generate` of one model, decoder-only or encoder–decoder.

    Args:
        model: Of transformers.
        tokenizer: Its own.
        batched: Several prompts in one batch, with padding; otherwise one after another.
        cached: With the model's cache; otherwise every token reads all tokens before it anew.
    """

    def __init__(self, model: Any, tokenizer: Any, batched: bool = True, cached: bool = True) -> None:
        super().__init__(below_lora(model), tokenizer)
        self.batched = self.several = batched
        self.cached = cached
        self.seq2seq = bool(model.config.is_encoder_decoder)

    def run(self, source: Source, batch: int, choose: Choose = choose, shared: int | None = None) -> Iterator[Row]:
        """See BaseDecoder; batch by batch. `shared` is not used."""
        while rows := source(batch if self.batched else 1):
            with torch.inference_mode():
                self._generate(rows, choose)
            yield from rows

    def _generate(self, rows: Sequence[Row], choose: Choose) -> None:
        """Continue the rows with one call of `generate`."""
        prompts = [row.prompt for row in rows]
        live = list(range(len(rows)))

        def pick(ids: Tensor, scores: Tensor) -> Tensor:
            """Scores that leave one token to each row: the one that `choose` names."""
            kept = torch.tensor(live, device=scores.device)
            tokens = choose(scores[kept].float(), [rows[place] for place in live])
            only = torch.full_like(scores, -torch.inf)
            only[:, self.pad] = 0.0  # what a finished row writes is not read
            only[kept] = -torch.inf
            only[kept, tokens.to(scores.device)] = 0.0
            unfinished = self.take([rows[place] for place in live], tokens.tolist())
            live[:] = [live[place] for place in unfinished]
            return only

        def finished(ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
            return torch.tensor([place not in live for place in range(len(rows))], device=ids.device)

        width = max(map(len, prompts))
        # A decoder's next token must stand at the end of its row; an encoder counts positions from the start.
        ids, mask = [], []
        for prompt in prompts:
            gap = width - len(prompt)
            ids.append([*prompt, *[self.pad] * gap] if self.seq2seq else [*[self.pad] * gap, *prompt])
            mask.append([1] * len(prompt) + [0] * gap if self.seq2seq else [0] * gap + [1] * len(prompt))
        # Nothing else: a checkpoint's settings may ask for beams, sampling or a forced first token, which no training
        # has seen.
        settings = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max(row.max_tokens for row in rows),
            use_cache=self.cached,
            pad_token_id=self.pad,
            decoder_start_token_id=first_token(self.model, self.tokenizer) if self.seq2seq else None,
        )
        with _settings(self.model, settings):
            self.model.generate(
                torch.tensor(ids, device=self.model.device),
                attention_mask=torch.tensor(mask, device=self.model.device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([pick]),
                stopping_criteria=StoppingCriteriaList([finished]),
            )


@contextmanager
def _settings(model: Any, settings: GenerationConfig) -> Iterator[None]:
    """Give the model these settings, from which `generate` takes whatever its argument leaves open."""
    before = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = before


def first_token(model: Any, tokenizer: Any) -> int:
    """The token that an encoder–decoder's decoder reads first; for a decoder-only model a number that means nothing."""
    model = below_lora(model)
    shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    start = getattr(model.config, "decoder_start_token_id", None)
    if shift is not None and model.config.is_encoder_decoder and tokenizer.eos_token_id is not None:
        try:
            # As in training: mBART begins with the last token of what it says.
            return int(shift(labels=torch.tensor([[tokenizer.eos_token_id]], device=model.device))[0, 0])
        except ValueError:  # T5 without a start token
            pass
    # T5's decoder starts with padding, and so does a model whose configuration names no start token.
    return (tokenizer.pad_token_id or 0) if start is None else int(start)
