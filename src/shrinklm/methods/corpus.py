"""The training examples of a run as prompt → target pairs: in a seeded order, epoch by epoch."""

from __future__ import annotations

import itertools
import math
import random
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..core.errors import MethodError
from ..core.types import Example, Generation, Pair, digest
from .view import Draw, Generations, Method, View, shows

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class ViewPair:
    """One pair of one view of one example, and its weight in the loss."""

    example: Example
    view: View
    weight: float
    pair: Pair

    def row(self) -> dict[str, Any]:
        """The pair as `shrinklm preview` and `pairs.jsonl` show it."""
        row = {
            "view": self.view.name,
            "weight": self.weight,
            "example_id": self.example.id,
            "option": self.pair.option,
            "prompt": self.pair.prompt,
            "target": self.pair.target,
        }
        # Left out where nothing is said, as in what earlier versions wrote: the row is part of a training's key.
        if self.pair.scored is not None:
            row["scored_characters"] = list(self.pair.scored)
        if self.pair.emphasis:
            row["emphasis"] = [list(span) for span in self.pair.emphasis]
        if self.pair.weight != 1:
            row["pair_weight"] = self.pair.weight
        return row


@dataclass(frozen=True)
class _Built:
    """All that a method makes of one example in one epoch."""

    pairs: tuple[ViewPair, ...]
    unbuilt: tuple[tuple[str, str], ...]
    """(view, reason) of each view that cannot be built."""


class Corpus:
    """Training examples with the teacher's generations, and the seeded order behind every draw.

    Args:
        examples: The training examples.
        generations: Example id → the teacher's generations for it.
        seed: Determines the order of the examples and every draw.
        weights: Key of a generation → its weight among the samples of its question; 1 where it has none.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        generations: Mapping[str, Generations],
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.examples = list(examples)
        self.generations = generations
        self.seed = seed
        self.weights = weights or {}
        self._order = array("L", range(len(self.examples)))
        random.Random(digest("order", seed)).shuffle(self._order)
        self._rank = array("L", self._order)
        for rank, index in enumerate(self._order):
            self._rank[index] = rank
        self._built: dict[int, _Built] = {}
        self._built_for: tuple[Method, int] | None = None
        """The method and the epoch of `_built`."""
        self._same: dict[tuple[int, int], Pair | str] = {}
        """(place of a view in the method, index of an example) → what the view makes of it in every epoch."""
        self._sampled = any(
            text.samples for example in self.examples for text in generations.get(example.id, {}).values()
        )

    def generations_of(self, index: int) -> Generations:
        """The teacher's generations for the example at `index`."""
        return self.generations.get(self.examples[index].id, {})

    @cached_property
    def unweighted(self) -> Corpus:
        """The same, with all samples alike."""
        return Corpus(self.examples, self.generations, self.seed) if self.weights else self

    def shares(self, texts: Sequence[Generation]) -> list[float]:
        """The shares of the samples of one question, which add up to 1; all alike where none has a weight."""
        weights = self._weights(texts)
        return [weight / math.fsum(weights) for weight in weights]

    def _weights(self, texts: Sequence[Generation]) -> list[float]:
        """The weights of the samples of one question; 1 each where all would be 0, since one must be shown."""
        weights = [self.weights.get(text.key, 1.0) for text in texts]
        return weights if any(weights) else [1.0] * len(texts)

    def in_epoch(self, index: int, epoch: int) -> Generations:
        """The generations for the example at `index` that an epoch shows: of each question's samples the next one.

        Over the epochs a usable sample is shown in a share of them that is its weight: as often as the others where
        all with a weight above 0 weigh the same, but for the last round, which an epoch may end in.
        """
        known = self.generations_of(index)
        if not any(text.samples for text in known.values()):
            return known
        shown = dict(known)
        # By the rank too, so that one epoch shows first and further samples of as many examples.
        turn = self._rank[index] + epoch
        slots = Counter(kind for (kind, _), text in known.items() if not text.refusal)
        for slot, text in known.items():
            # Samples of `label` may give different answers: only those with the one that counts take turns.
            whole = [sample for sample in text.texts if shows(sample)]
            # A trace that is not refused ends in the right answer, or states none.
            usable = [sample for sample in whole if sample.answer == text.answer or slot[0] == "trace"]
            # One alone is not the text that counts where that one gives no reasons.
            if len(usable) > 1 or (usable and not shows(text)):
                # A counterfactual is shown once in as many epochs as there are wrong options.
                shown[slot] = usable[_turn(self._weights(usable), turn // slots[slot[0]])]
        return shown

    def pairs(
        self, method: Method, index: int, epoch: int, unbuilt: Counter[tuple[str, str]] | None = None
    ) -> list[ViewPair]:
        """All pairs of an example in an epoch; `unbuilt` counts those that cannot be built by (view, reason)."""
        built = self._build(method, index, epoch)
        if unbuilt is not None:
            unbuilt.update(built.unbuilt)
        return list(built.pairs)

    def count(self, method: Method, epoch: int, indices: Iterable[int]) -> Counter[str]:
        """View → the pairs that the method makes of the examples at `indices`, of which none is remembered."""
        sure = [view.name for view in method.views if view.sure]
        if len(sure) == len(method.views):
            return Counter(dict.fromkeys(sure, len(list(indices))))
        counts: Counter[str] = Counter()
        for index in indices:
            counts.update(item.view.name for item in self._build_uncached(method, index, epoch, {}).pairs)
        return counts

    def usable(self, method: Method) -> list[int]:
        """The indices of the examples of which the method can build a pair.

        Raises MethodError when one of its views can be built of no example.
        """
        # Epoch 0 stands for all: whether a view can be built depends on the generations, and epochs share those.
        unbuilt: Counter[tuple[str, str]] = Counter()
        pairs = [self.pairs(method, index, 0, unbuilt) for index in range(len(self.examples))]
        names = {item.view.name for items in pairs for item in items}
        if any(view.name not in names for view in method.views):
            raise MethodError(_missing_message(method, unbuilt, len(self.examples)))
        return [index for index, items in enumerate(pairs) if items]

    def schedule(self, method: Method) -> Iterator[tuple[int, int]]:
        """(index of an example, epoch) without end: whole epochs, each in its own seeded order.

        The order is that of all examples, so that two methods meet those that both can show in the same order.
        """
        usable = set(self.usable(method))
        for epoch in itertools.count():
            order = list(range(len(self.examples)))
            random.Random(digest("epoch", self.seed, epoch)).shuffle(order)
            yield from ((index, epoch) for index in order if index in usable)

    def _build(self, method: Method, index: int, epoch: int) -> _Built:
        # A training asks for the pairs of an epoch several times over: for its key, for pairs.jsonl, for their lengths
        # and for the tensors. One epoch is remembered, so that memory does not grow with their number. By identity: a
        # method's views have no order in ==.
        if self._built_for is None or self._built_for[0] is not method:
            self._same = {}
        if self._built_for is None or self._built_for[0] is not method or self._built_for[1] != epoch:
            self._built_for = (method, epoch)
            self._built = {}
        if index not in self._built:
            self._built[index] = self._build_uncached(method, index, epoch, self._same)
        return self._built[index]

    def _build_uncached(
        self, method: Method, index: int, epoch: int, same: dict[tuple[int, int], Pair | str]
    ) -> _Built:
        # The next in the seeded order, not a random other: each example then gives its explanation away exactly once.
        rank = self._rank[index]
        donor = self._order[(rank + 1) % len(self._order)]
        example, generations = self.examples[index], self.in_epoch(index, epoch)
        other, donated = self.examples[donor], self.in_epoch(donor, epoch)
        pairs, unbuilt = [], []
        for place, (view, weight) in enumerate(method.views.items()):
            pair = same.get((place, index))
            if pair is None:
                draw = Draw(self.seed, epoch, rank, None if donor == index else (other, donated))
                pair = view.pair(example, generations, draw)
                if not draw.by_epoch and not self._sampled:
                    same[place, index] = pair
            if isinstance(pair, Pair):
                pairs.append(ViewPair(example, view, weight, pair))
            else:
                unbuilt.append((view.name, pair))
        return _Built(tuple(pairs), tuple(unbuilt))


def _turn(weights: Sequence[float], turn: int) -> int:
    """The place of the text that a turn shows: each in a share of the turns that is its weight.

    Where those above 0 weigh the same, one after another; else the one in whose part of the cumulative weights
    frac(½ + turn · golden ratio) lies, which fills an interval as evenly as points one after another can (Kronecker's
    sequence). A weight close to 0 so costs no turn, and each text that is shown counts as much as any other.
    """
    some = [place for place, weight in enumerate(weights) if weight]
    if math.isclose(min(weights[place] for place in some), max(weights), rel_tol=1e-9):
        return some[turn % len(some)]
    ends = list(itertools.accumulate(weights[place] for place in some))
    point = (0.5 + turn * _GOLDEN) % 1 * ends[-1]
    return some[min(bisect_right(ends, point), len(some) - 1)]


def _missing_message(method: Method, unbuilt: Mapping[tuple[str, str], int], total: int) -> str:
    """The message for a method that lacks generations: which views, of how many examples, why, and a remedy."""
    reasons = "; ".join(
        f"view '{view}': {count:,} of {total:,} examples: {reason}" for (view, reason), count in sorted(unbuilt.items())
    )
    kinds = ", ".join(f"'{kind}'" for kind in method.needs) or "no"
    missing = [kind for kind in method.needs if any(reason == f"no {kind}" for _, reason in unbuilt)]
    advice = (
        f"Run: shrinklm generate RECIPE --step {missing[0]}"
        if missing
        else "Leave this method out, or ask another teacher."
    )
    return f"Method '{method.name}' needs {kinds} generations. {reasons or 'There is no training example'}. {advice}"
