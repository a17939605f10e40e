"""Decoding of an encoder–decoder model: the counterpart of `models.decode` for teachers of the T5 family."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache, EncoderDecoderCache

from .decode import BaseDecoder, Choose, Continuation, Stops
from .decode_own import first_token


class Seq2SeqDecoder(BaseDecoder):
    """Decodes with one encoder–decoder model, by the same call as `shrinklm.models.decode.Decoder`."""

    def run(
        self,
        prompts: Sequence[list[int]],
        max_tokens: int,
        choose: Choose,
        stop: Stops | None = None,
        shared: int | None = None,
    ) -> list[Continuation]:
        """See BaseDecoder; `shared` is not used, since an encoder reads each prompt whole."""
        device, width = self.model.device, max(map(len, prompts))
        ids = torch.tensor([prompt + [self.pad] * (width - len(prompt)) for prompt in prompts], device=device)
        mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts], device=device)
        # The encoder reads the prompts once; each further token runs through the decoder alone.
        hidden = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        rows = [Continuation([], False) for _ in prompts]
        live = list(range(len(prompts)))
        tokens = torch.full((len(prompts),), first_token(self.model, self.tokenizer), device=device)
        for _ in range(max_tokens):
            out = self.model(
                encoder_outputs=(hidden,),
                attention_mask=mask,
                decoder_input_ids=tokens[:, None],
                past_key_values=cache,
                use_cache=True,
            )
            tokens = choose(out.logits[:, -1].float(), live)
            unfinished = self.take([rows[row] for row in live], tokens.tolist(), stop)
            if not unfinished:
                break
            if len(unfinished) < len(live):
                kept = torch.tensor(unfinished, device=device)
                cache.batch_select_indices(kept)
                tokens, mask, hidden = tokens[kept], mask[kept], hidden[kept]
                live = [live[index] for index in unfinished]
        return rows
