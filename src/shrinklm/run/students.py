"""The student of a cell, ready to answer, and how long its explanations may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..core.results import CellFile
from ..students.open import load_student, open_untrained
from .folder import Cell
from .recipe import Recipe

if TYPE_CHECKING:
    from ..students.base import BaseStudent

SHORTEST_CAP, LONGEST_CAP = 32, 256
"""Bounds, in tokens, of the cap on a student's explanations when the recipe names none."""
_LONGEST_TARGETS = 20
"""So many of the targets with most characters are tokenised to find the one with most tokens.

The order by characters is nearly that by tokens, so that not every target has to be tokenised.
"""


def answering_student(cell: Cell, recipe: Recipe) -> BaseStudent:
    """The cell's student, ready to answer: trained, or, for a method without views, untrained."""
    if cell.method.views:
        return load_student(cell.folder / CellFile.STUDENT, use=cell.student.use)
    return open_untrained(cell.student.spec(recipe.train.max_length), recipe.root)


def explanation_cap(student: BaseStudent, cell: Cell, recipe: Recipe) -> int:
    """The most tokens of an explanation: as the recipe says, else as in the longest target that the student was trained
    on."""
    if recipe.evaluate.max_tokens:
        return recipe.evaluate.max_tokens
    path = cell.folder / CellFile.PAIRS
    if not path.is_file():
        return 2 * SHORTEST_CAP  # an untrained student has learned no length
    with path.open(encoding="utf-8") as lines:
        targets = sorted((json.loads(line)["target"] for line in lines), key=len)
    lengths = (len(student.target_ids(target)) for target in targets[-_LONGEST_TARGETS:])
    # A student that never ends its text writes all of the cap for every question: hence an upper bound.
    return max(SHORTEST_CAP, min(LONGEST_CAP, max(lengths, default=SHORTEST_CAP)))
