"""Whether a question fits into what a student reads. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .protocol import Student

TOO_LONG = "longer than the student reads"
"""Why a question was not asked."""


def fits(student: Student, prompt: str, tokens: int, targets: Sequence[str] = ()) -> bool:
    """Whether a prompt, the longest of the targets and so many further tokens are within the student's positions.

    A student that states no limit, such as T5 or a class of the user's, reads everything.
    """
    room = reads(student) - tokens
    if room == math.inf:
        return True
    # No tokenizer makes more tokens than bytes, but for a few of its own: most texts need not be tokenised.
    written = len(prompt.encode()) + max((len(target.encode()) for target in targets), default=0)
    if 2 * written + 16 <= room:
        return True
    longest = max((len(student.target_ids(target, end=False)) for target in dict.fromkeys(targets)), default=0)  # type: ignore[attr-defined]
    return bool(len(student.prompt_ids(prompt)) + longest <= room)  # type: ignore[attr-defined]


def reads(student: Student) -> float:
    """The most tokens that a student reads; infinite where it states none."""
    return float(getattr(student, "positions", math.inf))
