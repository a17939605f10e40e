"""Several processes that train one student: `torchrun --nproc-per-node N -m shrinklm train RECIPE`.

Each computes its share of every step; gradients are summed, so that all hold the same weights. The first says through
the launcher's store what is trained, and the one that fails says so there.
"""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.rendezvous import rendezvous

from ...core import launched
from ...core.errors import Elsewhere, ShrinkError, StudentError

_T = TypeVar("_T")
_PATIENCE = timedelta(hours=12)
"""How long one waits for the gradients of the others."""
_PAUSE = 0.05
"""Seconds between two looks whether the first has said something."""
_ENDED, _HEARD = "ended", "heard"
"""The keys under which the process that ends first with an error says so, and how many others know."""
_FAREWELL = 5.0
"""Seconds that it stays for them: what it said may be gone with it, and its launcher then stops the others."""


class _Meeting:
    """What this process knows of the others."""

    store: Any = None
    """The launcher's store of keys and values; None: they have not met."""
    said = 0
    """How often the first has spoken."""
    training = False
    """Whether all of them train one student at present."""


_meeting = _Meeting()


def met() -> bool:
    """Whether there are other processes, which wait for what this one says, or say."""
    return _meeting.store is not None


def count() -> int:
    """The processes that train the student at hand: 1 unless all were called together for it."""
    return launched.count() if _meeting.training else 1


def rank() -> int:
    """The number of this process among those; 0 alone writes."""
    return launched.rank() if _meeting.training else 0


def device() -> torch.device:
    """The device that this process trains on."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def join() -> None:
    """Meet the other processes; does nothing where they have met.

    Raises StudentError when there are more processes than GPUs.
    """
    if met():
        return
    backend, here, gpus = "gloo", launched.local_rank(), torch.cuda.device_count()
    if gpus:
        if here >= gpus:
            number = f"{gpus} GPU{'s' if gpus > 1 else ''}"
            raise StudentError(
                f"Process {here + 1} of this machine has no GPU of its own: there are {number}, one each."
            )
        torch.cuda.set_device(here)
        backend = "nccl"
    where = f"env://?rank={launched.rank()}&world_size={launched.count()}"
    store, number, size = next(rendezvous(where, timeout=_PATIENCE))
    distributed.init_process_group(backend, store=store, rank=number, world_size=size, timeout=_PATIENCE)
    atexit.register(_leave)
    _meeting.store = store


@contextmanager
def together() -> Iterator[None]:
    """Inside, the student that is trained is that of all processes. Every one of them must come here."""
    _meeting.training = met()
    try:
        yield
    finally:
        _meeting.training = False


@contextmanager
def all_end() -> Iterator[None]:
    """What is done inside ends in every process where it ends in one.

    Raises Elsewhere where another process failed before, and has said why.
    """
    try:
        yield
        with _heard():
            distributed.barrier()  # the first may end, and the store with it, once all have heard its last word
    except BaseException as error:
        ended = _end(error)
        if ended is not None:
            raise ended from error
        raise


def wait() -> None:
    """Wait until all processes have come here."""
    if count() > 1:
        with _heard():
            distributed.barrier()


def total(tensors: Sequence[Tensor]) -> None:
    """Sum tensors of one type over all processes, in place."""
    if count() == 1 or not tensors:
        return
    # In one message, since many small ones are slow.
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _heard():
        distributed.all_reduce(flat)
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def told(value: _T) -> _T:
    """What the first process says, anything that JSON can hold; the others wait for it, however long it works."""
    if _meeting.store is None:
        return value
    _meeting.said += 1
    key = f"said/{_meeting.said}"
    with _heard():
        if launched.first():
            _meeting.store.set(key, json.dumps(value))
            return value
        while not _meeting.store.check([key]):
            if _meeting.store.check([_ENDED]):
                raise _why()
            time.sleep(_PAUSE)  # a wait inside the store would not see Ctrl-C
        heard: _T = json.loads(_meeting.store.get(key))
    return heard


@contextmanager
def _heard() -> Iterator[None]:
    """Raises Elsewhere or StudentError where another process has ended meanwhile."""
    try:
        yield
    except RuntimeError as error:  # torch has no narrower class for a connection that was lost
        raise _why() from error


def _why() -> ShrinkError:
    """Why the others cannot be reached."""
    store = _meeting.store
    with suppress(RuntimeError):
        if store is not None and store.check([_ENDED]):
            return _elsewhere(json.loads(store.get(_ENDED)))
    return StudentError(
        f"One of the {launched.count()} processes that train together ended without a word, as one does that the "
        "system stops for want of memory. Type the same command again: it goes on from the last checkpoint."
    )


def _end(error: BaseException) -> Elsewhere | None:
    """Tell the others that this process ends with an error; what to raise instead where another was first."""
    code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
    mine = {"rank": launched.rank(), "message": str(error) or type(error).__name__, "code": code}
    ended, store = error if isinstance(error, Elsewhere) else None, _meeting.store
    with suppress(RuntimeError):
        if ended is None and store is not None:
            said = json.loads(store.compare_set(_ENDED, "", json.dumps(mine)))
            ended = None if said == mine else _elsewhere(said)
    # Those that wait for this one's gradients are told at once. NCCL would wait for theirs: its launcher ends them.
    if distributed.is_initialized() and distributed.get_backend() == "gloo":
        _leave()
    with suppress(RuntimeError):
        if store is not None:
            store.add(_HEARD, 1)
            until = time.monotonic() + _FAREWELL
            while ended is None and store.add(_HEARD, 0) < launched.count() and time.monotonic() < until:
                time.sleep(_PAUSE)
    return ended


def _elsewhere(said: Mapping[str, Any]) -> Elsewhere:
    return Elsewhere(f"Process {said['rank']} of {launched.count()} ended: {said['message']}", said["code"])


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
