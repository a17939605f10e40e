"""The folder of a saved student, without opening it. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.intact import intact
from ..core.remote import away

NOTE = "shrinklm.json"
"""The file beside a student's weights that says which class reads them, and how long the other files are."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""Files of which a saved tokenizer has one."""


def seal(folder: Path, about: Mapping[str, Any]) -> None:
    """Write shrinklm.json: what `about` says of the student, and how long each of the other files is."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != NOTE)
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in files}
    (folder / NOTE).write_text(json.dumps({**about, "files": sizes}))


def whole_student(folder: Path) -> bool:
    """Whether the folder holds a saved student with all its files, each as long as it was when it was written.

    For a student that version 0.1.0 saved, which noted no lengths: whether the files that one needs can be read.
    """
    try:
        note = json.loads((folder / NOTE).read_bytes())
        sizes = note.get("files") or dict.fromkeys(_needed(folder))
        lengths = [(_length(folder / name), size) for name, size in sizes.items()]
    except (OSError, ValueError, LookupError, AttributeError):  # a file is missing, or one that lists others is damaged
        return False
    if any(size not in (None, length) for length, size in lengths):
        return False
    # The lengths of all files say enough; without them each file is read.
    return all(map(intact, folder.glob("*.safetensors"))) if note.get("files") else intact(folder)


def _length(path: Path) -> int:
    """Of a file that is here, or stands at the URL of a run and is brought when it is opened. Raises OSError."""
    size = None if path.is_file() else away(path)
    return path.stat().st_size if size is None else size


def _needed(folder: Path) -> list[str]:
    """The files without which a saved student cannot be opened."""
    index = folder / "model.safetensors.index.json"
    shards = set(json.loads(index.read_bytes())["weight_map"].values()) if index.is_file() else {"model.safetensors"}
    tokenizer = next((name for name in _TOKENIZERS if (folder / name).is_file()), _TOKENIZERS[0])
    return [*sorted(shards), "config.json", tokenizer]


def class_name(student_class: type) -> str:
    """The name of a class in shrinklm.json."""
    return f"{student_class.__module__}:{student_class.__qualname__}"
