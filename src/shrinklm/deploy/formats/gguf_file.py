"""A student as one GGUF file: weights, configuration, tokenizer and chat template."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...core.errors import ModelError
from .around import ends_of
from .gguf_model import architecture, weights, write_settings
from .gguf_tokenizer import write_tokenizer

if TYPE_CHECKING:
    from ...students.base import BaseStudent

_LARGEST = 65504.0
"""The largest number in float16."""
_KEPT = ("token_embd.weight", "output.weight")
"""Matrices of the vocabulary: in 4 bits they cost more accuracy than they save."""


def write_gguf(student: BaseStudent, path: Path, kind: str, name: str, template: str) -> None:
    """Writes a decoder-only student.

    Args:
        student: Of an architecture in `gguf_model.ARCHITECTURES`.
        path: The file.
        kind: Of its matrices, a name in `gguf.GGMLQuantizationType`: F32, F16, Q8_0, Q4_1. A row that does not
            divide into blocks of 32 stays in F16.
        name: Of the student.
        template: Its chat template.

    Raises ModelError for a student that llama.cpp does not run.
    """
    import gguf
    import numpy as np

    if student.family != "causal":
        raise ModelError(
            "An encoder–decoder is not written as GGUF: llama.cpp's server runs none (the process ends at the first "
            "question). Take --to onnx or --to safetensors."
        )
    config = student.model.config
    writer = gguf.GGUFWriter(path, architecture(config).name)
    tensors: dict[str, Any] = {}
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType[f"{'ALL' if kind == 'F32' else 'MOSTLY'}_{kind}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    write_settings(writer, config, tensors)
    for token in ends_of(student)[1:2]:
        writer.add_eot_token_id(token)
    rows = student.model.get_input_embeddings().weight.shape[0]
    write_tokenizer(writer, student.tokenizer, rows, template)
    for label, array in (*tensors.items(), *weights(student.model)):
        wanted = _kind(label, array, kind)
        if not np.isfinite(array).all():
            raise ModelError(f"The weight {label} holds numbers that are not finite: this student diverged.")
        if wanted == "F16" and np.abs(array).max() > _LARGEST:
            wanted = "BF16"
        packed = gguf.quantize(array, gguf.GGMLQuantizationType[wanted])
        writer.add_tensor(label, packed, raw_dtype=gguf.GGMLQuantizationType[wanted])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _kind(label: str, array: Any, kind: str) -> str:
    if array.ndim < 2:
        return "F32"  # llama.cpp reads vectors in no other
    wanted = "Q8_0" if kind == "Q4_1" and label in _KEPT else kind
    return "F16" if wanted.startswith("Q") and array.shape[-1] % 32 else wanted


_SINGLE = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT = 8


def read_head(path: Path) -> dict[str, Any]:
    """The metadata of a GGUF file up to its first list, in which a vocabulary would be.

    https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Raises ModelError for another file.
    """
    found: dict[str, Any] = {}
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path} is no GGUF file.")
        _, _, count = (_number(file, code) for code in ("I", "Q", "Q"))
        for _ in range(count):
            name, kind = _text(file), _number(file, "I")
            if kind != _TEXT and kind not in _SINGLE:
                break
            found[name] = _text(file) if kind == _TEXT else _number(file, _SINGLE[kind])
    return found


def _number(file: BinaryIO, code: str) -> Any:
    return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "Q")).decode("utf-8")
