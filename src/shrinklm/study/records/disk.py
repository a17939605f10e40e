"""A study's SQLite file on the disk: private, whole by itself, copied while it is served."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from ...core import files
from ...core.errors import StudyError

WAIT = 2.0
"""Seconds that a page waits for a lock which another process holds."""
_SOON = 5.0
"""Seconds after an answer until the file itself holds it. Until then it stands in the file beside it (-wal)."""


class Checkpoints:
    """Brings what is written into a SQLite file itself, soon after it was written: a copy of that file alone has it.

    The answer is on the disk before, in the write-ahead log.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def soon(self) -> None:
        """Something was written."""
        with self._lock:
            if self._timer is None:
                self._timer = threading.Timer(_SOON, self._due)
                self._timer.daemon = True
                self._timer.start()

    def now(self) -> None:
        """Bring all of it into the file, and empty the log; less where another process reads or writes just now."""
        # What is not brought over stands in the log all the same.
        with contextlib.suppress(SQLAlchemyError), self._engine.connect() as c:
            c.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    def close(self) -> None:
        """Nothing is brought over any more."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
        self.now()


def private(path: Path) -> None:
    """Make a SQLite file, and those beside it, readable for its owner alone; it is made where it is not there.

    Raises StudyError when it cannot be made.
    """
    try:
        # SQLite gives the files beside it the permissions of the file itself.
        files.private_file(path)
        for file in (path, *beside(path)):
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)
    except OSError as error:
        raise StudyError(
            f"The database {path} cannot be opened: {error.strerror or error}. Check the folder and its permissions."
        ) from error


def beside(path: Path) -> tuple[Path, Path]:
    """The files that SQLite keeps beside a database while it is open."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def backup(url: str, out: Path) -> tuple[int, int]:
    """Copy the records of a study that may be being served, as they stand at one moment. Returns (people, answers).

    Args:
        url: See `open_engine`.
        out: The file to write: a SQLite database by itself, for its owner alone.

    Raises StudyError for a database of another kind, for one that is damaged, and for a file that is there already.
    """
    parsed = make_url(url)
    if parsed.drivername != "sqlite":
        address = parsed.set(drivername="postgresql").render_as_string(hide_password=True)
        raise StudyError(
            f"PostgreSQL makes its own backups. Run: pg_dump --format=custom --file={out} '{address}' "
            "(the password from ~/.pgpass or PGPASSWORD)"
        )
    if out.exists():
        raise StudyError(f"{out} is there already, and nothing is overwritten. Name another file.")
    with files.whole(out, files.NAME_ANOTHER) as new:
        private(new)
        with (
            contextlib.closing(sqlite3.connect(f"file:{parsed.database}?mode=ro", uri=True, timeout=WAIT)) as source,
            contextlib.closing(sqlite3.connect(new)) as target,
        ):
            try:
                source.backup(target)
                [found] = target.execute("PRAGMA integrity_check").fetchone()
                if found != "ok":
                    raise sqlite3.DatabaseError(found)
                # By itself: no log beside it, which a copy could leave behind.
                target.execute("PRAGMA journal_mode=DELETE")
                counts = [target.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTED]
            except sqlite3.Error as error:
                raise StudyError(f"The records {parsed.database} cannot be copied: {error}.") from error
    return counts[0], counts[1]


_COUNTED = ("participant", "response")
