"""The tensors of a batch of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Batch = dict[str, Tensor]
"""Made by `encode`, read by `forward`. Always holds `labels` (-100 where nothing is scored), `pair` (the pair that
a token belongs to), `pairs` (how many) and `tokens` (how many the model reads, padding not counted). `scored` holds the
places with a label, row after row. `weights`, where some are not 1, has the shape of `labels` and holds the weight of
each. `inputs_embeds` may replace `input_ids`."""

IGNORE = -100
"""The label that is not scored: torch's default, and the one that encoder–decoder models of transformers expect."""


@dataclass(frozen=True)
class Scored:
    """What a student makes of a batch at the tokens of the targets, row after row."""

    losses: Tensor
    """[scored]: the cross-entropy of each token, in float32."""
    labels: Tensor
    """[scored]: the tokens."""
    owner: Tensor
    """[scored]: the pair of each in the batch."""
    logits: Tensor | None = None
    """[scored, vocabulary], where they were asked for; in the precision of the student."""
    states: tuple[Tensor, ...] = ()
    """[scored, width] of the embeddings and of each layer, where they were asked for: what predicts each token. Of an
    encoder–decoder those of its decoder."""


def scored(batch: Batch) -> Tensor:
    """[scored]: the places of a batch, row after row, that have a label."""
    known = batch.get("scored")
    # A batch of which rows were taken is looked through: that makes the CPU wait for the device.
    return (batch["labels"] != IGNORE).flatten().nonzero()[:, 0] if known is None else known


def labelled(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(places that have a label, their labels, their pairs), each [scored]."""
    chosen = scored(batch)
    return chosen, batch["labels"].flatten()[chosen], batch["pair"].flatten()[chosen]


def float32(numbers: Tensor) -> Tensor:
    """In float32 where the model computes in less."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def filled(rows: Sequence[Sequence[float]], fill: float) -> Tensor:
    """[rows, longest row], each filled up with `fill`."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def by_pair(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """[count, ...]: the sum of the values of each owner."""
    zeros = values.new_zeros((count, *values.shape[1:]))
    if values.device.type == "cuda":
        # `index_add` adds there in the order in which threads come, which is another each time.
        return zeros.index_put((owner,), values, accumulate=True)
    return zeros.index_add(0, owner, values)


def sums(read: Scored, batch: Batch) -> tuple[Tensor, Tensor]:
    """(summed cross-entropy, number of scored tokens) of each pair, [pairs].

    Where tokens have weights: (Σ weight × cross-entropy, Σ weight).
    """
    pairs, losses, weights = int(batch["pairs"]), read.losses, torch.ones_like(read.losses)
    if "weights" in batch:
        weights = batch["weights"].flatten()[scored(batch)]
        losses = weights * losses
    return by_pair(losses, read.owner, pairs), by_pair(weights, read.owner, pairs)
