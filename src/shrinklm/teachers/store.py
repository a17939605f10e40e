"""Generations in one SQLite file: crash-safe (WAL), resumable, readable by any other tool."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from ..core.errors import StoreError
from ..core.files import NAME_ANOTHER, private_file, private_folder, unwritable, write_jsonl, write_parquet
from ..core.types import Generation
from .base import FAILED
from .rows import COLUMNS, LATER, checked, from_row, to_row

GROUP = 1000
"""Generations in memory, and in one commit, at a time."""
_STORES = (".db", ".sqlite")

NO_PROMPT = "[]"
"""The prompt of a text that was read from a recording."""

_KEYS = 500
"""Keys in one query: older builds of SQLite take at most 999 parameters."""

_MANY = 20_000
"""Keys from which on all keys of the store are read, which takes less time than to look so many up."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS generations (
    key TEXT PRIMARY KEY, example_id TEXT NOT NULL, kind TEXT NOT NULL, answer TEXT NOT NULL, text TEXT NOT NULL,
    refusal TEXT, prompt TEXT NOT NULL, parents TEXT NOT NULL, source TEXT NOT NULL, thoughts TEXT NOT NULL DEFAULT '',
    logprobs TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""
_ADDED = "ALTER TABLE generations ADD COLUMN {} TEXT NOT NULL DEFAULT ''"
"""For a store from before a column of `LATER` was kept."""
_BY_KEY = "CREATE INDEX IF NOT EXISTS generations_by_key ON generations (key)"
"""The keys alone: the rows, with their prompts, take a hundred times the pages."""
_ALL_KEYS = "SELECT key FROM generations INDEXED BY generations_by_key"
_SEEDS = "CREATE TABLE IF NOT EXISTS greedy_seeds (seed INTEGER PRIMARY KEY)"
"""The seeds, but for 0, in the keys of greedy texts that version 0.1.0 wrote; a recording's texts have no prompt."""
_FIND_SEEDS = """
INSERT OR IGNORE INTO greedy_seeds SELECT DISTINCT json_extract(source, '$.sampling.seed') FROM generations
WHERE prompt <> '[]' AND json_valid(source) AND json_extract(source, '$.sampling.temperature') = 0
AND json_extract(source, '$.sampling.seed') <> 0
"""
_INTO = f"INSERT INTO main.generations ({','.join(COLUMNS)})"
_UNLESS_THERE = f"""
ON CONFLICT (key) DO UPDATE SET {",".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])}
WHERE generations.refusal LIKE '{FAILED}%'
"""
_PUT = f"{_INTO} VALUES ({','.join('?' * len(COLUMNS))}) {_UNLESS_THERE}"
_TAKE = f"{_INTO} SELECT {','.join(COLUMNS)} FROM other.generations WHERE true {_UNLESS_THERE}"

_IN_MEMORY = ":memory:"


class Store:
    """The generations of a project, by key.

    Every `put` is committed before it returns, so that a killed process loses at most the requests in flight.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._errors():
            if str(self.path) != _IN_MEMORY:
                private_folder(self.path.parent)
                private_file(self.path)
            # Several runs may share a store: one waits for the other's commit instead of failing at once.
            self._db = sqlite3.connect(self.path, timeout=60)
            # A reader never waits for a writer, and a commit is one write at the end of a log.
            self._db.execute("PRAGMA journal_mode=WAL")
            # NORMAL would lose the last commits when the machine, not only the process, goes down.
            self._db.execute("PRAGMA synchronous=FULL")
            self._prepare()

    def _prepare(self) -> None:
        """Makes what the file lacks: all of it in a new one, some of it in one that an earlier version wrote."""
        there = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master")}
        if {"generations", "generations_by_key", "greedy_seeds"} <= there and not self._lacking():
            return
        # One process does it, and another that opens the file meanwhile waits, and then finds it done.
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(_SCHEMA)
            for column in self._lacking():
                self._db.execute(_ADDED.format(column))
            self._db.execute(_BY_KEY)
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'greedy_seeds'").fetchone():
                self._db.execute(_SEEDS)
                self._db.execute(_FIND_SEEDS)

    def _lacking(self) -> list[str]:
        """The columns that the file, of an earlier version, does not have."""
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(generations)")}
        return [column for column in LATER if column not in columns]

    def put(self, generations: Iterable[Generation]) -> None:
        """Add generations. One that is stored under its key already stays as it is, unless the server had failed."""
        # Not replaced: other generations may have been made from the first, and name its key as their parent.
        seeds: set[int] = set()
        with self._errors(), self._db:
            self._db.executemany(_PUT, map(to_row, _noting(generations, seeds)))
            self._db.executemany("INSERT OR IGNORE INTO greedy_seeds VALUES (?)", [(seed,) for seed in seeds])

    def take(self, other: Path) -> None:
        """Add the generations of another store of this version's form, as `put` does. Raises StoreError."""
        with self._errors():
            self._db.execute("PRAGMA trusted_schema=OFF")  # no function is called that the other file names
            self._db.execute("ATTACH ? AS other", (str(other),))
            try:
                with self._db:
                    self._db.execute(_TAKE)
                    self._db.execute("INSERT OR IGNORE INTO main.greedy_seeds SELECT seed FROM other.greedy_seeds")
            finally:
                self._db.execute("DETACH other")

    def check(self) -> None:
        """Raises StoreError where the file is damaged."""
        with self._errors():
            if (said := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(said)

    def copy(self, to: Path) -> None:
        """Write the store as it is at this moment into a file of its own, also while others write to it."""
        with self._errors(), closing(sqlite3.connect(to)) as new:
            self._db.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")  # the file alone, without a log beside it

    @property
    def greedy_seeds(self) -> list[int]:
        """The seeds other than 0 that are a part of the keys of greedy texts."""
        with self._errors():
            return [row[0] for row in self._db.execute("SELECT seed FROM greedy_seeds ORDER BY seed")]

    def get(self, keys: Iterable[str], prompts: bool = True) -> dict[str, Generation]:
        """Return key → generation, for those of the keys that are stored; without `prompts`, which take ten times the
        memory of the texts, each has "" as its prompt."""
        columns = [name if prompts or name != "prompt" else "''" for name in COLUMNS]
        return {row[0]: from_row(row) for row in self._select(columns, keys)}

    def known(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that are stored, without reading their generations."""
        wanted = set(keys)
        return wanted - self.missing(wanted)

    def missing(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that are not stored. Takes the memory of one set of them."""
        lacking = set(keys)
        if len(lacking) < _MANY:
            return lacking.difference(row[0] for row in self._select(("key",), lacking))
        with self._errors():
            lacking.difference_update(chain.from_iterable(self._db.execute(_ALL_KEYS)))  # rows of one column
        return lacking

    def some(self, kind: str, most: int, teacher: str | None = None) -> list[Generation]:
        """Return up to so many generations of a step, by `teacher` where one is named; which ones is left to chance."""
        # In the order of the keys, which are hashes.
        query = f"SELECT {','.join(COLUMNS)} FROM generations WHERE kind = ?"
        named = () if teacher is None else (teacher,)
        query += " AND json_extract(source, '$.teacher') = ?" if named else ""
        with self._errors():
            return list(map(from_row, self._db.execute(f"{query} LIMIT {most}", (kind, *named))))

    @property
    def size(self) -> int:
        """The bytes of its pages."""
        with self._errors():
            pages, each = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages) * int(each)

    def _select(self, columns: Sequence[str], keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        wanted = list(dict.fromkeys(keys))
        # For keys alone SQLite would take the rows, whose pages hold the prompts too.
        index = " INDEXED BY generations_by_key" if tuple(columns) == ("key",) else ""
        with self._errors():
            for start in range(0, len(wanted), _KEYS):
                batch = wanted[start : start + _KEYS]
                marks = ",".join("?" * len(batch))
                yield from self._db.execute(
                    f"SELECT {','.join(columns)} FROM generations{index} WHERE key IN ({marks})", batch
                )

    def __iter__(self) -> Iterator[Generation]:
        with self._errors():
            # The rows are read in turn: sorted with their prompts, a large store would be copied once over.
            keys = self._db.execute("SELECT key FROM generations ORDER BY kind, example_id, answer, key")
            while batch := [row[0] for row in keys.fetchmany(_KEYS)]:
                rows = {row[0]: row for row in self._select(COLUMNS, batch)}
                yield from (from_row(rows[key]) for key in batch)

    def __len__(self) -> int:
        with self._errors():
            return int(self._db.execute("SELECT COUNT(*) FROM generations").fetchone()[0])

    def close(self) -> None:
        """Close the file. Everything put is committed already."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = str(error)
            if "full" in reason or "No space" in reason:
                raise StoreError(
                    f"No space left to write the store {self.path} ({reason}). Everything written before is safe. "
                    "Free some disk space and run the same command again: it goes on where it stopped."
                ) from error
            raise StoreError(
                f"The store {self.path} cannot be used: {reason}. Check that the folder exists and can be written, "
                "or name another file with `store:` in the recipe."
            ) from error


class ScratchStore(Store):
    """A store that is read from disk and written in memory alone, for a look that leaves nothing behind."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(_IN_MEMORY)
        self._on_disk = Store(path) if Path(path).is_file() else None

    def get(self, keys: Iterable[str], prompts: bool = True) -> dict[str, Generation]:
        """The generations under those of the keys that are in the store or were put."""
        wanted = list(keys)
        stored = self._on_disk.get(wanted, prompts) if self._on_disk is not None else {}
        return stored | super().get(wanted, prompts)

    def missing(self, keys: Iterable[str]) -> set[str]:
        """See `get`."""
        lacking = super().missing(keys)
        return self._on_disk.missing(lacking) if self._on_disk is not None else lacking

    @property
    def greedy_seeds(self) -> list[int]:
        """See `Store.greedy_seeds`."""
        stored = self._on_disk.greedy_seeds if self._on_disk is not None else []
        return sorted({*stored, *super().greedy_seeds})

    def close(self) -> None:
        """Close both."""
        super().close()
        if self._on_disk is not None:
            self._on_disk.close()

    def some(self, kind: str, most: int, teacher: str | None = None) -> list[Generation]:
        """Of the store on the disk: see `Store.some`."""
        return self._on_disk.some(kind, most, teacher) if self._on_disk is not None else []


def write(generations: Iterable[Generation], path: Path) -> int:
    """Export generations to .parquet or .jsonl, one after another, and return how many.

    Raises StoreError for another ending or a path that cannot be written.
    """
    if path.suffix not in (".parquet", ".jsonl"):
        raise StoreError(f"Cannot export to '{path.name}': the file must end in .parquet or .jsonl.")
    if not path.parent.is_dir():  # it is the user's to name, and more likely mistyped than wanted
        raise unwritable(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), NAME_ANOTHER)
    count = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count
        for generation in generations:
            count += 1
            yield dict(zip(COLUMNS, to_row(generation), strict=True))

    if path.suffix == ".parquet":
        write_parquet(path, rows(), dict.fromkeys(COLUMNS, "string"), NAME_ANOTHER, GROUP)
    else:
        write_jsonl(path, rows(), NAME_ANOTHER)
    return count


def read(path: Path) -> list[Generation]:
    """Return the generations of a file that `write` made, or of a store. Raises StoreError for any other file."""
    return list(records(path))


def records(path: Path) -> Iterator[Generation]:
    """Yield the generations of a file that `write` made, or of a store (.db), without reading all of it at once.

    Raises StoreError for any other file, and for a row that is none.
    """
    number = 0
    try:
        rows = _of_store(path) if path.suffix in _STORES else _of_export(path)
        for row in rows:
            number += 1
            yield checked(row)
    except (OSError, KeyError, TypeError, ValueError, RecursionError, OverflowError, sqlite3.Error) as error:
        where = f", row {number:,}" if number else ""
        raise StoreError(
            f"{path} is not an export of a generation store{where}: {error!r}. Make one with: shrinklm export"
        ) from error


def _of_export(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=GROUP):
                yield from batch.to_pylist()
        return
    # Only line feeds end a line: JSON leaves other line separators inside a text.
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _of_store(path: Path) -> Iterator[dict[str, Any]]:
    # Read only, so that a store of an earlier version stays as it is; and a file that is none is not made one.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as db:
        db.execute("PRAGMA trusted_schema=OFF")  # no function is called that the file, not we, names
        if db.execute("SELECT type FROM sqlite_master WHERE name = 'generations'").fetchone() != ("table",):
            raise ValueError("it has no table 'generations'")
        db.row_factory = sqlite3.Row
        yield from map(dict, db.execute("SELECT * FROM generations"))


def _noting(generations: Iterable[Generation], seeds: set[int]) -> Iterator[Generation]:
    """The generations; the seeds in the keys of greedy ones are added to `seeds`."""
    for generation in generations:
        sampling = generation.source.sampling
        if sampling.seed and not sampling.temperature and generation.prompt != NO_PROMPT:
            seeds.add(sampling.seed)
        yield generation
