"""Steps that are built while the device computes the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from .passes import Step, Steps

_WORKERS = 2
"""Processes that build steps: one builds about 10,000 examples a second, which a large GPU can eat."""


class _Rest(Dataset[Step]):
    def __init__(self, steps: Steps, first: int) -> None:
        self.steps, self.first = steps, first

    def __len__(self) -> int:
        return len(self.steps) - self.first

    def __getitem__(self, number: int) -> Step:
        return self.steps[self.first + number]


def ahead(steps: Steps, first: int, device: torch.device) -> Iterator[Step]:
    """The steps from `first` on. On a GPU other processes build them; a CPU has nothing to gain from that."""
    options: dict[str, Any] = {}
    if device.type != "cpu":
        # Forked, so that the dataset is shared and not sent; they touch neither the GPU nor the tokenizer.
        options = {"num_workers": _WORKERS, "prefetch_factor": 4, "multiprocessing_context": "fork"}
        # The loop waits for each copy to the GPU that does not begin in pinned memory.
        options["pin_memory"] = torch.cuda.is_available()
    yield from DataLoader(_Rest(steps, first), batch_size=None, shuffle=False, collate_fn=_same, **options)


def _same(step: Any) -> Any:
    return step
