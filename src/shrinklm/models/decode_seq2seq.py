"""Decoding of an encoder–decoder model: the counterpart of `models.decode` for teachers of the T5 family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache

from .decode import Continuation, Stops, pick, take


class Seq2SeqDecoder:
    """Decodes with one encoder–decoder model, by the same call as `shrinklm.models.decode.Decoder`."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.ends = {model.config.eos_token_id, tokenizer.eos_token_id} - {None}

    @torch.inference_mode()
    def decode(
        self,
        prompts: Sequence[list[int]],
        max_tokens: int,
        stop: Stops | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        shared: int | None = None,
    ) -> list[Continuation]:
        """Answer token ids. See `Decoder.decode`; `shared` is not used, since an encoder reads each prompt whole."""
        device, pad = self.model.device, self.tokenizer.pad_token_id or 0
        width = max(map(len, prompts))
        ids = torch.tensor([prompt + [pad] * (width - len(prompt)) for prompt in prompts], device=device)
        mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts], device=device)
        # The encoder reads the prompts once; each further token runs through the decoder alone.
        hidden = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        generators = [torch.Generator().manual_seed(seed) for seed in seeds or range(len(prompts))]
        rows = [Continuation([], False) for _ in prompts]
        live = list(range(len(prompts)))
        # T5's decoder starts with padding, and so does a model whose configuration names no start token.
        start = self.model.config.decoder_start_token_id
        tokens = torch.full((len(prompts),), pad if start is None else start, device=device)
        for _ in range(max_tokens):
            out = self.model(
                encoder_outputs=(hidden,),
                attention_mask=mask,
                decoder_input_ids=tokens[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            tokens = pick(out.logits[:, -1].float(), temperature, top_p, [generators[row] for row in live])
            unfinished = take(
                [rows[row] for row in live],
                tokens.tolist(),
                self.ends,
                lambda new: stop is not None and stop(self.text(new)),
            )
            if not unfinished:
                break
            if len(unfinished) < len(live):
                kept = torch.tensor(unfinished, device=device)
                cache.batch_select_indices(kept)
                tokens, mask, hidden = tokens[kept], mask[kept], hidden[kept]
                live = [live[index] for index in unfinished]
        return rows

    def text(self, tokens: list[int]) -> str:
        """The text of new tokens."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))
