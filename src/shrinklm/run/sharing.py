"""A run's students and questions for others: on the Hub, and in tools that evaluate models."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..core.errors import HubError, StudentError
from ..core.files import NAME_PLACE, whole_folder
from ..deploy.harness.task import Questions, task_name, write_task
from ..deploy.hub.about import about as known_about
from ..deploy.hub.package import Package, check_place, write_package
from ..deploy.hub.upload import check_repository, token, upload
from .folder import Cell
from .run import Run
from .stages.answering import trained_cell, trained_student

if TYPE_CHECKING:
    from ..students.base import BaseStudent

ANSWER_TOKENS, EXPLAINED_TOKENS = 64, 320
"""Caps of a reply that only answers, and of one that explains, where no student is trained that would tell."""


@dataclass(frozen=True)
class Pushed:
    """A student that was written or uploaded, or would be."""

    to: str
    cell: str
    package: Package
    address: str = ""
    """Of the commit on the Hub; "" where nothing was uploaded."""


def push(run: Run, to: str, cell: str | None = None, private: bool = False, dry: bool = False) -> Pushed:
    """Writes a trained student with its model card into a folder, or uploads it.

    Args:
        run: Its run, evaluated.
        to: "org/name" for the Hub; anything else is a folder: "./name", a path, or a name without a slash.
        cell: The name of a cell, or of a method; left out: the last method, its first seed.
        private: Nobody else may see a repository that is made.
        dry: Write and upload nothing.

    Raises HubError, StoreError, and StudentError for a student that is not trained.
    """
    repository = _repository(to)
    if repository and not dry:
        token()  # before the weights are loaded
    elif not repository:
        check_place(Path(to).expanduser())
    chosen = trained_cell(run.cells, cell, run.folder)
    trained = trained_student(chosen, run.recipe, run.task, run.data.questions, "float32")
    student = cast("BaseStudent", trained.student)
    known = known_about(run.folder, trained.answering, chosen.student.use, run.recipe.root)
    title = repository or Path(to).expanduser().resolve().name
    if repository or dry:
        with tempfile.TemporaryDirectory() as place:
            package = write_package(student, known, title, Path(place))
            message = f"{chosen.name}, trained with shrinklm"
            address = "" if dry else upload(Path(place), repository, private, message)
        return Pushed(to, chosen.name, package, address)
    with whole_folder(Path(to).expanduser(), advice=NAME_PLACE) as new:
        package = write_package(student, known, title, new)
    return Pushed(to, chosen.name, package)


def _repository(to: str) -> str:
    """The repository that a place names; "" for a folder. Raises HubError where it could be both."""
    if to.count("/") != 1 or to.startswith((".", "/", "~")) or to.endswith("/"):
        return ""
    if Path(to).exists() or Path(to).parent.is_dir():
        raise HubError(
            f"'{to}' could be a repository on the Hub or a folder here, where {to.partition('/')[0]} is one. "
            f"Write --to ./{to} for the folder; for the Hub, type the command in another place."
        )
    return check_repository(to)


def export_task(run: Run, to: str, folder: Path, cell: str | None = None) -> list[str]:
    """Writes a run's test questions as a task of another tool, as a method's students are asked.

    Args:
        run: The run; nothing of it need be trained.
        to: "lm-eval" or "inspect".
        folder: Is written.
        cell: The name of a cell, or of a method; left out: the last method.

    Returns the names of the tasks. Raises StudentError for an unknown cell, and what `write_task` raises.
    """
    chosen = _cell(run, cell)
    view = chosen.method.answer
    cap = EXPLAINED_TOKENS if "explanation" in view.says else ANSWER_TOKENS
    if chosen.trained:
        cap = run.student(chosen.name).answering.answer_tokens
    name = task_name(run.recipe.name, chosen.method.name)
    tests = run.data.questions["test"]
    if not all(example.answer for example in tests):  # a teacher gave the answers
        tests = run.splits["test"]
    return write_task(Questions(name, view, tests, cap), to, folder)


def _cell(run: Run, name: str | None) -> Cell:
    cells = [cell for cell in run.cells if cell.method.views]
    wanted = cells[-1].method.name if name is None else name
    for cell in cells:
        if wanted in (cell.name, cell.method.name):
            return cell
    names = ", ".join(dict.fromkeys(cell.method.name for cell in cells))
    raise StudentError(f"No cell and no method is called '{wanted}'. Methods: {names}.")
