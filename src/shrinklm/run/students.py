"""The student of a cell, ready to answer, and how long its explanations may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..core.errors import StudentError
from ..core.intact import intact
from ..core.results import CellFile
from ..methods.view import Method
from ..students.open import load_student, open_untrained
from ..students.room import reads
from ..students.start import Start, start_of
from .folder import Cell
from .recipe import Recipe

if TYPE_CHECKING:
    from ..students.base import BaseStudent

SHORTEST_CAP, LONGEST_CAP, LONGEST_TRACE = 32, 256, 1024
"""Bounds, in tokens, of the cap on a student's explanations when the recipe names none."""
_LONGEST_TARGETS = 20
"""So many of the targets with most characters are tokenised to find the one with most tokens.

The order by characters is nearly that by tokens, so that not every target has to be tokenised.
"""


def answering_student(cell: Cell, recipe: Recipe) -> BaseStudent:
    """The cell's student, ready to answer: trained, or, for a method without views, untrained.

    Raises StudentError when it is not trained, or its weights are gone.
    """
    if cell.method.views:
        if not cell.trained:
            raise StudentError(
                f"The weights of {cell.name} are missing or damaged, and this asks the student. "
                "Train it again, to the same weights: shrinklm train RECIPE"
            )
        return load_student(cell.folder / CellFile.STUDENT, use=cell.student.use)
    return open_untrained(cell.student.spec(recipe.train.max_length), recipe.root)


def student_start(cell: Cell, recipe: Recipe) -> Start:
    """The weights and the tokenizer that the cell's student starts from, as they are now."""
    return start_of(cell.student.spec(recipe.train.max_length), recipe.root)


def explanation_cap(student: BaseStudent, cell: Cell, recipe: Recipe) -> int:
    """The most tokens of an explanation: as the recipe says, else as in the longest target that the student was trained
    on.

    Raises StudentError when its pairs are gone.
    """
    if recipe.evaluate.max_tokens:
        return recipe.evaluate.max_tokens
    path = cell.folder / CellFile.PAIRS
    if not cell.method.views:
        return 2 * SHORTEST_CAP  # an untrained student has learned no length
    if not intact(path):
        # A cap of another length would give other answers under the same key.
        raise StudentError(f"{path} is missing or damaged. Write it again, without a training: shrinklm train RECIPE")
    with path.open(encoding="utf-8") as lines:
        targets = sorted((json.loads(line)["target"] for line in lines), key=len)
    lengths = (len(student.target_ids(target)) for target in targets[-_LONGEST_TARGETS:])
    # A student that never ends its text writes all of the cap for every question: hence an upper bound.
    return max(SHORTEST_CAP, min(longest_cap(cell.method, student), max(lengths, default=SHORTEST_CAP)))


def longest_cap(method: Method, student: BaseStudent) -> int:
    """The most tokens of an explanation where the recipe says nothing."""
    if all(view.source != "trace" for view in method.views):
        return LONGEST_CAP
    # Questions must fit too: a cap of all that the student reads would leave each of them out.
    return int(min(LONGEST_TRACE, max(LONGEST_CAP, 0.75 * reads(student))))
