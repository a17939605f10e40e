"""Whether what was written is still there and whole. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path


def intact(path: Path) -> bool:
    """Whether a file that this package wrote is there and can be read; of a folder, whether all its files can."""
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
        return bool(files) and all(map(intact, files))
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".jsonl":
            lines = path.read_bytes().splitlines()
            return bool(lines) and all(json.loads(line) is not None for line in lines)
        elif path.suffix == ".parquet":
            _read_table(path)
        elif path.suffix == ".safetensors":
            return _whole_weights(path)
        return path.is_file()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _read_table(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _whole_weights(path: Path) -> bool:
    """Whether a file of safetensors is as long as its header says.

    https://github.com/huggingface/safetensors#format: 8 bytes that hold the length of the header, the header, the data.
    """
    # Not every byte: a disk or a copy that loses some makes the file shorter, and large weights are read slowly.
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if not 2 <= length <= size - 8:
            return False
        header = json.loads(file.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return bool(size == 8 + length + max(ends, default=0))
