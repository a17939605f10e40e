"""The loss over the options of a question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from ...likeliest import stated_options
from .base import Ask, Loss, Read, Shown

NO_OPTIONS = "the question has no options"


def softmax(scores: Tensor, gold: Tensor) -> Tensor:
    """[asks]: the cross-entropy of the right option under a softmax over the scores, [asks, options].

    The scores are log-likelihoods; -inf where an ask has fewer options.
    """
    return nn.functional.cross_entropy(scores, gold, reduction="none")


def margin(scores: Tensor, gold: Tensor) -> Tensor:
    """[asks]: mean over the wrong options of max(0, m - (score of the right option - its own)).

    m = log(9 (options - 1)): where every wrong option keeps it, the right one has nine tenths of a softmax or more.
    """
    wrong, right = _wrong(scores, gold), scores.gather(1, gold[:, None])
    count = wrong.sum(1).to(scores.dtype)
    distance = (9.0 * count).log()[:, None] - (right - scores)
    return torch.where(wrong, distance, 0.0).clamp(min=0).sum(1) / count


def rest(scores: Tensor, gold: Tensor) -> Tensor:
    """[asks]: Σ over the options of the binary cross-entropy of "this option, not one of the rest".

    The log-odds of an option are its score against log Σ exp of all others. So an option that is as likely as each of
    the others has the probability 1 / options, as often as a random one is right, whatever the length of the options.
    """
    count = scores.shape[1]
    itself = torch.eye(count, dtype=torch.bool, device=scores.device)
    others = scores[:, None, :].expand(-1, count, -1).masked_fill(itself, -torch.inf).logsumexp(2)
    right = nn.functional.one_hot(gold, count).bool()
    losses = nn.functional.softplus(torch.where(right, others - scores, scores - others))
    return torch.where(scores > -torch.inf, losses, 0.0).sum(1)


def _wrong(scores: Tensor, gold: Tensor) -> Tensor:
    """[asks, options]: whether there is such an option and it is not the right one."""
    return (scores > -torch.inf) & ~nn.functional.one_hot(gold, scores.shape[1]).bool()


_KINDS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"": softmax, "margin": margin, "rest": rest}


class Options(Loss):
    """A loss that sets the right option above the others, by their summed log-likelihoods.

    The student that is scored by likelihood is thereby trained on what it is scored by. Of every view that states an
    answer, after the words that stand before it in the target. `kind`: "" for `softmax`, "margin" or "rest".
    """

    def __init__(self, kind: str = "") -> None:
        if kind not in _KINDS:
            raise ValueError(f"known are {', '.join(filter(None, _KINDS))}")
        self._loss = _KINDS[kind]

    def asks(self, shown: Shown) -> Iterable[Ask | str]:
        """See Loss."""
        if len(set(shown.example.choices)) < 2:
            yield NO_OPTIONS
            return
        for item in shown.pairs:
            pairs = stated_options(item.view, shown.example, item.pair)
            if pairs:
                gold = [pair.option for pair in pairs].index(item.pair.option)
                yield Ask(pairs, {"gold": gold}, weight=item.pair.weight)

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        return self._loss(read.table(), read.figures["gold"].long())
