"""Encoder–decoder students (T5, t5gemma ...): the prompt goes to the encoder, the target to the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from ..core.types import Pair, Reply
from ..models.decode import below_lora
from ..models.exact import make_decoder
from ..models.locate import Family
from .base import BaseStudent
from .batch import IGNORE, Batch, filled
from .blocks import Block
from .exact import Reading, examine
from .tokens import decoder_target


class Seq2SeqStudent(BaseStudent):
    """An encoder–decoder student."""

    family: ClassVar[Family] = "seq2seq"

    def examined(self) -> Reading:
        """See BaseStudent."""
        return examine(Seq2SeqStudent, self)

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """See BaseStudent."""
        return decoder_target(self.tokenizer, text, end)

    def batch(self, blocks: Sequence[Block], rows: Sequence[Sequence[int]] | None = None) -> Batch:
        """One row a pair, whatever `rows` says.

        Returns input_ids and attention_mask [pairs, prompt tokens]; decoder_input_ids, labels and pair [pairs, target
        tokens].
        """
        pairs = [pair for block in blocks for pair in block.pairs]
        prompts, targets = [pair.prompt for pair in pairs], [pair.target for pair in pairs]
        labels = filled([[IGNORE] * len(pair.given) + pair.scored for pair in pairs], IGNORE)
        weights = {}
        if any(pair.weights for pair in pairs):
            rows_of = [[0.0] * len(pair.given) + (pair.weights or [1.0] * len(pair.scored)) for pair in pairs]
            weights = {"weights": filled(rows_of, 0.0)}
        return {
            **weights,
            "input_ids": filled(prompts, self.tokenizer.pad_token_id or 0),
            "attention_mask": filled([[1] * len(prompt) for prompt in prompts], 0),
            "labels": labels,
            "decoder_input_ids": self._read(targets)[:, : labels.shape[1]],
            "pair": torch.arange(len(pairs))[:, None].expand_as(labels).contiguous(),
            "scored": (labels != IGNORE).flatten().nonzero()[:, 0],
            "pairs": torch.tensor(len(pairs)),
            "tokens": torch.tensor(sum(map(len, prompts)) + sum(map(len, targets))),
        }

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """See BaseStudent."""
        read = "inputs_embeds" if "inputs_embeds" in batch else "input_ids"
        # Without labels, from which the model would compute a loss of its own that nobody uses.
        names = (read, "attention_mask", "decoder_input_ids")
        return {**{name: batch[name] for name in names}, "use_cache": False}

    def _read(self, targets: Sequence[Sequence[int]]) -> Tensor:
        """What the decoder reads where it says the targets: the same, shifted to the right in the model's way."""
        end = self.tokenizer.eos_token_id
        # Each with its end token, also where that is not said: some models (mBART) put the last token first.
        ended = filled([target if target and target[-1] == end else [*target, end] for target in targets], IGNORE)
        shift = getattr(below_lora(self.model), "prepare_decoder_input_ids_from_labels", None)
        if shift is not None:
            shifted: Tensor = shift(labels=ended)
            return shifted
        # As models without that method (M2M-100, Blenderbot) shift their labels.
        read = ended.roll(1, -1)
        read[:, 0] = self.config.decoder_start_token_id
        return read.masked_fill(read == IGNORE, self.tokenizer.pad_token_id or 0)

    def owner(self, batch: Batch) -> Tensor:
        """See BaseStudent."""
        read = batch["attention_mask"]
        return torch.arange(len(read), device=read.device)[:, None].where(read > 0, -1)

    def attentions(self, batch: Batch) -> Sequence[Tensor]:
        """See BaseStudent. The decoder's cross-attention: the tokens that are read are those of the prompt."""
        out = self.model(**self.inputs(batch), output_attentions=True)
        attentions: Sequence[Tensor] = out.cross_attentions
        return attentions

    def decode(self, prompts: Sequence[str], begun: Sequence[str], max_tokens: int) -> list[Reply]:
        """See BaseStudent."""
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        for prompt, tokens in zip(prompts, ids, strict=True):
            self.check_length(Pair(prompt, ""), len(tokens), 0, end=False)
        if any(begun):
            return self._go_on(ids, [self.target_ids(words, end=False) for words in begun], max_tokens)
        decoder = make_decoder(self.reading.decodes, self.model, self.tokenizer)
        return [Reply(decoder.text(row.tokens).strip(), row.finished) for row in decoder.decode(ids, max_tokens)]

    def _go_on(self, ids: Sequence[list[int]], known: Sequence[list[int]], max_tokens: int) -> list[Reply]:
        """What follows known tokens of the target, a row for each prompt."""
        # Greedy by name, since a checkpoint's own generation settings may ask for beams or for sampling.
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=filled(ids, self.tokenizer.pad_token_id or 0).to(self.device),
                attention_mask=filled([[1] * len(prompt) for prompt in ids], 0).to(self.device),
                max_new_tokens=max(map(len, known)) + max_tokens,
                do_sample=False,
                num_beams=1,
                logits_processor=LogitsProcessorList([_Forced(known)]),
            )
        # The decoder's start token comes first. A row with fewer words before it has no more tokens of its own.
        rows = [row[1 + len(tokens) :][:max_tokens] for row, tokens in zip(out.tolist(), known, strict=True)]
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        ends = self._ends()
        return [Reply(text.strip(), not ends.isdisjoint(row)) for text, row in zip(texts, rows, strict=True)]

    def _ends(self) -> set[int]:
        ends = self.model.generation_config.eos_token_id
        return {*([ends] if isinstance(ends, int) else ends or []), self.tokenizer.eos_token_id}


class _Forced(LogitsProcessor):  # type: ignore[misc]
    """Lets each row of a batch begin with its own known tokens, whatever their number."""

    def __init__(self, known: Sequence[Sequence[int]]) -> None:
        self.known = known

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        done = input_ids.shape[1] - 1  # without the decoder's start token
        for row, tokens in enumerate(self.known):
            if done < len(tokens):
                scores[row] = -torch.inf
                scores[row, tokens[done]] = 0.0
        return scores
