"""The processes that a launcher (`torchrun`, `accelerate launch`, `mpirun`) started together, by the environment; and
how many threads it leaves to each."""

from __future__ import annotations

import os

_COUNT = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_RANK = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")
_LOCAL = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK")


def count() -> int:
    """How many there are; 1 for a process that nobody launched with others."""
    return _number(_COUNT, 1)


def rank() -> int:
    """The number of this one, counted from 0."""
    return _number(_RANK, 0) if count() > 1 else 0


def local_rank() -> int:
    """Its number among those of this machine."""
    return _number(_LOCAL, rank()) if count() > 1 else 0


def first() -> bool:
    """Whether this is the process that asks, writes and speaks; the others only train with it."""
    return rank() == 0


def threads() -> int:
    """How many threads a runtime takes: as many as torch would."""
    return int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0] or os.cpu_count() or 1)


def _number(names: tuple[str, ...], default: int) -> int:
    return next((int(value) for name in names if (value := os.environ.get(name, "")).isdigit()), default)
