"""A disk that fills up: the usual message, and with room again the same command goes on to the same weights."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import save_file

from cli_cases import call
from shrinklm import Recipe, Run
from shrinklm.core import files
from shrinklm.core.errors import ModelError, StoreError
from shrinklm.students.tiny import build_tokenizer

RECIPE: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 8, "dev": 2, "test": 2}},
    "methods": ["finetune"],
    "student": "tiny",
    "train": {"examples": 16, "batch": 8, "learning_rate": 1e-3, "checkpoints": 2, "curve": 0},
}
WEIGHTS = Path("runs", "r", "cells", "finetune--tiny--s0", "student", "model.safetensors")


@contextmanager
def room(size: int) -> Iterator[None]:
    """A file may grow to so many bytes, as on a disk that has no more; Python turns the signal into an error."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def save_torch(path: Path) -> None:
    torch.save({"weights": torch.zeros(100_000)}, path)


def save_tensors(path: Path) -> None:
    save_file({"weights": torch.zeros(100_000)}, path)


def save_arrow(path: Path) -> None:
    pq.write_table(pa.table({"numbers": list(range(100_000))}), path, compression="none", use_dictionary=False)


def save_tokenizer(path: Path) -> None:
    build_tokenizer().backend_tokenizer.save(str(path))


def save_text(path: Path) -> None:
    path.write_text("a" * 400_000)


@pytest.mark.parametrize("save", [save_torch, save_tensors, save_arrow, save_tokenizer, save_text])
def test_every_writer_says_the_same(save: Any, tmp_path: Path) -> None:
    for place in (files.whole, files.whole_folder):
        error = pytest.raises(StoreError, match=r"new cannot be written: .* the same command goes on")
        with room(10_000), error, place(tmp_path / "new") as new:
            save(new / "inside" if new.is_dir() else new)
        assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (ValueError("a bad value"), RuntimeError("CUDA error"), ModelError("x.gguf: [Errno 2] No such file")):
        with pytest.raises(type(error), match=str(error)[:6]), files.whole_folder(tmp_path / "new"):
            raise error


def test_a_training_on_a_full_disk_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    for name in ("whole", "full"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    Run(Recipe.read(tmp_path / "whole" / "recipe.yaml")).train()
    size = (tmp_path / "whole" / WEIGHTS).stat().st_size
    # The weights of a checkpoint fit, and its optimizer, of twice their size, does not; then not even the weights.
    for limit in (size * 3 // 2, size // 2):
        with room(limit):
            result = call("train", tmp_path / "full" / "recipe.yaml")
        assert result.exit_code == 1
        said = " ".join(result.stderr.split())
        assert "checkpoint-1 cannot be written: " in said
        assert said.endswith("What was written before is safe; the same command goes on from there.")
        assert not list((tmp_path / "full").glob("**/checkpoint-*"))
    Run(Recipe.read(tmp_path / "full" / "recipe.yaml")).train()
    assert (tmp_path / "full" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
