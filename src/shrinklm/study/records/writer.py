"""Transactions that exclude other writers, and that wait for them for a moment only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from .disk import WAIT, Checkpoints
from .refused import Busy

_LOCKED = ("database is locked", "database table is locked", "55P03")
"""In the messages of SQLite, and PostgreSQL's code of a lock that was not to be had."""


class Writer:
    """Begins the transactions of one database. Safe for threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # SQLite has one writer: waiting here is shorter than its retries.
        self._turn = threading.Lock()
        self._checkpoints = Checkpoints(engine) if engine.dialect.name == "sqlite" else None
        self._held = 0.0
        """Until then nobody waits: another process held the database just before."""

    @contextmanager
    def __call__(self) -> Iterator[Connection]:
        """Begin a transaction.

        Raises Busy where another process holds the database for `WAIT` seconds: nothing is written then.
        """
        try:
            if self._checkpoints is None:
                with self._engine.begin() as c:
                    yield c
                return
            with self._taken(), self._engine.begin() as c:
                # Pages are served one after the other: where one has waited in vain, the next ones do not.
                wait = 0.0 if time.monotonic() < self._held else WAIT
                c.execute(text(f"PRAGMA busy_timeout = {int(1000 * wait)}"))
                c.execute(text("BEGIN IMMEDIATE"))
                self._held = 0.0
                yield c
            self._checkpoints.soon()
        except DBAPIError as error:
            if not locked(error):
                raise
            if not self._held:
                self._held = time.monotonic() + WAIT
            raise Busy("Another process holds the database.") from error

    def settle(self) -> None:
        """Let a SQLite file hold by itself all that was written."""
        if self._checkpoints is not None:
            self._checkpoints.now()

    def close(self) -> None:
        """The last of it."""
        if self._checkpoints is not None:
            self._checkpoints.close()
            self._checkpoints.now()

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=2 * WAIT):
            raise Busy("Another thread holds the database.")
        try:
            yield
        finally:
            self._turn.release()


def locked(error: DBAPIError) -> bool:
    """Whether another process holds what was asked for."""
    # pg8000 has the code in its message, asyncpg beside it.
    said = f"{error.orig} {getattr(error.orig, 'sqlstate', '')}"
    return any(words in said for words in _LOCKED)
