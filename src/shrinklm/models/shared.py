"""A beginning that all rows share: its keys and values stand in memory once, and every row attends to them there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import (
    AttentionMaskInterface,
    causal_mask_function,
    eager_mask,
    remap_positions_for_packed_sequence,
)

Pair = tuple[Tensor, Tensor]
"""Keys and values."""
SHARED = "shrinklm"
"""The implementation of attention that reads them, as `set_attn_implementation` knows it."""


class _Layer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of the rows, [rows, heads, tokens, width], in room that grows; they follow the shared ones."""

    BLOCK = 64
    """Tokens by which the room grows: growing by one would copy all keys and values at every token."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shared: Pair | None = None
        self.room: Pair | None = None
        """[places for rows, heads, places for tokens, width]. In use: the first `rows`, `length` tokens to `end`."""
        self.rows, self.length, self.end = 0, 0, 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        rows, _, new, _ = key_states.shape
        states = (key_states, value_states)
        for room, own in zip(self._reserved(states, rows, self.length, new), states, strict=True):
            room[:rows, :, self.end : self.end + new] = own
        self.rows, self.length, self.end = rows, self.length + new, self.end + new
        self.is_initialized = True
        return self.seen(0), self.seen(1)

    def seen(self, index: int) -> Tensor:
        """The rows' keys (0) or values (1), without the free room around them."""
        assert self.room is not None
        return self.room[index][: self.rows, :, self.end - self.length : self.end]

    def _reserved(self, like: Pair, rows: int, before: int, after: int) -> Pair:
        """The room, with places for so many rows, and for so many tokens before and after the end of what it holds."""
        if self.room is not None:
            places, _, tokens, _ = self.room[0].shape
            if rows <= places and before <= self.end and self.end + after <= tokens:
                return self.room
            rows = max(rows, places)
        kept = min(self.length, before)
        grown = []
        for index, states in enumerate(like):
            # Zeros: what happens to lie in memory may be NaN, which no mask makes harmless.
            room = states.new_zeros(rows, states.shape[1], before + after + self.BLOCK, states.shape[-1])
            if kept:
                room[: self.rows, :, before - kept : before] = self.seen(index)[:, :, -kept:]
            grown.append(room)
        self.room, self.end = (grown[0], grown[1]), before
        return self.room

    def arrange(self, places: Tensor, moved: Pair, length: int, other: _Layer | None) -> None:
        """See SharedCache. `moved`: the new places of the rows that change theirs, and their old ones."""
        assert self.room is not None
        count, joined = len(places), other.rows if other else 0
        for index, room in enumerate(self._reserved(self.room, count + joined, length, 0)):
            used = room[:, :, self.end - length : self.end]
            if len(moved[0]):
                used[moved[0]] = used[moved[1]]
            used[:count, :, : max(0, length - self.length)] = 0
            if other is not None:
                used[count : count + joined, :, : length - other.length] = 0
                used[count : count + joined, :, length - other.length :] = other.seen(index)
        self.rows, self.length = count + joined, length

    def get_seq_length(self) -> int:
        return self.length + (self.shared[0].shape[-2] if self.shared else 0)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0


class SharedCache(Cache):  # type: ignore[misc]
    """The keys and values of all layers, on top of those of a shared beginning."""

    def __init__(self, shared: Sequence[Pair] = ()) -> None:
        super().__init__(layer_class_to_replicate=_Layer)
        for pair in shared:
            layer = _Layer()
            layer.shared = pair
            self.layers.append(layer)

    def arrange(self, places: Tensor, length: int, other: SharedCache | None = None) -> None:
        """Keep the rows at `places`, in this order and as often as named; the rows of `other` follow.

        `length`: tokens of a row that stay, its last ones; at least those of `other`. A row that keeps its place is not
        copied.
        """
        slots = torch.arange(len(places), device=places.device)
        changed = slots != places
        moved = (slots[changed], places[changed])
        for index, layer in enumerate(self.layers):
            layer.arrange(places, moved, length, other.layers[index] if other else None)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention over the shared keys and the rows' keys in one softmax.

    query [rows, heads, q, width], key and value [rows, groups, k, width].
    """
    shared: tuple[Tensor, Tensor] | None = module._shrinklm_shared
    mask = attention_mask
    if mask is not None and mask.dtype == torch.bool:
        mask = query.new_zeros(()).masked_fill(~mask, torch.finfo(query.dtype).min)
    out = (_step if query.shape[2] == 1 else _read)(query, key, value, shared, mask, scaling)
    return out.transpose(1, 2).contiguous(), None


def _read(
    query: Tensor, key: Tensor, value: Tensor, shared: Pair | None, mask: Tensor | None, scaling: float
) -> Tensor:
    """`_attention` of many tokens of each row: torch's own, whose scores never stand in memory as a whole.

    The shared keys are repeated for each row, which is little beside the scores of all its tokens.
    """
    if shared is not None:
        pairs = zip(shared, (key, value), strict=True)
        key, value = (torch.cat((before.expand(len(own), -1, -1, -1), own), -2) for before, own in pairs)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True)


def _step(
    query: Tensor, key: Tensor, value: Tensor, shared: Pair | None, mask: Tensor | None, scaling: float
) -> Tensor:
    """`_attention` of one token of each row: all rows in one product with the shared keys, which are not repeated."""
    rows, heads, _, width = query.shape
    groups, start = key.shape[1], shared[0].shape[-2] if shared else 0
    # Query heads that share a key head (grouped-query attention) form one matrix: no key is repeated for each of them.
    grouped = (query * scaling).reshape(rows, groups, -1, width)
    scores = grouped @ key.transpose(-1, -2)
    if shared is not None:
        flat = grouped.transpose(0, 1).reshape(groups, -1, width)
        before = flat @ shared[0][0].transpose(-1, -2)
        scores = torch.cat((before.reshape(groups, rows, -1, start).transpose(0, 1), scores), -1)
    if mask is not None:
        scores = scores.reshape(rows, heads, 1, -1).add_(mask)
    # As the attention of transformers: a softmax in float32, whatever the model computes in.
    weights = scores.softmax(-1, torch.float32).to(value.dtype).reshape(rows, groups, -1, scores.shape[-1])
    out = weights[..., start:] @ value
    if shared is not None:
        before = weights[..., :start].transpose(0, 1).reshape(groups, -1, start) @ shared[1][0]
        out = out + before.reshape(groups, rows, -1, width).transpose(0, 1)
    return out.reshape(rows, heads, 1, width)


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


def attending(model: Any) -> list[Any]:
    """The modules that know which layer of the cache is theirs."""
    return [module for module in model.modules() if isinstance(getattr(module, "layer_idx", None), int)]


def point(layers: Sequence[Any], cache: SharedCache) -> None:
    """Tell each of the modules of `attending` which keys and values its rows share."""
    # By an attribute: transformers passes the rows' keys and values to `_attention`, and nothing beside them.
    for module in layers:
        index = module.layer_idx
        module._shrinklm_shared = cache.layers[index].shared if index < len(cache.layers) else None
