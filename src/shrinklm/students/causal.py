"""Decoder-only students (Llama, Qwen, SmolLM ...): all views of an example in one forward pass.

The views of an example share their beginning, so the question is computed once: its tokens stand first, each view
follows as a branch that sees the question and itself, never another branch. Several examples stand in one row.
Positions count along each branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
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
from .tokens import causal_target

Numbers = NDArray[np.int64]

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
        return causal_target(self.tokenizer, text, end)

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
        for row in rows:
            table.next_row()
            for index in row:
                table.put(blocks[index], first[index])
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
        self.shape = rows, width
        self.row, self.column = -1, 0
        self.ancestors: list[list[list[int]]] = []
        """For each row and segment those that it reads. Padding is segment 0 and reads itself: a token that sees
        nothing would get NaN from its softmax."""
        self.ids: list[int] = []
        self.runs: list[tuple[int, int, int, int, int]] = []
        """(place of the first token in the table, tokens, first position, segment, pair) of each segment."""
        self.labels: list[int] = []
        self.labelled: list[tuple[int, int]] = []
        """(place of the first label in the table, labels) of each segment that has any."""
        self.weights: list[float] = []
        """Of the labels, as far as one of them has another weight than 1."""

    def next_row(self) -> None:
        self.row, self.column = self.row + 1, 0
        self.ancestors.append([[0]])

    def put(self, block: Block, first: int) -> None:
        """Add a block to the row; `first` is the number of its first pair in the batch."""
        known = self.ancestors[-1]
        before = len(known)
        for segment in block.segments:
            tokens, pair = block.whole[segment.pair], block.pairs[segment.pair]
            count = segment.stop - segment.start
            place = self.row * self.shape[1] + self.column
            self.ids += tokens[segment.start : segment.stop]
            self.runs.append((place, count, segment.start, len(known), first + segment.pair))
            above = [] if segment.parent < 0 else known[before + segment.parent]
            known.append([*above, len(known)])
            # A label stands where it is predicted, one token before its own.
            start = max(segment.start, len(pair.prompt) + len(pair.given) - 1)
            labels = tokens[start + 1 : min(segment.stop, len(tokens) - 1) + 1]
            if labels:
                if pair.weights:
                    first_label = start + 1 - len(pair.prompt) - len(pair.given)
                    self.weights += [1.0] * (len(self.labels) - len(self.weights))
                    self.weights += pair.weights[first_label : first_label + len(labels)]
                self.labels += labels
                self.labelled.append((place + start - segment.start, len(labels)))
            self.column += count

    def batch(self, pairs: int, pad: int) -> Batch:
        """The tensors."""
        place, count, position, segment, pair = np.array(self.runs, dtype=np.int64).reshape(-1, 5).T
        inside = np.arange(len(self.ids)) - np.repeat(count.cumsum() - count, count)
        where = np.repeat(place, count) + inside
        values = {
            "input_ids": (np.array(self.ids, dtype=np.int64), pad),
            "position_ids": (np.repeat(position, count) + inside, 0),
            "segment": (np.repeat(segment, count), 0),
            "pair": (np.repeat(pair, count), 0),
        }
        place, count = np.array(self.labelled, dtype=np.int64).reshape(-1, 2).T
        scored = np.repeat(place, count) + np.arange(len(self.labels)) - np.repeat(count.cumsum() - count, count)
        weights = {}
        if self.weights:
            each = np.ones(len(self.labels), dtype=np.float32)
            each[: len(self.weights)] = self.weights
            weights = {"weights": self._column(scored, each, 0)}
        return {
            **weights,
            **{name: self._column(where, numbers, rest) for name, (numbers, rest) in values.items()},
            "labels": self._column(scored, np.array(self.labels, dtype=np.int64), IGNORE),
            "scored": torch.from_numpy(scored),
            "kin": self._kin(),
            "plain": torch.tensor(all(len(known) <= 2 for known in self.ancestors)),
            "pairs": torch.tensor(pairs),
            "tokens": torch.tensor(len(self.ids)),
        }

    def _column(self, where: Numbers, numbers: NDArray[Any], rest: int) -> Tensor:
        column = np.full(self.shape[0] * self.shape[1], rest, dtype=numbers.dtype)
        column[where] = numbers
        return torch.from_numpy(column).view(self.shape)

    def _kin(self) -> Tensor:
        most = max(map(len, self.ancestors))
        kin = np.zeros((len(self.ancestors), most, most), dtype=bool)
        flat = [
            (row * most + segment) * most + read
            for row, known in enumerate(self.ancestors)
            for segment, seen in enumerate(known)
            for read in seen
        ]
        kin.reshape(-1)[flat] = True
        return torch.from_numpy(kin)
