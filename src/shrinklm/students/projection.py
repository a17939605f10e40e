"""A model's logits at some of its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def logits_at(model: Any, chosen: Tensor, inputs: Mapping[str, Any]) -> Tensor:
    """The logits [chosen tokens, vocabulary] where `chosen`, [rows, tokens], is true.

    The projection onto the vocabulary is most of the memory, and much of the time, of a small model: it sees these
    tokens alone. All else is the model's own forward, since models scale, shift or cap what comes in or out of it.
    """
    narrowed = False

    def narrow(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        nonlocal narrowed
        if not arguments or arguments[0].shape[:-1] != chosen.shape:
            return None  # a head that reads something else than a state for each token
        narrowed = True
        return (arguments[0][chosen][None], *arguments[1:])

    head = model.get_output_embeddings()
    hook = None if head is None else head.register_forward_pre_hook(narrow)
    try:
        logits: Tensor = model(**inputs).logits
    finally:
        if hook is not None:
            hook.remove()
    return logits[0] if narrowed else logits[chosen]
