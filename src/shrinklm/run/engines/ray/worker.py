"""What a worker of the cluster does: one work at a time, in the folder that every node sees."""

from __future__ import annotations

import errno
import pickle
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....core.errors import ClusterError
from ....core.types import Tick
from ...storage import Storage
from ..base import Work
from ..local import seldom
from .nodes import Place
from .parcel import unpack

PAUSE = 0.5
"""Seconds between two steps of a bar that a worker tells."""
_SOON, _AT_MOST = 1.0, 120.0
"""Seconds to wait for a process that still writes to a folder: unsaid, and at most."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Outcome:
    """How a work ended."""

    node: str
    host: str
    result: Any = None
    error: BaseException | None = None
    full: bool = False
    """Whether it failed for want of room on a disk, which another node may have."""


def do(content: bytes, told: Any, place: Place, threads: int, quiet: bool, *parts: Any) -> Outcome:
    """Do a work that was packed; `told` is told its node at the beginning, and its progress."""
    import ray
    import torch

    node, host = ray.get_runtime_context().get_node_id(), socket.gethostname()
    if quiet:
        warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    try:
        place.check(host)
        work: Work = unpack(content, parts)

        def tell(said: tuple[Any, ...]) -> None:
            told.tell.remote(work.name, node, *said)

        tell(("", 0, 0, ""))
        tick = seldom(tell, PAUSE)
        storage = Storage(work.folder, tick)
        with alone(work.folder, work.name, tick):
            storage.pull_common()
            storage.pull(work.folder)
            try:
                result = work.do(tick)
            except BaseException:
                storage.send(work.folder)  # another node goes on from its checkpoints
                raise
            storage.push(work.folder)
        return Outcome(node, host, result)
    except Exception as error:
        return Outcome(node, host, error=sendable(error), full=_is_full(error))


@contextmanager
def alone(folder: Path, name: str, tick: Tick) -> Iterator[None]:
    """Holds a folder, so that no worker that was thought to be lost writes to it too. Raises ClusterError."""
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_SOON)
    except Timeout:
        tick(name, 0, 0, f"another process still writes to {folder}: waiting for its end")
        try:
            lock.acquire(timeout=_AT_MOST)
        except Timeout as error:
            raise ClusterError(
                f"{folder} is still in use by another process after {_AT_MOST:.0f} s: perhaps by a node that the "
                "cluster has lost and that goes on. End it, and type the same command again."
            ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: who waits for the removed file notices
        lock.release()


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        # Libraries that are not written in Python name the system's error in words.
        named = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(error))
        number = error.errno if isinstance(error, OSError) else named and int(named[1] or named[2])
        if number in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def sendable(error: Exception) -> BaseException:
    """The error, or what it says where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # of a library, with arguments that cannot be sent
        return ClusterError(f"{type(error).__name__}: {error}")
    return error
