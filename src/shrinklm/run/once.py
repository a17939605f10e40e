"""Doing a piece of work once: its results are kept, and a marker, written last, holds the key they were made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import StudentError
from ..core.files import read_json, write_json, write_text
from ..core.intact import intact
from ..core.results import RunFile


@dataclass(frozen=True)
class Stage:
    """One piece of work of a run: when it is done, what it depends on, and the work, which takes no arguments."""

    marker: Path
    """Holds the key once the work is done."""
    key: str
    """A digest of everything the results depend on: equal keys mean equal results."""
    work: Callable[[], None]
    """Makes the results."""
    makes: tuple[Path, ...] = ()
    """What the work leaves. Where one of these is missing or damaged, the stage is not done, whatever its marker
    says."""
    whole: Callable[[], bool] = lambda: True
    """A further check of what the work left, where more than the form of single files tells."""
    needs: Mapping[Path, str] = field(default_factory=dict)
    """The markers of the stages that come first → the message for when one is missing."""

    @property
    def done(self) -> bool:
        """Whether the work was done, with this key, and its results are still there and whole."""
        return same_work(read_marker(self.marker), self.key) and all(map(intact, self.makes)) and self.whole()


def once(stage: Stage) -> bool:
    """Does the work of a stage unless it is done, and returns whether it was done now.

    Raises StudentError when a stage that comes first is not done, and whatever the work raises; the marker is then not
    written.
    """
    for marker, message in stage.needs.items():
        if read_marker(marker) is None:
            raise StudentError(message)
    if stage.done:
        return False
    stage.work()
    # Last: after a kill in the middle of the work there is no marker, and the work is taken up again.
    write_text(stage.marker, stage.key)
    return True


_FROM = " from "


def with_start(key: str, start: str) -> str:
    """A key that also names the models that the work starts from, by a digest; `key` itself without one."""
    return f"{key}{_FROM}{start}" if start else key


def split_start(key: str) -> tuple[str, str]:
    """(key, start) of what `with_start` made."""
    plain, _, start = key.partition(_FROM)
    return plain, start


def same_work(marker: str | None, key: str) -> bool:
    """Whether a marker is of the work that a key names.

    Where one of them names no start, the rest decides: version 0.1.0 wrote none, and weights that were deleted after a
    training have none.
    """
    if marker is None:
        return False
    (known, before), (wanted, now) = split_start(marker), split_start(key)
    return known == wanted and (before == now or not before or not now)


def recall(path: Path, key: str, name: str, work: Callable[[], Any]) -> Any:
    """The value that a JSON file holds under `name`; computed and written first when the file is missing, damaged or
    holds another key."""
    known = read_json(path) if intact(path) else None
    if isinstance(known, dict) and same_work(str(known.get("asked")), key) and name in known:
        return known[name]
    value = work()
    write_json(path, {"asked": key, name: value})
    return value


def marker(folder: Path, stage: str) -> Path:
    """The marker of a stage in a run folder or in a cell's."""
    return folder / RunFile.DONE / stage


def read_marker(path: Path) -> str | None:
    """The content of a marker; None when the stage was never done, or its marker is empty or no text."""
    try:
        return path.read_text(encoding="utf-8") or None
    except (OSError, UnicodeDecodeError):
        return None
