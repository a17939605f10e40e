"""Deeper states as the target of shallower ones (the idea of arXiv 2103.07392, carried over from images to text)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ....core.errors import MethodError
from ....methods.view import Method
from ...base import BaseStudent
from ...batch import by_pair
from .base import Ask, Loss, Read, Shown


class Deep(Loss):
    """1 - cosine of a layer's state and the last layer's, which is fixed; the mean over the layers between and tokens.

    At the tokens of every target; a pair counts once, whatever its length. The map between the two is the identity: the
    layers of a transformer write into one stream of the same width, so that nothing has to be learnt beside the student
    and nothing of the term is saved with it.
    """

    reads = frozenset({"states"})

    def check(self, student: BaseStudent, method: Method) -> None:
        """Raises MethodError for a student without a layer between the embeddings and the last."""
        config = student.config.get_text_config(decoder=True)
        layers = int(getattr(config, "num_decoder_layers", 0) or getattr(config, "num_hidden_layers", 2))
        if layers < 2:
            raise MethodError(
                f"Method '{method.name}': 'deep' teaches a layer by the last one, and this student has "
                f"{layers}. Take 'deep' out, or a student of two layers or more."
            )

    def asks(self, shown: Shown) -> Iterable[Ask | str]:
        """See Loss."""
        yield from (Ask([item.pair], weight=item.pair.weight) for item in shown.pairs)

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        assert read.scored is not None
        distances = apart(read.scored.states)
        owner, total = read.scored.owner, read.total
        sums, counts = by_pair(distances, owner, total), by_pair(torch.ones_like(distances), owner, total)
        return sums[read.pairs] / counts[read.pairs]


def apart(states: tuple[Tensor, ...]) -> Tensor:
    """[tokens]: the mean over the layers between of 1 - cosine with the last, from [tokens, width] of each layer, the
    embeddings first."""
    exact = torch.promote_types(states[-1].dtype, torch.float32)
    last = states[-1].detach().to(exact)
    cosines = [nn.functional.cosine_similarity(layer.to(exact), last) for layer in states[1:-1]]
    return 1 - torch.stack(cosines).mean(0)
