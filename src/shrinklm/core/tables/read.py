"""The readers of files by suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import TableError
from .bound import Bound, counted
from .columnar import arrow, parquet
from .delimited import delimited
from .objects import objects
from .rows import Layout, Rows
from .workbook import workbook

_READERS: dict[str, Callable[[Path, str, Layout], Rows]] = {
    ".csv": delimited,
    ".tsv": delimited,
    ".tab": delimited,
    ".txt": delimited,
    ".jsonl": objects,
    ".ndjson": objects,
    ".json": objects,
    ".parquet": parquet,
    ".arrow": arrow,
    ".xlsx": workbook,
    ".xlsm": workbook,
}
SUFFIXES = tuple(_READERS)
FOLDER_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in (".txt", ".tab"))
"""Those that are looked for in a folder, where a text file is mostly a note or a licence."""
_ADVICE = {
    ".xls": "Save the workbook as .xlsx or CSV.",
    ".ods": "Save the sheet as .xlsx or CSV.",
    ".gz": "Unpack it with: gunzip FILE",
    ".zip": "Unpack it, and name the file inside.",
    ".pkl": "A pickle runs code when it is read. Write the table as Parquet: frame.to_parquet(...).",
}
_ADVICE[".pickle"] = _ADVICE[".pkl"]


def read_file(path: Path, name: str, layout: Layout | None = None) -> Rows:
    """The rows of a file, by its suffix; `name` is what errors call it.

    Raises TableError: it cannot be read, is empty, or is not what its suffix says.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        advice = _ADVICE.get(path.suffix.lower(), "")
        raise TableError(
            f"{name}: files of the kind '{path.suffix}' are not read. Known: {', '.join(SUFFIXES)}. {advice}".rstrip()
        )
    try:
        layout = layout or Layout()
        rows = reader(path, name, layout)
        # Those that are packed count for themselves, before they unpack.
        stated = layout.most_rows is not None and reader in (delimited, objects)
        return counted(rows, Bound.of(name, path.stat().st_size, layout)) if stated else rows
    except OSError as error:
        raise TableError(f"{name} cannot be read: {error.strerror or error}. Is it readable by you?") from error
