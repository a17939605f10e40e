"""A run's students as cascades, and the teacher's answers to its test questions."""

from __future__ import annotations

from ..core.errors import RecipeError
from ..deploy.cascade import Cascade
from ..deploy.passing import Passed, Passing
from .run import Run
from .stages.answering import trained_cell
from .stages.cascade import answer_tests, cascade_of, passing_of


def cascade(run: Run, method: str | None = None, seed: int | None = None) -> Cascade:
    """`Run.student`, whose unsure answers go to the recipe's teacher, or are withheld.

    Raises RecipeError where the recipe has no cascade, StudentError before `shrinklm evaluate` picked the threshold.
    """
    cell = trained_cell(run.cells, method, run.folder, seed)
    return cascade_of(run.student(cell.name, cell.seed), cell, run.recipe, run.folder, _passing(run))


def ask_tests(run: Run) -> list[Passed]:
    """Has the cascade's teacher answer the test questions that it has not answered, and keeps that for the report.

    Raises RecipeError where the recipe names no teacher for a cascade.
    """
    passing = _passing(run)
    if passing is None:
        raise RecipeError("The cascade names no teacher: it abstains. Add, for instance: cascade: {teacher: NAME}")
    with run.lock:
        run.start()
        passing.teacher.check()
        passing.teacher.check_access(["label"])
        return answer_tests(passing, run.tests(), run.folder)


def _passing(run: Run) -> Passing | None:
    return passing_of(run.recipe, run.writers, run.prompts, run.task, run.folder, run.teaching.count)
