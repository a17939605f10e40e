"""The teacher's distribution over the options of a question as the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from ....core.errors import MethodError
from ....methods.chances import chances
from ...likeliest import stated_options
from .base import Around, Ask, Loss, Read, Shown
from .options import NO_OPTIONS


class Soft(Loss):
    """T² · KL(q ‖ p): q ∝ the teacher's probabilities^(1/T), p a softmax of the log-likelihoods of the options / T.

    Knowledge distillation (Hinton, Vinyals and Dean, arXiv 1503.02531) over the options of a question instead of over
    classes; T² keeps its gradient as large as at T = 1. Of every view that states the answer to the question itself:
    what a counterfactual view states is nothing that the teacher was asked.
    """

    def __init__(self, temperature: str = "1") -> None:
        self._temperature = float(temperature)
        if not 0 < self._temperature < float("inf"):
            raise ValueError("a temperature is a number above 0")

    def begin(self, around: Around) -> None:
        """Reads what the labels of the training questions tell. Raises MethodError where none tells anything."""
        corpus = around.corpus
        shares = corpus.shares if corpus.weights else None
        # Of all samples: an epoch shows one.
        self._told = {
            example.id: chances(corpus.generations.get(example.id, {}).get(("label", "")), example.choices, shares)
            for example in corpus.examples
            if len(set(example.choices)) > 1
        }
        reasons = Counter(told for told in self._told.values() if isinstance(told, str))
        if self._told and reasons.total() == len(self._told):
            counts = "; ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common())
            raise MethodError(
                f"Method '{around.method.name}' learns how likely the teacher finds each option, and its labels tell "
                f"that of none of {len(self._told):,} questions with options ({counts}). Ask for several: "
                "generate: [{label: {samples: 5}}], or for log-probabilities where the teacher tells them: "
                "{label: {logprobs: true}}"
            )

    def asks(self, shown: Shown) -> Iterable[Ask | str]:
        """See Loss."""
        told = self._told.get(shown.example.id, NO_OPTIONS)
        if isinstance(told, str):
            yield told
            return
        for item in shown.pairs:
            if "counterfactual" not in item.view.also:
                pairs = stated_options(item.view, shown.example, item.pair)
                if pairs:
                    given = [told[pair.option] for pair in pairs]
                    yield Ask(pairs, {"chances": given}, weight=item.pair.weight)

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        return divergence(read.table(), read.figures["chances"], self._temperature)


def divergence(scores: Tensor, chances: Tensor, temperature: float) -> Tensor:
    """[asks]: T² · KL(chances^(1/T), normalised ‖ softmax(scores / T)).

    Args:
        scores: [asks, options]; -inf where an ask has fewer options.
        chances: As `scores`; 0 there.
        temperature: T.
    """
    # As logarithms: a power of 1 / T may be 0 in float32 for all options.
    wanted = (chances.log() / temperature).log_softmax(1)
    target = wanted.exp()
    distances = target * (wanted - (scores / temperature).log_softmax(1))
    return temperature**2 * torch.where(target > 0, distances, 0.0).sum(1)
