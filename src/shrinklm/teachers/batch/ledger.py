"""What was ordered, on the disk beside the store: no kill at any moment has a question paid for twice.

A folder holds `ledger.db` and, for each batch, the file of its requests and the file of its results. A batch and its
requests are entered, with the id of the uploaded file, before the batch is ordered; the server's id of the batch is
entered as soon as it is known. Between the two the server's own list tells whether it was ordered.

A batch whose file of requests is deleted by hand is forgotten.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from ...core.errors import StoreError
from ...core.files import private_folder
from ...core.remote import url_of

_KEYS = 500
"""Keys in one query: older builds of SQLite take at most 999 parameters."""

State = Literal["ordering", "ordered", "read"]


@dataclass
class Batch:
    """One file of requests."""

    name: str
    """Ours, which begins with the time; the server keeps it in the batch's metadata."""
    state: State
    """ordering: it may have been ordered or not; ordered: the server works at it; read: its results are here."""
    file: str
    """The server's id of the uploaded file."""
    number: str = ""
    """The server's id of the batch."""
    status: str = ""
    """The server's word for how far it is."""
    requests: int = 0
    done: int = 0
    adapted: str = "[]"
    """JSON: what its requests leave out, see `Request.adapted`."""


@dataclass(frozen=True)
class Entry:
    """One question."""

    batch: str
    state: Literal["out", "here", "failed", "free", "hopeless"]
    """out: in a batch that is not read; here: its answer is in the results; failed, free: to be ordered again;
    hopeless: the server would refuse it again."""
    at: int
    """Where the line of its answer begins in the results."""
    tries: int
    """Orders that failed."""
    reason: str


_BATCH = tuple(field.name for field in fields(Batch))
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS batches (server TEXT, {",".join(_BATCH)}, PRIMARY KEY (name));
CREATE TABLE IF NOT EXISTS questions (server TEXT, key TEXT, batch TEXT, state TEXT, at INTEGER, tries INTEGER,
    reason TEXT, PRIMARY KEY (server, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_batch ON questions (batch);
CREATE TABLE IF NOT EXISTS known (server TEXT PRIMARY KEY, facts TEXT);
"""


class Ledger:
    """The orders at one server, for one store.

    Args:
        store: The store's file.
        server: The server's address and the model.

    Raises StoreError, as every method does, when the folder cannot be written.
    """

    def __init__(self, store: Path, server: str) -> None:
        self.store, self.server = store, server
        if (url := url_of(store)) is not None:
            raise StoreError(
                f"{url}: a teacher that answers later keeps its orders beside the store, and another machine would not "
                "find them. Name a store on the disk: store: .shrinklm/generations.db"
            )
        self.folder = store.with_name(f"{store.stem}.batches")
        with self._errors():
            private_folder(self.folder)
            self.lock = FileLock(self.folder / ".lock")
            """Held while anything is ordered or fetched: two commands on one store order no question twice."""
            self._db = sqlite3.connect(self.folder / "ledger.db", timeout=60, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # as in the store: what is paid for must survive a power cut
            self._db.executescript(_SCHEMA)

    def requests(self, name: str) -> Path:
        """The file of a batch's requests, as it was uploaded."""
        return self.folder / f"{name}.requests.jsonl"

    def results(self, name: str) -> Path:
        """The file of a batch's results, as they were downloaded."""
        return self.folder / f"{name}.results.jsonl"

    def batches(self, *states: State) -> list[Batch]:
        """The batches in these states, in the order in which they were ordered."""
        marks = ",".join("?" * len(states))
        query = f"SELECT {','.join(_BATCH)} FROM batches WHERE server = ? AND state IN ({marks}) ORDER BY name"
        with self._errors():
            return [Batch(*row) for row in self._db.execute(query, (self.server, *states))]

    def enter(self, batch: Batch, keys: Iterable[str]) -> None:
        """Enter a batch that is about to be ordered, and its questions."""
        with self._errors(), self._db:
            self._save(batch)
            self._db.executemany(
                "INSERT INTO questions VALUES (?, ?, ?, 'out', 0, 0, '') ON CONFLICT DO UPDATE "
                "SET batch = excluded.batch, state = 'out', at = 0",
                ((self.server, key, batch.name) for key in keys),
            )

    def save(self, batch: Batch) -> None:
        """Enter what is new about a batch."""
        with self._errors(), self._db:
            self._save(batch)

    def read(self, batch: Batch, answers: Iterable[tuple[str, str, int, str]]) -> None:
        """Enter a batch as read, with (key, state, place, reason) of its questions; a failed one has one more try."""
        with self._errors(), self._db:
            self._save(batch)
            self._db.executemany(
                "UPDATE questions SET state = ?1, at = ?2, reason = ?3, tries = tries + (?1 = 'failed') "
                "WHERE server = ?4 AND key = ?5 AND batch = ?6",
                ((state, at, reason, self.server, key, batch.name) for key, state, at, reason in answers),
            )

    def drop(self, batch: Batch) -> None:
        """Remove a batch that was not ordered after all, or not accepted; its questions are free."""
        with self._errors(), self._db:
            self._db.execute("UPDATE questions SET state = 'free' WHERE batch = ? AND state = 'out'", (batch.name,))
            self._db.execute("DELETE FROM batches WHERE name = ?", (batch.name,))
        self.requests(batch.name).unlink(missing_ok=True)

    def give_up(self, key: str) -> None:
        """Forget a question, so that the next command orders it anew."""
        with self._errors(), self._db:
            self._db.execute("DELETE FROM questions WHERE server = ? AND key = ?", (self.server, key))

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Key → entry, for those of the keys that have one."""
        found: dict[str, Entry] = {}
        with self._errors():
            for start in range(0, len(keys), _KEYS):
                part = keys[start : start + _KEYS]
                query = (
                    "SELECT key, batch, state, at, tries, reason FROM questions "
                    f"WHERE server = ? AND key IN ({','.join('?' * len(part))})"
                )
                found |= {row[0]: Entry(*row[1:]) for row in self._db.execute(query, (self.server, *part))}
        return found

    def keys(self, batch: Batch) -> list[str]:
        """The questions of a batch."""
        with self._errors():
            rows = self._db.execute("SELECT key FROM questions WHERE batch = ?", (batch.name,))
            return [row[0] for row in rows]

    @property
    def facts(self) -> dict[str, Any]:
        """What was found out about the server."""
        with self._errors():
            row = self._db.execute("SELECT facts FROM known WHERE server = ?", (self.server,)).fetchone()
        return json.loads(row[0]) if row else {}

    def learn(self, **facts: Any) -> None:
        """Keep what was found out about the server."""
        with self._errors(), self._db:
            both = json.dumps(self.facts | facts)
            self._db.execute("INSERT OR REPLACE INTO known VALUES (?, ?)", (self.server, both))

    def tidy(self) -> None:
        """Follow what was deleted by hand, and delete what a killed command left before it had ordered anything."""
        for batch in self.batches("ordering", "ordered", "read"):
            if not self.requests(batch.name).is_file():
                with self._errors(), self._db:
                    self._db.execute("DELETE FROM questions WHERE batch = ?", (batch.name,))
                    self._db.execute("DELETE FROM batches WHERE name = ?", (batch.name,))
            elif batch.state == "read" and not self.results(batch.name).is_file():
                batch.state = "ordered"  # its results are fetched again
                self.save(batch)
        with self._errors():
            known = {row[0] for row in self._db.execute("SELECT name FROM batches")}
            for path in self.folder.glob("*.requests.jsonl"):
                if path.name.partition(".")[0] not in known:
                    path.unlink()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _save(self, batch: Batch) -> None:
        marks = ",".join("?" * (1 + len(_BATCH)))
        self._db.execute(f"INSERT OR REPLACE INTO batches VALUES ({marks})", (self.server, *astuple(batch)))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"What is ordered cannot be kept in {self.folder}: {error}. Check that it can be written and has "
                "space, then run the same command again. Nothing that was ordered is lost."
            ) from error


def batch_of(answer: Mapping[str, Any], batch: Batch) -> Batch:
    """A batch with what the server says of it."""
    return replace(
        batch,
        state="ordered",
        number=str(answer.get("id") or batch.number),
        status=str(answer.get("status") or "unknown").lower(),
        done=counted(answer, "completed") + counted(answer, "failed"),
    )


def counted(answer: Mapping[str, Any], what: str) -> int:
    """A count of requests that the server states for a batch; 0 where it states none."""
    counts = answer.get("request_counts")
    value = counts.get(what) if isinstance(counts, dict) else None
    return value if isinstance(value, int) else 0
