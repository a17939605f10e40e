"""The pairs of one example as a tree: what several of them begin with is read once.

And how blocks of different sizes fill rows.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..models.rows import shared_beginning
from .tokens import PairTokens


@dataclass(frozen=True)
class Segment:
    """A run of tokens that stands in a row once, whatever the number of pairs that read it."""

    pair: int
    """The pair whose tokens stand there, and whose labels alone are asked for there."""
    start: int
    """Of its tokens, counted from the beginning of its prompt: also the position of the first."""
    stop: int
    parent: int
    """The segment that it goes on from; -1: none. It sees that one and all that one sees."""


@dataclass(frozen=True)
class Block:
    """The pairs of one example."""

    pairs: Sequence[PairTokens]

    @cached_property
    def whole(self) -> list[list[int]]:
        """The tokens of each pair, prompt and target."""
        return [pair.whole for pair in self.pairs]

    @cached_property
    def segments(self) -> list[Segment]:
        """The segments that read them with the fewest tokens."""
        segments: list[Segment] = []
        _grow(segments, list(map(_Branch.of, range(len(self.pairs)), self.pairs, self.whole)), 0, -1)
        return segments

    @cached_property
    def size(self) -> int:
        """The tokens of all segments."""
        return sum(segment.stop - segment.start for segment in self.segments)


@dataclass(frozen=True)
class _Branch:
    pair: int
    read: list[int]
    """What is read of it: all but the last token of its target, after which nothing is asked."""
    first: float
    """Where its first label stands: one token before the first that is scored. Infinite without any."""

    @classmethod
    def of(cls, number: int, pair: PairTokens, whole: list[int]) -> _Branch:
        if not pair.scored:
            return cls(number, whole, math.inf)
        return cls(number, whole[:-1], len(pair.prompt) + len(pair.given) - 1)


def _grow(segments: list[Segment], branches: Sequence[_Branch], start: int, parent: int) -> None:
    """Add the segments of branches that are alike up to `start`."""
    if len(branches) == 1:
        (branch,) = branches
        # An empty prompt of an empty target is nothing to read.
        if start < len(branch.read):
            segments.append(Segment(branch.pair, start, len(branch.read), parent))
        return
    # A place in a row has one label: from where a second pair has its first one, each goes on by itself.
    owner, other = sorted(branches, key=_first)[:2]
    alike = shared_beginning([branch.read for branch in branches])
    stop = int(min(alike, other.first))
    if stop > start:
        segments.append(Segment(owner.pair, start, stop, parent))
        parent = len(segments) - 1
    followers: dict[int, list[_Branch]] = {}
    for place, branch in enumerate(branches):
        if stop < len(branch.read):
            followers.setdefault(branch.read[stop] if stop == alike else -1 - place, []).append(branch)
    for branches in followers.values():
        _grow(segments, branches, stop, parent)


def _first(branch: _Branch) -> tuple[float, int]:
    return branch.first, branch.pair


def fill(sizes: Sequence[int], width: int) -> list[list[int]]:
    """Rows of at most `width` tokens that hold blocks of these sizes: lists of their indices, the largest first.

    Best fit by falling size (Johnson 1973): each block goes where it leaves the least room.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []
    """(tokens left, row), the fullest first."""
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        size = sizes[index]
        place = next((place for place, (left, _) in enumerate(room) if left >= size), None)
        if place is None:
            rows.append([index])
            insort(room, (width - size, len(rows) - 1))
        else:
            left, row = room.pop(place)
            rows[row].append(index)
            insort(room, (left - size, row))
    return rows
