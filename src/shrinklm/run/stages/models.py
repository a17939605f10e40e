"""Whether the models of a recipe can be opened, before anything is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.registry import find
from ...evaluation.metrics.base import BatchMetric
from ...models.encoder import Encoder
from ...students.open import always_opens, open_student, outline
from ..folder import Cell
from ..recipe import Recipe

if TYPE_CHECKING:
    from ...students.base import BaseStudent


def check_models(recipe: Recipe, cells: Sequence[Cell]) -> dict[str, BaseStudent]:
    """Raises what opening a student, the simulator or an encoder would raise, told by configurations, not weights.

    Returns student → its outline, of those that were looked for.

    A model that no unfinished cell needs is not looked for: a run whose students are trained and scored goes on
    without them.
    """
    outlines = {}
    for student in recipe.student:
        spec = student.spec(recipe.train.max_length)
        if not always_opens(spec) and any(cell.opens for cell in cells if cell.student == student):
            outlines[student.label] = outline(spec, recipe.root)
    block = recipe.evaluate
    if not all(cell.scored for cell in cells):
        if block.simulator is not None:
            outline(block.simulator.spec, recipe.root)
        batched = any(isinstance(find("metrics", name), BatchMetric) for name in block.metrics)
        if batched or block.encoder or block.entailment:
            Encoder(block.encoder, recipe.root, block.entailment).check()
    return outlines


def check_weights(recipe: Recipe) -> None:
    """Raises StudentError or ModelError for a student that opens and could not be trained."""
    for student in recipe.student:
        open_student(student.spec(recipe.train.max_length), recipe.root)
