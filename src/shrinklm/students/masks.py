"""What the tokens of packed rows see, in the form that a model takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .batch import Batch


def masks(config: Any, batch: Batch) -> Tensor | dict[str, Tensor]:
    """[rows, 1, tokens, tokens], or one for each kind of layer: which token (third axis) sees which (fourth).

    A token sees earlier ones of its segment and of those that this one goes on from. A mask that is given replaces all
    of the model's own, so a window (Gemma, Mistral, gpt-oss) or a chunk (Llama 4) is drawn here: in positions, which
    count along each pair, and not in columns, between which other pairs stand.
    """
    text = config.get_text_config(decoder=True)
    seen = _seen(batch)
    kinds = set(getattr(text, "layer_types", None) or ())
    if len(kinds) > 1:
        return {kind: _form(config, seen & _near(text, kind, batch)) for kind in kinds}
    # Without kinds of layers, a model that states a window keeps to it in all of them, as in transformers' own masks.
    plain = "sliding_attention" if getattr(text, "sliding_window", None) else "chunked_attention"
    return _form(config, seen & _near(text, next(iter(kinds), plain), batch))


def _seen(batch: Batch) -> Tensor:
    """[rows, 1, tokens, tokens] of booleans, as if every layer looked back without end."""
    segment = batch["segment"]
    rows, length = segment.shape
    earlier = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    row = torch.arange(rows, device=segment.device)[:, None, None]
    kin = batch["kin"][row, segment[:, :, None], segment[:, None, :]]
    return (kin & earlier)[:, None]


def _near(text: Any, kind: str, batch: Batch) -> Tensor:
    """The same: the tokens that a layer of this kind may look back to."""
    position = batch["position_ids"][:, None]
    near = torch.ones((), dtype=torch.bool, device=position.device)
    reading, read = position[..., :, None], position[..., None, :]
    window, chunk = getattr(text, "sliding_window", None), getattr(text, "attention_chunk_size", None)
    if "sliding" in kind and window:
        near = reading - read < window
    if "chunked" in kind and chunk:
        near = reading // chunk == read // chunk
    return near


def _form(config: Any, mask: Tensor) -> Tensor:
    """Booleans for "sdpa"; numbers to add for attention written out in Python ("eager")."""
    if config._attn_implementation == "sdpa":
        return mask
    # The lowest finite number, as in transformers' own masks.
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)
