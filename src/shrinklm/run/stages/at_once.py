"""The cells of a run, trained one after another, or several at once, each in a process of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...core import launched
from ...core.errors import ShrinkError, StudentError
from ...core.types import Task, Tick
from ..folder import Cell
from ..recipe import Recipe
from .data import task_of
from .generate import cells_of, methods_of
from .train import train_cell

_PAUSE = 0.1
"""Seconds between two looks at what the processes tell, and between two things that one tells of its steps."""


@dataclass(frozen=True)
class Work:
    """What a process is to train. All of it can be sent to another one."""

    recipe: Recipe
    folder: Path
    """Of the cells."""
    cell: str
    lessons: Mapping[str, Any]
    """The arguments of `train_cell` for the corpus, the questions and the origin."""

    def train(self, tick: Tick, task: Task | None = None) -> None:
        """Train the cell; see `train_cell`."""
        cells = cells_of(self.recipe, methods_of(self.recipe), self.folder)
        cell = next(cell for cell in cells if cell.name == self.cell)
        train_cell(cell, self.recipe, task or task_of(self.recipe), tick=tick, **self.lessons)


def train_cells(
    recipe: Recipe, task: Task, cells: Iterable[Cell], lessons: Callable[[Cell], Mapping[str, Any]], tick: Tick
) -> None:
    """Train cells, those that are not trained yet `train: {at_once: N}` at a time.

    Where one fails, those under way are trained to their end and no other is begun. Processes that train together
    (`together.py`) train one cell after another.

    Args:
        recipe: Their recipe.
        task: The recipe's.
        cells: Their folders stand in one folder.
        lessons: The arguments of `train_cell` for the corpus, the questions and the origin of a cell.
        tick: Called with the progress of each.

    Raises the error of the first that failed: see `train_cell`.
    """
    cells = list(cells)
    count = min(recipe.train.at_once, sum(not cell.trained for cell in cells)) if launched.count() == 1 else 1
    left = []
    for cell in cells:
        if count > 1 and not cell.trained:
            left.append(cell)
        else:
            train_cell(cell, recipe, task, tick=tick, **lessons(cell))
    if left:
        _Pool(count, tick).train(Work(recipe, cell.folder.parent, cell.name, lessons(cell)) for cell in left)


class _Pool:
    """Processes that train cells; they end when this one does, however it ends."""

    def __init__(self, count: int, tick: Tick) -> None:
        import torch

        self.count, self.tick = count, tick
        # Spawned: a process that was forked from one that has used the GPU cannot use it.
        context = get_context("spawn")
        self._told = context.SimpleQueue()
        watched, self._held = context.Pipe(duplex=False)
        threads = max(1, torch.get_num_threads() // count)
        quiet = any(entry[0] == "ignore" and entry[2] is Warning for entry in warnings.filters)
        self._pool = ProcessPoolExecutor(count, context, _begin, (self._told, watched, threads, quiet))
        self._under_way: dict[Future[None], str] = {}
        self._error: BaseException | None = None

    def train(self, works: Iterable[Work]) -> None:
        """Train cells. Raises the error of the first that failed."""
        left = iter(works)
        with self._pool:
            try:
                while self._begin_more(left):
                    done, _ = wait(self._under_way, _PAUSE, FIRST_COMPLETED)
                    while not self._told.empty():
                        self.tick(*self._told.get())
                    for future in done:
                        self._end(self._under_way.pop(future), future.exception())
            except BaseException:
                self._held.close()  # they see it and end
                raise
        if self._error is not None:
            raise self._error

    def _begin_more(self, left: Iterable[Work]) -> bool:
        """Begin as many as may be under way. Returns whether any is."""
        while self._error is None and len(self._under_way) < self.count:
            try:
                work = next(iter(left), None)
            except ShrinkError as error:  # its texts are not there: those under way are trained nevertheless
                self._fail("train", error)
                break
            if work is None:
                break
            self._under_way[self._pool.submit(_train, work)] = work.cell
        return bool(self._under_way)

    def _end(self, name: str, error: BaseException | None) -> None:
        if isinstance(error, BrokenProcessPool):
            advice = f"Where memory was short, take a smaller `train: {{at_once: {self.count}}}`."
            error = StudentError(
                f"A process that trained a cell was stopped from outside, and the others with it. {advice} "
                "The same command goes on from the last checkpoints."
            )
        if error is not None and self._error is None:
            self._fail(f"train {name}", error)

    def _fail(self, what: str, error: BaseException) -> None:
        self._error = error
        if self._under_way:
            self.tick(what, 0, 0, f"{error} Those under way are trained to their end; no other is begun")


# What follows runs in a process of the pool.

_tick: Tick


def _begin(told: Any, watched: Connection, threads: int, quiet: bool) -> None:
    """Prepare this process: `told` takes what it tells, `watched` ends when it is to end."""
    global _tick
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that began them, which ends them
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    if quiet:
        warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(threads)
    last = 0.0

    def tick(what: str, done: int, total: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if not total or done in (0, 1, total) or now - last >= _PAUSE:
            last = now
            told.put((what, done, total, note))

    _tick = tick


def _end_with(watched: Connection) -> None:
    watched.poll(None)
    os._exit(1)


def _train(work: Work) -> None:
    work.train(_tick)
