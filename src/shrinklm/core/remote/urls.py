"""URLs of storage, and the place of their mirrors. Reaches no network."""

from __future__ import annotations

import os
import platform
import re
import uuid
from contextlib import suppress
from pathlib import Path

from ..cache import cache_folder
from ..digests import digest
from ..errors import StoreError
from ..files import private_folder, write_text

SCHEMES = {"s3": "s3fs", "gs": "gcsfs", "file": "", "memory": ""}
"""The storage that is reached, and the package that each takes beside fsspec."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ONE_SLASH = re.compile(rf"({'|'.join(SCHEMES)}):/(?!/)(.*)", re.DOTALL | re.IGNORECASE)
"""A URL that lacks a slash: as a path, it would be a folder called "s3:" on this machine."""
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "FSSPEC_S3_ENDPOINT_URL"),
    "gs": ("STORAGE_EMULATOR_HOST",),
}
"""Environment variables that say which server a scheme is: a bucket of one name may stand on two."""
_NOTE = ".url"
"""In the folder of a mirror: the URL that it mirrors a part of."""
_HOME = ".home"
"""Beside it: a name for this folder."""
_parents: dict[Path, str] = {}


def is_url(name: str | Path) -> bool:
    """Whether a name is a URL, of any scheme."""
    return isinstance(name, str) and (_URL.match(name) or _ONE_SLASH.match(name)) is not None


def check_url(url: str) -> str:
    """The URL, without what may stand twice in it. Raises StoreError for one that names no storage, or a secret."""
    match = _URL.fullmatch(url)
    scheme, rest = (match[1].lower(), match[2]) if match else ("", url)
    if short := _ONE_SLASH.fullmatch(url):
        slashes = "///" if short[1].lower() == "file" else "//"
        raise StoreError(f"A URL of storage lacks a slash. Write: {_hidden(f'{short[1].lower()}:{slashes}{short[2]}')}")
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES if name != "memory")
        raise StoreError(f"{_hidden(url)} names no storage that is known. Known: {known}, or a path without '://'.")
    host = rest.partition("/")[0]
    if "@" in host or "?" in rest:
        raise StoreError(
            f"{_hidden(url)}: a URL of storage holds no key, user or option, since recipes are copied into run "
            "folders. Keys come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if scheme == "file" and host:
        raise StoreError(f"{url}: a file's URL is absolute, with three slashes: file:///{rest}")
    parts = [part for part in rest.split("/") if part]
    if not parts or any(part in (".", "..") or not part.isprintable() for part in parts):
        raise StoreError(f"{url} is no URL of storage: it names no bucket or folder, or goes up in it with '..'.")
    return f"{scheme}://{'/' if scheme == 'file' else ''}{'/'.join(parts)}"


def mirror(url: str) -> Path:
    """The place here of what stands at a URL: in a folder by the digest of the URL that it stands in.

    $SHRINKLM_MIRROR says where the folders of mirrors are; left out, they are in the user's cache. Raises as
    `check_url`.
    """
    parent, _, name = check_url(url).rpartition("/")
    server = [os.environ.get(name, "") for name in _ENDPOINTS.get(url.partition(":")[0].lower(), ())]
    folder = _mirrors() / digest(parent, server)
    _parents[folder] = parent
    return folder / name


def prepared(url: str) -> Path:
    """`mirror`, in a folder that is made for its owner alone. Raises StoreError where it cannot be made."""
    path = mirror(url)
    try:
        private_folder(_mirrors())
        private_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path.parent}, where {url} is mirrored, cannot be made: {error}. Name another place with SHRINKLM_MIRROR."
        ) from error
    note = path.parent / _NOTE
    if not note.is_file():
        write_text(note, _parents[path.parent])
    return path


def top_of(path: Path) -> Path | None:
    """The mirror, of what a URL names, that a path stands in; None for a path in no mirror."""
    mirrors = _mirrors()
    parts = path.relative_to(mirrors).parts if path.is_relative_to(mirrors) else ()
    return mirrors / parts[0] / parts[1] if len(parts) > 1 else None


def url_of(path: Path) -> str | None:
    """The URL of what a path of a mirror stands for; None for any other path."""
    if (top := top_of(path)) is None:
        return None
    folder = top.parent
    if folder not in _parents and (note := folder / _NOTE).is_file():
        _parents[folder] = note.read_text(encoding="utf-8")
    return f"{_parents[folder]}/{path.relative_to(folder).as_posix()}" if folder in _parents else None


def sent(path: Path) -> Path | tuple[str, str]:
    """A path as another machine finds it: in a mirror, the URL and the path below it."""
    top = top_of(path)
    url = None if top is None else url_of(top)
    return path if top is None or url is None else (url, str(path.relative_to(top)))


def received(place: Path | tuple[str, str]) -> Path:
    """The path on this machine of what `sent` returned on another."""
    return mirror(place[0]) / place[1] if isinstance(place, tuple) else place


def home_of(path: Path) -> str:
    """A name for a mirror on this machine since it was started; the folder seen by another machine has another.

    Raises OSError for a mirror that is not there.
    """
    note = path.parent / _HOME
    if not note.is_file():
        write_text(note, uuid.uuid4().hex)
    stat = note.stat()  # a copy, as in the image of a container, has the same content
    with suppress(OSError):
        return digest(note.read_text(), stat.st_dev, stat.st_ino, Path("/proc/sys/kernel/random/boot_id").read_text())
    return digest(note.read_text(), stat.st_dev, stat.st_ino, platform.node())


def named(text: str) -> str:
    """A text with URLs in the place of the paths of their mirrors."""
    for folder, parent in _parents.items():
        text = text.replace(str(folder), parent)
    return text


def _mirrors() -> Path:
    named = os.environ.get("SHRINKLM_MIRROR")
    return (Path(named).expanduser() if named else cache_folder() / "mirrors").resolve()


def _hidden(url: str) -> str:
    """A URL without what stands before an @ or behind a ?."""
    return re.sub(r"\?.*", "?...", re.sub(r"//[^/]*@", "//...@", url))
