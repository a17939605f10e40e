"""Whether the models of a recipe can be opened, before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.types import Example, Split
from ...evaluation.metrics.base import BatchMetric, metric_of
from ...methods.builtin import finetune
from ...methods.view import Method
from ...models.encoder import Encoder
from ...students.open import always_opens, open_student, outline
from ..folder import Cell
from ..recipe import Recipe

if TYPE_CHECKING:
    from ...students.base import BaseStudent

_SIMULATED = replace(finetune, name="simulatability")
"""What a simulator learns, to a student that is asked whether it can: answers alone."""


def check_models(
    recipe: Recipe, cells: Sequence[Cell], questions: Mapping[Split, Sequence[Example]]
) -> dict[str, BaseStudent]:
    """Raises what opening a student, the simulator or an encoder would raise, told by configurations, not weights; and
    where a student cannot learn a method of its cells, or these questions.

    Returns student → its outline, of those that were looked for.

    A model that no unfinished cell needs is not looked for: a run whose students are trained and scored goes on
    without them.
    """
    outlines = {}
    for student in recipe.student:
        spec = student.spec(recipe.train.max_length)
        if not always_opens(spec) and any(cell.opens for cell in cells if cell.student == student):
            outlines[student.label] = looked = outline(spec, recipe.root)
            for cell in cells:
                if cell.student == student and cell.method.views and cell.opens:
                    looked.refuse(cell.method, questions["train"])
                    _check_terms(looked, cell.method)
    block = recipe.evaluate
    if not all(cell.scored for cell in cells):
        if block.simulator is not None:
            outline(block.simulator.spec, recipe.root).refuse(_SIMULATED, questions["test"])
        batched = any(isinstance(metric_of(name), BatchMetric) for name in block.metrics)
        if batched or block.encoder or block.entailment:
            Encoder(block.encoder, recipe.root, block.entailment).check()
    return outlines


def _check_terms(student: BaseStudent, method: Method) -> None:
    from ...students.training.losses.base import check_terms, term

    check_terms({option: term(option) for option in method.losses}, student, method)


def check_weights(recipe: Recipe) -> None:
    """Raises StudentError or ModelError for a student that opens and could not be trained."""
    for student in recipe.student:
        open_student(student.spec(recipe.train.max_length), recipe.root)
