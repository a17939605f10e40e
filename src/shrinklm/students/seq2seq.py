"""Encoder–decoder students (T5, t5gemma ...): the prompt goes to the encoder, the target to the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ..core.types import Pair
from ..models.locate import Family
from .base import IGNORE, BaseStudent, Batch


class Seq2SeqStudent(BaseStudent):
    """An encoder–decoder student."""

    family: ClassVar[Family] = "seq2seq"

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """See BaseStudent."""
        # `text_target`: some tokenizers (Marian) have a vocabulary of their own for what the decoder writes.
        ids = list(self.tokenizer(text_target=text, add_special_tokens=False)["input_ids"])
        return [*ids, self.tokenizer.eos_token_id] if end else ids

    def encode(self, groups: Sequence[Sequence[Pair]], end: bool = True, pack: bool = True) -> Batch:
        """One row a pair, whatever `pack` says.

        Returns input_ids and attention_mask [pairs, prompt tokens], labels and pair [pairs, target tokens].
        """
        pairs = [pair for group in groups for pair in group]
        prompts = [self.prompt_ids(pair.prompt) for pair in pairs]
        targets = [self.target_ids(pair.target, end) for pair in pairs]
        for pair, prompt, target in zip(pairs, prompts, targets, strict=True):
            self.check_length(pair, len(prompt), len(target), end)
        pad = self.tokenizer.pad_token_id or 0
        labels = _rows(targets, IGNORE)
        return {
            "input_ids": _rows(prompts, pad),
            "attention_mask": _rows([[1] * len(prompt) for prompt in prompts], 0),
            "labels": labels,
            "pair": torch.arange(len(pairs))[:, None].expand_as(labels).contiguous(),
            "pairs": torch.tensor(len(pairs)),
            "tokens": torch.tensor(sum(map(len, prompts)) + sum(map(len, targets))),
        }

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """See BaseStudent."""
        labels = batch["labels"]
        scored = labels != IGNORE
        # The model makes its decoder's inputs from the labels, shifted to the right; the loss it computes is not used.
        return self.model(**_inputs(batch), labels=labels).logits[scored], labels[scored], batch["pair"][scored]

    def owner(self, batch: Batch) -> Tensor:
        """See BaseStudent."""
        read = batch["attention_mask"]
        return torch.arange(len(read), device=read.device)[:, None].where(read > 0, -1)

    def attentions(self, batch: Batch) -> Sequence[Tensor]:
        """See BaseStudent. The decoder's cross-attention: the tokens that are read are those of the prompt."""
        out = self.model(**_inputs(batch), labels=batch["labels"], output_attentions=True)
        attentions: Sequence[Tensor] = out.cross_attentions
        return attentions

    def continue_text(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """See BaseStudent."""
        inputs = self.to_device(self.encode([[Pair(prompt, "")] for prompt in prompts], end=False))
        prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        # Greedy by name, since a checkpoint's own generation settings may ask for beams or for sampling.
        with torch.inference_mode():
            out = self.model.generate(**prompt, max_new_tokens=max_tokens, do_sample=False, num_beams=1)
        return [text.strip() for text in self.tokenizer.batch_decode(out, skip_special_tokens=True)]


def _inputs(batch: Batch) -> Batch:
    """The encoder's keyword arguments."""
    read = "inputs_embeds" if "inputs_embeds" in batch else "input_ids"
    return {read: batch[read], "attention_mask": batch["attention_mask"]}


def _rows(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """[rows, longest row], filled up with `fill`."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])
