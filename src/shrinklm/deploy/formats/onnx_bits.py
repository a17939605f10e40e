"""ONNX graphs with fewer bits a weight."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

_SMALL = 1024
"""Numbers of a tensor that is kept in 32 bits, such as a norm's."""
_BLOCK = 32
"""Weights of a matrix that share a scale where they have 8 or 4 bits."""
_INT8 = 4
"""onnxruntime's name for products of 8-bit numbers: what is multiplied with the weights is rounded to 8 bits too."""


def read_graph(path: Path, bits: int) -> Any:
    """The graph in a file, the weights of its matrices in 32, 16, 8 or 4 bits.

    16: in float16, computed in float32. 8 and 4: in blocks that share a scale, and the embeddings in 8 bits, a scale
    for each row.
    """
    import onnx

    model = onnx.load(path)
    if bits == 16:
        _halve(model)
    elif bits < 16:
        _shorten_rows(model)
        model = _in_blocks(model, bits)
    return model


def _in_blocks(model: Any, bits: int) -> Any:
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    nbits.logger.setLevel(logging.WARNING)
    # Of 8-bit weights onnxruntime 1.31 unpacks the whole matrix for each product in float32: sixteen times as slow.
    level = _INT8 if bits == 8 else None
    quantizer = nbits.MatMulNBitsQuantizer(model, bits=bits, block_size=_BLOCK, is_symmetric=True, accuracy_level=level)
    quantizer.process()
    return quantizer.model.model


def _halve(model: Any) -> None:
    """Keeps matrices in float16; a cast gives float32 to whatever reads them."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    casts = []
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < _SMALL or np.abs(array).max() > np.finfo(np.float16).max:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    _put_first(model, casts)


def _shorten_rows(model: Any) -> None:
    """Keeps the matrices whose rows are looked up in 8 bits with a scale for each row."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    weights = {weight.name: weight for weight in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        weight = weights.get(node.input[0]) if node.op_type == "Gather" else None
        array = None if weight is None else numpy_helper.to_array(weight)
        if array is None or array.ndim != 2 or array.dtype != np.float32 or array.size < _SMALL:
            nodes.append(node)
            continue
        scale = np.maximum(np.abs(array).max(1, keepdims=True) / 127, np.finfo(np.float32).tiny)
        name, [given], [taken] = f"{node.name}.rows", node.input[1:], node.output
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(np.round(array / scale).astype(np.int8), name),
                numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"),
            ]
        )
        make = onnx.helper.make_node
        nodes += [
            make("Gather", [name, given], [f"{taken}.short"], axis=0),
            make("Cast", [f"{taken}.short"], [f"{taken}.long"], to=onnx.TensorProto.FLOAT),
            make("Gather", [f"{name}.scale", given], [f"{taken}.scale"], axis=0),
            make("Mul", [f"{taken}.long", f"{taken}.scale"], [taken]),
        ]
    _replace(model, nodes)
    read = {name for node in model.graph.node for name in node.input}
    kept = [weight for weight in model.graph.initializer if weight.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _put_first(model: Any, nodes: list[Any]) -> None:
    _replace(model, [*nodes, *model.graph.node])


def _replace(model: Any, nodes: list[Any]) -> None:
    kept = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(kept)
