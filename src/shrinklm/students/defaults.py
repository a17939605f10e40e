"""What a family of students may do in a way of its own, as it is for one that writes text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from ..core.types import Example, Pair
from ..methods.corpus import ViewPair
from ..methods.view import Method, View
from ..models.exact import copied
from .batch import Batch, by_pair, float32
from .replies import Said


class Defaults(nn.Module):
    """Of a student that writes text, and compares nothing while it learns."""

    writes: ClassVar[bool] = True
    """Whether it writes text. One that does not chooses among the options of a question: its likelihoods are shares of
    them, whatever their length, and what it says under a view comes from `say`."""
    model: Any
    tokenizer: Any
    max_length: int
    reading: Any

    def refuse(self, method: Method, examples: Sequence[Example] = ()) -> None:
        """Raises StudentError for a method that it cannot be trained with, or for questions that it cannot answer.

        Asked before anything is paid for.
        """

    def beside(self, view: View, example: Example, pair: Pair) -> Sequence[Pair] | str:
        """The pairs that the loss of a pair compares it with, read in one pass with it; or why it cannot be learned."""
        return ()

    def remember(self, shown: Iterable[ViewPair]) -> None:
        """Called once a training has ended, in evaluation mode, with all pairs that it was shown, in their order."""

    def say(self, view: View, examples: Sequence[Example], batch: int) -> list[Said]:
        """What a student that does not write says to each example under a view.

        Args:
            view: The view.
            examples: The questions.
            batch: Questions in one pass.
        """
        raise NotImplementedError

    def attributed(self, batch: Batch, pairs: int) -> Tensor:
        """[pairs]: what an attribution explains, F = Σ log p of each pair's scored tokens, at least in float32.

        Args:
            batch: Its rows may be any of those that `encode` made, `pair` says which.
            pairs: How many.
        """
        logits, labels, owner = self.logits(batch)
        # Half precision would round away the small differences that occlusion and the integral live on.
        return by_pair(-nn.functional.cross_entropy(float32(logits), labels, reduction="none"), owner, pairs)

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(logits [scored, vocabulary], labels [scored], pair of each [scored]) at the tokens of the targets alone."""
        raise NotImplementedError

    def copied(self) -> Self:
        """A copy of its own, which reads alike."""
        other = type(self)(copied(self.model), self.tokenizer, self.max_length)
        other.reading = self.reading
        return other

    def save_beside(self, folder: Path) -> None:
        """Write what it has beside its model and its tokenizer."""

    def load_beside(self, folder: Path) -> None:
        """Read what `save_beside` wrote."""
