"""A model whose distribution over the next token a student learns, and whether it reads the student's tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import StudentError
from ..models.locate import Family

if TYPE_CHECKING:
    from ..core.types import Tick
    from .base import BaseStudent


@dataclass(frozen=True)
class LogitTeacher:
    """A model whose logits are read, not loaded yet."""

    name: str
    family: Family
    key: str
    """Identifies its weights and its tokenizer."""
    load: Callable[[], BaseStudent]
    tokenizer: Callable[[], Any]
    """Opens its tokenizer alone."""
    positions: Callable[[], float]
    """Reads how many tokens of a prompt and its target it can read; infinite where nothing limits them."""
    top: int
    """Of each distribution so many of the likeliest tokens are told apart; all others are one."""
    temperature: float
    """Divides the logits of both models."""
    beta: float
    """The teacher's share in the mixture of kd=jsd."""
    tick: Tick | None = None

    def check(self, student: BaseStudent) -> None:
        """Raises StudentError where it cannot read the tokens of a student, which may be an outline, or not all that
        the student is trained on."""
        advice = (
            "Take a teacher and a student of one model family, or a method without its logits (soft, explanations)."
        )
        if student.family != self.family:
            kinds = {"causal": "decoder-only", "seq2seq": "an encoder–decoder", "encoder": "an encoder"}
            raise StudentError(
                f"The student is {kinds[student.family]} and the teacher {self.name} is {kinds[self.family]}: they "
                f"read prompt and target in different ways. {advice}"
            )
        if other := another_vocabulary(student.tokenizer, self.tokenizer()):
            raise StudentError(
                f"The teacher {self.name} has another vocabulary than the student: {other}. Its probabilities are of "
                f"other tokens. {advice}"
            )
        if (positions := self.positions()) < student.max_length:
            raise StudentError(
                f"The teacher {self.name} reads {positions:,.0f} tokens, and the student is trained on up to "
                f"{student.max_length:,}. Write: train: {{max_length: {positions:.0f}}}, or take a teacher that reads "
                "more."
            )


def another_vocabulary(student: Any, teacher: Any) -> str:
    """Where a token of the student's is another one, or none, of the teacher's, in words; "" where none is.

    Args:
        student: Its tokenizer.
        teacher: Its tokenizer; may know further tokens.
    """
    own, other = student.get_vocab(), teacher.get_vocab()
    wrong = [token for token, number in own.items() if other.get(token) != number]
    if not wrong:
        return ""
    token = min(wrong, key=own.__getitem__)
    there = f"{other[token]:,} of the teacher's" if token in other else "none of the teacher's"
    sizes = f"{len(own):,} tokens and {len(other):,}"
    return f"{sizes}, of which {len(wrong):,} differ; {token!r} is number {own[token]:,} of the student's and {there}"
