"""The token ids of texts: each text is tokenised once, for all trainings with its tokenizer."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..core.cache import cache_folder
from ..core.errors import StoreError
from ..core.files import whole
from ..core.types import Pair
from .base import BaseStudent
from .start import vocabulary
from .tokens import PairTokens, pair_tokens

_LARGEST = 1 << 24
"""Token ids that a file keeps (64 MiB, some 400,000 texts); a file that has grown beyond begins anew."""
_KEY = 16
"""Bytes of a text's digest."""


class TokenIds:
    """The token ids of the texts of one student, beside those that earlier trainings kept on disk.

    The file lies in the user's cache, is named by what the tokenizer does, and may be deleted. It is read as a memory
    map: only the texts that are asked for come into memory.
    """

    def __init__(self, student: BaseStudent) -> None:
        self._student = student
        self._path = _path(student)
        self._new: dict[bytes, list[int]] = {}
        self._known: dict[bytes, int] = {}
        self._ends = np.zeros(0, np.int64)
        self._ids = np.zeros(0, np.int32)
        if self._path is not None:
            self._read(self._path)

    def pairs(self, pairs: Sequence[Pair], end: bool = True) -> list[PairTokens]:
        """As `BaseStudent.tokenized`."""
        if self._path is None:
            return self._student.tokenized(pairs, end)
        closing = self._student.tokenizer.eos_token_id if end else None
        return pair_tokens(pairs, self._prompt, self._target, closing, self._student.target_offsets)

    def keep(self) -> None:
        """Write what is new to the file. A disk that is full or cannot be written to keeps nothing."""
        if not self._new or self._path is None:
            return
        old = self._ids if len(self._ids) <= _LARGEST else self._ids[:0]
        ends = self._ends if len(old) else self._ends[:0]
        keys = list(self._known) if len(old) else []
        sizes = np.array([len(ids) for ids in self._new.values()], np.int64)
        flat = array("i", (token for ids in self._new.values() for token in ids))
        content = {
            "keys": np.frombuffer(b"".join([*keys, *self._new]), np.uint8).reshape(-1, _KEY),
            "ends": np.concatenate([ends, (ends[-1] if len(ends) else 0) + np.cumsum(sizes)]),
            "ids": np.concatenate([old, np.frombuffer(flat, np.int32)]),
        }
        try:
            with whole(self._path, shared=True) as new:
                save_file(content, new)
        except (StoreError, OSError, SafetensorError):
            return
        self._new.clear()
        self._read(self._path)

    def _read(self, path: Path) -> None:
        try:
            with safe_open(path, "numpy") as file:
                keys = file.get_tensor("keys").tobytes()
                self._ends = file.get_tensor("ends")
                self._ids = np.memmap(path, np.int32, "r", tensor_place(path, "ids"), (int(self._ends[-1]),))
        except (OSError, SafetensorError, ValueError, LookupError):
            return  # there is none yet, or it is damaged: it is made anew
        self._known = {keys[place : place + _KEY]: place // _KEY for place in range(0, len(keys), _KEY)}

    def _prompt(self, text: str) -> list[int]:
        return self._of("p", text)

    def _target(self, text: str) -> list[int]:
        return self._of("t", text)

    def _of(self, kind: str, text: str) -> list[int]:
        key = hashlib.blake2b(f"{kind}{text}".encode("utf-8", "surrogatepass"), digest_size=_KEY).digest()
        place = self._known.get(key)
        if place is not None:
            start = int(self._ends[place - 1]) if place else 0
            known: list[int] = self._ids[start : self._ends[place]].tolist()
            return known
        if key not in self._new:
            student = self._student
            self._new[key] = student.prompt_ids(text) if kind == "p" else student.target_ids(text, end=False)
        return self._new[key]


def _path(student: BaseStudent) -> Path | None:
    """The file of a student's texts; None where its class or its tokenizer has ways of its own, which may change."""
    kind = type(student)
    own = next((base for base in kind.__mro__ if "target_ids" in vars(base)), kind)
    if not (kind.prompt_ids is BaseStudent.prompt_ids and own.__module__.startswith(__package__ + ".")):
        return None
    if kind.tokenized is not BaseStudent.tokenized or not getattr(student.tokenizer, "is_fast", False):
        return None
    name = hashlib.sha256(f"{own.__qualname__} {vocabulary(student.tokenizer)}".encode()).hexdigest()
    return cache_folder() / "tokens" / f"{name[:32]}.safetensors"


def tensor_place(path: Path, name: str) -> int:
    """Where a tensor begins in a file of safetensors, in bytes."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    return 8 + size + int(header[name]["data_offsets"][0])
