"""The dataset of a training, examples × epochs in order with the views that can be built and fit, and its batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...core.errors import MethodError
from ...core.types import Pair
from ...methods.corpus import Corpus
from ...methods.view import Method
from ..base import BaseStudent


@dataclass(frozen=True)
class Lesson:
    """An item of the dataset: one example in one epoch."""

    index: int
    """Of the example in the corpus."""
    epoch: int
    views: tuple[str, ...]
    """Those that can be built and fit the student's length."""


class Lessons(Dataset[Lesson]):
    """The dataset of one training, in training order; also the collator that makes batches of it.

    A pair that does not fit the student's length is left out and counted in `unbuilt`, never cut; an example of which
    nothing fits makes room for the next, so that every method sees the same number of examples.

    Args:
        student: Encodes the pairs and sets the greatest length.
        corpus: The training examples.
        method: Its views are trained on.
        seen: The number of items.

    Raises MethodError when a whole epoch has no pair that fits.
    """

    def __init__(self, student: BaseStudent, corpus: Corpus, method: Method, seen: int) -> None:
        self.student, self.corpus, self.method = student, corpus, method
        self.items: list[Lesson] = []
        self.unbuilt: Counter[tuple[str, str]] = Counter()
        self._view_index = {view.name: index for index, view in enumerate(method.views)}
        too_long = f"longer than {student.max_length} tokens"
        # Most pairs come again in every epoch, and tokenising is most of the work here.
        fits: dict[Pair, bool] = {}
        before = current = 0
        for index, epoch in corpus.schedule(method):
            if epoch != current:
                # The schedule has no end: where an epoch added nothing, no other will.
                if len(self.items) == before:
                    limit = f"no pair fits into {student.max_length} tokens"
                    raise MethodError(f"Method '{method.name}': {limit}. Raise `train: {{max_length: ...}}`.")
                before, current = len(self.items), epoch
            views = []
            for item in corpus.pairs(method, index, epoch, self.unbuilt):
                if item.pair not in fits:
                    fits[item.pair] = student.length(item.pair) <= student.max_length
                if fits[item.pair]:
                    views.append(item.view.name)
                else:
                    self.unbuilt[item.view.name, too_long] += 1
            # An example of which only some views fit still trains on those; the others are counted.
            if views:
                self.items.append(Lesson(index, epoch, tuple(views)))
            if len(self.items) == seen:
                break

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Lesson:
        return self.items[index]

    def tensors(self, lessons: Sequence[Lesson]) -> dict[str, Tensor]:
        """One batch: the student's tensors, and `view`, the index of the view that each pair belongs to."""
        # Built here and not kept from the start: the texts of all epochs need not fit into memory.
        groups = [
            [
                item
                for item in self.corpus.pairs(self.method, lesson.index, lesson.epoch)
                if item.view.name in lesson.views
            ]
            for lesson in lessons
        ]
        batch = self.student.encode([[item.pair for item in group] for group in groups])
        views = [self._view_index[item.view.name] for group in groups for item in group]
        return {**batch, "view": torch.tensor(views)}

    def pairs(self, seen: int) -> dict[str, int]:
        """View → pairs in the first `seen` items."""
        counts = Counter(view for lesson in self.items[:seen] for view in lesson.views)
        return {view: counts[view] for view in self._view_index}
