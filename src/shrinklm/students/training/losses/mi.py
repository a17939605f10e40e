"""What the answer and the explanation of a question have in common (arXiv 2403.03348)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ....core.errors import MethodError
from ....core.types import Pair, digest
from ...batch import Scored, by_pair
from ...projection import MOST
from .base import Around, Ask, Loss, Read, Shown

_NEGATIVES = 4
"""Answers to other questions that an explanation is told from."""
_TEMPERATURE = 0.1
"""Of the cosines in `infonce`."""
NO_OTHER = "no answer to another question to compare with"
_KINDS = ("", "released", "infonce")


class Mutual(Loss):
    """A term between the view that only answers and the view that only explains, as a bound of what they share.

    "" and "released": the cross-entropy between two distributions over the vocabulary, of which the answer's is fixed.
    Each is the greatest probability of a word at any token of a target; `shared` renormalises it, `released` is the
    formula of the code that the authors of arXiv 2403.03348 released. "infonce": the state of an explanation is told
    which answer belongs to its question (`infonce`).
    """

    def __init__(self, kind: str = "") -> None:
        if kind not in _KINDS:
            raise ValueError(f"known are {', '.join(filter(None, _KINDS))}")
        self._kind = kind
        self.reads = frozenset({"states"}) if kind == "infonce" else frozenset({"logits"})

    def begin(self, around: Around) -> None:
        """Finds the two views, and an order of the questions. Raises MethodError without both views."""
        self._around, self._corpus, self._method = around, around.corpus, around.method
        self._known: dict[Pair, bool] = {}
        """Answer → whether it fits the student's length."""
        answers, explains = around.method.only("answer"), around.method.only("explanation")
        if answers is None or explains is None:
            needs = "needs a view that only says the answer and one that only says the explanation"
            raise MethodError(f"Method '{around.method.name}': 'mi' {needs}.")
        self._answers, self._explains = answers.name, explains.name
        ids = [example.id for example in self._corpus.examples]
        self._order = sorted(range(len(ids)), key=lambda index: digest("mi", self._corpus.seed, ids[index]))
        self._rank = {ids[index]: rank for rank, index in enumerate(self._order)}
        if self._kind == "infonce" and len(ids) < 2:
            raise MethodError(f"Method '{around.method.name}': 'mi=infonce' compares questions, and there is one.")

    def asks(self, shown: Shown) -> Iterable[Ask | str]:
        """See Loss."""
        answer, explanation = (shown.of(view) for view in (self._answers, self._explains))
        if answer is None or explanation is None:
            yield f"no '{self._answers if answer is None else self._explains}'"
            return
        pairs = [answer.pair, explanation.pair]
        if self._kind == "infonce":
            for other in self._others(shown):
                pairs += [other] if other not in pairs else []
                if len(pairs) == 2 + _NEGATIVES:
                    break
            if len(pairs) == 2:
                yield NO_OTHER
                return
        yield Ask(pairs, weight=explanation.pair.weight)

    def _others(self, shown: Shown) -> Iterator[Pair]:
        """The answers to the next questions in the order that can be built and fit, further ones in each epoch.

        They are chosen by the term and not taken from the pass: a loss must not depend on how a step is cut.
        """
        count = len(self._order)
        start = shown.epoch * min(_NEGATIVES, count - 1)
        for turn in range(count - 1):
            step = 1 + (start + turn) % (count - 1)
            index = self._order[(self._rank[shown.example.id] + step) % count]
            pairs = self._corpus.pairs(self._method, index, shown.epoch)
            yield from (item.pair for item in pairs if item.view.name == self._answers and self._fits(item.pair))

    def _fits(self, pair: Pair) -> bool:
        if pair not in self._known:
            [tokens] = self._around.tokens([pair])
            self._known[pair] = len(tokens.prompt) + len(tokens.target) <= self._around.student.max_length
        return self._known[pair]

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        assert read.scored is not None
        if self._kind == "infonce":
            return infonce(read, read.scored)
        peaks = over_time(read.scored, read.total)[read.pairs].reshape(read.count, 2, -1)
        return (released if self._kind == "released" else shared)(peaks[:, 0].detach(), peaks[:, 1])


def shared(answer: Tensor, explanation: Tensor) -> Tensor:
    """[asks]: the cross-entropy of two distributions, from `over_time` of both targets, [asks, vocabulary] each."""
    return -(answer.softmax(1) * explanation.log_softmax(1)).sum(1)


def released(answer: Tensor, explanation: Tensor) -> Tensor:
    """[asks]: as `shared`, by the authors' code: nothing is renormalised, and the explanation's probabilities are taken
    for logits, so that they go through a second softmax."""
    return -(answer.exp() * explanation.exp().log_softmax(1)).sum(1)


def over_time(scored: Scored, pairs: int) -> Tensor:
    """[pairs, vocabulary]: the greatest log-probability of each word at any token of a pair's target.

    A large vocabulary is met in parts, which are made again in the backward pass: beside the logits nothing of their
    size is held.
    """
    logits = scored.logits
    assert logits is not None
    exact = torch.promote_types(logits.dtype, torch.float32)
    count, vocabulary = logits.shape
    size = min(vocabulary, max(1, MOST // max(1, count)))

    def whole(logits: Tensor) -> Tensor:
        return logits.to(exact).logsumexp(1)

    def part(logits: Tensor, whole: Tensor) -> Tensor:
        values = logits.to(exact) - whole[:, None]
        least = values.new_full((pairs, values.shape[1]), -torch.inf)
        return least.scatter_reduce(0, scored.owner[:, None].expand_as(values), values, "amax")

    if size == vocabulary:
        return part(logits, whole(logits))
    total = checkpoint(whole, logits, use_reentrant=False)
    parts = [checkpoint(part, some, total, use_reentrant=False) for some in torch.split(logits, size, 1)]
    return torch.cat(parts, 1)


def infonce(read: Read, scored: Scored) -> Tensor:
    """[asks]: -log of the share of the own answer among all answers of an ask (InfoNCE, arXiv 1807.03748).

    An ask has the own answer, the explanation, and answers to other questions. Each is the mean over its target of the
    states of the deepest layer; shares are a softmax of the cosines with the explanation / temperature.
    """
    deepest = scored.states[-1]
    deepest = deepest.to(torch.promote_types(deepest.dtype, torch.float32))
    # A sum has the direction of the mean.
    states = nn.functional.normalize(by_pair(deepest, scored.owner, read.total)[read.pairs])
    explains = read.place == 1
    explanation = by_pair(states * explains[:, None], read.ask, read.count)
    cosines = (states * explanation[read.ask]).sum(1) / _TEMPERATURE
    table = read.table(cosines.masked_fill(explains, -torch.inf))
    return -table.log_softmax(1)[:, 0]
