"""A model's logits at some of its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

MOST = 1 << 26
"""Logits that are held at once (256 MB in float32): a vocabulary of 262,144 is met in parts of 256 tokens."""


def logits_at(model: Any, shape: Sequence[int], chosen: Tensor, inputs: Mapping[str, Any]) -> Tensor:
    """The logits [chosen tokens, vocabulary] at `chosen`, places in a table of `shape`, (rows, tokens).

    The projection onto the vocabulary is most of the memory, and much of the time, of a small model: it sees these
    tokens alone. All else is the model's own forward, since models scale, shift or cap what comes in or out of it.
    """
    states, logits = _narrowed(model, shape, chosen, inputs, len(chosen))
    return logits.flatten(0, 1)[chosen] if states is None else logits[0]


def layers_at(
    model: Any, shape: Sequence[int], chosen: Tensor, inputs: Mapping[str, Any], states: bool = True
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(the logits, see `logits_at`, the states [chosen tokens, width] of the embeddings and of each layer).

    `states`: whether they are asked for; none otherwise.
    """
    if not states:
        return logits_at(model, shape, chosen, inputs), ()
    layers: tuple[Tensor, ...] = ()

    def taken(module: Any, arguments: tuple[Any, ...], out: Any) -> None:
        nonlocal layers
        found = getattr(out, "decoder_hidden_states", None) or out.hidden_states
        layers = tuple(states.flatten(0, 1)[chosen] for states in found)

    hook = model.register_forward_hook(taken)
    try:
        logits = logits_at(model, shape, chosen, {**inputs, "output_hidden_states": True})
    finally:
        hook.remove()
    return logits, layers


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each label, in float32 whatever the model computes in."""
    # Sums in bfloat16 are too coarse to tell two options apart.
    return nn.functional.cross_entropy(logits.float(), labels, reduction="none")


def cross_entropy_at(
    model: Any, shape: Sequence[int], chosen: Tensor, inputs: Mapping[str, Any], labels: Tensor
) -> Tensor:
    """The cross-entropy of `labels` at `chosen`, [chosen tokens], in float32; see `logits_at`.

    Where there are more logits than `MOST`, they are made in parts, and again in the backward pass.
    """
    head = model.get_output_embeddings()
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    if head is None or len(chosen) * vocabulary <= MOST or not _bare(model, head, shape, chosen, inputs):
        return token_losses(logits_at(model, shape, chosen, inputs), labels)
    states, _ = _narrowed(model, shape, chosen, inputs, 0)
    assert states is not None  # as `_bare` found

    def part(states: Tensor, labels: Tensor) -> Tensor:
        return token_losses(head(states), labels)

    size = max(1, MOST // vocabulary)
    parts = [slice(start, start + size) for start in range(0, len(chosen), size)]
    return torch.cat([checkpoint(part, states[some], labels[some], use_reentrant=False) for some in parts])


def _narrowed(
    model: Any, shape: Sequence[int], chosen: Tensor, inputs: Mapping[str, Any], count: int
) -> tuple[Tensor | None, Tensor]:
    """(what the projection is given at `chosen`, [chosen tokens, width], the model's logits of the first `count`).

    None, and the logits of all tokens, for a projection that reads something else than a state for each token.
    """
    states: Tensor | None = None

    def narrow(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        nonlocal states
        if not arguments or arguments[0].shape[:-1] != tuple(shape):
            return None
        states = arguments[0].flatten(0, 1)[chosen]
        return (states[None, :count], *arguments[1:])

    head = model.get_output_embeddings()
    hook = None if head is None else head.register_forward_pre_hook(narrow)
    try:
        logits: Tensor = model(**inputs).logits
    finally:
        if hook is not None:
            hook.remove()
    return states, logits


def _bare(model: Any, head: Any, shape: Sequence[int], chosen: Tensor, inputs: Mapping[str, Any]) -> bool:
    """Whether a model's logits are what its projection gives: some models scale or cap them. Tried out once a model."""
    known: bool | None = getattr(model, _BARE, None)
    if known is None:
        with torch.no_grad():
            states, logits = _narrowed(model, shape, chosen, inputs, 2)
            known = states is not None and bool(torch.equal(head(states[None, :2]), logits))
        setattr(model, _BARE, known)
    return known


_BARE = "_shrinklm_bare_projection"
