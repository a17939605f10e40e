"""`run:PATH#METHOD`: a trained student of another run as the teacher of this one."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from ..core.errors import ShrinkError, TeacherError
from ..core.files import read_json
from ..core.remote import is_url
from ..core.results import CellFile, RunFile
from ..deploy.mentor import Mentor
from ..models.locate import locate_model
from ..students.open import load_student
from ..students.saved import NOTE
from ..teachers.base import TeacherOptions
from .folder import Cell
from .opening import open_run, run_folder
from .recipe import Recipe

_FORM = "run:PATH#METHOD, where PATH is a run folder or its recipe; run:PATH#METHOD@SEED where there are several seeds"


def mentor(rest: str, options: TeacherOptions) -> Mentor:
    """`run:PATH#METHOD`: a student that another run trained; PATH is its folder or its recipe.

    `rest` is "PATH", "PATH#METHOD", "PATH#METHOD@SEED" or "PATH#CELL". No weights are loaded.

    Raises TeacherError for a run, a method or a cell that is not there, not trained, or not the only one of its name,
    and for the run that asks.
    """
    if not rest:
        raise TeacherError(f"'run' names no run. Write {_FORM}.")
    place, wanted = (rest, "") if (options.root / Path(rest).expanduser()).exists() else _split(rest)
    folder = _folder(place if is_url(place) else options.root / Path(place).expanduser())
    if options.run is not None and options.run.resolve() == folder:
        raise TeacherError(
            f"'run:{rest}' is this run itself, and no student teaches itself. Give the mentor's recipe another `name`, "
            "train it first, and name its folder here."
        )
    cells = _cells(folder)
    cell = _the_one(cells, wanted, folder)
    home = cell.folder / CellFile.STUDENT
    load = partial(load_student, home, use=cell.student.use)
    family = read_json(home / NOTE)["family"]
    return Mentor(f"{folder.name}#{cell.name}", cell.method, locate_model(str(home)), family, load, options)


def _split(rest: str) -> tuple[str, str]:
    place, _, wanted = rest.rpartition("#")
    return (place, wanted) if place else (rest, "")


def _folder(path: str | Path) -> Path:
    """The run folder that a path or a URL names. Raises TeacherError."""
    if isinstance(path, Path) and path.is_file():
        try:
            folder = run_folder(Recipe.read(path).run_folder)
        except ShrinkError as error:
            raise TeacherError(f"The mentor's recipe cannot be read. {error}") from error
        made_by = f"shrinklm run {path}"
    else:
        folder, made_by = run_folder(path), "shrinklm run RECIPE"
    if not (folder / RunFile.RECIPE).is_file():
        known = sorted(each.parent.name for each in folder.parent.glob(f"*/{RunFile.RECIPE}"))
        there = f"Runs in {folder.parent}: {', '.join(known)}" if known else f"There is no run in {folder.parent}"
        raise TeacherError(f"There is no run at {folder}. {there}. Train the mentor first: {made_by}")
    return folder


def _cells(folder: Path) -> list[Cell]:
    try:
        return [cell for cell in open_run(folder).cells if cell.method.views]
    except ShrinkError as error:
        raise TeacherError(f"The mentor's run {folder} cannot be opened. {error}") from error


def _the_one(cells: list[Cell], wanted: str, folder: Path) -> Cell:
    """The trained cell of a name. Raises TeacherError."""
    method, seed = wanted, ""
    if found := re.fullmatch(r"(.+)@(\d+)", wanted):
        method, seed = found[1], found[2]
    named = [
        cell
        for cell in cells
        if not wanted or wanted == cell.name or (method == cell.method.name and seed in ("", str(cell.seed)))
    ]
    known = ", ".join(cell.name for cell in cells)
    if not named:
        raise TeacherError(f"No method or student of {folder} is called '{wanted}'. There are: {known}. Write {_FORM}.")
    if len(named) > 1:
        several = ", ".join(cell.name for cell in named)
        called = f" called '{wanted}'" if wanted else ""
        raise TeacherError(
            f"{folder} has several students{called}: {several}. Name one behind the path, such as #{named[0].name}."
        )
    [cell] = named
    if not cell.trained:
        why = (
            "is not trained yet"
            if cell.done("train") is None
            else "was trained, but its weights are missing or damaged"
        )
        ready = ", ".join(each.name for each in cells if each.trained)
        raise TeacherError(
            f"The mentor {cell.name} of {folder} {why}. Run: shrinklm train RECIPE."
            + (f" Trained students there: {ready}." if ready else "")
        )
    return cell
