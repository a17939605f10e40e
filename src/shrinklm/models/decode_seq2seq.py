"""Decoding of an encoder–decoder model: the counterpart of `models.decode` for teachers of the T5 family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, EncoderDecoderCache

from .decode import BaseDecoder
from .decode_own import first_token
from .rows import Choose, Row, Source, choose


class Seq2SeqDecoder(BaseDecoder):
    """Decodes with one encoder–decoder model, by the same call as `shrinklm.models.decode.Decoder`."""

    def run(self, source: Source, batch: int, choose: Choose = choose, shared: int | None = None) -> Iterator[Row]:
        """See BaseDecoder; batch by batch. `shared` is not used, since an encoder reads each prompt whole."""
        while rows := source(batch):
            with torch.inference_mode():
                self._continue(rows, choose)
            yield from rows

    def _continue(self, rows: Sequence[Row], choose: Choose) -> None:
        prompts = [row.prompt for row in rows]
        device, width = self.model.device, max(map(len, prompts))
        ids = torch.tensor([prompt + [self.pad] * (width - len(prompt)) for prompt in prompts], device=device)
        mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts], device=device)
        # The encoder reads the prompts once; each further token runs through the decoder alone.
        hidden = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        live = list(rows)
        tokens = torch.full((len(prompts),), first_token(self.model, self.tokenizer), device=device)
        while live:
            out = self.model(
                encoder_outputs=(hidden,),
                attention_mask=mask,
                decoder_input_ids=tokens[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            tokens = choose(out.logits[:, -1].float(), live)
            unfinished = self.take(live, tokens.tolist())
            if 0 < len(unfinished) < len(live):
                kept = torch.tensor(unfinished, device=device)
                cache.batch_select_indices(kept)
                tokens, mask, hidden = tokens[kept], mask[kept], hidden[kept]
            live = [live[index] for index in unfinished]
