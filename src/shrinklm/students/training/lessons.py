"""What a student is shown, in order: examples × epochs, with the views that can be built and fit, and their tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...core.errors import MethodError
from ...core.types import Pair
from ...methods.corpus import Corpus, ViewPair
from ...methods.view import Method
from ..base import BaseStudent


@dataclass(frozen=True)
class Lesson:
    """One example as it is shown once."""

    index: int
    """Its place in the corpus."""
    epoch: int
    views: tuple[str, ...]
    """Those that can be built and fit the student's length."""


class Lessons(Dataset[Lesson]):
    """Everything a student is shown, in order; also turns it into tensors.

    A pair that does not fit the student's length is left out and counted in `unbuilt`, never cut; an example of which nothing fits makes
    room for the next, so that every method sees the same number of examples.
    """

    def __init__(self, student: BaseStudent, corpus: Corpus, method: Method, seen: int) -> None:
        self.student, self.corpus, self.method = student, corpus, method
        self.items: list[Lesson] = []
        self.unbuilt: Counter[tuple[str, str]] = Counter()
        self._places = {view.name: place for place, view in enumerate(method.views)}
        self._fits: dict[Pair, bool] = {}
        before = current = 0
        for index, epoch in corpus.schedule(method):
            if epoch != current:
                if len(self.items) == before:
                    limit = f"no pair fits into {student.max_length} tokens"
                    raise MethodError(f"Method '{method.name}': {limit}. Raise `train: {{max_length: ...}}`.")
                before, current = len(self.items), epoch
            views = tuple(
                shown.view.name for shown in corpus.pairs(method, index, epoch, self.unbuilt) if self._fitting(shown)
            )
            if views:
                self.items.append(Lesson(index, epoch, views))
            if len(self.items) == seen:
                break

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Lesson:
        return self.items[place]

    def tensors(self, lessons: Sequence[Lesson]) -> dict[str, Tensor]:
        """What the student reads, and `view`: which view of the method each pair belongs to."""
        groups = [self._shown(lesson) for lesson in lessons]
        batch = self.student.encode([[shown.pair for shown in group] for group in groups])
        return {**batch, "view": torch.tensor([self._places[shown.view.name] for group in groups for shown in group])}

    def pairs(self, seen: int) -> dict[str, int]:
        """View → pairs in the first `seen` lessons."""
        counts = Counter(view for lesson in self.items[:seen] for view in lesson.views)
        return {view: counts[view] for view in self._places}

    def _shown(self, lesson: Lesson) -> list[ViewPair]:
        return [
            shown
            for shown in self.corpus.pairs(self.method, lesson.index, lesson.epoch)
            if shown.view.name in lesson.views
        ]

    def _fitting(self, shown: ViewPair) -> bool:
        if shown.pair not in self._fits:
            self._fits[shown.pair] = self.student.length(shown.pair) <= self.student.max_length
        if not self._fits[shown.pair]:
            self.unbuilt[shown.view.name, f"longer than {self.student.max_length} tokens"] += 1
        return self._fits[shown.pair]
