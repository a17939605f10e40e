"""What a mirror must know of the files of a folder, which only whoever writes them can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Habits:
    """What is known of the files of a folder."""

    rank: Callable[[str], int] = lambda path: 0
    """Files of a higher rank are sent later; within a rank, in the order in which they were written."""
    mark: Callable[[str], bool] = lambda path: False
    """Whether a file says that others are done: one that changed is removed there before these are sent."""
    passes: Callable[[str], bool] = lambda path: False
    """Whether a file may be removed: one that is gone here is then removed there, and any other one is brought back."""
    clears: Callable[[str], bool] = lambda path: False
    """Whether what is gone here must be gone there before a file of this name is sent, when that file changed."""
    waits: Callable[[Path], bool] = lambda path: False
    """Whether a file of weights, by its path here, is brought only when it is asked for (`bring`)."""
    joins: Callable[[str], bool] = lambda path: False
    """Whether a file holds lines that are added at any time, by processes that hold nothing: where another machine's
    takes its place, its own lines stay behind those."""
