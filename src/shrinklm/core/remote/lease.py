"""One holder at a time of what stands at a URL: an object there names who, and is renewed while that one lives.

The object is put on the condition that there is none, which S3 (If-None-Match), Google's storage and a folder decide in
one step. A server that ignores the condition leaves a moment in which two may take it; the one that loses it finds out
at its next renewal.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .objects import open_objects

RENEWED = 15.0
"""Seconds between two renewals."""
LASTS = 90.0
"""Seconds without a renewal after which it is taken from its holder, whose machine is gone."""
_LOOK = 1.0
"""Seconds between two looks at another's."""
_LONG_GONE = 1200.0
"""Seconds by which the clocks of two machines differ at most: S3 refuses a clock that is wrong by 15 minutes."""


class Lost(StoreError):
    """Another holds it by now: nothing more may be written."""


def this_process() -> dict[str, Any]:
    """Who is at work, for the one who is kept out."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": _command(),
        "since": datetime.now(UTC).isoformat(" ", "seconds"),
    }


def _command() -> str:
    """What was typed, as far as the process knows."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    program = "shrinklm" if program == "__main__.py" else program
    return shlex.join([program, *sys.argv[1:]])[:200] if program else "Python"


class Lease:
    """The right to write below a URL.

    Args:
        url: Of the object.
        place: What it is for, in messages.
        home: Of this machine's mirror: one holder at a time, by a lock that the system keeps. What the same home left
            there is of a process that has ended.
        tell: Called when it is waited for.

    Raises StoreError when another holds it, and what `open_objects` raises.
    """

    def __init__(self, url: str, place: str, home: str, tell: Callable[[str], None] = lambda note: None) -> None:
        parent, _, self._name = url.rpartition("/")
        self._objects, self.place, self._home, self._tell = open_objects(parent), place, home, tell
        self._about: dict[str, Any] = {**this_process(), "id": uuid.uuid4().hex, "home": home}
        self._ended = threading.Event()
        self._lost: str | None = None
        self._thread: threading.Thread | None = None

    def take(self, wait: bool = True) -> bool:
        """Take it; from a holder that is gone, after `LASTS` seconds without a renewal.

        Returns whether it was taken: without `wait`, another may hold it.
        """
        seen: tuple[str, int] | None = None
        since = time.monotonic()
        while not self._objects.create(self._name, self._content()):
            holder = self._holder()
            if holder is None:  # given back just now, or nobody can read it
                beat = ("", 0)
            else:
                beat = (str(holder.get("id")), int(holder.get("beat", 0)))
                if holder.get("home") == self._home or time.time() - holder.get("at", 0.0) > LASTS + _LONG_GONE:
                    self._objects.delete([self._name])
                    continue
            if not wait:
                return False
            if seen is not None and beat != seen and holder is not None:
                raise StoreError(self._held(holder))
            if seen is None:
                self._tell(f"{self.place} was in use by {_who(holder)}; taken over in {LASTS:.0f} s unless it goes on")
            seen = beat
            if time.monotonic() - since > LASTS:
                self._objects.delete([self._name])
                continue
            time.sleep(_LOOK)
        # Two that found the same one gone may have put theirs in turn: the last one stays.
        if seen is not None:
            time.sleep(_LOOK)
        self.check()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return True

    def check(self) -> None:
        """Raises Lost when another has taken it, and StoreError when that cannot be told."""
        if self._lost is None:
            holder = self._holder()
            if holder is not None and holder.get("id") != self._about["id"]:
                self._lost = self._held(holder)
        if self._lost is not None:
            raise Lost(self._lost)

    def give_back(self) -> None:
        """End it; nothing is done to one that was not taken, or was lost."""
        self._ended.set()
        if self._thread is None:
            return  # another's
        self._thread.join()
        with contextlib.suppress(StoreError):
            self.check()
            self._objects.delete([self._name])

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            # A network that is away for a moment: the next renewal, or the next push, says so.
            with contextlib.suppress(StoreError):
                self.check()
                if not self._ended.is_set():
                    self._about["beat"] = int(self._about.get("beat", 0)) + 1
                    self._objects.write(self._name, self._content())

    def _content(self) -> bytes:
        return json.dumps({**self._about, "at": time.time()}).encode()

    def _holder(self) -> dict[str, Any] | None:
        content = self._objects.read(self._name)
        try:
            holder = json.loads(content or b"null")
            return {**holder, "at": float(holder["at"]), "beat": int(holder.get("beat", 0))}
        except (ValueError, TypeError, LookupError):
            return None if content is None else {"at": 0.0}

    def _held(self, holder: Mapping[str, Any]) -> str:
        last = datetime.fromtimestamp(float(holder.get("at", 0)), UTC).isoformat(" ", "seconds")
        return (
            f"{self.place} is in use by {_who(holder)} (last heard of {last}). One process at a time writes there. "
            "When that one has ended, type the same command again: it goes on from there."
        )


def _who(holder: Mapping[str, Any] | None) -> str:
    names = ("pid", "host", "since", "command")
    if holder is None or any(name not in holder for name in names):
        return "another process"
    pid, host, since, command = (holder[name] for name in names)
    return f"process {pid} on {host}, since {since}: {command}"
