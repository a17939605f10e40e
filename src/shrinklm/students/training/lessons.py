"""The dataset of a training: examples × epochs in order, with the views that can be built and fit, as token ids."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import MethodError
from ...core.registry import find
from ...core.types import Pair
from ...methods.corpus import Corpus, ViewPair
from ...methods.view import Method
from ..base import BaseStudent
from ..batch import Batch
from ..blocks import Block
from ..ids import TokenIds
from ..tokens import PairTokens
from .losses import Loss


@dataclass(frozen=True, slots=True)
class Lesson:
    """An item of the dataset: one example in one epoch."""

    index: int
    """Of the example in the corpus."""
    epoch: int
    views: tuple[str, ...]
    """Those that can be built and fit the student's length."""
    pairs: tuple[int, ...]
    """Their places in `Lessons.tokens`."""
    asked: tuple[tuple[int, int], ...] = ()
    """(place of a view in `views`, place in `Lessons.asks`) of what further terms of the loss read."""


@dataclass(frozen=True)
class Asked:
    """What one further term of the loss reads beside one pair."""

    loss: str
    pairs: tuple[int, ...]
    """Places in `Lessons.tokens`."""
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Unit:
    """Pairs that one pass reads together."""

    block: Block
    views: Sequence[int]
    """For each pair the place of its view in the method; -1 for one that only a further term of the loss reads."""
    asked: Sequence[tuple[str, Sequence[int], Mapping[str, float]]]
    """(term of the loss, the places of the pairs that it reads in the block, its figures)."""
    places: Sequence[int]
    """Of its pairs in `Lessons.tokens`."""


class _Store:
    """Token ids of pairs in one growing array, since a list of Python's numbers takes nine times the memory."""

    def __init__(self) -> None:
        self._ids, self._ends = array("i"), array("q", [0])

    def add(self, pair: PairTokens) -> int:
        for part in (pair.prompt, pair.given, pair.scored):
            self._ids.extend(part)
            self._ends.append(len(self._ids))
        return (len(self._ends) - 1) // 3 - 1

    def __getitem__(self, place: int) -> PairTokens:
        start, prompt, given, end = self._ends[3 * place : 3 * place + 4]
        ids = self._ids
        return PairTokens(ids[start:prompt].tolist(), ids[prompt:given].tolist(), ids[given:end].tolist())


class Lessons:
    """The dataset of one training, in training order.

    A pair that does not fit the student's length is left out and counted in `unbuilt`, never cut; an example of which
    nothing fits makes room for the next, so that every method sees the same number of examples.

    Args:
        student: Encodes the pairs and sets the greatest length.
        corpus: The training examples.
        method: Its views are trained on.
        seen: The number of items.

    Raises MethodError when a whole epoch has no pair that fits, UnknownName for a term of the loss that nobody has.
    """

    def __init__(self, student: BaseStudent, corpus: Corpus, method: Method, seen: int) -> None:
        self.student, self.corpus, self.method = student, corpus, method
        self.losses: dict[str, Loss] = {name: find("losses", name) for name in method.losses}
        self.items: list[Lesson] = []
        self.tokens = _Store()
        self.asks: list[Asked] = []
        self.unbuilt: Counter[tuple[str, str]] = Counter()
        self._view_index = {view.name: index for index, view in enumerate(method.views)}
        self._ids = TokenIds(student)
        self._places: dict[Pair, int | None] = {}
        """Where the ids of a pair lie; None for one that does not fit."""
        self._asks: dict[Pair, tuple[int, ...]] = {}
        self._texts: dict[int, Pair] = {}
        """The texts of `tokens` for a class that makes its own tensors of them; empty for any other."""
        before = current = 0
        for index, epoch in corpus.schedule(method):
            if epoch != current:
                # The schedule has no end: where an epoch added nothing, no other will.
                if len(self.items) == before:
                    limit = f"no pair fits into {student.max_length} tokens"
                    raise MethodError(f"Method '{method.name}': {limit}. Raise `train: {{max_length: ...}}`.")
                before, current = len(self.items), epoch
            lesson = self._lesson(index, epoch)
            # An example of which only some views fit still trains on those; the others are counted.
            if lesson.views:
                self.items.append(lesson)
            if len(self.items) == seen:
                break
        self._ids.keep()
        del self._ids, self._places, self._asks  # the texts are not needed any more

    def __len__(self) -> int:
        return len(self.items)

    def units(self, lessons: Iterable[Lesson]) -> list[Unit]:
        """What a pass reads together: the views of an example; where rows hold one pair each, single pairs."""
        units = []
        for lesson in lessons:
            views = [self._view_index[view] for view in lesson.views]
            asked = [(views[place], self.asks[ask]) for place, ask in lesson.asked]
            if self.student.packs:
                units.append(self._unit(lesson.pairs, views, [ask for _, ask in asked]))
                continue
            units += [self._unit((pair,), [view], []) for pair, view in zip(lesson.pairs, views, strict=True)]
            # The pairs of a term are compared with each other, so they stay together.
            units += [self._unit((), [], [ask]) for _, ask in asked]
        return units

    def _unit(self, pairs: Sequence[int], views: Sequence[int], asked: Sequence[Asked]) -> Unit:
        places, numbers = list(pairs), list(views)
        parts = []
        for ask in asked:
            parts.append((ask.loss, range(len(places), len(places) + len(ask.pairs)), ask.figures))
            places += ask.pairs
            numbers += [-1] * len(ask.pairs)
        return Unit(Block([self.tokens[place] for place in places]), numbers, parts, places)

    def batch(self, units: Sequence[Unit], rows: Sequence[Sequence[int]] | None) -> Batch:
        """The tensors of a pass; `rows`: the units that share a row, None: as many as fit."""
        if not self._texts:
            return self.student.batch([unit.block for unit in units], rows)
        return self.student.encode([[self._texts[place] for place in unit.places] for unit in units])

    def pairs(self, seen: int) -> dict[str, int]:
        """View → pairs in the first `seen` items."""
        counts = Counter(view for lesson in self.items[:seen] for view in lesson.views)
        return {view: counts[view] for view in self._view_index}

    def _lesson(self, index: int, epoch: int) -> Lesson:
        views: list[str] = []
        places: list[int] = []
        asked: list[tuple[int, int]] = []
        for item in self.corpus.pairs(self.method, index, epoch, self.unbuilt):
            place = self._place(item.pair)
            if place is None:
                self.unbuilt[item.view.name, f"longer than {self.student.max_length} tokens"] += 1
                continue
            asked += [(len(views), ask) for ask in self._asked(item)]
            views.append(item.view.name)
            places.append(place)
        return Lesson(index, epoch, tuple(views), tuple(places), tuple(asked))

    def _place(self, pair: Pair) -> int | None:
        if pair not in self._places:
            [tokens] = self._ids.pairs([pair])
            fits = len(tokens.prompt) + len(tokens.target) <= self.student.max_length
            self._places[pair] = self._add(pair, tokens) if fits else None
        return self._places[pair]

    def _add(self, pair: Pair, tokens: PairTokens) -> int:
        place = self.tokens.add(tokens)
        if type(self.student).encode is not BaseStudent.encode:
            self._texts[place] = pair
        return place

    def _asked(self, item: ViewPair) -> tuple[int, ...]:
        """Places in `asks` of what the further terms read beside a pair; a term of which a pair does not fit is left
        out there, and counted."""
        if not self.losses:
            return ()
        if item.pair not in self._asks:
            found = []
            for name, loss in self.losses.items():
                ask = loss.ask(item.view, item.example, item.pair)
                if ask is None:
                    continue
                tokens = self._ids.pairs(ask.pairs)
                if any(len(each.prompt) + len(each.target) > self.student.max_length for each in tokens):
                    self.unbuilt[name, f"longer than {self.student.max_length} tokens"] += 1
                    continue
                self.asks.append(Asked(name, tuple(map(self._add, ask.pairs, tokens)), ask.figures))
                found.append(len(self.asks) - 1)
            self._asks[item.pair] = tuple(found)
        return self._asks[item.pair]
