"""A store at a URL: a copy here that everything works with, brought up to date when it is opened and sent as it grows.

At the URL stands the whole store, one SQLite file, and beside it, in the folder `NAME.new`, small ones of the texts
that came since. Texts are rows under keys, so two machines that use one store each add theirs, and the store is the
union: nothing is overwritten, whoever comes last. What a machine that vanishes loses is what came in the last `EVERY`
seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..core.errors import StoreError
from ..core.files import write_text
from ..core.remote import Lease, home_of, open_objects, prepared, url_of
from ..core.types import Generation
from .store import GROUP, Store

EVERY = 20.0
"""Seconds after which texts are sent at the latest, while the URL can be reached."""
MOST = 500
"""Texts that wait to be sent, at most, while the URL can be reached."""
_FRESH = 60.0
"""Seconds for which a process that opens its store again needs not look at the URL."""
_PIECES = 64
"""Files of new texts from which on they are put into the whole store."""


def open_store(path: Path) -> Store:
    """The store in a file; of a mirror, that at its URL. Raises StoreError."""
    return Store(path) if url_of(path) is None else StoreAtUrl(path)


def brought(path: Path) -> Path:
    """The path of a store that is only read, which is brought from its URL, if it has one. Raises StoreError."""
    if url_of(path) is not None:
        _copy(path).bring()
    return path


def send_stores(whole: bool = False) -> None:
    """Sends what this process put into stores at URLs and is not there yet.

    `whole`: as the whole store, which other tools can read, too. Raises StoreError.
    """
    for (_, process), copy in list(_copies.items()):
        if process == os.getpid():
            copy.send(whole)


class StoreAtUrl(Store):
    """A store in a mirror: what is put goes to its URL within `EVERY` seconds, in the background."""

    def __init__(self, path: Path) -> None:
        self._copy = _copy(path)
        self._copy.bring()
        super().__init__(path)

    def put(self, generations: Iterable[Generation]) -> None:
        """See `Store.put`."""
        batch = list(generations)
        self._copy.announce()
        super().put(batch)
        self._copy.add(generation.key for generation in batch)

    def close(self) -> None:
        """Close the file, and send what was put. Raises StoreError when it cannot be sent; it is sent later then."""
        super().close()
        self._copy.send()


class _Copy:
    """The copy here of a store at a URL. One in a process, for all who open it."""

    def __init__(self, path: Path) -> None:
        url = url_of(path)
        assert url is not None
        self.path, self.url = prepared(url), url
        self._store, self._new = open_objects(url.rpartition("/")[0]), open_objects(f"{url}.new")
        self._note = path.with_name(f".{path.name}.known")
        self._mark = path.with_name(f".{path.name}.unsent-{os.getpid()}")
        self._file = FileLock(path.with_name(f".{path.name}.sync"))
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._turn = threading.RLock()
        self._unsent: dict[str, None] = {}
        self._looked = -_FRESH
        self._thread: threading.Thread | None = None

    def announce(self) -> None:
        """Note that something will be put: a process that is killed before it is sent leaves the note."""
        self._mark.touch()

    def add(self, keys: Iterable[str]) -> None:
        """Take the keys of what was put."""
        with self._lock:
            self._unsent.update(dict.fromkeys(keys))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            if len(self._unsent) >= MOST:
                self._wake.set()

    def bring(self) -> None:
        """Take in what others put there, and send what a killed process had put here."""
        with self._alone():
            if time.monotonic() - self._looked < _FRESH:
                return
            self._take_in()
            self._looked = time.monotonic()
            if self._left_by_others():
                self._put_whole(wait=True)

    def send(self, whole: bool = False) -> None:
        """Put there what is not there yet, in a file of its own or as the `whole` store."""
        if not (self._unsent or (whole and self._known()["new"])):
            return
        with self._alone():
            if self._unsent:
                self._put_new()
            if (new := self._known()["new"]) and (whole or len(new) >= _PIECES):
                self._take_in()
                self._put_whole(wait=False)

    def _work(self) -> None:
        while True:
            self._wake.wait(EVERY)
            self._wake.clear()
            # A network that is away for a moment: it is tried again, and the end of the stage says what is wrong.
            with contextlib.suppress(StoreError):
                self.send()

    def _take_in(self) -> None:
        known = self._known()
        with self._scratch() as place:
            there = self._store.look(self.path.name)
            if there is not None and there.tag != known["whole"]:
                self._store.get(self.path.name, place)
                self._merge(place, self.url)
                known["whole"] = there.tag
            names = sorted(self._new.list())
            for name in names:
                if name not in known["new"]:
                    # One that is gone by now was put into the whole store, which is looked at the next time.
                    if self._new.look(name) is None:
                        continue
                    self._new.get(name, place)
                    self._merge(place, f"{self.url}.new/{name}")
            self._remember(known | {"new": names})

    def _merge(self, place: Path, url: str) -> None:
        try:
            with Store(place) as other:
                other.check()
            if self.path.is_file():
                with Store(self.path) as store:
                    store.take(place)
            else:
                os.replace(place, self.path)
        except StoreError as error:
            raise StoreError(
                f"{url} cannot be used: {error.__cause__ or error}. Nothing there was changed. Put back a copy that is "
                f"whole, or delete it: what this machine has of it is in {self.path.parent}/ and is sent again."
            ) from error

    def _put_new(self) -> None:
        with self._lock:
            keys = list(self._unsent)
        name = f"{int(time.time())}-{uuid.uuid4().hex[:12]}.db"
        with self._scratch() as place:
            with Store(self.path) as store, Store(place) as part:
                for start in range(0, len(keys), GROUP):
                    part.put(store.get(keys[start : start + GROUP]).values())
                part.copy(place.with_suffix(".part"))
            self._new.put(name, place.with_suffix(".part"))
        known = self._known()
        self._remember(known | {"new": [*known["new"], name]})
        self._sent(keys)

    def _put_whole(self, wait: bool) -> None:
        """Put the whole store there, and remove the files of new texts that it holds."""
        lease = Lease(f"{self.url}.lock", self.url, home_of(self.path))
        if not lease.take(wait):
            return  # another puts it there at this moment, and the new texts stay beside it
        try:
            self._take_in()  # what was put there until the lease was taken
            known, marks = self._known(), self._left_by_others()
            with self._lock:
                keys = list(self._unsent)
            with self._scratch() as place:
                with Store(self.path) as store:
                    store.copy(place)
                lease.check()
                thing = self._store.put(self.path.name, place)
            self._remember({"whole": thing.tag, "new": known["new"]})
            self._new.delete(known["new"])
            self._remember({"whole": thing.tag, "new": []})
            self._sent(keys)
            for mark in marks:
                mark.unlink(missing_ok=True)
        finally:
            lease.give_back()

    def _sent(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self._unsent.pop(key, None)
            if not self._unsent:
                self._mark.unlink(missing_ok=True)

    def _left_by_others(self) -> list[Path]:
        """The notes of processes that were killed before they had sent what they put here."""
        marks = self.path.parent.glob(f".{self.path.name}.unsent-*")
        return [mark for mark in marks if mark != self._mark and not _lives(int(mark.name.rpartition("-")[2]))]

    def _known(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            if self.path.is_file():
                return {"whole": "", "new": [], **json.loads(self._note.read_bytes())}
        return {"whole": "", "new": []}

    def _remember(self, known: dict[str, Any]) -> None:
        write_text(self._note, json.dumps(known))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Among the threads of this process and the processes of this machine."""
        with self._turn, self._file:
            yield

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        # Beside the mirrors: a path in one of them would stand for one at a URL.
        folder = Path(tempfile.mkdtemp(prefix=".new-", dir=self.path.parent.parent))
        try:
            yield folder / "store.db"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


_copies: dict[tuple[Path, int], _Copy] = {}


def _copy(path: Path) -> _Copy:
    # By the process too: one that was forked has not put what its parent did.
    key = path, os.getpid()
    if key not in _copies:
        _copies[key] = _Copy(path)
    return _copies[key]


@atexit.register
def _send_last() -> None:
    with contextlib.suppress(StoreError):
        send_stores()
