"""What is known of the files of a mirror: what stood at the URL, and which file here holds it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import write_text
from .urls import top_of

NOTE = ".known.json"
"""In the mirror: file → what is known of it."""
TICK = 50_000_000
"""Nanoseconds within which a file may be written twice and show one time."""


@dataclass
class Known:
    """A file that stood at the URL when it was last looked at."""

    tag: str
    """The storage's; "" where what stands there is damaged."""
    sha: str
    state: list[int]
    """Size, inode and time of the file here that holds this content; [] where these may not change with it."""
    away: int | None = None
    """The size of a file that was not brought, as nobody asked for it yet."""


def state_of(path: Path) -> list[int]:
    """Size, inode and time of a file. Raises OSError."""
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns]


def settled(state: list[int]) -> list[int]:
    """What will change with the file: not the time of one that was written within this tick of the clock."""
    return state if time.time_ns() - state[2] > TICK else []


def read_note(note: Path) -> dict[str, Known]:
    """File → what is known of it; {} where nothing is, or the note is damaged."""
    try:
        content: dict[str, Any] = json.loads(note.read_bytes())
        return {path: Known(**about) for path, about in content.items()}
    except (OSError, ValueError, TypeError):  # then everything is looked at
        return {}


def write_note(note: Path, known: Mapping[str, Known]) -> None:
    """Write what `read_note` reads. Raises StoreError."""
    write_text(note, json.dumps({path: asdict(each) for path, each in known.items()}))


def away(path: Path) -> int | None:
    """The size of a file of a mirror that stands at the URL and was not brought yet; None for any other path."""
    for part in parts_of(path):
        known = read_note(part / NOTE).get(path.relative_to(part).as_posix())
        if known is not None:
            return known.away
    return None


def parts_of(path: Path) -> list[Path]:
    """The folders that a path of a mirror may be a part of; none for any other path."""
    top = top_of(path)
    return [] if top is None else [folder for folder in path.parents if folder.is_relative_to(top)]
