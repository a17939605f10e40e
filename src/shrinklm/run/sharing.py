"""A run's students and questions for others: on the Hub, and in tools that evaluate models."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import StudentError
from ..deploy.harness.task import Questions, task_name, write_task
from .folder import Cell
from .run import Run

ANSWER_TOKENS, EXPLAINED_TOKENS = 64, 320
"""Caps of a reply that only answers, and of one that explains, where no student is trained that would tell."""


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
