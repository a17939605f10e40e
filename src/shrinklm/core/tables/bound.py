"""How much a file may unpack into: kilobytes of Parquet may stand for billions of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TableError
from .rows import Layout, Rows

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 2**20
"""Rows that any file may have, the most of a sheet in Excel. A larger file may have one for each of its bytes: so texts
are never stopped, which take more for a row, and neither are tables of them, however well they are packed."""
BYTES = 10**9
RATIO = 100
"""A file may unpack to so many bytes, or to so many times its own size if that is more."""
VALUE = 16
"""Bytes of a value in memory, at least."""
PIECE = 2**26
"""Bytes that are unpacked before they are counted."""


@dataclass(frozen=True)
class Bound:
    """What is read of one table."""

    name: str
    """As errors call it."""
    size: int
    """Of its files, in bytes."""
    rows: float
    bytes: float
    block: str
    """The block of a recipe that names the table; "" where none does."""

    @classmethod
    def of(cls, name: str, size: int, layout: Layout) -> Bound:
        """The bound that a recipe states, or else the usual one for a file of so many bytes."""
        rows, megabytes = layout.most_rows, layout.most_megabytes
        return cls(
            name,
            size,
            max(ROWS, size) if rows is None else rows,
            max(BYTES, RATIO * size) if megabytes is None else megabytes * 10**6,
            layout.block,
        )

    def check_rows(self, rows: int, all_of_them: bool = True) -> None:
        """Raises TableError for too many rows."""
        if rows > self.rows:
            has = f"holds {rows:,} rows" if all_of_them else f"holds more than {self.rows:,.0f} rows"
            usual = "" if self.rows != ROWS else f" of a file of {_bytes(self.size)}"
            raise TableError(
                f"{self.name} {has}; {self.rows:,.0f} are read{usual}. {self._advice(f'most_rows: {max(rows, ROWS)}')}"
            )

    def check_bytes(self, size: float, all_of_them: bool = False) -> None:
        """Raises TableError for too many bytes."""
        if size > self.bytes:
            more = "" if all_of_them else "more than "
            found = size if all_of_them else self.bytes
            raise TableError(
                f"{self.name} has {_bytes(self.size)} and unpacks to {more}{_bytes(found)}; {_bytes(self.bytes)} are "
                f"read. {self._advice(f'most_megabytes: {math.ceil(2 * max(found, 10**6) / 10**6)}')}"
            )

    def _advice(self, key: str) -> str:
        if self.block:
            return f"If that is right, write in the recipe, under {self.block}: {key}"
        return "If that is right, save it as CSV, which is read whatever it holds."


def counted(rows: Rows, bound: Bound) -> Rows:
    """The same table, which is read as far as its rows are within the bound."""

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        for count, row in enumerate(rows.read(wanted), 1):
            if count > bound.rows:
                bound.check_rows(count, all_of_them=False)
            yield row

    return Rows(rows.name, rows.columns, read, rows.place, rows.labels)


def size_of(paths: Iterable[str | Path]) -> int:
    """The bytes of files."""
    return sum(Path(path).stat().st_size for path in paths)


def within(batches: Iterable[pa.RecordBatch], bound: Bound) -> Iterator[pa.RecordBatch]:
    """The same batches, as far as what they unpack to is within the bound. Raises TableError at the first beyond it."""
    rows, size = 0, 0.0
    for batch in batches:
        rows += batch.num_rows
        size += sum(_weight(column) for column in batch.columns)
        bound.check_rows(rows, all_of_them=False)
        bound.check_bytes(size)
        yield batch


def leaves(array: Any) -> Iterator[Any]:
    """The arrays of values inside an array, at any depth, as far as it shows them."""
    import pyarrow as pa

    kind = array.type
    if isinstance(array, pa.ChunkedArray):
        for chunk in array.chunks:
            yield from leaves(chunk)
    elif isinstance(array, pa.ExtensionArray):
        yield from leaves(array.storage)
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from leaves(part)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from leaves(array.flatten())
    else:
        yield array


def _weight(column: Any) -> float:
    """Bytes that the values of a column take, each written out."""
    return sum(VALUE * len(leaf) + _length(leaf) for leaf in leaves(column))


def _length(leaf: Any) -> float:
    """Bytes of the texts of an array; 0 for values of a fixed size."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_primitive(leaf.type):
        return 0
    coded = pa.types.is_dictionary(leaf.type)
    lengths = _lengths(leaf.dictionary if coded else leaf)
    if lengths is None:  # Arrow cannot tell: views, runs and maps may show one text many times
        return 0 if coded else sum(_held(value.as_py()) for value in leaf)
    return pc.sum(pc.take(lengths, leaf.indices) if coded else lengths).as_py() or 0


def _held(value: Any) -> int:
    """Bytes that a value takes, about."""
    if isinstance(value, (list, tuple, dict)):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return VALUE * len(inner) + sum(map(_held, inner))
    return len(value) if isinstance(value, (str, bytes)) else 0


def _lengths(array: Any) -> Any:
    """The bytes of each text of an array; None for other values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(pc.binary_length(array), pa.int64())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return None


def longest(array: Any) -> int:
    """Bytes of the longest text in the dictionaries of an array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = [_lengths(leaf.dictionary) for leaf in leaves(array) if pa.types.is_dictionary(leaf.type)]
    return max((pc.max(each).as_py() or 0 for each in found if each is not None), default=0)


def _bytes(size: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:,.3g} {unit}"
    return f"{size:,.0f} bytes"
