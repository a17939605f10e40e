"""A run's trained students, ready to answer anybody's questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...core.errors import StudentError
from ...core.results import CellFile
from ...core.types import Example, Split, Task
from ...deploy.answering import Answering
from ...deploy.student import TrainedStudent
from ...evaluation.ask import EvaluateSettings, Evaluation
from ...students.open import load_student
from ...tasks.base import labels_of
from ..folder import Cell
from ..recipe import Recipe
from ..students import explanation_cap
from .calibrate import temperature_of


def trained_cell(cells: Sequence[Cell], name: str | None, folder: Path, seed: int | None = None) -> Cell:
    """The trained cell of that name, or the first of a method of that name; unnamed, the first of the last method.

    `seed`: the seed of the cell, where a method is named. Raises StudentError when there is none.
    """
    trained = [cell for cell in cells if cell.method.views and cell.trained]
    if not trained:
        gone = any(cell.method.views and cell.done("train") is not None for cell in cells)
        why = "has no student whose weights are there and whole" if gone else "has no trained student"
        raise StudentError(f"{folder} {why}. Run: shrinklm train RECIPE")
    wanted = trained[-1].method.name if name is None else name
    for cell in trained:
        if wanted in (cell.name, cell.method.name) and seed in (None, cell.seed):
            return cell
    names = ", ".join(cell.name for cell in trained)
    of_seed = "" if seed is None else f" of seed {seed}"
    raise StudentError(f"No trained student{of_seed} is called '{wanted}'. There are: {names}.")


def trained_student(
    cell: Cell, recipe: Recipe, task: Task, questions: Mapping[Split, Sequence[Example]], dtype: str = "auto"
) -> TrainedStudent:
    """The student of a trained cell, loaded.

    Args:
        cell: The cell.
        recipe: The run's.
        task: The run's.
        questions: Those of train say what a question of this task has, those of test how long an answer may be.
        dtype: See `load_student`.
    """
    train = questions["train"]
    names = dict.fromkeys(name for example in train for name in example.fields)
    student = load_student(cell.folder / CellFile.STUDENT, dtype, cell.student.use)
    settings = EvaluateSettings(explanation_cap(student, cell, recipe), recipe.evaluate.batch, None)
    evaluation = Evaluation(student, task, cell.method, cell.name, settings)
    answering = Answering(
        name=cell.name,
        method=cell.method.name,
        answer=cell.method.answer,
        explain=cell.method.explain,
        max_tokens=settings.max_tokens,
        answer_tokens=evaluation.answer_tokens(questions["test"]),
        task=recipe.task.use,
        type=task.type,
        labels=labels_of(example.choices for example in train),
        temperature=temperature_of(cell, recipe),
        fields={name: all(name in example.fields for example in train) for name in names},
    )
    return TrainedStudent(student, answering, cell.folder / CellFile.STUDENT)
