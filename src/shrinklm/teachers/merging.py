"""Generations of an export, or of another store, put into a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..core.errors import StoreError
from ..core.types import Generation
from .base import failed
from .store import GROUP, Store, records


@dataclass
class Merged:
    """What became of the generations that were put into a store."""

    added: int = 0
    replaced: int = 0
    """The server had failed at them, in this store."""
    same: int = 0
    different: int = 0
    """The store holds another text under their key, and keeps it."""


def merge(store: Store, path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Merged:
    """Put the generations of an export or another store into a store; what is there stays, unless its server failed.

    The whole file is looked through before the first of them is taken. They are committed by the thousand: after a
    kill, the same call takes the rest.

    Args:
        store: Takes them.
        path: See `records`.
        progress: Called with (generations done, in all).

    Raises StoreError, see `records`.
    """
    if path.exists() and store.path.exists() and path.samefile(store.path):
        raise StoreError(f"{path} is the store that it would be put into. Name another file.")
    total = sum(1 for _ in records(path))
    merged, left, done = Merged(), records(path), 0
    while batch := list(islice(left, GROUP)):
        _put(store, batch, merged)
        done += len(batch)
        progress(done, total)
    return merged


def _put(store: Store, batch: list[Generation], merged: Merged) -> None:
    there = store.get(generation.key for generation in batch)
    new: list[Generation] = []
    for generation in batch:
        old = there.get(generation.key)
        if old is None:
            merged.added += 1
        elif failed(old) and not failed(generation):
            merged.replaced += 1
        else:
            same = _said(old) == _said(generation)
            merged.same += same
            merged.different += not same
            continue
        there[generation.key] = generation  # a file may hold a key twice
        new.append(generation)
    store.put(new)


def _said(generation: Generation) -> tuple[str | None, ...]:
    return generation.text, generation.answer, generation.refusal, generation.thoughts
