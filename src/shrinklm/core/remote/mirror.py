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
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from ..errors import StoreError
from ..files import whole, write_text, writing
from .habits import Habits
from .known import NOTE, Known, parts_of, read_note, settled, state_of, write_note
from .objects import Objects, Thing, open_objects
from .urls import prepared, top_of, url_of

INDEX = ".index.json"
"""At the URL: file → the checksums that it may have."""
_LEAVING = "leaving"
"""The tag of a file that is being removed there."""
_AT_ONCE = 8
"""Files that are brought at a time."""


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
        self._note = self.here / NOTE

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
        # Large files last: what stands beside them says whether they may wait.
        changed.sort(key=_large)
        small = [path for path in changed if not _large(path)]
        for paths in small, changed[len(small) :]:
            foreign |= self._take_in(paths, there, known, here, index)
        for path in gone:
            del known[path]
        if foreign:  # another wrote there: what is here and was not sent belongs to another state
            self._remove(path for path in here if path not in there and not self.habits.joins(path))
        restored = [path for path in known if self._lacks(path, known, foreign, dirty)]
        with self._fetched(restored, there) as new:
            for path, file in new.items():
                known[path] = Known(there[path].tag, _sha(file), self._place(file, path))
        self._write(known)

    def _take_in(
        self,
        changed: Iterable[str],
        there: Mapping[str, Thing],
        known: dict[str, Known],
        here: Mapping[str, list[int]],
        index: Mapping[str, list[str]],
    ) -> bool:
        """Bring files that changed there. Returns whether another than this machine changed one."""
        foreign, fetched = False, []
        for path in changed:
            sound = path not in known or bool(known[path].tag)
            if _large(path) and sound and path not in here and len(index.get(path, ())) == 1 and self._waits(path):
                foreign |= path not in known or known[path].sha != index[path][0]
                known[path] = Known(there[path].tag, index[path][0], [], there[path].size)
            else:
                fetched.append(path)
        with self._fetched(fetched, there) as new:
            for path, file in new.items():
                sha, tag = _sha(file), there[path].tag
                if path in index and sha not in index[path]:
                    self._damaged(path, index[path], known)
                elif path in known and known[path].sha == sha:
                    known[path].tag = tag
                else:
                    state = settled(state_of(self.here / path)) if path in here else []
                    if not (path in here and _sha(self.here / path) == sha):  # else it was sent by a killed push
                        foreign, state = True, self._place(file, path)
                    known[path] = Known(tag, sha, state)
        return foreign

    def _place(self, new: Path, path: str) -> list[int]:
        """Puts what was brought into its place; returns the file's state, [] where it has lines that are not there."""
        joined = self.habits.joins(path) and _join(new, self.here / path)
        _move(new, self.here / path)
        return [] if joined else settled(state_of(self.here / path))

    def bring(self, folder: Path) -> None:
        """Bring the files of a folder here that were left there until somebody asks for them."""
        known = self._read()
        wanted = [path for path, each in known.items() if each.away is not None and not (self.here / path).is_file()]
        wanted = [path for path in wanted if (self.here / path).is_relative_to(folder)]
        with self._fetched(wanted, {path: Thing(known[path].away or 0, "") for path in wanted}) as new:
            for path, file in new.items():
                if _sha(file) != known[path].sha:
                    self._damaged(path, [known[path].sha], known)
                    self._write(known)
                    raise StoreError(
                        f"{self.objects.url}/{path} is damaged: it is not what was sent there. What made it makes it "
                        "again, such as: shrinklm train RECIPE"
                    )
                _move(file, self.here / path)
                known[path].away, known[path].state = None, settled(state_of(self.here / path))
        if wanted:
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
                known[path].state, known[path].away = settled(state), None
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
            known[path] = Known(thing.tag, changed[path], settled(here[path]))
            self._write(known)
        self._delete(gone, known)

    def _delete(self, paths: Iterable[str], known: dict[str, Known]) -> None:
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

    def _damaged(self, path: str, shas: list[str], known: dict[str, Known]) -> None:
        """Notes that what stands at the URL is not what was sent; a copy here that is stays, and is sent again."""
        file = self.here / path
        if not (self.habits.joins(path) or (file.is_file() and _sha(file) in shas)):
            self._remove([path])
        known[path] = Known("", shas[0], [])
        self.tell(
            f"{self.objects.url}/{path} is damaged: it is not what was sent there, and is not used. "
            f"If you changed it yourself, delete {self.objects.url}/{INDEX}"
        )

    def _lacks(self, path: str, known: Mapping[str, Known], foreign: bool, dirty: bool) -> bool:
        """Whether a file that the URL holds is to be brought, though it did not change there."""
        each, file = known[path], self.here / path
        if not each.tag or (each.away is not None and not file.is_file()):
            return False
        if not file.is_file():
            return foreign or not (dirty and self.habits.passes(path))
        return foreign and state_of(file) != each.state and _sha(file) != each.sha

    def _waits(self, path: str) -> bool:
        return self.habits.waits(self.here / path)

    def _differs(self, path: str, state: list[int], known: Mapping[str, Known]) -> bool:
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
        # Never one that leads out of the folder: a bucket may hold a name with "..".
        return parts[0] not in self.apart and all(part and part[0] != "." for part in parts)

    def _files(self) -> dict[str, list[int]]:
        """Path → size, inode and time of the files here. Those whose name begins with a dot are on their way."""
        found = {}
        for folder, folders, files in os.walk(self.here):
            place = Path(folder)
            top = place == self.here
            folders[:] = [name for name in folders if not (name.startswith(".") or (top and name in self.apart))]
            for name in files:
                if not name.startswith("."):
                    found[(place / name).relative_to(self.here).as_posix()] = state_of(place / name)
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

    def _read(self) -> dict[str, Known]:
        return read_note(self._note)

    def _write(self, known: Mapping[str, Known]) -> None:
        write_note(self._note, known)


def _large(path: str) -> bool:
    return path.endswith(".safetensors")


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _join(new: Path, old: Path) -> bool:
    """Adds the lines of an old file, if there is one, to a new one that lacks them. Returns whether it lacked any."""
    lines = dict.fromkeys(new.read_bytes().splitlines())
    more = [line for line in (old.read_bytes().splitlines() if old.is_file() else ()) if line not in lines]
    if more:
        new.write_bytes(b"".join(line + b"\n" for line in (*lines, *more)))
    return bool(more)


def _move(new: Path, to: Path) -> None:
    with writing(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(new, to)


@lru_cache
def fetched(url: str) -> Path:
    """The mirror of a file or folder at a URL that is only read, brought up to date once in a process.

    Raises StoreError where nothing stands there.
    """
    path = prepared(url)
    if (thing := open_objects(url).look()) is None:
        # One of each, where several processes start at once.
        with FileLock(path.with_name(f".{path.name}.lock")):
            Mirror(url).pull()
        if not any(path.glob("[!.]*")):
            raise StoreError(f"Nothing stands at {url}.")
        return path
    note = path.with_name(f".{path.name}.known")
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not (path.is_file() and note.is_file() and note.read_text() == thing.tag):
            with whole(path) as new:
                parent, _, name = url.rpartition("/")
                open_objects(parent).get(name, new)
            write_text(note, thing.tag)
    return path


def bring(folder: Path) -> None:
    """Bring the files of a folder that were left at its URL, if it is one of a mirror. Raises StoreError."""
    top = top_of(folder)
    url = None if top is None else url_of(top)
    for part in parts_of(folder):
        if top is not None and url is not None and (part / NOTE).is_file():
            Mirror(url, "" if part == top else part.relative_to(top).as_posix()).bring(folder)
