"""What every task shares: its options, its splits, and the one parser of answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_STATES = re.compile(r"(?:\bso,?\s+)?\bthe (?:correct |right |best )?answer is\b\s*:?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class TaskOptions:
    """The `task:` block of a recipe, with paths still relative to `root`."""

    train: str | None = None
    """File, folder (save_to_disk too) or hub name; a named task knows its own."""
    dev: float | str = 0.1
    """Share of train, seeded; or a file like `train`."""
    test: float | str | None = None
    """A file like `train`, or a share of train, seeded."""
    columns: dict[str, Any] = field(default_factory=dict)
    type: str | None = None
    """choice, nli, yesno or free; None: the table decides."""
    seed: int = 0
    """Splits the data and shuffles the choices."""
    shuffle: bool = True
    """Shuffle the choices of each question (never a fixed list of labels)."""
    limit: int | dict[str, int] | None = None
    """At most so many examples of each split, or of the splits named."""
    root: Path = Path(".")


def split_answer(text: str) -> tuple[str, str]:
    """(what stands before the last "the answer is", what stands after it); without one: ("", text)."""
    last = None
    for last in _STATES.finditer(text):
        pass
    return ("", text) if last is None else (text[: last.start()], text[last.end() :])
