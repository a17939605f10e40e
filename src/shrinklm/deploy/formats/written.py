"""The formats: how each is written, and which runtime reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import RecipeError, StudentError
from ...students.saved import NOTE, seal
from ..answering import Answering
from .around import ends_of
from .asked import RuntimeStudent
from .chat import chat_template, fitting_template, with_template
from .onnx_model import require, write_onnx

if TYPE_CHECKING:
    from ...students.base import BaseStudent
    from ...students.protocol import Student

GGUF = {32: "F32", 16: "F16", 8: "Q8_0", 4: "Q4_1"}
"""Bits of a matrix's weights → llama.cpp's name for them."""


@dataclass(frozen=True)
class Format:
    """One format."""

    bits: tuple[int, ...]
    """What a weight may have; the first is taken where none is named."""
    write: Callable[[BaseStudent, Answering, Path, int], None]
    """Writes (student, how it answers) into a folder, with so many bits a weight."""
    open: Callable[[Path], RuntimeStudent]
    """Opens the folder in the runtime that reads it."""
    weights: tuple[str, ...]
    """Patterns of the files that hold the weights."""
    packages: tuple[str, ...] = ()
    """What writes and reads it, beside transformers."""
    refuses: str = ""
    """Why it has no other bits, and what to take."""

    def choose(self, name: str, bits: int | None) -> int:
        """The bits of a weight. Raises RecipeError for those that the format does not have."""
        if bits is not None and bits not in self.bits:
            known = ", ".join(map(str, self.bits))
            raise RecipeError(f"{name} has {known} bits a weight, and not {bits}. {self.refuses}".strip())
        return self.bits[0] if bits is None else bits

    def size(self, folder: Path) -> int:
        """Bytes of the weights in a folder."""
        return sum(path.stat().st_size for pattern in self.weights for path in folder.glob(pattern))


def _safetensors(student: BaseStudent, answering: Answering, folder: Path, bits: int) -> None:
    import torch

    # Also in this object: it was loaded to be exported.
    student.to(torch.bfloat16 if bits == 16 else torch.float32)
    student.save(folder)
    if not student.writes:
        return
    _beside(student, answering, folder)
    note = json.loads((folder / NOTE).read_bytes())
    seal(folder, {name: value for name, value in note.items() if name != "files"})


def _gguf(student: BaseStudent, answering: Answering, folder: Path, bits: int) -> None:
    from .gguf_file import write_gguf

    template = chat_template(answering.answer, answering.explain, student.tokenizer)
    kind = GGUF[bits]
    write_gguf(student, folder / f"student-{kind.lower()}.gguf", kind, answering.name, template)


def _onnx(student: BaseStudent, answering: Answering, folder: Path, bits: int) -> None:
    require()
    write_onnx(student.model, student.family, folder, bits)
    student.model.config.save_pretrained(folder)
    _beside(student, answering, folder)


def _beside(student: BaseStudent, answering: Answering, folder: Path) -> None:
    """Writes the tokenizer with the student's chat template, and generation_config.json."""
    from transformers import GenerationConfig

    chats = student.family == "causal"
    template = fitting_template(answering.answer, answering.explain, student.tokenizer) if chats else None
    # The base model's template asks in another form than the student was trained with.
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    shutil.rmtree(folder / "additional_chat_templates", ignore_errors=True)
    with_template(student.tokenizer, template).save_pretrained(folder)
    own, ends = student.model.generation_config, ends_of(student)
    longest = max(answering.answer_tokens, answering.max_tokens if answering.explain else 0)
    GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=longest,
        eos_token_id=ends[0] if len(ends) == 1 else ends,
        pad_token_id=student.tokenizer.pad_token_id,
        bos_token_id=own.bos_token_id,
        decoder_start_token_id=own.decoder_start_token_id,
    ).save_pretrained(folder)


def _open_safetensors(folder: Path) -> RuntimeStudent:
    from .chooser import ChoosingStudent
    from .plain import TransformersStudent

    if json.loads((folder / NOTE).read_bytes())["family"] == "encoder":
        return ChoosingStudent(folder)
    return TransformersStudent(folder)


def _open_gguf(folder: Path) -> RuntimeStudent:
    from .llama_cpp import LlamaCppStudent

    return LlamaCppStudent(next(folder.glob("*.gguf")))


def _open_onnx(folder: Path) -> RuntimeStudent:
    from .onnx_student import OnnxStudent

    return OnnxStudent(folder)


_FEWER = "Take --to gguf or --to onnx, which hold fewer bits."
FORMATS: dict[str, Format] = {
    "safetensors": Format((32, 16), _safetensors, _open_safetensors, ("*.safetensors",), (), _FEWER),
    "gguf": Format((16, 32, 8, 4), _gguf, _open_gguf, ("*.gguf",), ("gguf", "xllamacpp")),
    "onnx": Format((32, 16, 8, 4), _onnx, _open_onnx, ("*.onnx", "*.onnx.data"), ("onnx", "onnxruntime")),
}
"""The formats by name."""


def open_exported(folder: Path) -> Student:
    """The student in an exported folder, by the runtime of its format: of safetensors with `load_student`.

    Raises StudentError where there is none.
    """
    from ...students.open import load_student

    if (folder / NOTE).is_file():
        return load_student(folder)
    for each in FORMATS.values():
        if each.size(folder):
            return each.open(folder)
    raise StudentError(f"{folder} holds no exported student. Make one with: shrinklm export-model RUN --to FORMAT")
