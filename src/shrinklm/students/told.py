"""How a student would have written a text: the surprisal and the rank of its tokens, before any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..core.types import Pair
from .base import BaseStudent
from .batch import by_pair
from .projection import MOST
from .tokens import by_prompt

RANKS = 100
"""Ranks above are counted as this one, as in the code of arXiv 2601.14249: one rare word must not decide."""


@dataclass(frozen=True)
class Told:
    """The tokens of a text under a student."""

    tokens: int
    surprisal: float
    """The mean of - log p, in nats a token."""
    rank: float
    """The mean rank among all tokens of the vocabulary, 1 for the likeliest, `RANKS` at most."""


def told(student: BaseStudent, pairs: Sequence[Pair]) -> list[Told | None]:
    """The tokens of the targets of pairs, without the end token; None where there is none, or the pair does not fit."""
    lengths = [student.length(pair) for pair in pairs]
    fitting = [place for place, length in enumerate(lengths) if length <= student.positions]
    found: list[Told | None] = [None] * len(pairs)
    for part in _parts(student, [(place, lengths[place]) for place in fitting]):
        for place, one in zip(part, _read(student, [pairs[place] for place in part]), strict=True):
            found[place] = one
    return found


def _parts(student: BaseStudent, lengths: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """The places in parts whose logits fit into memory."""
    most = max(1, MOST // student.config.get_text_config(decoder=True).vocab_size)
    part, tokens = list[int](), 0
    for place, length in lengths:
        if part and tokens + length > most:
            yield part
            part, tokens = [], 0
        part.append(place)
        tokens += length
    if part:
        yield part


def _read(student: BaseStudent, pairs: Sequence[Pair]) -> list[Told | None]:
    with torch.inference_mode():
        read = student.scored(student.to_device(student.encode(by_prompt(pairs), end=False)), logits=True)
        assert read.logits is not None
        own = read.logits.gather(1, read.labels[:, None])
        ranks = (1 + (read.logits > own).sum(1)).clamp(max=RANKS)
        values = torch.stack([torch.ones_like(read.losses), read.losses, ranks.to(read.losses)]).double().cpu()
        owner = read.owner.cpu()
    sums = [by_pair(each, owner, len(pairs)).tolist() for each in values]
    return [
        Told(int(count), surprisal / count, rank / count) if count else None
        for count, surprisal, rank in zip(*sums, strict=True)
    ]
