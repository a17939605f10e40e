"""Works done on this machine: one after another in this process, or side by side, each in a process of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Literal

from ...core import launched
from ...core.errors import ShrinkError, StudentError
from ...core.types import Tick
from .base import Engine, Work

_PAUSE = 0.1
"""Seconds between two looks at what the processes tell, and between two things that one tells of its steps."""
_DEVICES = "CUDA_VISIBLE_DEVICES"
_ENOUGH = 2
"""Threads of a work below which more works at a time help little on a CPU: one work keeps as many busy."""


class LocalEngine(Engine):
    """This machine.

    Args:
        jobs: So many works side by side, whatever the recipe says; "auto": as many as memory, GPUs and cores have room
            for; None: as the recipe says.

    Several GPUs are dealt out to the processes, one each; where there are fewer, they are shared.
    """

    def __init__(self, jobs: int | Literal["auto"] | None = None) -> None:
        self.jobs = jobs

    def do(self, works: Iterable[Work], tick: Tick, at_once: int = 1) -> dict[str, Any]:
        """See Engine. Processes that were launched together do one work after another."""
        wanted = (self.jobs or at_once) if launched.count() == 1 else 1
        left = iter(works)
        first = list(islice(left, 2)) if wanted != 1 else []
        count = _room(first[0].memory) if wanted == "auto" and first else wanted
        if len(first) < 2 or count == 1:  # nothing would stand beside it
            return {work.name: work.do(tick) for work in chain(first, left)}
        return _Pool(int(count), tick).do(chain(first, left))


class _Pool:
    """Processes that do works; they end when this one does, however it ends."""

    def __init__(self, count: int, tick: Tick) -> None:
        import torch

        self.count, self.tick = count, tick
        # Spawned: a process that was forked from one that has used the GPU cannot use it.
        context = get_context("spawn")
        self._told, deal = context.SimpleQueue(), context.SimpleQueue()
        watched, self._held = context.Pipe(duplex=False)
        threads, devices = max(1, torch.get_num_threads() // count), _devices(torch.cuda.device_count())
        if not torch.cuda.is_available() and threads < _ENOUGH:
            cores = torch.get_num_threads()
            note = f"on {cores} {'cores' if cores > 1 else 'core'}, {count} side by side are no quicker than one by one"
            tick("jobs", 0, 0, f"{note}: each keeps {_ENOUGH} busy. They take {count} times the memory")
        for number in range(count):
            deal.put(devices[number % len(devices)] if devices else None)
        quiet = any(entry[0] == "ignore" and entry[2] is Warning for entry in warnings.filters)
        self._pool = ProcessPoolExecutor(count, context, _begin, (self._told, watched, deal, threads, quiet))
        self._under_way: dict[Future[Any], str] = {}
        self._results: dict[str, Any] = {}
        self._error: BaseException | None = None

    def do(self, works: Iterator[Work]) -> dict[str, Any]:
        """Do works; what each returned. Raises the error of the first that failed."""
        with self._pool:
            try:
                while self._begin_more(works):
                    done, _ = wait(self._under_way, _PAUSE, FIRST_COMPLETED)
                    self._tell()
                    for future in done:
                        self._end(self._under_way.pop(future), future)
            except BaseException:
                self._held.close()  # they see it and end
                raise
        if self._error is not None:
            raise self._error
        return self._results

    def _begin_more(self, works: Iterator[Work]) -> bool:
        """Begin as many as may be under way. Returns whether any is."""
        while self._error is None and len(self._under_way) < self.count:
            try:
                work = next(works, None)
            except ShrinkError as error:  # what it needs is not there: those under way are done nevertheless
                self._fail("next", error)
                break
            if work is None:
                break
            self._under_way[self._pool.submit(_do, work)] = work.name
        return bool(self._under_way)

    def _tell(self) -> None:
        while not self._told.empty():
            self.tick(*self._told.get())

    def _end(self, name: str, future: Future[Any]) -> None:
        error = future.exception()
        if error is None:
            self._results[name] = future.result()
            return
        if isinstance(error, BrokenProcessPool):
            error = StudentError(
                f"A process of {self.count} side by side was stopped from outside, and the others with it. Where "
                f"memory was short, take a smaller `train: {{at_once: {self.count}}}` or --jobs. "
                "The same command goes on from the last checkpoints."
            )
        if self._error is None:
            self._fail(name, error)

    def _fail(self, what: str, error: BaseException) -> None:
        self._error = error
        if self._under_way:
            self.tick(what, 0, 0, f"{error} Those under way are done to their end; no other is begun")


def _room(memory: int) -> int:
    """How many works of so many bytes this machine does side by side."""
    import psutil
    import torch

    if gpus := torch.cuda.device_count():
        return gpus * max(1, int(torch.cuda.get_device_properties(0).total_memory) // max(1, memory))
    return max(1, min(torch.get_num_threads() // _ENOUGH, int(psutil.virtual_memory().available) // max(1, memory)))


def _devices(count: int) -> list[str]:
    """The GPUs to deal out, as the environment names them: none where there is no choice."""
    if count < 2:
        return []
    named = [name.strip() for name in os.environ.get(_DEVICES, "").split(",") if name.strip()]
    return named[:count] or [str(number) for number in range(count)]


# What follows runs in a process of the pool.

_tick: Tick


def _begin(told: Any, watched: Connection, deal: Any, threads: int, quiet: bool) -> None:
    """Prepare this process: `told` takes what it tells, `watched` ends when it is to end, `deal` has its GPU."""
    global _tick
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that began them, which ends them
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    if quiet:
        warnings.filterwarnings("ignore")
    if (device := deal.get()) is not None:
        os.environ[_DEVICES] = device  # before torch looks which there are
    import torch

    torch.set_num_threads(threads)
    _tick = seldom(told.put)


def seldom(tell: Any, pause: float = _PAUSE) -> Tick:
    """A tick that is sent to another process: `tell` gets (what, done, total, note), but of the steps of bars one in
    `pause` seconds."""
    last = 0.0

    def tick(what: str, done: int, total: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if not total or done in (0, 1, total) or now - last >= pause:
            last = now
            tell((what, done, total, note))

    return tick


def _end_with(watched: Connection) -> None:
    watched.poll(None)
    os._exit(1)


def _do(work: Work) -> Any:
    return work.do(_tick)
