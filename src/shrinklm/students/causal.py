"""Decoder-only students (Llama, Qwen, SmolLM ...): all views of an example in one forward pass.

The views of an example share their beginning, so the question is computed once: its tokens stand first, each view
follows as a branch that sees the question and itself, never another branch. Several examples stand in one row.
Positions count along each branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.types import Pair, Reply
from ..models.decode import BaseDecoder, below_lora
from ..models.exact import Decoding, make_decoder
from ..models.locate import Family
from ..models.rows import Row, shared_beginning
from .base import IGNORE, BaseStudent, Batch
from .exact import Reading, Rows, examine
from .masks import masks
from .projection import logits_at

ROW = 256
"""Tokens of a row that short examples are packed into: long enough to fill, short enough that attention stays cheap."""


class CausalStudent(BaseStudent):
    """A decoder-only student."""

    family: ClassVar[Family] = "causal"
    layouts: ClassVar[tuple[Rows, ...]] = ("packed", "single")
    decodings: ClassVar[tuple[Decoding, ...]] = ("shared", "generate", "alone", "uncached")

    def examined(self) -> Reading:
        """See BaseStudent."""
        return examine(CausalStudent, self)

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """See BaseStudent."""
        # On its own and after a space, in training and when it is scored: no token spans prompt and target.
        ids = list(self.tokenizer(f" {text}", add_special_tokens=False)["input_ids"]) if text else []
        return [*ids, self.tokenizer.eos_token_id] if end else ids

    def encode(self, groups: Sequence[Sequence[Pair]], end: bool = True, pack: bool = True) -> Batch:
        """Rows of packed examples; of one pair each where the model does not honour a block mask (`reading`).

        Returns [rows, tokens] tensors: input_ids, position_ids, segment (branch number, 0 = padding), parent (the
        segment a branch also sees), labels (the next token, or -100), pair (which pair a label belongs to).
        """
        if self.reading.rows == "single":
            groups, pack = [[pair] for group in groups for pair in group], False
        blocks = []
        number = 0
        for group in groups:
            blocks.append(self._block(group, number, end))
            number += len(group)
        # A longer example widens every row of its batch rather than being cut.
        width = max(ROW, max(len(block) for block in blocks))
        rows: list[list[tuple[int, ...]]] = []
        for block in blocks:
            # First fit: an example joins the first row with room for it.
            row = next((row for row in rows if pack and len(row) + len(block) <= width), None)
            if row is None:
                rows.append(row := [])
            # Segments are counted within a block; in the row they go on after those of the examples before, so that
            # none sees another.
            first = 1 + max((token[2] for token in row), default=0)
            row += [
                (ids, position, segment + first, parent + first, label, pair)
                for ids, position, segment, parent, label, pair in block
            ]
        # Only as wide as the fullest row, since columns of mere padding would be computed too.
        width = max(len(row) for row in rows)
        padding = (self.tokenizer.pad_token_id or 0, 0, 0, 0, IGNORE, 0)
        table = torch.tensor([row + [padding] * (width - len(row)) for row in rows])
        names = ("input_ids", "position_ids", "segment", "parent", "labels", "pair")
        columns = {name: table[..., column].contiguous() for column, name in enumerate(names)}
        return {**columns, "pairs": torch.tensor(number), "tokens": torch.tensor(sum(map(len, blocks)))}

    def _block(self, group: Sequence[Pair], number: int, end: bool) -> list[tuple[int, ...]]:
        """(id, position, segment, parent, label, pair) of the tokens of one example's pairs.

        Segment 0 is their shared beginning; `number` is that of the first pair in the batch.
        """
        tokenized = self.tokenized(group, end)
        # What is given of a target is read like its prompt, so that the branches of one explanation share it too.
        prompts = [tokens.prompt + tokens.given for tokens in tokenized]
        targets = [tokens.scored for tokens in tokenized]
        for pair, prompt, target in zip(group, prompts, targets, strict=True):
            self.check_length(pair, len(prompt), len(target), end)
        # Each branch keeps the last token of its prompt: what comes next is predicted from there, by each branch for
        # itself. A single pair is not split at all, so that its row needs no mask (`_plain`).
        shared = min(shared_beginning(prompts), min(map(len, prompts)) - 1) if len(group) > 1 else 0
        beginning = enumerate(prompts[0][:shared])
        block: list[tuple[int, ...]] = [(token, position, 0, 0, IGNORE, 0) for position, token in beginning]
        for index, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
            # A label stands where it is predicted, one token before its own: the last token of a target is never read.
            tokens = prompt[shared:] + target[:-1]
            # An empty target predicts nothing, but the last token of its prompt still needs a label.
            labels = [IGNORE] * (len(prompt) - shared - 1) + (target or [IGNORE])
            branch = enumerate(zip(tokens, labels, strict=True), start=shared)
            block += [(token, position, index + 1, 0, label, number + index) for position, (token, label) in branch]
        return block

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """See BaseStudent."""
        scored = batch["labels"] != IGNORE
        logits = logits_at(below_lora(self.model), scored, self._inputs(batch))
        return logits, batch["labels"][scored], batch["pair"][scored]

    def owner(self, batch: Batch) -> Tensor:
        """See BaseStudent."""
        return batch["pair"].masked_fill(batch["segment"] == 0, -1)

    def attentions(self, batch: Batch) -> Sequence[Tensor]:
        """See BaseStudent."""
        out = below_lora(self.model).get_decoder()(**self._inputs(batch), output_attentions=True)
        attentions: Sequence[Tensor] = out.attentions
        return attentions

    def _inputs(self, batch: Batch) -> dict[str, Any]:
        """The keyword arguments of the model's forward."""
        read = "inputs_embeds" if "inputs_embeds" in batch else "input_ids"
        # Without a mask, attention takes its fastest path; positions then count along the row, as they do here anyway.
        if _plain(batch):
            return {read: batch[read], "use_cache": False}
        read_by = {"attention_mask": masks(self.config, batch), "position_ids": batch["position_ids"]}
        return {read: batch[read], **read_by, "use_cache": False}

    def _new_decoder(self) -> BaseDecoder:
        return make_decoder(self.reading.decodes, self.model, self.tokenizer)

    def decode(self, prompts: Sequence[str], begun: Sequence[str], max_tokens: int) -> list[Reply]:
        """See BaseStudent."""
        found = dict(self.stream(prompts, begun, max_tokens, max(1, len(prompts))))
        return [found[index] for index in range(len(prompts))]

    def stream(
        self, prompts: Sequence[str], begun: Sequence[str], max_tokens: int, batch: int
    ) -> Iterator[tuple[int, Reply]]:
        """See BaseStudent; a prompt whose reply has ended leaves its place to the next one."""
        ids = [
            self.prompt_ids(prompt) + self.target_ids(words, end=False)
            for prompt, words in zip(prompts, begun, strict=True)
        ]
        for prompt, tokens in zip(prompts, ids, strict=True):
            self.check_length(Pair(prompt, ""), len(tokens), max_tokens, end=False)
        # None is kept between calls, since training may change the weights with which it computed the shared beginning.
        decoder = self._new_decoder()
        for row in decoder.stream([Row(tokens, max_tokens, key=index) for index, tokens in enumerate(ids)], batch):
            yield row.key, Reply(decoder.text(row.said.tokens).strip(), row.said.finished)


def _plain(batch: Batch) -> bool:
    """Whether each row holds one branch and then padding: a token sees all before it, as it does without a mask."""
    segment = batch["segment"]
    return bool(((segment == segment[:, :1]) | (segment == 0)).all())
