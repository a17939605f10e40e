"""Tables of Parquet and Arrow, and the names of labels that the datasets library writes into them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import TableError
from .bound import PIECE, VALUE, Bound, longest, within
from .rows import Layout, Rows, named_twice

_LEAST, _BATCH = 4, 512
"""Rows read at a time: few enough for the processor's cache."""


def arrow_rows(
    name: str,
    columns: Sequence[str],
    batches: Callable[[Sequence[str]], Iterable[Any]],
    labels: Mapping[str, tuple[str, ...]] | None = None,
) -> Rows:
    """Rows out of pyarrow tables or record batches."""

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        number = 0
        for batch in batches(wanted):
            try:
                values = [batch.column(column).to_pylist() for column in wanted]
            except UnicodeDecodeError as error:  # Arrow checks texts only when they are read
                where = f"{name}, near row {number + 1}"
                raise TableError(
                    f"{where}: a text is not UTF-8 ({error.reason}). Write the file again as UTF-8."
                ) from error
            for row in zip(*values, strict=True):
                number += 1
                yield number, row

    return Rows(name, tuple(columns), read, lambda number: f"{name}, row {number}", labels or {})


def parquet(path: Path, name: str, layout: Layout) -> Rows:
    """The table in a Parquet file. Raises TableError: it is none, names a column twice, or has no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path, buffer_size=1 << 20)  # or a column of a row group is read as a whole
        empty = not table.metadata.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableError(f"{name} is not a Parquet file: {error}") from error
    if empty:
        raise TableError(f"{name} is empty. A table needs at least one row.")
    schema, bound = table.schema_arrow, Bound.of(name, path.stat().st_size, layout)
    bound.check_rows(table.metadata.num_rows)

    def batches(wanted: Sequence[str]) -> Iterator[Any]:
        try:
            count, far = _at_a_time(path, table.metadata, set(wanted), bound)
            read = table.iter_batches(batch_size=count, columns=list(wanted), use_threads=False)
            yield from read if far else within(read, bound)
            pa.default_memory_pool().release_unused()  # or what the batches took stays taken
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(f"{name} is damaged: {error}. Write the file again.") from error

    return arrow_rows(name, _columns(name, schema.names), batches, labels_of(schema.metadata))


def _at_a_time(path: Path, metadata: Any, wanted: Collection[str], bound: Bound) -> tuple[int, bool]:
    """(rows that may be unpacked before they are counted; whether they need not be, since the bound is far).

    Raises TableError where the file itself says that it is too large.
    """
    import pyarrow.parquet as pq

    size, short, dictionaries = 0, 0, set()
    longest_text = 0
    """Bytes of the longest text that is held once and may be shown many times, by `short` values."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            if not any(f"{chunk.path_in_schema}.".startswith(f"{column}.") for column in wanted):
                continue
            size += chunk.total_uncompressed_size + VALUE * chunk.num_values
            if chunk.physical_type != "BYTE_ARRAY":
                continue
            if chunk.has_dictionary_page:
                dictionaries.add(chunk.path_in_schema)
                short += chunk.num_values
            if "DELTA_BYTE_ARRAY" in chunk.encodings:  # a text repeats the beginning of the one before
                longest_text = max(longest_text, chunk.total_uncompressed_size)
                short += chunk.num_values
    bound.check_bytes(size, all_of_them=True)
    if dictionaries:
        file = pq.ParquetFile(path, read_dictionary=sorted(dictionaries), buffer_size=1 << 20)
        for group in range(metadata.num_row_groups):
            first = next(file.iter_batches(1, row_groups=[group], columns=sorted(wanted), use_threads=False), None)
            for column in () if first is None else first.columns:
                longest_text = max(longest_text, longest(column))
    at_a_time = max(_LEAST, min(_BATCH, PIECE // max(longest_text, 1)))
    return at_a_time, size + short * longest_text <= bound.bytes


def arrow(path: Path, name: str, layout: Layout) -> Rows:
    """The table in an Arrow file or stream. Raises TableError as `parquet` does."""
    import pyarrow as pa

    bound = Bound.of(name, path.stat().st_size, layout)
    try:
        # `save_to_disk` of datasets writes streams; other programs write files, which end in an index.
        try:
            stream = pa.ipc.open_stream(path.read_bytes())
            table = _all_of(stream, stream.schema, bound)
        except pa.ArrowInvalid:
            file = pa.ipc.open_file(path.read_bytes())
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
            table = _all_of(batches, file.schema, bound)
    except pa.ArrowInvalid as error:
        raise TableError(f"{name} is not an Arrow file: {error}") from error
    if not table.num_rows:
        raise TableError(f"{name} is empty. A table needs at least one row.")
    return arrow_rows(
        name,
        _columns(name, table.column_names),
        lambda wanted: within(table.select(list(wanted)).to_batches(_BATCH), bound),
        labels_of(table.schema.metadata),
    )


def _all_of(batches: Iterable[Any], schema: Any, bound: Bound) -> Any:
    """A table of record batches, which are counted as they are unpacked."""
    import pyarrow as pa

    kept, rows, size = [], 0, 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        bound.check_rows(rows, all_of_them=False)
        bound.check_bytes(size)
        kept.append(batch)
    return pa.Table.from_batches(kept, schema)


def _columns(name: str, columns: Sequence[str]) -> Sequence[str]:
    if (twice := named_twice(columns)) is not None:
        raise TableError(f"{name} names the column '{twice}' twice. Give each column a name of its own.")
    return columns


def labels_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Column → the names of its numbers, by the metadata that the datasets library writes."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return class_labels(features)


def class_labels(features: Any) -> dict[str, tuple[str, ...]]:
    """Column → the names of its numbers, of the `features` in the datasets library's own words."""
    if not isinstance(features, Mapping):
        return {}
    return {
        str(column): tuple(map(str, feature["names"]))
        for column, feature in features.items()
        if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }
