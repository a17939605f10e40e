"""A stage that processes launched together do as one: the first does it, the others train with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from ...core import launched
from ...core.errors import StoreError
from ...core.types import Example, Split, Task
from ...methods.corpus import Corpus
from ...methods.view import Method
from ..blocks import StudentBlock
from ..folder import Cell
from ..lock import FolderLock, writes
from ..recipe import Recipe
from .train import share, train_key
from .word_markers import WordMarkers


class _Run(Protocol):
    """The parts of a run that a training needs."""

    recipe: Recipe

    @property
    def lock(self) -> FolderLock:
        """Of its folder."""

    @property
    def cells(self) -> list[Cell]:
        """Its cells."""

    @property
    def task(self) -> Task:
        """Its task."""

    @property
    def splits(self) -> Mapping[Split, Sequence[Example]]:
        """Its questions."""

    @property
    def markers(self) -> WordMarkers:
        """Which may fine-tune a teacher."""

    def corpus(self, seed: int, student: StudentBlock, method: Method) -> Corpus:
        """What a cell is trained on."""

    def scratch(self) -> _Run:
        """The same run, which writes nothing."""


_P = ParamSpec("_P")
_Self = TypeVar("_Self", bound=_Run)


def together(stage: Callable[Concatenate[_Self, _P], None]) -> Callable[Concatenate[_Self, _P], None]:
    """Makes a method one that `writes` (see there), and that processes launched together do as one.

    The first asks, writes and speaks; the others wait for it, train what it trains, and end as it ends: with the error
    `Elsewhere` where it, or another, raised one.
    """

    alone = writes(stage)

    @wraps(stage)
    def work(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if launched.count() == 1 or self.lock.held:  # alone, or the first, inside another stage
            return alone(self, *args, **kwargs)
        from ...students.training import processes

        processes.join()
        with processes.all_end():
            if launched.first():
                alone(self, *args, **kwargs)
                processes.told(None)
            else:
                _follow(self)
        return None

    return work


def _follow(run: _Run) -> None:
    """Trains with the first process whatever it names, until it has nothing more."""
    from ...students.training import processes

    if run.lock.storage.url is not None and launched.rank() != launched.local_rank():
        raise StoreError(
            "Processes that train one student on several machines work in one folder, which all of them see; "
            f"{run.lock.storage.url} has a mirror on each. Name a shared folder with `runs:`, or launch them on one "
            "machine."
        )
    look: _Run | None = None
    while (said := processes.told(None)) is not None:
        look = look or run.scratch()  # when it first names a cell, all that the training reads is written
        _train(look, **said)


def _train(run: _Run, name: str, key: str) -> None:
    cell = next((cell for cell in run.cells if cell.name == name), None)
    if cell is None:
        cell, recipe, corpus = run.markers.training()
    else:
        recipe, corpus = run.recipe, run.corpus(cell.seed, cell.student, cell.method)
    dev = run.splits["dev"]
    if train_key(cell, recipe, corpus, dev) != key:
        raise StoreError(
            f"Process {launched.rank()} reads other questions, texts or weights for {name} than the first does. "
            f"All processes need the same recipe, data, store ({recipe.path(recipe.store)}) and models."
        )
    share(cell, recipe, run.task, corpus, dev)
