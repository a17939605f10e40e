"""Tables of Parquet and Arrow, and the names of labels that the datasets library writes into them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import TableError
from .rows import Layout, Rows

_BATCH = 512
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
    schema = table.schema_arrow

    def batches(wanted: Sequence[str]) -> Iterator[Any]:
        try:
            yield from table.iter_batches(batch_size=_BATCH, columns=list(wanted), use_threads=False)
            pa.default_memory_pool().release_unused()  # or what the batches took stays taken
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(f"{name} is damaged: {error}. Write the file again.") from error

    return arrow_rows(name, _columns(name, schema.names), batches, labels_of(schema.metadata))


def arrow(path: Path, name: str, layout: Layout) -> Rows:
    """The table in an Arrow file or stream. Raises TableError as `parquet` does."""
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
    return arrow_rows(
        name,
        _columns(name, table.column_names),
        lambda wanted: table.select(list(wanted)).to_batches(_BATCH),
        labels_of(table.schema.metadata),
    )


def _columns(name: str, columns: Sequence[str]) -> Sequence[str]:
    twice = next((column for column in columns if list(columns).count(column) > 1), None)
    if twice is not None:
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
