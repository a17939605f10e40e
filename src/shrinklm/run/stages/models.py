"""Whether the models of a recipe can be opened, before anything is paid for: by their configurations, not their
weights."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.errors import StudentError
from ...core.registry import find
from ...evaluation.metrics.base import BatchMetric
from ...models.encoder import Encoder
from ...students.open import always_opens, outline
from ..folder import Cell
from ..recipe import Recipe


def check_models(recipe: Recipe, cells: Sequence[Cell]) -> None:
    """Raises what opening a student, the simulator or an encoder of the recipe would raise.

    A model that no unfinished cell needs is not looked for: a run whose students are trained and scored goes on
    without them.
    """
    train = recipe.train
    if train.early_stopping and not train.checkpoints and any(_opens(cell) for cell in cells if cell.method.views):
        raise StudentError(
            "`early_stopping` goes by dev accuracy at checkpoints, and the recipe writes none. "
            "Write: train: {checkpoints: 4}"
        )
    for student in recipe.student:
        spec = student.spec(recipe.train.max_length)
        if not always_opens(spec) and any(_opens(cell) for cell in cells if cell.student == student):
            outline(spec, recipe.root)
    block = recipe.evaluate
    if not all(cell.scored for cell in cells):
        if block.simulator is not None:
            outline(block.simulator.spec, recipe.root)
        batched = any(isinstance(find("metrics", name), BatchMetric) for name in block.metrics)
        if batched or block.encoder or block.entailment:
            Encoder(block.encoder, recipe.root, block.entailment).check()


def _opens(cell: Cell) -> bool:
    """Whether the student that a cell starts from is still to be opened."""
    return not (cell.trained or cell.kept) if cell.method.views else not cell.answered
