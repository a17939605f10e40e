"""One process at a time writes to a run folder; another is told who does."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from filelock import FileLock, Timeout

from ..core.errors import StoreError
from ..core.results import RunFile

_PATIENCE = 1.0
"""Seconds to wait for a process that is about to end."""
_TRIES = 20
"""How often a folder is made again that another process removed, since it was empty, before its lock could be taken."""


class FolderLock:
    """The right to write to a run folder, held inside a `with` block; blocks may be nested.

    The system takes the lock from a process that ends, however it ends, so that a killed one blocks nobody.

    Args:
        folder: The run folder. It is made for the lock, and removed again where nothing else was written to it.

    Raises StoreError when another process, or another thread, holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / RunFile.LOCK
        self._lock = FileLock(self.path)
        self._depth = 0

    @property
    def held(self) -> bool:
        """Whether it is held by this object."""
        return self._depth > 0

    def __enter__(self) -> FolderLock:
        if not self._depth:
            self._take()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        # While it is still held: who waits for the removed file notices, and makes a new one.
        with suppress(OSError):
            self.path.unlink()
        self._lock.release()
        for made in (self.folder, self.folder.parent):
            with suppress(OSError):
                made.rmdir()  # only an empty one can be removed

    def _take(self) -> None:
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": _command(),
            "since": datetime.now(UTC).isoformat(" ", "seconds"),
        }
        # Where no file can be made there is nothing to protect: the stage's own writing says what is wrong.
        with suppress(OSError):
            for _ in range(_TRIES):
                self.folder.mkdir(parents=True, exist_ok=True)
                try:
                    self._lock.acquire(timeout=_PATIENCE)
                    break
                except Timeout as error:
                    raise StoreError(self._held()) from error
                except FileNotFoundError:  # whoever held it removed the empty folder just now
                    continue
            if self._lock.is_locked:
                self.path.write_text(json.dumps(about), encoding="utf-8")

    def _held(self) -> str:
        try:
            about = json.loads(self.path.read_text(encoding="utf-8"))
            who = f"process {about['pid']} on {about['host']}, since {about['since']}: {about['command']}"
        except (OSError, ValueError, KeyError, TypeError):  # it has not written yet who it is
            who = "another process"
        return (
            f"{self.folder} is in use by {who}. One process at a time writes to a run folder. When that one has ended, "
            "type the same command again: it goes on from there. To work beside it, give the recipe another `name`."
        )


def _command() -> str:
    """What was typed, as far as the process knows."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    program = "shrinklm" if program == "__main__.py" else program
    return shlex.join([program, *sys.argv[1:]])[:200] if program else "Python"


class _Locked(Protocol):
    @property
    def lock(self) -> FolderLock:
        """Of its run folder."""


_P = ParamSpec("_P")
_T = TypeVar("_T")
_Self = TypeVar("_Self", bound=_Locked)


def writes(stage: Callable[Concatenate[_Self, _P], _T]) -> Callable[Concatenate[_Self, _P], _T]:
    """Makes a method hold its object's `lock` while it works."""

    @wraps(stage)
    def alone(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self.lock:
            return stage(self, *args, **kwargs)

    return alone
