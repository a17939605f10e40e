"""One data file → rows, each with the location that errors name: CSV, TSV, JSONL, JSON, Parquet and Arrow."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import TableError

Row = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """A table whose rows are read on demand."""

    name: str
    """As errors call it."""
    columns: tuple[str, ...]
    records: Callable[[Sequence[str]], Iterator[tuple[str, Row]]]
    """Wanted columns → pairs of a location, such as "train.csv, line 7", and the row's values (None where missing)."""


def read_file(path: Path, name: str) -> Rows:
    """The rows of a file, by its suffix; `name` is what errors call it.

    Raises TableError: it cannot be read, is empty, or is not what its suffix says.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise TableError(f"{name}: files of the kind '{path.suffix}' are not read. Known: {', '.join(SUFFIXES)}.")
    try:
        return reader(path, name)
    except OSError as error:
        raise TableError(f"{name} cannot be read: {error.strerror or error}. Is it readable by you?") from error


def arrow_rows(name: str, columns: Sequence[str], batches: Callable[[Sequence[str]], Iterable[Any]]) -> Rows:
    """Rows out of pyarrow tables or record batches."""

    def records(wanted: Sequence[str]) -> Iterator[tuple[str, Row]]:
        number = 0
        for batch in batches(wanted):
            try:
                rows = batch.to_pylist()
            except UnicodeDecodeError as error:  # Arrow checks texts only when they are read
                where = f"{name}, near row {number + 1}"
                raise TableError(
                    f"{where}: a text is not UTF-8 ({error.reason}). Write the file again as UTF-8."
                ) from error
            for row in rows:
                number += 1
                yield f"{name}, row {number}", row

    return Rows(name, tuple(columns), records)


def missing_column(name: str, column: str, columns: Sequence[str]) -> str:
    """Return the message for a table that lacks a column: it names the nearest one, and all that the table has."""
    # Reversed, so that of columns that differ in case alone the first is suggested.
    lower = {known.lower(): known for known in reversed(columns)}
    near = difflib.get_close_matches(column.lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean '{lower[near[0]]}'?" if near else ""
    # Spreadsheets write semicolons where the comma is the decimal sign.
    joined = (
        " Its columns seem to be separated by ';'. Save the file with commas."
        if len(columns) == 1 and ";" in columns[0]
        else ""
    )
    # A list joined by commas takes a name that has a comma for two.
    whole = next((known for known in columns if "," in known and column in map(str.strip, known.split(","))), None)
    if whole is not None:
        hint = f" '{whole}' has a comma in it: join the names by semicolons instead, or put it in double quotes."
    known = ", ".join(f"'{known}'" if "," in known else known for known in columns)
    return f"{name} has no column '{column}'.{hint} Columns found: {known}.{joined}"


def _text(path: Path, name: str) -> str:
    data = path.read_bytes()
    if not data.strip():
        raise TableError(f"{name} is empty. A table needs a header and at least one row.")
    try:
        return data.decode("utf-8-sig")  # spreadsheets put a byte order mark before the header
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise TableError(
            f"{name}, line {line}, byte {column}: 0x{data[error.start]:02x} is not UTF-8. "
            f"Save the file as UTF-8, such as with: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8{path.suffix}"
        ) from error


def _listed(name: str, rows: Sequence[tuple[str, Row]]) -> Rows:
    """A table of rows in memory. Columns are those of all rows, as JSON objects may lack some."""
    if not rows:
        raise TableError(f"{name} is empty. A table needs at least one row.")
    columns = tuple(dict.fromkeys(column for _, row in rows for column in row))
    return Rows(
        name,
        columns,
        lambda wanted: ((location, {column: row.get(column) for column in wanted}) for location, row in rows),
    )


def _csv(path: Path, name: str) -> Rows:
    reader = csv.reader(
        io.StringIO(_text(path, name), newline=""),
        delimiter="\t" if path.suffix.lower() == ".tsv" else ",",
        strict=True,  # or an unclosed quote would swallow the rest of the file without a word
    )
    rows: list[tuple[str, Row]] = []
    header: list[str] = []
    # A row begins on the line after the end of the one before: quoted texts may span lines.
    start = 1
    try:
        for values in reader:
            location, start = f"{name}, line {start}", reader.line_num + 1
            if not values:
                continue
            if not header:
                header = [value.strip() for value in values]
                twice = {column for column in header if header.count(column) > 1}
                if twice:
                    raise TableError(
                        f"{location}: the header names '{sorted(twice)[0]}' twice. Give each column a name of its own."
                    )
                continue
            if len(values) != len(header):
                raise TableError(
                    f"{location} has {len(values)} values, the header has {len(header)}. "
                    f"Columns found: {', '.join(header)}. "
                    'Put a text that holds a comma between double quotes: "like, this".'
                )
            rows.append((location, dict(zip(header, values, strict=True))))
    except csv.Error as error:
        raise TableError(
            f"{name}, line {reader.line_num}: {error}. Write a double quote inside a quoted text twice."
        ) from error
    return _listed(name, rows)


def _jsonl(path: Path, name: str) -> Rows:
    rows: list[tuple[str, Row]] = []
    # Split at line feeds alone: JSON texts may hold other line separators as they are.
    for number, line in enumerate(_text(path, name).split("\n"), 1):
        if line.strip():
            location = f"{name}, line {number}"
            rows.append((location, _object(_json(line, location), location)))
    return _listed(name, rows)


def _json_list(path: Path, name: str) -> Rows:
    data = _json(_text(path, name), name)
    if not isinstance(data, list):
        raise TableError(
            f'{name} holds a {type(data).__name__}; expected a list of objects: [{{"question": ...}}, ...]. '
            "A file with one object a line ends in .jsonl."
        )
    return _listed(
        name, [(f"{name}, item {number}", _object(row, f"{name}, item {number}")) for number, row in enumerate(data, 1)]
    )


def _json(text: str, location: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if "\n" in text.strip() else ""
        raise TableError(f"{location}{line}: not JSON: {error.msg} at column {error.colno}.") from error


def _object(row: Any, location: str) -> Row:
    if not isinstance(row, dict):
        raise TableError(f'{location}: expected an object such as {{"question": "..."}}, found {type(row).__name__}.')
    return row


def _parquet(path: Path, name: str) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
        empty = not table.metadata.num_rows
    except pa.ArrowInvalid as error:
        raise TableError(f"{name} is not a Parquet file: {error}") from error
    if empty:
        raise TableError(f"{name} is empty. A table needs at least one row.")
    return arrow_rows(name, table.schema_arrow.names, lambda wanted: table.iter_batches(columns=list(wanted)))


def _arrow(path: Path, name: str) -> Rows:
    import pyarrow as pa

    try:
        # `save_to_disk` of datasets writes streams; other programs write files, which end in an index.
        try:
            table = pa.ipc.open_stream(path.read_bytes()).read_all()
        except pa.ArrowInvalid:
            table = pa.ipc.open_file(path.read_bytes()).read_all()
    except pa.ArrowInvalid as error:
        raise TableError(f"{name} is not an Arrow file: {error}") from error
    if not table.num_rows:
        raise TableError(f"{name} is empty. A table needs at least one row.")
    return arrow_rows(name, table.column_names, lambda wanted: table.select(list(wanted)).to_batches())


_READERS: dict[str, Callable[[Path, str], Rows]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json_list,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
SUFFIXES = tuple(_READERS)
