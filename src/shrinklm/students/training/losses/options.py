"""The loss over the options of a question."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from ....core.types import Example, Pair
from ....methods.view import View
from ...likeliest import option_pairs
from .base import Ask, Loss, Read, Shown


class Options(Loss):
    """Cross-entropy of the right option under a softmax over the options' summed log-likelihoods.

    The student that is scored by likelihood is thereby trained on what it is scored by. Of every view that states an
    answer, after the words that stand before it in the target.
    """

    def asks(self, shown: Shown) -> Iterable[Ask]:
        """See Loss."""
        for item in shown.pairs:
            pairs = stated_options(item.view, shown.example, item.pair)
            if pairs:
                yield Ask(pairs, {"gold": [pair.option for pair in pairs].index(item.pair.option)})

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        return nn.functional.cross_entropy(read.table(), read.figures["gold"].long(), reduction="none")


def stated_options(view: View, example: Example, pair: Pair) -> list[Pair]:
    """`option_pairs` where the target of a pair states its answer, after the words before it.

    Empty for a pair that states none of the options, and for a view that states its answer in a format of its own.
    """
    options = list(dict.fromkeys(example.choices))
    stated = f"{pair.option}."
    if pair.option not in options or len(options) < 2:
        return []
    if view.says[-1] == "answer" and pair.target.endswith(stated):
        return option_pairs(pair.prompt, pair.target.removesuffix(stated).rstrip(), options)
    return option_pairs(pair.prompt, view.lead, options) if pair.target.startswith(view.states(pair.option)) else []
