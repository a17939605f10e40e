"""One process at a time writes to a run folder; another is told who does.

Of a run at a URL the folder is a mirror: it is brought up to date when the lock is taken, and sent when a stage ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from filelock import FileLock, Timeout

from ..core.errors import StoreError
from ..core.permissions import guarded_folder
from ..core.remote import Lease, Lost, prepared, this_process
from ..core.results import RunFile
from ..core.types import Tick
from ..teachers.remote import send_stores
from .storage import Storage

_PATIENCE = 1.0
"""Seconds to wait for a process that is about to end."""
_TRIES = 20
"""How often a folder is made again that another process removed, since it was empty, before its lock could be taken."""

_T = TypeVar("_T")


class FolderLock:
    """The right to write to a run folder, held inside a `with` block; blocks may be nested.

    The system takes the lock from a process that ends, however it ends, so that a killed one blocks nobody.

    Args:
        folder: The run folder. It is made for the lock, and removed again where nothing else was written to it.
        tick: Called with what a run at a URL has to say.

    Raises StoreError when another process, or another thread, holds it, and when a URL cannot be reached.
    """

    def __init__(self, folder: Path, tick: Tick | None = None) -> None:
        self.folder, self.path = folder, folder / RunFile.LOCK
        self.storage = Storage(folder, tick)
        self._lock = FileLock(self.path)
        self._lease: Lease | None = None
        self._depth = 0
        self._looked = False

    @property
    def held(self) -> bool:
        """Whether it is held by this object."""
        return self._depth > 0

    def __enter__(self) -> FolderLock:
        if not self._depth:
            self._take()
            try:
                self._reach()
            except BaseException:
                self._release()
                raise
        self._depth += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self._send()
            else:  # what it says is about the work; what cannot be sent is told
                with suppress(StoreError):
                    self._send()
        finally:
            self._depth -= 1
            if not self._depth:
                self._release()

    def _reach(self) -> None:
        """Take the run at the URL, and bring the mirror up to date."""
        if self.storage.url is not None:
            self._lease = self.storage.lease()
            self._lease.take()
            self.storage.pull()

    def _send(self) -> None:
        try:
            send_stores(whole=self._depth == 1)
            if self._lease is not None:
                self._lease.check()
                self.storage.push()
        except Lost:
            raise
        except StoreError as error:
            # Inside another stage the work goes on: a network may be away for a while, and the end of that one tells.
            if self._depth == 1:
                raise
            self.storage.tell(str(error))

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.give_back()
            self._lease = None
        # While it is still held: who waits for the removed file notices, and makes a new one.
        with suppress(OSError):
            self.path.unlink()
        self._lock.release()
        for made in (self.folder, self.folder.parent):
            with suppress(OSError):
                made.rmdir()  # only an empty one can be removed

    def look(self) -> None:
        """Bring the mirror of a run at a URL up to date, once, for one who reads; unless a process here works in it."""
        if self.storage.url is None or self.held or self._looked:
            return
        self._looked = True
        try:
            self._take()
        except StoreError:
            return
        try:
            self.storage.pull()
        finally:
            self._release()

    def of_url(self, work: Callable[[], _T]) -> _T:
        """What `work`, which only puts files of its own into place, returns; held where they are sent to a URL."""
        with nullcontext() if self.storage.url is None else self:
            return work()

    def _take(self) -> None:
        if self.storage.url is not None:
            prepared(self.storage.url)
        # Where no file can be made there is nothing to protect: the stage's own writing says what is wrong.
        with suppress(OSError):
            for _ in range(_TRIES):
                guarded_folder(self.folder)
                try:
                    self._lock.acquire(timeout=_PATIENCE)
                    break
                except Timeout as error:
                    raise StoreError(self._held()) from error
                except FileNotFoundError:  # whoever held it removed the empty folder just now
                    continue
            if self._lock.is_locked:
                self.path.write_text(json.dumps(this_process()), encoding="utf-8")

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


class _Locked(Protocol):
    @property
    def lock(self) -> FolderLock:
        """Of its run folder."""


_P = ParamSpec("_P")
_Self = TypeVar("_Self", bound=_Locked)


def writes(stage: Callable[Concatenate[_Self, _P], _T]) -> Callable[Concatenate[_Self, _P], _T]:
    """Makes a method hold its object's `lock` while it works."""

    @wraps(stage)
    def alone(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self.lock:
            return stage(self, *args, **kwargs)

    return alone
