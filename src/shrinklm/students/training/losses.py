"""Further terms of the training loss, beside the cross-entropy of each target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ...core.types import Example, Pair
from ...methods.view import View
from ..likeliest import option_pairs


@dataclass(frozen=True)
class Ask:
    """What a term reads beside one pair of a view."""

    pairs: Sequence[Pair]
    """They are read and no cross-entropy of theirs is trained on. At least one."""
    figures: Mapping[str, float]
    """Numbers that the term needs, the same names for every pair."""


@dataclass(frozen=True)
class Read:
    """What a student made of the asks of one term in one pass."""

    log_likelihood: Tensor
    """[pairs]: Σ log p of the scored tokens of each pair that was asked for, with its gradient."""
    ask: Tensor
    """[pairs]: the number of the ask that a pair belongs to."""
    place: Tensor
    """[pairs]: the place of a pair among those of its ask."""
    count: int
    """How many asks."""
    most: int
    """The most pairs of one ask."""
    figures: Mapping[str, Tensor]
    """[asks] each."""

    def table(self) -> Tensor:
        """[asks, most]: `log_likelihood`, and -inf where an ask has fewer pairs."""
        table = self.log_likelihood.new_full((self.count, self.most), -torch.inf)
        return table.index_put((self.ask, self.place), self.log_likelihood)


class Loss(Protocol):
    """A term of the loss: an entry point of the group `shrinklm.losses`.

    A step's loss gets weight × the mean of `value` over all asks of the step, however it is cut into passes and
    processes.
    """

    def ask(self, view: View, example: Example, pair: Pair) -> Ask | None:
        """What is read beside a pair of a view; None where the term says nothing about it."""
        ...

    def value(self, read: Read) -> Tensor:
        """The loss of each ask, [asks]. Nothing in it may wait for the device."""
        ...


class OptionsLoss:
    """Cross-entropy of the right option under a softmax over the options' summed log-likelihoods.

    The student that is scored by likelihood is thereby trained on what it is scored by. Of every view that states an
    answer, after the words that stand before it in the target.
    """

    def ask(self, view: View, example: Example, pair: Pair) -> Ask | None:
        """See Loss."""
        options = list(dict.fromkeys(example.choices))
        stated = f"{pair.option}."
        if pair.option not in options or len(options) < 2:
            return None
        if view.says[-1] == "answer" and pair.target.endswith(stated):
            before = pair.target.removesuffix(stated).rstrip()
        elif pair.target.startswith(view.states(pair.option)):
            before = view.lead
        else:
            return None  # a view that states its answer in a format of its own
        return Ask(option_pairs(pair.prompt, before, options), {"gold": options.index(pair.option)})

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        return nn.functional.cross_entropy(read.table(), read.figures["gold"].long(), reduction="none")


options = OptionsLoss()
