"""The one way onto the disk.

A file is there whole or not at all, whatever kills the process or fills the disk. A folder is replaced by two renames,
so a kill between them leaves the old one under the name `.NAME.old`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ShrinkError, StoreError
from .permissions import close, folder_below

if TYPE_CHECKING:
    from pyarrow import Table

GO_ON = "Check permissions and free space. What was written before is safe; the same command goes on from there."
NAME_ANOTHER = "Name a file in a folder that you can write to."
NAME_PLACE = "Name a place that you can write to."

# How libraries that are not written in Python name the system's error, each in an exception of its own: safetensors and
# tokenizers ("... (os error 28)"), Arrow ("[Errno 28] ..."), and torch's archive writer, which names none.
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]|PytorchStreamWriter failed|unexpected pos \d+ vs")


@contextmanager
def whole(path: Path, advice: str = GO_ON, shared: bool = False) -> Iterator[Path]:
    """Gives the path of a new file beside `path`, which takes its place when the block ends without an error.

    A link stays a link, and the permissions of a file that is replaced stay; a new one is no more open than its folder.
    A pipe or a device is written to as it is.

    Args:
        path: The file to write. Its folder is made.
        advice: What the message of an error tells the reader to do.
        shared: Several processes may write the same file at once; the last to finish is kept.

    Raises StoreError when it cannot be written; what stood at `path` then still does.
    """
    target = Path(os.path.realpath(path))
    # Beside the file, since only within one file system is a rename a single step. The fixed name lets the next try
    # overwrite what a killed process left; processes that write at once need names of their own.
    new = target.with_name(f".{target.name}.{uuid.uuid4().hex}.new" if shared else f".{target.name}.new")
    try:
        with writing(path, advice):
            replaced = _is_replaced(target)
            folder_below(target.parent)
            yield new if replaced else target
            if replaced:
                _flush(new)
                if target.exists():
                    os.chmod(new, stat.S_IMODE(target.stat().st_mode))
                else:
                    close(new)
                os.replace(new, target)
    finally:
        _remove(new)


@contextmanager
def whole_folder(folder: Path, shared: bool = False, advice: str = GO_ON) -> Iterator[Path]:
    """Gives a new folder beside `folder`, which takes its place when the block ends without an error.

    Args:
        folder: The folder to write; an old one is replaced with all that it held.
        shared: Several processes may write the same folder at once, and the first to finish is kept.
        advice: See `whole`.

    Raises StoreError when it cannot be written; the old folder then stands as it was.
    """
    with writing(folder, advice):
        folder_below(folder.parent)
        # The fixed name lets the next try remove what a killed process left; processes that write at once need names of
        # their own.
        new = (
            Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            if shared
            else folder.with_name(f".{folder.name}.new")
        )
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            yield new
            close(new)
            for path in sorted(new.rglob("*")):  # a folder before what is in it
                close(path)
                if path.is_file():
                    _flush(path)
            if shared:
                _replace_unless_there(new, folder)
            else:
                _swap(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def write_bytes(path: Path, content: bytes, advice: str = GO_ON) -> None:
    """Writes a file. Raises StoreError, see `whole`."""
    with whole(path, advice) as new:
        new.write_bytes(content)


def write_text(path: Path, text: str, advice: str = GO_ON) -> None:
    """Writes text as UTF-8. Raises StoreError, see `whole`."""
    write_bytes(path, text.encode("utf-8"), advice)


def write_json(path: Path, value: Any, advice: str = GO_ON) -> None:
    """Writes JSON, keys in the order of the mapping. Raises StoreError, see `whole`."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n", advice)


def write_jsonl(path: Path, rows: Iterable[Any], advice: str = GO_ON) -> None:
    """Writes one line of JSON for each row, as it comes. Raises StoreError, see `whole`."""
    with whole(path, advice) as new, new.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def private_folder(folder: Path) -> None:
    """Makes a folder for its owner alone; one that is there stays as it is. Raises OSError."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def private_file(path: Path) -> None:
    """Makes an empty file for its owner alone; what is there stays. Raises OSError, also without its folder."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def write_parquet(
    path: Path,
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, Any] | None = None,
    advice: str = GO_ON,
    group: int | None = None,
) -> None:
    """Writes rows as Parquet.

    Args:
        path: The file.
        rows: Column → value, a mapping for each row.
        columns: Column → Arrow type or its name, such as "string", in order; left out: as the rows say.
        advice: See `whole`.
        group: Rows that are in memory, and in a row group, at a time; None: all. Needs `columns`.

    Raises StoreError, see `whole`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = None if columns is None else pa.schema(list(columns.items()))
    if group is None:
        write_table(path, pa.Table.from_pylist(list(rows), schema=schema), advice)
        return
    with whole(path, advice) as new:
        left = iter(rows)
        with pq.ParquetWriter(new, schema, compression="zstd") as writer:
            while part := list(islice(left, group)):
                writer.write_table(pa.Table.from_pylist(part, schema=schema))


def write_table(path: Path, table: Table, advice: str = GO_ON) -> None:
    """Writes a table of Arrow as Parquet. Raises StoreError, see `whole`."""
    import pyarrow.parquet as pq

    with whole(path, advice) as new:
        pq.write_table(table, new, compression="zstd")


def write_together(folder: Path, files: Mapping[str, bytes], advice: str = GO_ON) -> None:
    """Writes many files of a folder, and moves them into place when all of them are on the disk.

    Args:
        folder: Where they belong.
        files: Path below the folder → content. Whatever stands directly in the folder is moved in the order in which it
            is first named; a folder there, such as the first part of "report/main.csv", is replaced with all that it
            held.
        advice: See `whole`.

    Raises StoreError, see `whole`.
    """
    with writing(folder, advice):
        folder_below(folder)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as scratch:
            # All content is written before anything is moved: a full disk is met while the old files still stand.
            new = Path(scratch, "new")
            for name, content in files.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                _flush(path)
            for path in new.rglob("*"):
                close(path, folder)
            for top in dict.fromkeys(Path(name).parts[0] for name in files):
                # A file is replaced in one step, a folder is not.
                move = _swap if (folder / top).is_dir() else os.replace
                move(new / top, folder / top)


def read_json(path: Path) -> Any:
    """Reads JSON. Raises StoreError when it is missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}. Delete it and run the same command again.") from error


class Part:
    """The finished chunks of work under way: a first line that identifies the work, then a line of JSON for each chunk.

    Args:
        path: The file. It is begun anew when it belongs to something else.
        about: Identifies the work: a digest of all that the chunks depend on.

    Raises StoreError when the file cannot be read or written.
    """

    def __init__(self, path: Path, about: str) -> None:
        self.path = path
        self.chunks: list[dict[str, Any]] = []
        head = json.dumps({"asked": about}).encode() + b"\n"
        try:
            folder_below(path.parent)
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            # Chunks of other questions or settings are worth nothing here.
            if lines[:1] != [head]:
                path.write_bytes(head)
                close(path)
                return
            # Counted in bytes, so that the torn end can be cut off: the next chunk must begin on a line of its own.
            intact = len(head)
            for line in lines[1:]:
                if not line.endswith(b"\n"):
                    break  # torn by a kill: that chunk is asked again
                self.chunks.append(json.loads(line))
                intact += len(line)
            os.truncate(path, intact)
        except (OSError, ValueError) as error:
            raise _unusable(path, error) from error

    def add(self, chunk: dict[str, Any]) -> None:
        """Writes a finished chunk; it is on the disk when this returns."""
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(chunk).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unusable(self.path, error) from error
        self.chunks.append(chunk)


@contextmanager
def writing(path: Path, advice: str = GO_ON) -> Iterator[None]:
    """Turns the errors of a full or read-only disk into a StoreError about `path`, whichever library raises them.

    Other errors pass.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, advice) from error
    except Exception as error:
        if (found := _system_error(error)) is None:
            raise
        raise unwritable(path, found, advice) from error


def unwritable(path: Path, error: OSError, advice: str = GO_ON) -> StoreError:
    """The error for a path that cannot be written, and what to do about it."""
    return StoreError(f"{path} cannot be written: {error.strerror or error}. {advice}")


def _system_error(error: Exception) -> OSError | None:
    """The system's error that an exception of a library tells of; None where it tells of none."""
    match = None if isinstance(error, ShrinkError) else _SYSTEM_ERROR.search(str(error))
    if match is None:
        return None
    number = int(match[1] or match[2] or 0)
    return OSError(number, os.strerror(number) if number else "the disk takes no more")


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} cannot be used: {error}. Check that its folder can be written and has space (a broken file may be "
        "deleted), "
        "then run the same command again."
    )


def _swap(new: Path, folder: Path) -> None:
    """Puts a new folder in the place of an old one, which comes back when that fails or is interrupted."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
    except BaseException:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _replace_unless_there(new: Path, folder: Path) -> None:
    """Moves a new folder into place, unless another process was faster: its folder may be in use already."""
    try:
        os.replace(new, folder)
    except OSError:
        if not folder.is_dir():
            raise


def _is_replaced(path: Path) -> bool:
    # One look: between two, another process may put the file there.
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True


def _flush(path: Path) -> None:
    """Forces a file's content onto the disk, so that its new name never stands before its content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Removes what an error left, as far as that is possible."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
