"""What an interrupted training goes on from: the trained weights and the optimiser's moments, as safetensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ...core.errors import StoreError
from ...core.files import write_json, writing
from ...core.intact import intact
from ...core.permissions import folder_below
from ..base import BaseStudent

WEIGHTS = "trained.safetensors"
MOMENTS = "optimizer.safetensors"
STATE = "state.json"


def save_checkpoint(folder: Path, step: int, student: BaseStudent, optimizer: torch.optim.Optimizer) -> None:
    """Write checkpoint-STEP into a folder. Raises StoreError."""
    place = folder / f"checkpoint-{step}"
    try:
        with writing(place):
            folder_below(place)
            # Frozen weights (below LoRA) come with the student that is opened; each tied one is listed once.
            weights = _trained(student)
            save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, place / WEIGHTS)
            moments = {
                f"{key}/{name}": value.detach().cpu().contiguous()
                for name, weight in weights.items()
                for key, value in optimizer.state.get(weight, {}).items()
            }
            save_file(moments, place / MOMENTS)
            write_json(place / STATE, {"step": step})  # last: it says that the others are there
    except StoreError:
        shutil.rmtree(place, ignore_errors=True)  # half a checkpoint is worth nothing, and a full disk needs its room
        raise


def load_weights(place: Path, student: BaseStudent) -> None:
    """Put the weights of a checkpoint into a student."""
    # Not strict: the file lacks the frozen weights and the second names of tied ones.
    student.load_state_dict(load_file(place / WEIGHTS), strict=False)


def load_moments(place: Path, student: BaseStudent, optimizer: torch.optim.Optimizer) -> None:
    """Put the moments of a checkpoint into an optimiser of this student's weights."""
    moments = load_file(place / MOMENTS)
    weights = _trained(student)
    for key, value in moments.items():
        kind, _, name = key.partition("/")
        weight = weights[name]
        optimizer.state[weight][kind] = (
            value if kind == "step" and weight.device.type == "cpu" else value.to(weight.device)
        )


def last_checkpoint(folder: Path) -> tuple[int, Path | None]:
    """(step, folder) of the last whole checkpoint; (0, None) without one. Incomplete and damaged ones are removed."""
    whole: tuple[int, Path | None] = (0, None)
    for step, place in checkpoints(folder):
        # The state is written last. The others are looked at too: a machine that goes down may lose what was written.
        if all(intact(place / name) for name in (WEIGHTS, MOMENTS, STATE)):
            whole = step, place
        else:
            shutil.rmtree(place, ignore_errors=True)
    return whole


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of the checkpoints, the first step first."""
    return sorted((int(path.name.partition("-")[2]), path) for path in folder.glob("checkpoint-*"))


def _trained(student: BaseStudent) -> dict[str, Any]:
    return {name: weight for name, weight in student.named_parameters() if weight.requires_grad}
