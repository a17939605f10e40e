"""What training, scoring and evaluation ask of a student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..core.types import Pair, Tick

if TYPE_CHECKING:
    from torch import Tensor


class Student(Protocol):
    """A small model that learns pairs and answers prompts."""

    premise_in_target: bool = False
    """Whether `answer` does not read `begun`, as an encoder–decoder may not be able to; `BaseStudent.replies` does."""

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """The mean cross-entropy of each pair, [pairs], over the tokens of its target alone."""
        ...

    def answer(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        batch: int = 32,
        tick: Tick | None = None,
        begun: Sequence[str] | None = None,
    ) -> list[str]:
        """The greedy reply to each prompt; with `begun`, what follows those first words of the reply."""
        ...

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        """Σ log p of each target's scored tokens given its prompt and the target before them, without the end token."""
        ...

    def token_count(self, text: str) -> int | None:
        """The number of tokens in a text of its own; None where it cannot count them."""
        return None

    def save(self, folder: Path) -> None:
        """Write it to a folder that `load_student` reads."""
        ...
