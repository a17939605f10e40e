"""The dataset of a training: examples × epochs in order, with the views that can be built and fit, as token ids."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from ...core.errors import MethodError, StudentError
from ...core.types import Pair
from ...methods.corpus import Corpus, ViewPair
from ...methods.view import Method
from ..base import BaseStudent
from ..batch import Batch
from ..blocks import Block
from ..ids import TokenIds
from ..logits import LogitTeacher
from ..tokens import PairTokens
from .losses.base import Around, Ask, Loss, Shown, check_terms, term


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
    weights: tuple[float, ...] = ()
    """Of the pairs; none where all are 1."""
    asked: tuple[int, ...] = ()
    """Places in `Lessons.asks` of what further terms of the loss read."""
    beside: tuple[tuple[int, ...], ...] = ()
    """For each pair the places of those that the student's own loss compares it with; none where it compares none."""


@dataclass(frozen=True)
class Asked:
    """What one further term of the loss reads of one example."""

    loss: str
    pairs: tuple[int, ...]
    """Places in `Lessons.tokens`."""
    figures: Mapping[str, float | Sequence[float]]
    tokens: Mapping[str, NDArray[Any]]
    weight: float


@dataclass(frozen=True)
class Unit:
    """Pairs that one pass reads together."""

    block: Block
    views: Sequence[int]
    """For each pair the place of its view in the method; -1 for one that is read and not trained on."""
    weights: Sequence[float]
    """Of each pair; 0 for one that is read and not trained on."""
    asked: Sequence[tuple[Sequence[int], Asked]]
    """(the places in the block of the pairs that a further term reads, what it asked)."""
    places: Sequence[int]
    """Of its pairs in `Lessons.tokens`."""


class _Store:
    """Token ids of pairs in one growing array, since a list of Python's numbers takes nine times the memory."""

    def __init__(self) -> None:
        self._ids, self._ends = array("i"), array("q", [0])
        self._weights: dict[int, array[float]] = {}
        """Place of a pair → the weights of its tokens, where they have some."""

    def add(self, pair: PairTokens) -> int:
        for part in (pair.prompt, pair.given, pair.scored):
            self._ids.extend(part)
            self._ends.append(len(self._ids))
        place = (len(self._ends) - 1) // 3 - 1
        if pair.weights:
            self._weights[place] = array("f", pair.weights)
        return place

    def __getitem__(self, place: int) -> PairTokens:
        start, prompt, given, end = self._ends[3 * place : 3 * place + 4]
        ids, weights = self._ids, self._weights.get(place)
        parts = (ids[start:prompt].tolist(), ids[prompt:given].tolist(), ids[given:end].tolist())
        return PairTokens(*parts, weights.tolist() if weights else [])


class Lessons:
    """The dataset of one training, in training order.

    A pair that does not fit the student's length is left out and counted in `unbuilt`, never cut; an example of which
    nothing fits makes room for the next, so that every method sees the same number of examples.

    Args:
        student: Encodes the pairs and sets the greatest length.
        corpus: The training examples.
        method: Its views are trained on.
        seen: The number of items.
        teacher: Terms of the loss may read its logits.

    Raises MethodError when a whole epoch has no pair that fits, or a term of the loss says nothing about any example;
    UnknownName for a term that nobody has; StudentError for a method that the student cannot be trained with.
    """

    def __init__(
        self, student: BaseStudent, corpus: Corpus, method: Method, seen: int, teacher: LogitTeacher | None = None
    ) -> None:
        student.refuse(method)
        self.student, self.corpus, self.method = student, corpus, method
        self.losses: dict[str, Loss] = {option: term(option) for option in method.losses}
        self.items: list[Lesson] = []
        self.tokens = _Store()
        self.asks: list[Asked] = []
        self.unbuilt: Counter[tuple[str, str]] = Counter()
        self._view_index = {view.name: index for index, view in enumerate(method.views)}
        self._ids = TokenIds(student)
        self._places: dict[Pair, int | None] = {}
        """Where the ids of a pair lie; None for one that does not fit."""
        self._groups: dict[tuple[Pair, ...], tuple[int, ...] | None] = {}
        """As `_places`, of pairs that are read and not trained on."""
        self._asks: dict[tuple[Any, ...], int] = {}
        """What is asked → its place in `asks`: most terms ask the same in every epoch."""
        self._texts: dict[int, Pair] = {}
        """The texts of `tokens` for a class that makes its own tensors of them; empty for any other."""
        around = Around(student, corpus, method, self._ids.pairs, seen, teacher)
        check_terms(self.losses, student, method)
        for loss in self.losses.values():
            loss.begin(around)
        before = current = 0
        known = Counter[tuple[str, str]]()
        for index, epoch in corpus.schedule(method):
            if epoch != current:
                # The schedule has no end: where an epoch added nothing, no other will.
                if len(self.items) == before:
                    raise MethodError(self._nothing(self.unbuilt - known, current))
                before, current, known = len(self.items), epoch, self.unbuilt.copy()
            lesson = self._lesson(index, epoch)
            # An example of which only some views fit still trains on those; the others are counted.
            if lesson.views:
                self.items.append(lesson)
            if len(self.items) == seen:
                break
        self._check_asked()
        self._ids.keep()
        del self._ids, self._places, self._groups, self._asks  # the texts are not needed any more

    def __len__(self) -> int:
        return len(self.items)

    def units(self, lessons: Iterable[Lesson]) -> list[Unit]:
        """What a pass reads together: the views of an example; where rows hold one pair each, single pairs."""
        units = []
        for lesson in lessons:
            views = [self._view_index[view] for view in lesson.views]
            weights = lesson.weights or (1.0,) * len(views)
            trained = list(zip(lesson.pairs, views, weights, strict=True))
            beside = dict(zip(lesson.pairs, lesson.beside, strict=False))
            asked = [self.asks[place] for place in lesson.asked]
            if self.student.packs:
                units.append(self._unit(trained, asked))
                continue
            # The pairs of an ask are compared with each other, so they stay together; all others are alone.
            places = set(lesson.pairs)
            joined = [ask for ask in asked if not places.isdisjoint(ask.pairs)]
            held = {place for ask in joined for place in ask.pairs}
            if joined:
                units.append(self._unit([each for each in trained if each[0] in held], joined))
            units += [self._unit([each], [], beside.get(each[0], ())) for each in trained if each[0] not in held]
            units += [self._unit([], [ask]) for ask in asked if places.isdisjoint(ask.pairs)]
        return units

    def _unit(
        self, trained: Sequence[tuple[int, int, float]], asked: Sequence[Asked], beside: Sequence[int] = ()
    ) -> Unit:
        trained = [*trained, *((place, -1, 0.0) for place in beside)]
        places, views, weights = (list(column) for column in zip(*trained, strict=True)) if trained else ([], [], [])
        parts = []
        for ask in asked:
            # Trained pairs are read once, further ones for each ask: a term may ask for the same as another does.
            first = len(places)
            new = [place for place in ask.pairs if place not in places[: len(trained)]]
            places += new
            views += [-1] * len(new)
            weights += [0.0] * len(new)
            more = iter(range(first, len(places)))
            known = places[: len(trained)]
            parts.append(([known.index(place) if place in known else next(more) for place in ask.pairs], ask))
        return Unit(Block([self.tokens[place] for place in places]), views, weights, parts, places)

    def batch(self, units: Sequence[Unit], rows: Sequence[Sequence[int]] | None) -> Batch:
        """The tensors of a pass; `rows`: the units that share a row, None: as many as fit."""
        if not self._texts:
            return self.student.batch([unit.block for unit in units], rows)
        batch = self.student.encode([[self._texts[place] for place in unit.places] for unit in units])
        if "weights" not in batch and any(pair.weights for unit in units for pair in unit.block.pairs):
            raise StudentError(f"{type(self.student).__name__} makes tensors of its own, which weigh no tokens.")
        return batch

    def shown(self, seen: int) -> Iterator[ViewPair]:
        """The pairs of the first `seen` items, those that no student learns included."""
        for lesson in self.items[:seen]:
            yield from self.corpus.pairs(self.method, lesson.index, lesson.epoch)

    def pairs(self, seen: int) -> dict[str, int]:
        """View → pairs in the first `seen` items."""
        counts = Counter(view for lesson in self.items[:seen] for view in lesson.views)
        return {view: counts[view] for view in self._view_index}

    def _lesson(self, index: int, epoch: int) -> Lesson:
        shown: list[ViewPair] = []
        places: list[int] = []
        beside: list[tuple[int, ...]] = []
        for item in self.corpus.pairs(self.method, index, epoch, self.unbuilt):
            others = self.student.beside(item.view, item.example, item.pair)
            if isinstance(others, str):
                self.unbuilt[item.view.name, others] += 1
                continue
            place, known = self._place(item.pair), self._group(tuple(others))
            if place is None or known is None:
                self.unbuilt[item.view.name, self._long] += 1
                continue
            shown.append(item)
            places.append(place)
            beside.append(known)
        weights = tuple(item.pair.weight for item in shown)
        return Lesson(
            index,
            epoch,
            tuple(item.view.name for item in shown),
            tuple(places),
            () if set(weights) <= {1.0} else weights,
            tuple(self._asked(index, epoch, shown, places)) if self.losses and shown else (),
            tuple(beside) if any(beside) else (),
        )

    def _nothing(self, unbuilt: Mapping[tuple[str, str], int], epoch: int) -> str:
        """The message for a method of which an epoch has no pair, by what could not be built in it."""
        name, reasons = self.method.name, {reason for _, reason in unbuilt}
        if reasons <= {self._long}:
            limit = f"no pair fits into {self.student.max_length} tokens"
            return f"Method '{name}': {limit}. Raise `train: {{max_length: ...}}`."
        told = "; ".join(f"'{view}': {reason} ({count:,})" for (view, reason), count in sorted(unbuilt.items()))
        more = " For those that are too long raise `train: {max_length: ...}`." if self._long in reasons else ""
        return f"Method '{name}': no pair could be built in epoch {epoch + 1}: {told}.{more}"

    @property
    def _long(self) -> str:
        """The reason of a pair that does not fit."""
        return f"longer than {self.student.max_length} tokens"

    def _check_asked(self) -> None:
        """Raises MethodError for a term that would train nothing: the name of a method must not promise it."""
        asked = {ask.loss for ask in self.asks}
        for name in self.losses:
            if name not in asked:
                reasons = [f"{reason} ({count:,})" for (term, reason), count in self.unbuilt.items() if term == name]
                why = "; ".join(reasons) or "its views state no answer that it could be about"
                raise MethodError(
                    f"Method '{self.method.name}': '{name}' says nothing about any of the {len(self.items):,} examples "
                    f"that are shown: {why}. Take '{name}' out of the method."
                )

    def _place(self, pair: Pair) -> int | None:
        if pair.weight != 1:  # the same tokens
            pair = replace(pair, weight=1.0)
        if pair not in self._places:
            [tokens] = self._ids.pairs([pair])
            self._places[pair] = self._add(pair, tokens) if self._fits(tokens) else None
        return self._places[pair]

    def _group(self, pairs: tuple[Pair, ...]) -> tuple[int, ...] | None:
        """The places of pairs that are read and not trained on; None where one does not fit."""
        if pairs not in self._groups:
            tokens = self._ids.pairs(pairs)
            fit = all(map(self._fits, tokens))
            self._groups[pairs] = tuple(map(self._add, pairs, tokens)) if fit else None
        return self._groups[pairs]

    def _fits(self, tokens: PairTokens) -> bool:
        return len(tokens.prompt) + len(tokens.target) <= self.student.max_length

    def _add(self, pair: Pair, tokens: PairTokens) -> int:
        if tokens.weights and type(self.student).forward is not BaseStudent.forward:
            raise StudentError(f"{type(self.student).__name__} has a loss of its own, which weighs no tokens.")
        place = self.tokens.add(tokens)
        if type(self.student).encode is not BaseStudent.encode:
            self._texts[place] = pair
        return place

    def _asked(self, index: int, epoch: int, items: Sequence[ViewPair], places: Sequence[int]) -> Iterator[int]:
        """Places in `asks` of what the further terms read of an example; an ask of which a pair does not fit is left
        out, and counted."""
        shown = Shown(self.corpus.examples[index], self.corpus.in_epoch(index, epoch), items, epoch)
        trained = {item.pair: place for item, place in zip(items, places, strict=True)}
        for name, loss in self.losses.items():
            for ask in loss.asks(shown):
                if isinstance(ask, str):
                    self.unbuilt[name, ask] += 1
                    continue
                more = self._group(tuple(pair for pair in ask.pairs if pair not in trained))
                if more is None:
                    self.unbuilt[name, self._long] += 1
                    continue
                rest = iter(more)
                yield self._ask(
                    name, ask, tuple(trained[pair] if pair in trained else next(rest) for pair in ask.pairs)
                )

    def _ask(self, name: str, ask: Ask, pairs: tuple[int, ...]) -> int:
        figures = {
            key: value if isinstance(value, (int, float)) else tuple(value) for key, value in ask.figures.items()
        }
        tokens = ((key, _digest(values)) for key, values in ask.tokens.items())
        stated = (name, pairs, ask.share, *figures.items(), *tokens)
        if stated not in self._asks:
            self._asks[stated] = len(self.asks)
            self.asks.append(Asked(name, pairs, figures, ask.tokens, ask.share))
        return self._asks[stated]


def _digest(values: NDArray[Any]) -> bytes:
    return hashlib.blake2b(values.tobytes(), digest_size=16).digest()
