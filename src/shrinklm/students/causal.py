"""Decoder-only students (Llama, Qwen, SmolLM ...): all views of an example in one forward pass.

The views of an example share their beginning, so the question is computed once: its tokens stand first, each view
follows as a branch that sees the question and itself, never another branch. Several examples stand in one row.
Positions count along each branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.types import Pair, Reply
from ..models.decode import BaseDecoder, below_lora
from ..models.exact import Decoding, make_decoder
from ..models.locate import Family
from ..models.rows import Row
from .base import BaseStudent
from .batch import IGNORE, Batch
from .blocks import Block, fill
from .exact import Reading, Rows, examine
from .masks import masks

ROW = 256
"""Tokens of a row that short examples are packed into: long enough to fill, short enough that attention stays cheap."""


def row_width(sizes: Sequence[int], most: int = ROW) -> int:
    """The most tokens of a row that holds examples of these sizes: a longer one widens all rows, and is never cut."""
    return max(min(ROW, most), *sizes)


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

    def batch(self, blocks: Sequence[Block], rows: Sequence[Sequence[int]] | None = None) -> Batch:
        """Rows of packed examples; of one pair each where the model does not honour a block mask (`reading`).

        Returns [rows, tokens] tensors: input_ids, position_ids, segment (number in its row, 0 = padding), labels (the
        next token, or -100), pair (which pair a label belongs to); kin [rows, segments, segments]: whether a segment
        (second axis) reads another (third); plain: whether each row holds one branch and then padding, so that a token
        sees all before it, as it does without a mask.
        """
        first = list(accumulate((len(block.pairs) for block in blocks), initial=0))
        if not self.packs:
            blocks, rows = [Block([pair]) for block in blocks for pair in block.pairs], None
            first = list(range(len(blocks) + 1))
        if rows is None:
            sizes = [block.size for block in blocks]
            rows = fill(sizes, row_width(sizes)) if self.packs else [[index] for index in range(len(blocks))]
        table = _Table(len(rows), max(sum(blocks[index].size for index in row) for row in rows))
        for number, row in enumerate(rows):
            for index in row:
                table.put(number, blocks[index], first[index])
        return table.batch(pairs=first[-1], pad=self.tokenizer.pad_token_id or 0)

    def owner(self, batch: Batch) -> Tensor:
        """See BaseStudent."""
        return batch["pair"].masked_fill(batch["segment"] == 0, -1)

    def attentions(self, batch: Batch) -> Sequence[Tensor]:
        """See BaseStudent."""
        out = below_lora(self.model).get_decoder()(**self.inputs(batch), output_attentions=True)
        attentions: Sequence[Tensor] = out.attentions
        return attentions

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """See BaseStudent."""
        read = "inputs_embeds" if "inputs_embeds" in batch else "input_ids"
        # Without a mask, attention takes its fastest path; positions then count along the row, as they do here anyway.
        if bool(batch["plain"]):
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


class _Table:
    """The columns of a batch while it is filled."""

    def __init__(self, rows: int, width: int) -> None:
        self.width = width
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        self.positions: list[list[int]] = [[] for _ in range(rows)]
        self.segments: list[list[int]] = [[] for _ in range(rows)]
        self.ancestors: list[list[list[int]]] = [[[0]] for _ in range(rows)]
        """For each row and segment those that it reads. Padding is segment 0 and reads itself: a token that sees
        nothing would get NaN from its softmax."""
        self.scored: list[int] = []
        """Places in the table, row after row, with a label."""
        self.labels: list[int] = []
        self.pairs: list[list[int]] = [[] for _ in range(rows)]
        """For each token the pair whose label stands there; of a beginning that pairs share, one of them."""

    def put(self, row: int, block: Block, first: int) -> None:
        """Add a block to a row; `first` is the number of its first pair in the batch."""
        ids, positions, segments = self.ids[row], self.positions[row], self.segments[row]
        known = self.ancestors[row]
        before = len(known)
        whole = [pair.whole for pair in block.pairs]
        for segment in block.segments:
            tokens, pair = whole[segment.pair], block.pairs[segment.pair]
            shift = row * self.width + len(ids) - segment.start
            ids += tokens[segment.start : segment.stop]
            positions += range(segment.start, segment.stop)
            segments += [len(known)] * (segment.stop - segment.start)
            self.pairs[row] += [first + segment.pair] * (segment.stop - segment.start)
            above = [] if segment.parent < 0 else known[before + segment.parent]
            known.append([*above, len(known)])
            # A label stands where it is predicted, one token before its own.
            start = max(segment.start, len(pair.prompt) + len(pair.given) - 1)
            count = min(segment.stop, len(tokens) - 1) - start
            if count > 0:
                self.scored += range(shift + start, shift + start + count)
                self.labels += tokens[start + 1 : start + 1 + count]

    def batch(self, pairs: int, pad: int) -> Batch:
        """The tensors."""
        columns = {
            "input_ids": (self.ids, pad),
            "position_ids": (self.positions, 0),
            "segment": (self.segments, 0),
            "pair": (self.pairs, 0),
        }
        tensors = {
            name: torch.tensor([row + [filler] * (self.width - len(row)) for row in rows])
            for name, (rows, filler) in columns.items()
        }
        # In the order of the table, as a look through it would find them.
        order = sorted(range(len(self.scored)), key=self.scored.__getitem__)
        chosen = torch.tensor([self.scored[index] for index in order], dtype=torch.long)
        labels = torch.full(tensors["segment"].shape, IGNORE)
        labels.view(-1)[chosen] = torch.tensor([self.labels[index] for index in order], dtype=torch.long)
        return {
            **tensors,
            "labels": labels,
            "scored": chosen,
            "kin": self._kin(),
            "plain": torch.tensor(all(len(known) <= 2 for known in self.ancestors)),
            "pairs": torch.tensor(pairs),
            "tokens": torch.tensor(sum(map(len, self.ids))),
        }

    def _kin(self) -> Tensor:
        most = max(map(len, self.ancestors))
        kin = torch.zeros(len(self.ancestors), most, most, dtype=torch.bool)
        places = [
            (row, segment, read)
            for row, known in enumerate(self.ancestors)
            for segment, seen in enumerate(known)
            for read in seen
        ]
        kin[tuple(torch.tensor(places).T)] = True
        return kin
