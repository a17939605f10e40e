"""The run in a folder that was made before."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import StoreError
from ..core.files import read_json
from ..core.remote import is_url, mirror, named
from ..core.results import RunFile
from ..core.types import Tick
from .engines.base import Engine
from .lock import FolderLock
from .recipe import Recipe
from .run import Run


def run_folder(place: str | Path, tick: Tick | None = None) -> Path:
    """The folder of a run, or the mirror of one at a URL, brought up to date. Raises StoreError."""
    folder = mirror(str(place)) if is_url(place) else Path(place).resolve()
    FolderLock(folder, tick).look()
    return folder


def open_run(folder: str | Path, tick: Tick | None = None, engine: Engine | None = None, trust: bool = False) -> Run:
    """The run in a folder made before, or at a URL. Raises StoreError when it holds none.

    `trust`: code that its recipe names may run, wherever the folder lies; see `core.trust`.
    """
    folder = run_folder(folder, tick)
    recipe, environment = folder / RunFile.RECIPE, folder / RunFile.ENVIRONMENT
    for path in (recipe, environment):
        if not path.is_file():
            raise StoreError(
                f"{named(str(folder))} is not a run folder: it has no {path.name}. "
                "Run folders are made by: shrinklm run RECIPE"
            )
    # The recipe's paths start where the recipe stood, not in the run folder.
    root = Path(read_json(environment)["root"])
    run = Run(Recipe.read(recipe, trust).model_copy(update={"root": root}), tick=tick, engine=engine)
    run.folder = folder
    return run
