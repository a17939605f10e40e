"""A teacher's likeliest tokens at each token of the targets, read once and kept on disk.

The files lie in the user's cache, by the teacher's weights, and may be deleted. A pair is read alone, so that its
numbers depend on nothing but its tokens: the table is the same whichever training asks first, or was stopped.
"""

from __future__ import annotations

import gc
import hashlib
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ...core.cache import cache_folder
from ...core.files import whole
from ...core.types import digest
from ...models.load import default_device, default_dtype
from ..base import BaseStudent
from ..blocks import Block
from ..ids import tensor_place
from ..logits import LogitTeacher
from ..tokens import PairTokens

_PART = 1 << 14
"""Tokens of targets in one file: what a kill loses, and 8 MiB of the 64 likeliest."""
_KEY = 16
"""Bytes of a pair's digest."""
_LEAST = -1e4
"""In the place of log 0."""


class Table:
    """The teacher's distributions at the targets of pairs.

    Args:
        teacher: Is loaded only where the disk lacks something.
        student: Its vocabulary is that of the distributions.
    """

    def __init__(self, teacher: LogitTeacher, student: BaseStudent) -> None:
        self.teacher = teacher
        self._vocabulary = int(student.config.get_text_config(decoder=True).vocab_size)
        made_by = [teacher.key, self._vocabulary, teacher.top, teacher.temperature]
        self.folder = cache_folder() / "logits" / digest(*made_by, default_dtype(), default_device().type)
        self.width = 0
        """The tokens that both models know: the first so many. All others are left out of both distributions."""
        self._places: dict[bytes, tuple[int, int, int]] = {}
        """Digest of a pair's tokens → (number of its file, first row, last row + 1)."""
        self._files: list[Mapping[str, NDArray[Any]]] = []
        self._read: set[Path] = set()

    def fill(self, pairs: Iterable[PairTokens]) -> None:
        """Have the teacher read the pairs that the disk lacks. Raises what opening it raises, or StoreError."""
        wanted = {_key(pair): pair for pair in pairs}
        self.folder.mkdir(parents=True, exist_ok=True)
        # Trainings side by side: one reads, and the others find it done.
        with FileLock(self.folder / "lock"):
            self._look()
            lacking = {key: pair for key, pair in wanted.items() if key not in self._places}
            if lacking:
                self._ask(lacking)
                self._look()

    def __getitem__(self, pair: PairTokens) -> dict[str, NDArray[Any]]:
        """Of each scored token of a pair that was asked for: `ids` and `logp`, [tokens, top], of the likeliest tokens,
        and `rest`, [tokens], the log-probability of all others together."""
        file, start, stop = self._places[_key(pair)]
        return {name: values[start:stop] for name, values in self._files[file].items()}

    def _look(self) -> None:
        """Read the files that were written since. Their numbers stay on disk until they are used."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path in self._read:
                continue
            try:
                with safe_open(path, "numpy") as file:
                    keys, ends = file.get_tensor("keys").tobytes(), file.get_tensor("ends").tolist()
                    self.width = int(file.get_tensor("width")[0])
                    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in ("ids", "logp", "rest")}
            except (OSError, SafetensorError, LookupError):
                path.unlink(missing_ok=True)  # damaged: it is made anew
                continue
            self._read.add(path)
            kinds = {"ids": np.int32, "logp": np.float32, "rest": np.float32}
            self._files.append(
                {
                    name: np.memmap(path, kind, "r", tensor_place(path, name), shapes[name])
                    for name, kind in kinds.items()
                }
            )
            for number, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
                self._places[keys[number * _KEY : (number + 1) * _KEY]] = (len(self._files) - 1, start, stop)

    def _ask(self, lacking: Mapping[bytes, PairTokens]) -> None:
        model = self.teacher.load().eval()
        found: dict[bytes, dict[str, Any]] = {}
        tokens = 0
        for done, (key, pair) in enumerate(lacking.items(), 1):
            found[key] = self._of(model, pair)
            tokens += len(pair.scored)
            if tokens >= _PART or done == len(lacking):
                self._write(found)
                found, tokens = {}, 0
            if self.teacher.tick and (done % 100 == 0 or done == len(lacking)):
                self.teacher.tick(f"read {self.teacher.name}", done, len(lacking), "its likeliest tokens")
        # Before the student is trained: both together may be more than the device holds.
        del model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _of(self, model: BaseStudent, pair: PairTokens) -> dict[str, Any]:
        with torch.inference_mode():
            logits = model.scored(model.to_device(model.batch([Block([pair])], [[0]])), logits=True).logits
        assert logits is not None
        self.width = min(self._vocabulary, logits.shape[1])
        return likeliest(logits[:, : self.width].float() / self.teacher.temperature, self.teacher.top)

    def _write(self, found: Mapping[bytes, Mapping[str, Any]]) -> None:
        content = {name: np.concatenate([rows[name] for rows in found.values()]) for name in ("ids", "logp", "rest")}
        content["keys"] = np.frombuffer(b"".join(found), np.uint8).reshape(-1, _KEY)
        content["ends"] = np.cumsum([len(rows["rest"]) for rows in found.values()]).astype(np.int64)
        content["width"] = np.array([self.width], np.int64)
        name = hashlib.sha256(b"".join(found)).hexdigest()[:32]
        with whole(self.folder / f"{name}.safetensors", shared=True) as new:
            save_file(content, new)


def likeliest(logits: torch.Tensor, top: int) -> dict[str, NDArray[Any]]:
    """The `top` likeliest tokens, `ids` and `logp` [tokens, top], and the log-probability of all others, `rest`
    [tokens], of logits [tokens, vocabulary] in float32."""
    chances = logits.log_softmax(-1)
    best = chances.topk(min(top, logits.shape[1]), dim=-1)
    return {
        "ids": best.indices.int().cpu().numpy(),
        "logp": best.values.clamp(min=_LEAST).cpu().numpy(),
        "rest": all_others(chances, best.indices).clamp(min=_LEAST).cpu().numpy(),
    }


def all_others(chances: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """[tokens]: the log-probability of all but `ids` [tokens, ids] together, of `chances` [tokens, vocabulary]."""
    return chances.scatter(1, ids, -torch.inf).logsumexp(-1)


def _key(pair: PairTokens) -> bytes:
    shape = array("i", [len(pair.prompt), len(pair.given)])
    return hashlib.blake2b(shape.tobytes() + array("i", pair.whole).tobytes(), digest_size=_KEY).digest()
