"""Where a run folder is kept: on the disk, or at a URL, with a mirror here that all stages work in."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ..core.errors import StoreError
from ..core.files import read_json
from ..core.intact import intact
from ..core.remote import Habits, Lease, Mirror, home_of, open_objects, top_of, url_of
from ..core.results import CellFile, RunFile
from ..core.types import Tick
from ..students.saved import NOTE

_PASSING = frozenset({CellFile.STARTED, CellFile.MICRO_BATCH, CellFile.LOG})
"""Files that a run removes itself."""
_PASSING_FOLDERS = frozenset({CellFile.CHECKPOINTS, CellFile.SIMULATOR_FOLDER, RunFile.DONE, RunFile.REPORT})
_LATE = frozenset({CellFile.ABOUT, NOTE, "state.json", RunFile.RECIPE})
"""Files that say that those beside them are there, where the clock is too coarse to tell that they came after."""


class Storage:
    """The storage of a run folder: for one on the disk it does nothing.

    A run at a URL has a mirror, in which all work is done: `pull` brings it up to date, and `push` sends what came of
    the work. The folder of each cell is brought and sent by itself, so that several machines may each work on a cell.

    Args:
        folder: The run folder, on the disk or the mirror of one at a URL (`Recipe.run_folder`); of a mirror also a
            folder in it.
        tick: Called with what is not as it should be.
    """

    def __init__(self, folder: Path, tick: Tick | None = None) -> None:
        self.folder = top_of(folder) or folder
        self.url = url_of(self.folder)
        self._tick = tick

    @property
    def place(self) -> str:
        """The run folder as messages name it."""
        return self.url or str(self.folder)

    def pull(self, folder: Path | None = None) -> None:
        """Brings what stands at the URL and differs from the mirror.

        Args:
            folder: The folder of a cell, or one in it; left out: the whole run.

        Raises StoreError when the URL cannot be reached, MissingExtra without the package of its storage.
        """
        if self.url is None:
            return
        if part := self._part(folder or self.folder):
            self._mirror(part).pull()
            return
        there = open_objects(self.url).list()
        names = [path.split("/")[1] for path in there if path.startswith(f"{RunFile.CELLS}/") and path.count("/") > 1]
        parts = {f"{RunFile.CELLS}/{name}" for name in names if name and name[0] != "."}
        self._mirror("").pull(there)
        for part in sorted(parts | self._here()):
            own = {path.removeprefix(f"{part}/"): thing for path, thing in there.items() if path.startswith(f"{part}/")}
            self._mirror(part).pull(own)

    def pull_common(self) -> None:
        """`pull` of what belongs to no cell."""
        if self.url is not None:
            self._mirror("").pull()

    def push(self, folder: Path | None = None) -> None:
        """Sends what changed in the mirror; see `pull`. Killed at any point, the URL holds an interrupted run."""
        if self.url is None:
            return
        part = self._part(folder or self.folder)
        for each in [part] if part else [*sorted(self._here()), ""]:
            self._mirror(each).push()

    def send(self, folder: Path) -> None:
        """`push` while work goes on: what cannot be sent is told, and the next push sends it."""
        try:
            self.push(folder)
        except StoreError as error:
            self.tell(str(error))

    def lease(self) -> Lease:
        """The right to write to the run at the URL, not taken yet."""
        assert self.url is not None
        return Lease(f"{self.url}/{RunFile.LOCK}", self.url, home_of(self.folder), self.tell)

    def _part(self, folder: Path) -> str:
        """The cell that a folder belongs to, as its path in the run folder; "" for none."""
        parts = folder.relative_to(self.folder).parts
        return "/".join(parts[:2]) if len(parts) > 1 and parts[0] == RunFile.CELLS else ""

    def _here(self) -> set[str]:
        return {f"{RunFile.CELLS}/{path.name}" for path in (self.folder / RunFile.CELLS).glob("[!.]*") if path.is_dir()}

    def _mirror(self, part: str) -> Mirror:
        assert self.url is not None
        return Mirror(self.url, part, (RunFile.CELLS,), _HABITS, self.tell)

    def tell(self, note: str) -> None:
        """Tell what is not as it should be."""
        if self._tick is not None:
            self._tick("storage", 0, 0, note)


def _is_marker(path: str) -> bool:
    return PurePosixPath(path).parent.name == RunFile.DONE


def _rank(path: str) -> int:
    return 2 if _is_marker(path) else int(PurePosixPath(path).name in _LATE)


def _passes(path: str) -> bool:
    place = PurePosixPath(path)
    return place.name in _PASSING or place.suffix == ".part" or not _PASSING_FOLDERS.isdisjoint(place.parts[:-1])


def _clears(path: str) -> bool:
    # The checkpoints that stand beside it are those of the work that it names.
    return PurePosixPath(path).name == CellFile.STARTED


def _waits(path: Path) -> bool:
    """Weights of a student whose record says how long they are: so it is known that they are there and whole."""
    note = path.parent / NOTE
    return path.parent.name == CellFile.STUDENT and intact(note) and bool(read_json(note).get("files"))


def _joins(path: str) -> bool:
    return path == RunFile.ESCALATED


_HABITS = Habits(_rank, _is_marker, _passes, _clears, _waits, _joins)
