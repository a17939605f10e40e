"""A folder at a URL and its mirror here: what differs is brought, and what changed is sent.

What the URL holds is known by the storage's tags and by an index of checksums, never by the clock alone. The index is
put before the files that it names, with the checksums of both the new and the old content: whenever a push is killed,
each object there is one that the index names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..files import write_text, writing
from .objects import Objects, Thing, open_objects
from .urls import prepared

INDEX = ".index.json"
"""At the URL: file → the checksums that it may have."""
_NOTE = ".known.json"
"""In the mirror: file → what is known of it."""
_LEAVING = "leaving"
"""The tag of a file that is being removed there."""
_TICK = 50_000_000
"""Nanoseconds within which a file may be written twice and show one time."""
_AT_ONCE = 8
"""Files that are brought at a time."""


@dataclass(frozen=True)
class Habits:
    """What is known of the files of a folder."""

    rank: Callable[[str], int] = lambda path: 0
    """Files of a higher rank are sent later; within a rank, in the order in which they were written."""
    mark: Callable[[str], bool] = lambda path: False
    """Whether a file says that others are done: one that changed is removed there before these are sent."""
    passes: Callable[[str], bool] = lambda path: False
    """Whether a file may be removed: one that is gone here is then removed there, and any other one is brought back."""
    clears: Callable[[str], bool] = lambda path: False
    """Whether what is gone here must be gone there before a file of this name is sent, when that file changed."""


@dataclass
class _Known:
    """A file that stood at the URL when it was last looked at."""

    tag: str
    """The storage's; "" where what stands there is damaged."""
    sha: str
    state: list[int]
    """Size, inode and time of the file here that holds this content; [] where these may not change with it."""


class Mirror:
    """The mirror of a folder at a URL.

    Args:
        url: Of the folder.
        part: The part of it that this mirror holds: a folder below, such as "cells/x"; "" for all but `apart`.
        apart: Folders of it whose own folders are parts by themselves, such as "cells".
        habits: Of its files.
        tell: Called with what is not as it should be.

    Raises StoreError and MissingExtra, as `open_objects`.
    """

    def __init__(
        self,
        url: str,
        part: str = "",
        apart: tuple[str, ...] = (),
        habits: Habits | None = None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:
        self._top = prepared(url)
        self.here = self._top / part
        self.objects: Objects = open_objects(f"{url}/{part}" if part else url)
        self.apart, self.habits, self.tell = apart if not part else (), habits or Habits(), tell
        # In the mirror, so that who removes one removes what is known of it.
        self._note = self.here / _NOTE

    def pull(self, there: Mapping[str, Thing] | None = None) -> None:
        """Brings what the URL has and the mirror has not.

        Files that were made here and not sent yet stay, unless the URL was written to by another since: then it is
        right, and the mirror is made as it is.

        `there`: a listing of this part, where it was made already.
        """
        there = self._own(self.objects.list() if there is None else there)
        known, here = self._read(), self._files()
        changed = [path for path, thing in there.items() if path not in known or known[path].tag != thing.tag]
        gone = [path for path in known if path not in there]
        dirty = any(path not in known or self._differs(path, state, known) for path, state in here.items())
        dirty = dirty or any(each.tag == _LEAVING for each in known.values())
        index = self._index() if changed else {}
        # What was to be removed there by a push that was killed is no other's doing.
        foreign = any(known[path].tag != _LEAVING for path in gone)
        with self._fetched(changed, there) as new:
            for path, file in new.items():
                sha, tag = _sha(file), there[path].tag
                if path in index and sha not in index[path]:
                    self._damaged(path, index[path], known)
                elif path in known and known[path].sha == sha:
                    known[path].tag = tag
                else:
                    if not (path in here and _sha(self.here / path) == sha):  # else it was sent by a killed push
                        foreign = True
                        _move(file, self.here / path)
                    known[path] = _Known(tag, sha, _settled(_state(self.here / path)))
        for path in gone:
            del known[path]
        if foreign:  # another wrote there: what is here and was not sent belongs to another state
            self._remove(path for path in here if path not in there)
        restored = [path for path in known if self._lacks(path, known, foreign, dirty)]
        with self._fetched(restored, there) as new:
            for path, file in new.items():
                _move(file, self.here / path)
                known[path] = _Known(there[path].tag, _sha(self.here / path), _settled(_state(self.here / path)))
        self._write(known)

    def push(self) -> None:
        """Sends what changed here since the last pull or push, each file whole or not at all; what `Habits` says comes
        last. Killed at any point, what stands at the URL is the folder as it was at some moment of the work."""
        known, here = self._read(), self._files()
        changed: dict[str, str] = {}
        for path, state in here.items():
            if path in known and known[path].tag and known[path].state == state:
                continue
            sha = _sha(self.here / path)
            if path in known and known[path].tag and known[path].sha == sha:
                known[path].state = _settled(state)
            else:
                changed[path] = sha
        gone = [path for path in known if path not in here and known[path].tag and self.habits.passes(path)]
        if not changed and not gone:
            return
        index = {path: [each.sha] for path, each in known.items()}
        index |= {path: list(dict.fromkeys([sha, *index.get(path, [])])) for path, sha in changed.items()}
        self.objects.write(INDEX, json.dumps({"files": index}).encode())
        marks = [path for path in (*changed, *gone) if path in known and self.habits.mark(path)]
        self._delete(marks, known)
        if any(self.habits.clears(path) for path in changed):
            self._delete(gone, known)
        for path in sorted(changed, key=lambda path: (self.habits.rank(path), here[path][2], path)):
            thing = self.objects.put(path, self.here / path)
            known[path] = _Known(thing.tag, changed[path], _settled(here[path]))
            self._write(known)
        self._delete(gone, known)

    def _delete(self, paths: Iterable[str], known: dict[str, _Known]) -> None:
        # What says that others are there goes before them.
        paths = sorted((path for path in paths if path in known), key=self.habits.rank, reverse=True)
        for path in paths:
            known[path].tag = _LEAVING
        if paths:
            self._write(known)
        for path in paths:
            self.objects.delete([path])
            del known[path]
            self._write(known)

    def _damaged(self, path: str, shas: list[str], known: dict[str, _Known]) -> None:
        """Notes that what stands at the URL is not what was sent; a copy here that is stays, and is sent again."""
        file = self.here / path
        if not (file.is_file() and _sha(file) in shas):
            self._remove([path])
        known[path] = _Known("", shas[0], [])
        self.tell(
            f"{self.objects.url}/{path} is damaged: it is not what was sent there, and is not used. "
            f"If you changed it yourself, delete {self.objects.url}/{INDEX}"
        )

    def _lacks(self, path: str, known: Mapping[str, _Known], foreign: bool, dirty: bool) -> bool:
        """Whether a file that the URL holds is to be brought, though it did not change there."""
        each, file = known[path], self.here / path
        if not each.tag:
            return False
        if not file.is_file():
            return foreign or not (dirty and self.habits.passes(path))
        return foreign and _state(file) != each.state and _sha(file) != each.sha

    def _differs(self, path: str, state: list[int], known: Mapping[str, _Known]) -> bool:
        return known[path].state != state and _sha(self.here / path) != known[path].sha

    @contextmanager
    def _fetched(self, paths: Iterable[str], there: Mapping[str, Thing]) -> Iterator[dict[str, Path]]:
        """Files at the URL, brought into a folder beside the mirror."""
        paths = list(paths)
        if not paths:
            yield {}
            return
        with writing(self.here), tempfile.TemporaryDirectory(prefix=".new-", dir=self._top.parent) as scratch:
            new = {path: Path(scratch, str(number)) for number, path in enumerate(paths)}

            def bring(path: str) -> None:
                self.objects.get(path, new[path])
                if new[path].stat().st_size != there[path].size:
                    raise StoreError(
                        f"{self.objects.url}/{path} changed while it was read. Type the same command again."
                    )

            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(bring, paths))
            yield new

    def _own(self, there: Mapping[str, Thing]) -> dict[str, Thing]:
        """Those of the objects that are files of this part."""
        return {path: thing for path, thing in there.items() if self._is_own(path)}

    def _is_own(self, path: str) -> bool:
        parts = path.split("/")
        return parts[0] not in self.apart and not any(part.startswith(".") for part in parts)

    def _files(self) -> dict[str, list[int]]:
        """Path → size, inode and time of the files here. Those whose name begins with a dot are on their way."""
        found = {}
        for folder, folders, files in os.walk(self.here):
            place = Path(folder)
            top = place == self.here
            folders[:] = [name for name in folders if not (name.startswith(".") or (top and name in self.apart))]
            for name in files:
                if not name.startswith("."):
                    found[(place / name).relative_to(self.here).as_posix()] = _state(place / name)
        return found

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            (self.here / path).unlink(missing_ok=True)
            with suppress(OSError):  # a folder that is not empty stays
                for folder in (self.here / path).parents:
                    if folder == self.here:
                        break
                    folder.rmdir()

    def _index(self) -> dict[str, list[str]]:
        """File → the checksums that it may have; {} where no index stands there, or none that can be read."""
        content = self.objects.read(INDEX)
        try:
            files = json.loads(content or b"{}")["files"]
            return {str(path): [str(sha) for sha in shas] for path, shas in files.items()}
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}

    def _read(self) -> dict[str, _Known]:
        try:
            content: dict[str, Any] = json.loads(self._note.read_bytes())
            return {path: _Known(**about) for path, about in content.items()}
        except (OSError, ValueError, TypeError):  # then everything is looked at
            return {}

    def _write(self, known: Mapping[str, _Known]) -> None:
        write_text(self._note, json.dumps({path: asdict(each) for path, each in known.items()}))


def _state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns]


def _settled(state: list[int]) -> list[int]:
    """What will change with the file: not the time of one that was written within this tick of the clock."""
    return state if time.time_ns() - state[2] > _TICK else []


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move(new: Path, to: Path) -> None:
    with writing(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(new, to)
