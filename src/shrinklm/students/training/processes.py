"""Several processes that train one student: `accelerate launch -m shrinklm train RECIPE`, or `torchrun`.

Each computes its share of every step; gradients are summed, so that all hold the same weights.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
from torch import Tensor, distributed

_PATIENCE = timedelta(hours=12)
"""How long the others wait for the first, which alone measures and writes."""


def count() -> int:
    """The number of processes that were launched together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process; 0 alone writes."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def device() -> torch.device:
    """The device that this process trains on."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if count() > 1 else torch.cuda.current_device())


def join() -> None:
    """Meet the other processes; does nothing where there are none, or where they have met."""
    if count() == 1 or distributed.is_initialized():
        return
    here = device()
    if here.type == "cuda":
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=_PATIENCE)


def wait() -> None:
    """Wait until all processes have come here."""
    if count() > 1:
        join()
        distributed.barrier()


def total(tensors: Sequence[Tensor]) -> None:
    """Sum tensors of one type over all processes, in place."""
    if count() == 1 or not tensors:
        return
    # In one message, since many small ones are slow.
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def told(value: dict[str, float]) -> dict[str, float]:
    """What the first process says."""
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]
