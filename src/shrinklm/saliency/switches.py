"""How a model is set while words are marked; afterwards it is as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No dropout, and weights without gradients, which are half of the backward pass. Afterwards as before."""
    from ..models.exact import without_dropout

    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    with without_dropout(model):
        model.requires_grad_(False)
        try:
            yield
        finally:
            for weight in trainable:
                weight.requires_grad_(True)


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Attention written out in Python: the other implementations keep no weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
