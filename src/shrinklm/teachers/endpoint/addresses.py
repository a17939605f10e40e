"""The addresses of the servers behind a teacher: written in its spec, or line by line in a file."""

from __future__ import annotations

import ipaddress
import logging
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ...core.errors import TeacherError
from ...core.secrets import secrets

_SEPARATOR = re.compile(r"\s*,\s*(?=https?://)")
"""A comma may stand in an address; before a scheme it ends one."""

_log = logging.getLogger("shrinklm")


class Addresses:
    """One address, several with commas between them, or `@FILE`, which holds one in each line.

    A file may change while a run goes on: servers that come and go are written into it. Where it is gone, empty or
    wrong then, the addresses before count.

    Args:
        text: What stands between the kind of the teacher and `#`.
        kind: The kind of the teacher, for errors.
        model: Its model, for errors.
        root: A relative file starts here.

    Raises TeacherError for what is no address.
    """

    def __init__(self, text: str, kind: str, model: str, root: Path) -> None:
        self._kind, self._model = kind, model
        self.file = root / text[1:].strip() if text.startswith("@") else None
        self._seen: tuple[int, int] | None = None
        self._found = () if self.file else self._checked(_SEPARATOR.split(text.strip().rstrip(",")))

    def read(self) -> tuple[str, ...]:
        """The addresses, in the order in which they are written. Raises TeacherError for a file without any."""
        if self.file is None:
            return self._found
        try:
            stat = self.file.stat()
            seen = stat.st_mtime_ns, stat.st_size
            if seen != self._seen:
                self._seen = seen
                lines = [line.partition(" #")[0].strip() for line in self.file.read_text(encoding="utf-8").splitlines()]
                found = [url for line in lines if line and line[0] != "#" for url in _SEPARATOR.split(line.rstrip(","))]
                self._found = self._checked(found) or self._found
        except (OSError, UnicodeDecodeError) as error:
            if not self._found:
                raise TeacherError(
                    f"The file of servers {self.file} cannot be read: {error}. "
                    "Write the address of one server into each line."
                ) from error
        except TeacherError as error:
            if not self._found:
                raise
            _log.warning("%s The addresses before count.", error)
        if not self._found:
            raise TeacherError(
                f"The file of servers {self.file} names none. Write the address of one server into each line."
            )
        return self._found

    @property
    def known(self) -> tuple[str, ...]:
        """The addresses as far as they are known: none where there is no file yet."""
        try:
            return self.read()
        except TeacherError:
            return ()

    def _checked(self, urls: list[str]) -> tuple[str, ...]:
        example = f"{self._kind}:http://HOST:PORT/v1#{self._model or 'MODEL'}"
        for url in urls:
            # First, since the other message shows the address.
            host = (url.partition("://")[2] or url).partition("/")[0]
            if "@" in host or any(secrets(dict(parse_qsl(url.partition("?")[2])))):
                raise TeacherError(
                    "The server's address must not hold a password or a key. "
                    "Put the key into the variable that `api_key_env` names."
                )
            if not _is_address(url):
                where = f" in {self.file}" if self.file else ""
                raise TeacherError(f"'{url}'{where} is not the address of a server. Write {example}")
        urls = [url.rstrip("/") for url in urls]
        if twice := sorted({url for url in urls if urls.count(url) > 1}):
            raise TeacherError(f"The server {twice[0]} is named twice. Name each once.")
        return tuple(urls)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # brackets that do not close, a port that is no number
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and len(url.split()) == 1


def is_local(url: str) -> bool:
    """Whether a server is on this machine or in a private network, where no public price applies."""
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal", ".lan"))
