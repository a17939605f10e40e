"""An exported folder of a student that writes nothing: transformers reads its encoder, and our head chooses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.types import Example, Pair
from ...methods.view import View
from ...students.open import load_student
from ...students.replies import Said
from .asked import RuntimeStudent


class ChoosingStudent(RuntimeStudent):
    """The student of a folder that `EncoderStudent.save` wrote, in float32."""

    runtime = "shrinklm"
    writes = False

    def __init__(self, folder: Path) -> None:
        self.student = load_student(folder, "float32").to("cpu")
        self.positions = self.student.positions

    def prompt_ids(self, text: str) -> list[int]:
        """See RuntimeStudent."""
        return self.student.prompt_ids(text)

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """See RuntimeStudent."""
        return self.student.target_ids(text, end)

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        """See Student."""
        return self.student.likelihood(pairs, batch)

    def say(self, view: View, examples: Sequence[Example], batch: int) -> list[Said]:
        """See Student."""
        return self.student.say(view, examples, batch)
