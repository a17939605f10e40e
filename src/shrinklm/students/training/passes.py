"""One step of a training, cut into passes: which units one forward and backward pass reads, and as which tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base import BaseStudent
from ..batch import Batch, Scored, labelled
from ..blocks import fill
from ..causal import row_width
from .lessons import Asked, Lesson, Lessons, Unit
from .limit import Limit
from .losses.base import Read

Rows = Sequence[Sequence[int]]
"""The units of each row, by their place in the pass."""


@dataclass(frozen=True)
class AskedFor:
    """What a pass reads for one further term of the loss."""

    pairs: Tensor
    """[pairs]: their places in the batch."""
    ask: Tensor
    place: Tensor
    count: int
    most: int
    figures: Mapping[str, Tensor]
    tokens: Mapping[str, Tensor]
    weight: Tensor | None
    """[asks]; None where all are 1."""

    def read(self, log_likelihood: Tensor, scored: Scored | None, student: BaseStudent | None = None) -> Read:
        """With the log-likelihood of each pair of the batch, [pairs of the batch], its tokens, and who read them."""
        return Read(
            log_likelihood[self.pairs],
            self.ask,
            self.place,
            self.count,
            self.most,
            self.figures,
            self.pairs,
            len(log_likelihood),
            scored,
            self.tokens,
            student,
        )

    def weighed(self, values: Tensor) -> Tensor:
        """[asks]: the values of a term, each times the weight of its ask."""
        return values if self.weight is None else self.weight * values

    def to(self, device: torch.device) -> AskedFor:
        """The same on a device."""
        return self._with(lambda value: value.to(device, non_blocking=True))

    def pinned(self) -> AskedFor:
        """See Step.pin_memory."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> AskedFor:
        pairs, ask, place = map(change, (self.pairs, self.ask, self.place))
        figures, tokens = (
            {name: change(value) for name, value in values.items()} for values in (self.figures, self.tokens)
        )
        weight = None if self.weight is None else change(self.weight)
        return AskedFor(pairs, ask, place, self.count, self.most, figures, tokens, weight)


@dataclass(frozen=True)
class Pass:
    """What one forward and backward pass reads."""

    batch: Batch
    view: Tensor
    """[pairs]: the place of each pair's view in the method; that of a pair without one is past the last."""
    weight: Tensor
    """[pairs]: its share of the loss of the step: its own weight × weight of its view / pairs of that view in the step.
    """
    own: Tensor
    """[pairs]: its own weight."""
    asked: Mapping[str, AskedFor]
    """By the name of a further term of the loss."""

    def pinned(self) -> Pass:
        """See Step.pin_memory."""
        # Single numbers are read on the CPU.
        batch = {name: value.pin_memory() if value.dim() else value for name, value in self.batch.items()}
        asked = {name: ask.pinned() for name, ask in self.asked.items()}
        view, weight, own = (value.pin_memory() for value in (self.view, self.weight, self.own))
        return Pass(batch, view, weight, own, asked)


@dataclass(frozen=True)
class Step:
    """What one process reads for one step."""

    passes: Sequence[Pass]
    pairs: Sequence[int]
    """For each view its pairs in the whole step, those of other processes included."""
    asks: Mapping[str, int]
    """Term of the loss → how often it is asked for in the whole step."""
    tokens: int
    """That this process reads, padding not counted."""

    def pin_memory(self) -> Step:
        """The same where a GPU copies it without the CPU waiting; `DataLoader` calls this."""
        return replace(self, passes=[each.pinned() for each in self.passes])


class Steps:
    """The steps of a training. Reads and changes nothing but its own: a worker process may build them ahead.

    Args:
        lessons: The dataset.
        batch: Examples of a step.
        limit: Of a pass.
        part: (number of this process, number of all); each computes its share of every step.
    """

    def __init__(self, lessons: Lessons, batch: int, limit: Limit, part: tuple[int, int] = (0, 1)) -> None:
        self.lessons, self.size, self.limit, self.part = lessons, batch, limit, part

    def __len__(self) -> int:
        return -(-len(self.lessons) // self.size)

    def __getitem__(self, number: int) -> Step:
        """Step `number`, counted from 0."""
        lessons = self.lessons.items[number * self.size : (number + 1) * self.size]
        rank, processes = self.part
        cuts = list(self._cut(lessons, processes))
        units = [unit for some, _ in cuts for unit in some]
        views = Counter(view for unit in units for view in unit.views)
        pairs = [views[place] for place in range(len(self.lessons.method.views))]
        asks = Counter(ask.loss for unit in units for _, ask in unit.asked)
        passes = [self._pass(some, rows, pairs) for some, rows in cuts[rank::processes]]
        return Step(passes, pairs, asks, sum(int(each.batch["tokens"]) for each in passes))

    def _cut(self, lessons: Sequence[Lesson], processes: int) -> Iterator[tuple[list[Unit], Rows | None]]:
        if self.limit.examples is not None:
            for start in range(0, len(lessons), self.limit.examples):
                yield self.lessons.units(lessons[start : start + self.limit.examples]), None
            return
        units, tokens = self.lessons.units(lessons), self.limit.tokens
        if processes > 1:  # a pass for each, so that none waits
            size = sum(len(pair.prompt) + len(pair.target) for unit in units for pair in unit.block.pairs)
            tokens = max(1, min(tokens, size // processes))
        yield from cut(units, tokens, self.lessons.student.packs)

    def _pass(self, units: Sequence[Unit], rows: Rows | None, pairs: Sequence[int]) -> Pass:
        views = [view for unit in units for view in unit.views]
        shares = [
            weight / max(1, count) for weight, count in zip(self.lessons.method.views.values(), pairs, strict=True)
        ]
        shares.append(0.0)
        own = [weight for unit in units for weight in unit.weights]
        batch = self.lessons.batch(units, rows)
        return Pass(
            batch=batch,
            view=torch.tensor(views) % (len(pairs) + 1),
            weight=torch.tensor([weight * shares[view] for view, weight in zip(views, own, strict=True)]),
            own=torch.tensor(own),
            asked=_asked(units, batch),
        )


def cut(units: Sequence[Unit], tokens: int, packs: bool) -> Iterator[tuple[list[Unit], Rows | None]]:
    """(units, which of them share a row) of passes of at most so many tokens with their padding, or of one row.

    Units of like length stand together. `packs`: a row may hold several.
    """
    if packs:
        sizes = [unit.block.size for unit in units]
        width = row_width(sizes, tokens)
        widths = [width, *(width * factor // 4 for factor in (5, 6, 7, 8, 12) if width * factor // 4 <= tokens)]
        for some in min((_rows(sizes, width, tokens) for width in widths), key=lambda cut: _work(cut, sizes)):
            numbers = iter(range(len(units)))
            yield [units[index] for row in some for index in row], [[next(numbers) for _ in row] for row in some]
        return
    yield from ((part, None) for part in _alike(units, tokens))


def _alike(units: Sequence[Unit], tokens: int) -> Iterator[list[Unit]]:
    """Passes of units of like length, cut where the least is padded."""
    # By the target first, in eights: a decoder that writes two lengths pads the short one.
    order = sorted(units, key=lambda unit: (_lengths(unit)[0] // 8, _lengths(unit)[1]))
    lengths = np.array([_lengths(unit) for unit in order])
    rows = np.array([len(unit.block.pairs) for unit in order]).cumsum()
    # The least work up to each unit, over all places where its pass may begin; a pass costs something by itself.
    least, begins = np.zeros(len(order) + 1), np.zeros(len(order), dtype=int)
    for last in range(len(order)):
        widest = np.maximum.accumulate(lengths[last::-1], axis=0)[::-1].sum(axis=1)
        padded = (rows[last] - rows[: last + 1] + np.diff(rows[: last + 1], prepend=0)) * widest
        work = least[: last + 1] + padded + tokens / 16
        work[:-1][padded[:-1] > tokens] = np.inf  # one unit alone may have more
        begins[last] = work.argmin()
        least[last + 1] = work.min()
    cuts = [len(order)]
    while cuts[-1]:
        cuts.append(int(begins[cuts[-1] - 1]))
    for start, stop in pairwise(reversed(cuts)):
        yield order[start:stop]


def _rows(sizes: Sequence[int], width: int, tokens: int) -> list[Rows]:
    """The rows of each pass, where a row holds at most `width` tokens."""
    rows = fill(sizes, width)
    # Even passes: the last is not a small rest.
    count = -(-len(rows) // max(1, tokens // width))
    return [rows[number * len(rows) // count : (number + 1) * len(rows) // count] for number in range(count)]


def _work(passes: Sequence[Rows], sizes: Sequence[int]) -> float:
    """What passes cost, in tokens with their padding."""
    work = 0.0
    for rows in passes:
        width = max(sum(sizes[index] for index in row) for row in rows)
        # Attention costs what all else does where a row has six times the width of the model: 3,500 for small ones.
        work += len(rows) * width * (1 + width / 3500)
    return work


def _lengths(unit: Unit) -> tuple[int, int]:
    """The tokens of a unit's longest target and of its longest prompt."""
    pairs = unit.block.pairs
    return max(len(pair.given) + len(pair.scored) for pair in pairs), max(len(pair.prompt) for pair in pairs)


def _asked(units: Sequence[Unit], batch: Batch) -> dict[str, AskedFor]:
    """By term of the loss what these units are asked for."""
    found: dict[str, list[tuple[list[int], Asked]]] = {}
    first = 0
    for unit in units:
        for places, ask in unit.asked:
            found.setdefault(ask.loss, []).append(([first + place for place in places], ask))
        first += len(unit.block.pairs)
    return {name: _asked_for(asks, batch) for name, asks in found.items()}


def _asked_for(asks: Sequence[tuple[list[int], Asked]], batch: Batch) -> AskedFor:
    sizes = [len(places) for places, _ in asks]
    pairs = [place for places, _ in asks for place in places]
    figures = {name: _figures([ask.figures[name] for _, ask in asks], max(sizes)) for name in asks[0][1].figures}
    weights = [ask.weight for _, ask in asks]
    return AskedFor(
        pairs=torch.tensor(pairs),
        ask=torch.arange(len(asks)).repeat_interleave(torch.tensor(sizes)),
        place=torch.tensor([place for size in sizes for place in range(size)]),
        count=len(asks),
        most=max(sizes),
        figures=figures,
        tokens={name: _by_token(pairs, [ask.tokens[name] for _, ask in asks], batch) for name in asks[0][1].tokens},
        weight=None if set(weights) <= {1} else torch.tensor(weights),
    )


def _figures(values: Sequence[float | Sequence[float]], most: int) -> Tensor:
    """[asks], or [asks, most] of numbers of pairs, filled up with 0."""
    rows = [value if isinstance(value, (int, float)) else [*value, *[0.0] * (most - len(value))] for value in values]
    return torch.tensor(rows)


def _by_token(pairs: Sequence[int], values: Sequence[NDArray[Any]], batch: Batch) -> Tensor:
    """[scored tokens of the batch, ...]: numbers of the tokens of pairs, one pair after the other; 0 for others."""
    _, _, owner = labelled(batch)
    # In a batch the tokens of one pair stand in their order, those of several in any.
    order = owner.argsort(stable=True)
    starts = torch.searchsorted(owner[order], torch.tensor(pairs))
    stops = torch.searchsorted(owner[order], torch.tensor(pairs), right=True)
    where = torch.cat([order[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)])
    given = torch.from_numpy(np.concatenate(values))
    return given.new_zeros((len(owner), *given.shape[1:])).index_put((where,), given)
