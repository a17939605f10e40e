"""A beginning that all rows share: its keys and values stand in memory once, and every row attends to them there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import (
    AttentionMaskInterface,
    causal_mask_function,
    eager_mask,
    remap_positions_for_packed_sequence,
)

SHARED = "shrinklm"
"""The implementation of attention that reads them, as `set_attn_implementation` knows it."""


class _Layer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of the rows, [rows, heads, tokens, width], grown in blocks, after those that all rows share."""

    BLOCK = 64
    """Tokens by which a layer grows: growing by one would copy all keys and values at every token."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shared: tuple[Tensor, Tensor] | None = None
        self.room: tuple[Tensor, Tensor] | None = None
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        new = key_states.shape[-2]
        if self.room is None or self.length + new > self.room[0].shape[-2]:
            self.room = (self._grown(0, key_states, new), self._grown(1, value_states, new))
        for room, states in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, self.length : self.length + new] = states
        self.length += new
        self.is_initialized = True
        return self.seen(0), self.seen(1)

    def _grown(self, index: int, states: Tensor, new: int) -> Tensor:
        rows, heads, _, width = states.shape
        room = states.new_empty(rows, heads, self.length + new + self.BLOCK, width)
        if self.room is not None:
            room[:, :, : self.length] = self.seen(index)
        return room

    def seen(self, index: int) -> Tensor:
        """The rows' keys (0) or values (1), without the free room behind them."""
        assert self.room is not None
        return self.room[index][:, :, : self.length]

    def arrange(self, places: Tensor, length: int, other: _Layer | None) -> None:
        """Keep the rows at `places`, and put those of `other` after them; all end at the token of number `length`."""
        self.room = (self._arranged(0, places, length, other), self._arranged(1, places, length, other))
        self.length = length

    def _arranged(self, index: int, places: Tensor, length: int, other: _Layer | None) -> Tensor:
        before = self.seen(index)[:, :, -length:]
        _, heads, kept, width = before.shape
        count = len(places)
        room = before.new_empty(count + (len(other.seen(0)) if other else 0), heads, length + self.BLOCK, width)
        # Zeros before a shorter row: what happens to lie in memory may be NaN, which no mask makes harmless.
        room[:count, :, : length - kept] = 0
        room[:count, :, length - kept : length] = before[places]
        if other is not None:
            joined = other.seen(index)
            room[count:, :, : length - joined.shape[-2]] = 0
            room[count:, :, length - joined.shape[-2] : length] = joined
        return room

    def get_seq_length(self) -> int:
        return self.length + (self.shared[0].shape[-2] if self.shared else 0)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0


class SharedCache(Cache):  # type: ignore[misc]
    """The keys and values of all layers, on top of those of a shared beginning."""

    def __init__(self, shared: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        super().__init__(layer_class_to_replicate=_Layer)
        for pair in shared:
            layer = _Layer()
            layer.shared = pair
            self.layers.append(layer)

    def arrange(self, places: Tensor, length: int, other: SharedCache | None = None) -> None:
        """Keep the rows at `places`, in this order and as often as named; the rows of `other` follow.

        `length`: tokens of a row that stay, its last ones; at least those of `other`.
        """
        for index, layer in enumerate(self.layers):
            layer.arrange(places, length, other.layers[index] if other else None)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention over the shared keys and the rows' keys in one softmax.

    query [rows, heads, q, width], key and value [rows, groups, k, width].
    """
    shared: tuple[Tensor, Tensor] | None = module._shrinklm_shared
    rows, heads, length, width = query.shape
    groups = key.shape[1]
    # Query heads that share a key head (grouped-query attention) form one matrix: no key is repeated for each of them.
    grouped = query.reshape(rows, groups, heads // groups * length, width)
    scores = grouped @ key.transpose(-1, -2)
    if shared is not None:
        # All rows in one product with the shared keys, which stand in memory once: nothing is expanded to the number of
        # rows.
        flat = grouped.transpose(0, 1).reshape(groups, -1, width)
        before = flat @ shared[0][0].transpose(-1, -2)
        scores = torch.cat((before.reshape(groups, rows, -1, before.shape[-1]).transpose(0, 1), scores), -1)
    # As the attention of transformers: a softmax in float32, whatever the model computes in.
    scores = scores.float().mul_(scaling).reshape(rows, heads, length, -1)
    if attention_mask is not None:
        # Booleans, or numbers to add: 0 for what is seen. Not -inf: padding at the left sees nothing, which gives NaN.
        allowed = attention_mask if attention_mask.dtype == torch.bool else attention_mask >= 0
        scores = scores.masked_fill_(~allowed, torch.finfo(torch.float32).min)
    weights = scores.softmax(-1).to(value.dtype).reshape(rows, groups, -1, scores.shape[-1])
    start = weights.shape[-1] - key.shape[-2]
    out = weights[..., start:] @ value
    if shared is not None:
        before = weights[..., :start].transpose(0, 1).reshape(groups, -1, start) @ shared[1][0]
        out = out + before.reshape(groups, rows, -1, width).transpose(0, 1)
    return out.reshape(rows, heads, length, width).transpose(1, 2).contiguous(), None


def _masks(
    *, mask_function: Callable[..., Any] = causal_mask_function, attention_mask: Tensor | None = None, **sizes: Any
) -> Tensor:
    """What each token sees, as numbers to add, [rows, 1, tokens, keys]; always a mask: `_attention` knows no other."""
    if attention_mask is not None:
        # Padding stands between the shared beginning and a shorter row. A window counts tokens of the row, not padding.
        positions = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        mask_function = remap_positions_for_packed_sequence(mask_function, positions)
    mask: Tensor = eager_mask(mask_function=mask_function, attention_mask=attention_mask, **sizes)
    return mask


AttentionInterface.register(SHARED, _attention)
AttentionMaskInterface.register(SHARED, _masks)


def point(model: Any, cache: SharedCache) -> None:
    """Tell each attention layer which keys and values its rows share."""
    # By an attribute: transformers passes the rows' keys and values to `_attention`, and nothing beside them.
    for module in model.modules():
        index = getattr(module, "layer_idx", None)
        if isinstance(index, int):
            module._shrinklm_shared = cache.layers[index].shared if index < len(cache.layers) else None
