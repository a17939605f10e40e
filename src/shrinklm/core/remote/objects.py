"""The objects below a URL: listed, read, put whole or not at all, removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, ShrinkError, StoreError
from ..files import whole
from .urls import SCHEMES, check_url


@dataclass(frozen=True)
class Thing:
    """What a listing tells of an object."""

    size: int
    tag: str
    """Changes with its content: the storage's own tag (ETag, generation), or else its size, inode and times."""


class Objects(ABC):
    """The objects below a URL, by their names there, such as "cells/x/done/train".

    Every method raises StoreError when the storage cannot be reached or refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def list(self) -> dict[str, Thing]:
        """All of them; {} where there are none."""

    @abstractmethod
    def look(self, name: str = "") -> Thing | None:
        """One of them, or the object of the URL itself; None where it is not there."""

    @abstractmethod
    def get(self, name: str, to: Path) -> None:
        """Writes an object's content to a file."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """An object's content; None where it is not there."""

    @abstractmethod
    def put(self, name: str, source: Path) -> Thing:
        """Puts a file there, in the place of what stood there."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Puts an object there, in the place of what stood there."""

    @abstractmethod
    def create(self, name: str, content: bytes) -> bool:
        """Puts an object there unless there is one. Returns whether it was put."""

    @abstractmethod
    def delete(self, names: Iterable[str]) -> None:
        """Removes objects; those that are not there are none of its business."""


def open_objects(url: str) -> Objects:
    """The objects below a URL. Raises StoreError for no URL, MissingExtra without the package of its storage."""
    url = check_url(url)
    scheme = url.partition(":")[0]
    if scheme == "file":
        return _Files(url)
    try:
        with _reaching(url):
            import fsspec

            # Listings that are kept would hide what another machine wrote.
            system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise MissingExtra(SCHEMES[scheme], "storage", f"{scheme}:// ({url})") from error
    return _Stored(url, system, str(root).rstrip("/"))


class _Files(Objects):
    """A folder that several machines see."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.root = Path(url.removeprefix("file://"))

    def list(self) -> dict[str, Thing]:
        with _reaching(self.url):
            found = {}
            for folder, _, files in os.walk(self.root):
                for name in files:
                    path = Path(folder, name)
                    if (thing := _thing(path)) is not None:
                        found[path.relative_to(self.root).as_posix()] = thing
            return found

    def look(self, name: str = "") -> Thing | None:
        with _reaching(self.url):
            return _thing(self.root / name)

    def get(self, name: str, to: Path) -> None:
        with _reaching(f"{self.url}/{name}"):
            shutil.copyfile(self.root / name, to)

    def read(self, name: str) -> bytes | None:
        with _reaching(f"{self.url}/{name}"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return (self.root / name).read_bytes()
        return None

    def put(self, name: str, source: Path) -> Thing:
        with _reaching(f"{self.url}/{name}"):
            with whole(self.root / name, shared=True) as new:
                shutil.copyfile(source, new)
            return _thing(self.root / name) or Thing(0, "")

    def write(self, name: str, content: bytes) -> None:
        with _reaching(f"{self.url}/{name}"), whole(self.root / name, shared=True) as new:
            new.write_bytes(content)

    def create(self, name: str, content: bytes) -> bool:
        path = self.root / name
        with _reaching(f"{self.url}/{name}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
            try:
                new.write_bytes(content)
                # A link is made in one step, with the content in it, on network file systems too.
                os.link(new, path)
            except FileExistsError:
                return False
            finally:
                new.unlink(missing_ok=True)
        return True

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.root / name
            with _reaching(f"{self.url}/{name}"):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # a folder that is not empty stays
                for folder in path.parents:
                    folder.rmdir()
                    if folder == self.root:
                        break


class _Stored(Objects):
    """A bucket, by fsspec."""

    def __init__(self, url: str, system: Any, root: str) -> None:
        super().__init__(url)
        self._system, self._root = system, root

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def list(self) -> dict[str, Thing]:
        with _reaching(self.url):
            try:
                found = self._system.find(self._root, detail=True, withdirs=False)
            except FileNotFoundError:
                found = {}
            if not found:
                self._check_bucket()
        start = len(self._system._strip_protocol(self._root)) + 1
        return {path[start:]: _told(info) for path, info in found.items() if path[start:]}

    def _check_bucket(self) -> None:
        """Raises FileNotFoundError where an empty listing comes from a bucket that is not there."""
        scheme, _, rest = self.url.partition("://")
        if scheme != "memory" and not self._system.exists(rest.partition("/")[0]):
            raise FileNotFoundError(f"there is no bucket '{rest.partition('/')[0]}', or it cannot be seen")

    def look(self, name: str = "") -> Thing | None:
        with _reaching(self.url):
            try:
                info = self._system.info(self._path(name))
            except FileNotFoundError:
                return None
        return _told(info) if info["type"] == "file" else None

    def get(self, name: str, to: Path) -> None:
        with _reaching(f"{self.url}/{name}"):
            self._system.get_file(self._path(name), str(to))

    def read(self, name: str) -> bytes | None:
        with _reaching(f"{self.url}/{name}"):
            try:
                return bytes(self._system.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def put(self, name: str, source: Path) -> Thing:
        with _reaching(f"{self.url}/{name}"):
            self._system.put_file(str(source), self._path(name))
            return _told(self._system.info(self._path(name)))

    def write(self, name: str, content: bytes) -> None:
        with _reaching(f"{self.url}/{name}"):
            self._system.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        with _reaching(f"{self.url}/{name}"):
            try:
                self._system.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
        return True

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            with _reaching(f"{self.url}/{name}"), contextlib.suppress(FileNotFoundError):
                self._system.rm_file(self._path(name))


def _thing(path: Path) -> Thing | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    # The inode too: a file that is put in the place of another within one tick of the clock has a new one.
    return Thing(stat.st_size, f"{stat.st_size}-{stat.st_ino}-{stat.st_mtime_ns}") if path.is_file() else None


def _told(info: dict[str, Any]) -> Thing:
    size = int(info.get("size") or 0)
    tag = info.get("ETag") or info.get("generation") or info.get("etag") or f"{size}-{info.get('created')}"
    return Thing(size, str(tag).strip('"'))


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Turns whatever a storage raises into a StoreError about the URL."""
    try:
        yield
    except (ShrinkError, ImportError):
        raise
    except Exception as error:  # each library of a storage has errors of its own
        raise StoreError(f"{url} {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What went wrong, and what to do about it."""
    said = f"{type(error).__name__}: {error}".strip()
    if isinstance(error, PermissionError) or "Credential" in said:
        return (
            f"may not be used ({said}). Keys come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or "
            "AWS_PROFILE for s3, GOOGLE_APPLICATION_CREDENTIALS for gs. They need the right to list, read, write and "
            "delete there."
        )
    if isinstance(error, FileNotFoundError):
        return f"is not there ({error}). Check the name of the bucket or folder."
    advice = "Check the network, AWS_ENDPOINT_URL where the server is your own, and the URL. What was made is kept in "
    return f"cannot be reached or used ({said}). {advice}its mirror here, and the same command goes on from there."
