"""Tables of delimited text: CSV, TSV and what spreadsheets call so."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..errors import TableError
from .rows import Layout, Rows, named_twice
from .text import encoding_of

_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "\\t": "\t"}
_SAMPLE = 60
"""Rows by which the delimiter is found out."""
_SAYS = re.compile(r"\"?sep=(.)\"?\s*\Z")
"""Excel's own line above the header."""


def delimited(path: Path, name: str, layout: Layout) -> Rows:
    """The table in a delimited text.

    Raises TableError: no text, no rows, or (also while rows are read) a row that does not fit the header.
    """
    # A cell may hold a whole document; the module's own limit is 131,072 characters.
    csv.field_size_limit(2**31 - 1)
    file = _File(path, name, encoding_of(path, name, layout.encoding), layout.delimiter)
    header = next(file.rows(), None)
    if header is None:
        raise TableError(f"{name} is empty. A table needs a header and at least one row.")
    columns = [value.strip() for value in header[1]]
    named = [column for column in columns if column]
    if (twice := named_twice(sorted(named))) is not None:
        raise TableError(
            f"{file.place(header[0])}: the header names '{twice}' twice. Give each column a name of its own."
        )
    file.settle(columns)
    if next(file.fitted(columns), None) is None:
        raise TableError(f"{name} is empty. A table needs at least one row.")

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        places = [columns.index(column) if column in columns else len(columns) for column in wanted]
        picked = itemgetter(*places) if len(places) > 1 else lambda values: [values[place] for place in places]
        for number, values in file.fitted(columns):
            values.append("")
            yield number, picked(values)

    # A column without a name, such as the row numbers of pandas, cannot be asked for.
    return Rows(name, tuple(named), read, file.place)


class _File:
    """A delimited text, read as often as asked for."""

    def __init__(self, path: Path, name: str, encoding: str, delimiter: str | None) -> None:
        self.path, self.name, self.encoding = path, name, encoding
        self.quoted = True
        with path.open(encoding=encoding, newline="") as file:
            said = _SAYS.match(file.readline())
        self.skipped = 1 if said else 0
        self.delimiter = self._asked(delimiter) or (said[1] if said else self._found())

    def place(self, number: int) -> str:
        return f"{self.name}, line {number}"

    def _asked(self, delimiter: str | None) -> str | None:
        if delimiter is None:
            return None
        mark = _NAMES.get(delimiter, delimiter)
        if len(mark) != 1 or mark in '\r\n"':
            raise TableError(f"{self.name}: the delimiter {delimiter!r} is no single character. Such as ';' or tab.")
        return mark

    def _found(self) -> str:
        """The delimiter that cuts the first rows into the most columns, as many in each as the header has."""
        own = "\t" if self.path.suffix.lower() in (".tsv", ".tab", ".txt") else ","
        best, found = (False, 0.0, False, 0), own
        for mark in (own, *(mark for mark in _DELIMITERS if mark != own)):
            counts = []
            try:
                for values in islice(self._values(mark, strict=False), _SAMPLE):
                    counts.append(len(values[1]))
            except csv.Error:
                continue
            if not counts:
                continue
            share = sum(count == counts[0] for count in counts) / len(counts)
            rank = (counts[0] > 1, share, mark == own, counts[0])
            if rank > best:
                best, found = rank, mark
        return found

    def settle(self, columns: Sequence[str]) -> None:
        """Finds out whether quotes in a text between tabs are quotes: many programs that write one quote nothing."""
        if self.delimiter != "\t" or not self._has_quotes():
            return
        try:
            for _ in self.fitted(columns):
                pass
        except TableError:
            self.quoted = False
            try:
                for _ in self.fitted(columns):
                    pass
            except TableError:
                self.quoted = True  # neither way: what is wrong is told as the rows are read

    def _has_quotes(self) -> bool:
        with self.path.open(encoding=self.encoding, newline="") as file:
            return any('"' in line for line in file)

    def _values(self, delimiter: str, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
        """Pairs of the line on which a row begins and its cells; lines without any are left out."""
        with self.path.open(encoding=self.encoding, newline="") as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(
                file,
                delimiter=delimiter,
                quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
                strict=strict,  # or an unclosed quote would swallow the rest of the file without a word
                skipinitialspace=delimiter != " ",  # "a", "b": a quote after a blank
            )
            # A row begins on the line after the end of the one before: quoted texts may span lines.
            start = self.skipped + 1
            with self._as_table_error(reader) if strict else _nothing():
                for values in reader:
                    if values:
                        yield start, values
                    start = self.skipped + reader.line_num + 1

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        return self._values(self.delimiter)

    def fitted(self, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, each as long as it; those without a filled cell are left out."""
        length, rows = len(columns), self.rows()
        next(rows)
        for number, values in rows:
            if len(values) != length:
                # Spreadsheets write, or leave out, cells beyond the last column with a name.
                if any(map(str.strip, values[length:])) or (any(columns[len(values) :]) and any(values)):
                    raise TableError(self._ragged(number, values, columns))
                values = [*values[:length], *[""] * (length - len(values))]
            # Spreadsheets write rows of nothing but delimiters below a table.
            if values[0].strip() or any(map(str.strip, values)):
                yield number, values

    def _ragged(self, number: int, values: Sequence[str], columns: Sequence[str]) -> str:
        sign = {"\t": "tab"}.get(self.delimiter, {",": "comma", ";": "semicolon"}.get(self.delimiter, self.delimiter))
        return (
            f"{self.place(number)} has {len(values)} values, the header has {len(columns)}. "
            f"Columns found: {', '.join(columns)}. "
            f'Put a text that holds a {sign} between double quotes: "like{self.delimiter} this".'
        )

    @contextmanager
    def _as_table_error(self, reader: Any) -> Iterator[None]:
        try:
            yield
        except csv.Error as error:
            raise TableError(
                f"{self.name}, line {self.skipped + reader.line_num}: {error}. "
                "Write a double quote inside a quoted text twice."
            ) from error


@contextmanager
def _nothing() -> Iterator[None]:
    yield
