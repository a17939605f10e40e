"""The model that a student starts from, told without opening it. Loads torch for a class of the user's alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ModelError
from ..core.registry import names, split_spec
from ..core.types import digest
from ..models.locate import hub_commit, locate_model, sha256
from .open import StudentSpec

TINY_TEXT = Path(__file__).parent.parent / "tasks" / "data" / "everyday" / "train.jsonl"
"""The text that the tokenizer of `tiny` is trained on; its weights are drawn with the seed of the training."""


@dataclass(frozen=True)
class Start:
    """The weights and the tokenizer that a training starts from."""

    name: str
    """The model's name, without host or folder."""
    revision: str
    """SHA-256 of its weights and configuration, or the commit of a hub id; "" where it cannot be told from here."""
    tokenizer: str
    """Digest of its tokenizer's files; "" where `revision` covers them."""

    @property
    def key(self) -> str:
        """Its part of a training's key; "" where nothing is known."""
        return digest(self.revision, self.tokenizer) if self.revision else ""


def start_of(spec: StudentSpec, root: Path = Path(".")) -> Start:
    """What the student of a spec starts from. Raises nothing: weights that are gone can be compared with nothing."""
    name, ref = split_spec(spec.use)
    if name == "tiny":
        return Start("tiny", sha256((TINY_TEXT,)), "")
    try:
        if name in names("students"):
            return model_start(ref, root)
    except ModelError:
        if name in ("causal", "seq2seq", "encoder"):
            return Start(ref, "", "")
    return _opened(spec, root)


def model_start(ref: str, root: Path = Path(".")) -> Start:
    """The weights and the tokenizer of a model that a recipe names. Raises ModelError when there is none."""
    model = locate_model(ref, root)
    return Start(model.name, hub_commit(model) if model.on_hub else model.revision, model.tokenizer)


def _opened(spec: StudentSpec, root: Path) -> Start:
    """Of a user's class, which alone knows what it reads: the student that it opens."""
    import torch

    from .open import open_student

    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)  # weights that are drawn and not read are the same each time
            student = open_student(spec, root)
        weights = hashlib.sha256()
        for name, weight in sorted(student.state_dict().items()):
            weights.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            weights.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return Start(spec.use, weights.hexdigest(), digest(vocabulary(student.tokenizer)))
    except Exception:  # it may raise anything; where it cannot be opened, training says why
        return Start(spec.use, "", "")


def vocabulary(tokenizer: Any) -> str:
    """What a tokenizer does, as text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return str(backend.to_str())
    return json.dumps(sorted(tokenizer.get_vocab().items())) if hasattr(tokenizer, "get_vocab") else ""
