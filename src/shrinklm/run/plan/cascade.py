"""The part of a plan that `shrinklm cascade` would ask for: the test questions, once, of the cascade's teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...deploy.passing import question_key
from ...teachers.generate import run_steps
from ...teachers.steps import StepRequest
from ..run import Run
from .texts import NOTHING, StandIn, costs


def plan_cascade(run: Run, trials: bool) -> dict[str, Any] | None:
    """A row for the answers that the store lacks; None where the recipe's cascade has no teacher.

    `run` has stand-ins for its teachers. `shrinklm run` asks none of these questions.
    """
    block = run.recipe.cascade
    if block is None or block.teacher is None:
        return None
    teacher, settings = run.writers.named(block.teacher)
    # As `Passing` asks: without the gold answer, and each question once.
    names = {example.id if teacher.reads else question_key(example): example for example in run.splits["test"]}
    asked = [replace(example, id=name, meta={}) for name, example in names.items()]
    report = run_steps(
        asked, [StepRequest("label", 1, None, None)], teacher, run.prompts, run.store, settings, run.task.parse
    )
    row: dict[str, Any] = {"step": "cascade", "teacher": teacher.name, "found": report.steps["label"].found, **NOTHING}
    if isinstance(teacher, StandIn):
        row |= costs(teacher, "label", settings.price or teacher.price, trials)
    return row
