"""The distance between the student's and a teacher's distribution of each next token of the targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ....core.errors import MethodError
from ....core.types import Pair
from ...batch import by_pair
from ...logits import LogitTeacher
from ...tokens import PairTokens
from ..table import Table, all_others
from .base import Around, Ask, Loss, Read, Shown

KINDS = ("forward", "reverse", "jsd")


def divergence(kind: str, teacher: Tensor, student: Tensor, beta: float = 0.5) -> Tensor:
    """[tokens]: the distance of two distributions, given as log-probabilities [tokens, outcomes].

    "forward" is KL(teacher ‖ student), "reverse" KL(student ‖ teacher); "jsd" is the generalised Jensen–Shannon
    divergence of arXiv 2306.13649, equation 1: β KL(teacher ‖ m) + (1 - β) KL(student ‖ m) with the mixture
    m = β teacher + (1 - β) student.
    """
    if kind == "forward":
        return _kl(teacher, student)
    if kind == "reverse":
        return _kl(student, teacher)
    mixed = torch.logaddexp(teacher + math.log(beta), student + math.log(1 - beta))
    return beta * _kl(teacher, mixed) + (1 - beta) * _kl(student, mixed)


def _kl(one: Tensor, other: Tensor) -> Tensor:
    return (one.exp() * (one - other)).sum(-1)


class Distil(Loss):
    """Token-level distillation from a teacher of the same vocabulary (arXiv 1503.02531, 2306.13649).

    The teacher's `top` likeliest tokens are outcomes of their own, and all other tokens are one outcome together. Where
    `top` is the vocabulary or more, the distributions are whole. The loss of a pair is the mean over its target's
    tokens, end token included, times temperature².
    """

    reads = frozenset({"logits"})

    def __init__(self, kind: str = "forward") -> None:
        if kind not in KINDS:
            raise ValueError(f"known are {', '.join(KINDS)}")
        self.kind = kind

    def begin(self, around: Around) -> None:
        """See Loss. Has the teacher read all pairs of the training that the disk lacks."""
        if around.teacher is None:
            raise MethodError(no_teacher(around.method.name))
        around.teacher.check(around.student)
        self._teacher: LogitTeacher = around.teacher
        self._tokens = around.tokens
        self._table = Table(around.teacher, around.student)
        self._table.fill(_shown(around))

    def asks(self, shown: Shown) -> Iterable[Ask]:
        """See Loss."""
        for item in shown.pairs:
            tokens = _of(self._tokens, item.pair)
            count = len(tokens.scored)
            share = np.full(count, 1 / max(1, count), np.float32)
            yield Ask([item.pair], tokens={**self._table[tokens], "share": share}, weight=item.pair.weight)

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        scored = read.scored
        assert scored is not None
        assert scored.logits is not None
        asked = read.tokens
        logits = scored.logits[:, : self._table.width].float() / self._teacher.temperature
        student, teacher = outcomes(logits, asked["ids"].long()), asked["logp"]
        if student.shape[1] > teacher.shape[1]:
            teacher = torch.cat([teacher, asked["rest"][:, None]], 1)
        # Tokens of pairs that were not asked for have a share of 0.
        values = divergence(self.kind, teacher, student, self._teacher.beta) * asked["share"]
        pairs = by_pair(values, scored.owner, read.total)[read.pairs]
        return pairs.new_zeros(read.count).index_put((read.ask,), pairs) * self._teacher.temperature**2


def outcomes(logits: Tensor, ids: Tensor) -> Tensor:
    """[tokens, ids + 1]: the log-probabilities of the tokens `ids` [tokens, ids], and of all others together.

    Without the last column where no others are left.
    """
    chances = logits.log_softmax(-1)
    chosen = chances.gather(1, ids)
    if ids.shape[1] == logits.shape[1]:
        return chosen
    return torch.cat([chosen, all_others(chances, ids)[:, None]], 1)


def no_teacher(method: str) -> str:
    """The message for a method whose teacher's logits nobody gives."""
    return (
        f"Method '{method}' learns from a teacher's logits, and none is named whose weights are here. Write: distil: "
        "{teacher: transformers:PATH_OR_ID}, or run:PATH#METHOD, or the name of such a teacher"
    )


def _shown(around: Around) -> Iterator[PairTokens]:
    """The tokens of all pairs that the training shows."""
    left, current, found = around.seen, 0, True
    for index, epoch in around.corpus.schedule(around.method):
        if epoch != current:
            if not found:  # no pair fits, which the lessons tell
                return
            current, found = epoch, False
        fitting = [
            tokens
            for item in around.corpus.pairs(around.method, index, epoch)
            if len((tokens := _of(around.tokens, item.pair)).whole) <= around.student.max_length
        ]
        yield from fitting
        found, left = found or bool(fitting), left - bool(fitting)
        if left <= 0:
            return


def _of(tokens: Callable[[Sequence[Pair]], list[PairTokens]], pair: Pair) -> PairTokens:
    """As a pair that is trained on is read."""
    [found] = tokens([pair])
    return found
