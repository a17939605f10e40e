"""The weights and the configuration of a student as llama.cpp reads them: names, shapes, rotary layout, metadata.

After llama.cpp's own description of each architecture (src/models/*.cpp, gguf-py's tensor maps).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


@dataclass(frozen=True)
class Architecture:
    """How an architecture of transformers becomes one of llama.cpp."""

    name: str
    """In llama.cpp, a value of `gguf.MODEL_ARCH`."""
    act: str = "silu"
    """The activation that llama.cpp computes for it."""
    paired: bool = False
    """Rotary positions turn neighbouring numbers, where transformers turns those of two halves: the rows of the query
    and key matrices are put in another order."""
    raised: bool = False
    """A norm multiplies by 1 + its weight in transformers, and by its weight in llama.cpp."""
    tied: bool = False
    """llama.cpp reads the embeddings as the output matrix, whatever the file holds."""
    further: Callable[[Any, Any], None] | None = None
    """Writes metadata of its own: (writer, configuration)."""


def _heads(writer: Any, config: Any) -> None:
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def _gemma2(writer: Any, config: Any) -> None:
    _heads(writer, config)
    _query_scale(config)
    _pattern(config, 2)
    writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)
    writer.add_sliding_window(config.sliding_window)


def _gemma3(writer: Any, config: Any) -> None:
    _heads(writer, config)
    _query_scale(config)
    _pattern(config, 6)
    if config.attn_logit_softcapping or config.final_logit_softcapping:
        raise _unread(config, "soft caps on its logits", "logits without caps")
    writer.add_sliding_window(config.sliding_window)
    local = config.rope_parameters["sliding_attention"]["rope_theta"]
    if local != 10000.0:
        raise _unread(config, f"rotary base {local} in its sliding layers", "10000")


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", paired=True),
    "mistral": Architecture("llama", paired=True),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3", further=_heads),
    "gemma": Architecture("gemma", "gelu_pytorch_tanh", raised=True, tied=True, further=_heads),
    "gemma2": Architecture("gemma2", "gelu_pytorch_tanh", raised=True, tied=True, further=_gemma2),
    "gemma3_text": Architecture("gemma3", "gelu_pytorch_tanh", raised=True, further=_gemma3),
}
"""Architectures of transformers (`model_type`) whose GGUF files were held against transformers in llama.cpp."""


def architecture(config: Any) -> Architecture:
    """How llama.cpp knows the architecture. Raises ModelError for one that is not in the table."""
    if config.model_type not in ARCHITECTURES:
        raise ModelError(
            f"A student of the architecture '{config.model_type}' is not written as GGUF: it was not held against "
            f"llama.cpp. Known: {', '.join(ARCHITECTURES)}. Take --to onnx or --to safetensors."
        )
    return ARCHITECTURES[config.model_type]


def write_settings(writer: Any, config: Any, tensors: dict[str, Array]) -> None:
    """Writes the metadata of a configuration, and adds to `tensors` what llama.cpp keeps among the weights.

    Raises ModelError for a setting that llama.cpp does not have in this architecture.
    """
    kind = architecture(config)
    act = getattr(config, "hidden_activation", None) or config.hidden_act
    if act not in (kind.act, {"gelu_pytorch_tanh": "gelu"}.get(kind.act)):
        raise _unread(config, f"activation {act}", kind.act)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(_context(config, kind))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if kind.further is not None:
        kind.further(writer, config)
    elif head != config.hidden_size // config.num_attention_heads:
        writer.add_key_length(head)
        writer.add_value_length(head)
    if kind.name == "llama":
        writer.add_rope_dimension_count(head)
    _rotary(writer, config, head, tensors)


def _context(config: Any, kind: Architecture) -> int:
    """The tokens that llama.cpp may read: a window is kept where llama.cpp knows no windows."""
    longest = int(config.max_position_embeddings)
    window = getattr(config, "sliding_window", None)
    if not window or not getattr(config, "use_sliding_window", True) or kind.name.startswith("gemma"):
        return longest
    return min(longest, int(window))


def _rotary(writer: Any, config: Any, head: int, tensors: dict[str, Array]) -> None:
    rope = dict(config.rope_parameters)
    rope = rope.get("full_attention", rope)  # gemma3 states one for each kind of layer
    writer.add_rope_freq_base(rope["rope_theta"])
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        import gguf

        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif kind == "llama3":
        tensors["rope_freqs.weight"] = _llama3(rope, head)
    elif kind != "default":
        raise _unread(config, f"rotary positions of the kind '{kind}'", "default, linear and llama3")


def _llama3(rope: Mapping[str, float], head: int) -> Array:
    """The factor by which each frequency is divided, [head / 2] (Llama 3.1's scaling)."""
    import numpy as np

    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    turns = rope["original_max_position_embeddings"] / (
        2 * np.pi * rope["rope_theta"] ** (np.arange(0, head, 2, dtype=np.float64) / head)
    )
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    factors: Array = (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
    return factors


def weights(model: Any) -> Iterator[tuple[str, Array]]:
    """(name in llama.cpp, float32 array) of each weight of a model of transformers. Raises ModelError for one without
    a place."""
    import gguf

    config = model.config
    kind = architecture(config)
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == kind.name)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    written: set[str] = set()
    for name, weight in model.state_dict().items():
        tied = name == "lm_head.weight" and weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
        if tied:
            continue  # llama.cpp takes the embeddings where there is no output matrix
        if kind.tied and name == "lm_head.weight":
            raise _unread(config, "an output matrix of its own", "the embeddings as output matrix")
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None or found in written:
            raise _unread(config, f"a weight '{name}'", "the weights of its architecture")
        written.add(found)
        array = weight.detach().float().cpu().numpy()
        if kind.paired and (match := re.search(r"\.(q|k)_proj\.", name)):
            heads = config.num_attention_heads if match[1] == "q" else config.num_key_value_heads
            array = _paired(array, heads)
        yield found, array + 1 if kind.raised and name.endswith("norm.weight") else array


def _paired(array: Array, heads: int) -> Array:
    """The rows of a query or key matrix, or its bias, in the order in which neighbours turn together."""
    split = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return split.swapaxes(1, 2).reshape(array.shape)


def _query_scale(config: Any) -> None:
    if config.query_pre_attn_scalar != config.head_dim:
        raise _unread(config, f"queries scaled by {config.query_pre_attn_scalar}", f"its head's {config.head_dim}")


def _pattern(config: Any, every: int) -> None:
    wanted = [
        "sliding_attention" if (layer + 1) % every else "full_attention" for layer in range(config.num_hidden_layers)
    ]
    if list(config.layer_types) != wanted:
        raise _unread(config, "another order of sliding layers", f"every {every}. layer reading all")


def _unread(config: Any, found: str, known: str) -> ModelError:
    return ModelError(
        f"This student ({config.model_type}) has {found}, which llama.cpp does not compute for its architecture "
        f"({known}). Take --to onnx or --to safetensors."
    )
