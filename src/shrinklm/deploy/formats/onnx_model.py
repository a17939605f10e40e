"""A student as ONNX graphs that keep what they have read (a cache of keys and values), under the usual names.

A decoder-only student is `model.onnx`: input_ids, attention_mask, position_ids and past_key_values.N.key/value give
logits and present.N.key/value. An encoder–decoder is two: `encoder_model.onnx` reads the prompt once and gives the keys
and values that the decoder looks up; `decoder_model.onnx` writes.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import MissingExtra, ModelError
from .onnx_bits import read_graph

if TYPE_CHECKING:
    from torch import Tensor

CAUSAL, ENCODER, DECODER = "model.onnx", "encoder_model.onnx", "decoder_model.onnx"
_OPSET = 18
_LARGE = 1_500_000_000
"""Bytes of weights that stand beside the graph, in a file of their own: a graph takes 2 GB at most."""


def require() -> None:
    """Raises MissingExtra where a package is missing."""
    for package in ("onnx", "onnxruntime", "onnx_ir"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra(package.replace("_", "-"), "onnx", "A student in ONNX") from error


def write_onnx(model: Any, family: str, folder: Path, bits: int) -> None:
    """Writes the graphs of a model of transformers, in float32 on the CPU.

    Args:
        model: Read and left as it is.
        family: "causal" or "seq2seq".
        folder: The graphs' place.
        bits: Of a matrix's weights: 32; 16, computed in 32; 8 or 4 in blocks with a scale.

    Raises ModelError for a model that cannot be written so.
    """
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        for name, graph in (_causal(model) if family == "causal" else _seq2seq(model)).items():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _export(graph, Path(scratch, name), fold=bits < 16)
                _save(Path(scratch, name), folder / name, bits)
    finally:
        model.set_attn_implementation(before)


class _Graph:
    """What is traced: a module, its inputs by name, its outputs, and which of their axes vary."""

    def __init__(self, forward: Any, model: Any) -> None:
        import torch

        class Module(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
                return tuple(forward(*inputs))

        self.module = Module().eval()
        self.inputs: dict[str, Tensor] = {}
        self.outputs: list[str] = []
        self.axes: dict[str, dict[int, str]] = {}

    def reads(self, name: str, example: Tensor, *axes: str) -> None:
        """An input; the axes that have a name vary."""
        self.inputs[name] = example
        self._vary(name, axes)

    def gives(self, name: str, *axes: str) -> None:
        """An output."""
        self.outputs.append(name)
        self._vary(name, axes)

    def _vary(self, name: str, axes: Sequence[str]) -> None:
        self.axes[name] = {place: axis for place, axis in enumerate(axes) if axis}


def _pairs(prefix: str, layers: int) -> list[str]:
    return [f"{prefix}.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def _causal(model: Any) -> dict[str, _Graph]:
    import torch
    from transformers import DynamicCache

    def forward(ids: Tensor, mask: Tensor, positions: Tensor, *past: Tensor) -> list[Tensor]:
        cache = _cache(past)
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        return [out.logits, *_content(out.past_key_values)]

    ids = torch.ones(2, 3, dtype=torch.long)
    with torch.no_grad():
        # Some layers may have other heads than others, and a few models none: asked of the model itself.
        read = model(input_ids=ids, past_key_values=DynamicCache(), use_cache=True).past_key_values
        past = [torch.randn_like(each) for each in _content(read)]
    graph = _Graph(forward, model)
    graph.reads("input_ids", ids, "batch", "tokens")
    graph.reads("attention_mask", torch.ones(2, 6, dtype=torch.long), "batch", "all")
    graph.reads("position_ids", torch.arange(3, 6).repeat(2, 1), "batch", "tokens")
    graph.gives("logits", "batch", "tokens")
    _remember(graph, "past_key_values", "present", past)
    return {CAUSAL: graph}


def _seq2seq(model: Any) -> dict[str, _Graph]:
    import torch
    from transformers import EncoderDecoderCache
    from transformers.modeling_outputs import BaseModelOutput

    start = model.config.decoder_start_token_id

    def encode(ids: Tensor, mask: Tensor) -> list[Tensor]:
        first = torch.full_like(ids[:, :1], start)
        out = model(input_ids=ids, attention_mask=mask, decoder_input_ids=first, use_cache=True)
        return _content(out.past_key_values.cross_attention_cache)

    def decode(ids: Tensor, mask: Tensor, *past: Tensor) -> list[Tensor]:
        own, prompt = past[: len(past) // 2], past[len(past) // 2 :]
        cache = EncoderDecoderCache(_cache(own), _cache(prompt))
        cache.is_updated = dict.fromkeys(cache.is_updated, True)
        # Nothing reads it: keys and values of the prompt are in the cache.
        unread = torch.zeros(1, 1, model.config.hidden_size).expand(mask.shape[0], mask.shape[1], -1)
        out = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=unread),
            attention_mask=mask,
            decoder_input_ids=ids,
            past_key_values=cache,
            use_cache=True,
        )
        return [out.logits, *_content(out.past_key_values.self_attention_cache)]

    ids, mask = torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.long)
    with torch.no_grad():
        prompt = encode(ids, mask)
    own = [torch.randn(2, each.shape[1], 3, each.shape[3]) for each in prompt]
    encoder = _Graph(encode, model)
    encoder.reads("input_ids", ids, "batch", "prompt")
    encoder.reads("attention_mask", mask, "batch", "prompt")
    decoder = _Graph(decode, model)
    decoder.reads("input_ids", ids[:, :2], "batch", "tokens")
    decoder.reads("encoder_attention_mask", mask, "batch", "prompt")
    decoder.gives("logits", "batch", "tokens")
    _remember(decoder, "past_key_values", "present", own)
    for name, each in zip(_pairs("encoder_key_values", len(prompt) // 2), prompt, strict=True):
        encoder.gives(name, "batch", "", "prompt")
        decoder.reads(name, each, "batch", "", "prompt")
    return {ENCODER: encoder, DECODER: decoder}


def _remember(graph: _Graph, past: str, present: str, examples: Sequence[Tensor]) -> None:
    layers = len(examples) // 2
    for name, each in zip(_pairs(past, layers), examples, strict=True):
        graph.reads(name, each, "batch", "", "past")
    for name in _pairs(present, layers):
        graph.gives(name, "batch", "", "all")


def _cache(past: Sequence[Tensor]) -> Any:
    """A cache that holds keys and values. Of whole length in every layer: windows are in the masks."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer in range(len(past) // 2):
        cache.update(past[2 * layer], past[2 * layer + 1], layer)
    return cache


def _content(cache: Any) -> list[Tensor]:
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def _export(graph: _Graph, path: Path, fold: bool) -> None:
    import torch

    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of Python numbers that a trace keeps: the runtime is asked afterwards
            torch.onnx.export(
                graph.module,
                tuple(graph.inputs.values()),
                str(path),
                input_names=list(graph.inputs),
                output_names=graph.outputs,
                dynamic_axes=graph.axes,
                opset_version=_OPSET,
                do_constant_folding=fold,
                dynamo=False,
            )
    except Exception as error:  # whatever the model or the exporter raises: it cannot be written
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{type(graph.module.model).__name__} cannot be written as ONNX: {first}. Take --to safetensors."
        ) from error


def _save(source: Path, target: Path, bits: int) -> None:
    import onnx

    model = read_graph(source, bits)
    if model.ByteSize() < _LARGE:
        onnx.save_model(model, target)
    else:
        onnx.save_model(model, target, save_as_external_data=True, location=f"{target.name}.data")
