"""Copies of a teacher on a cluster. Each answers a part of the prompts; keys, payment and the store stay with whoever
asks."""

from __future__ import annotations

import copy
import math
import socket
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ....core.errors import ClusterError, last_line
from ....core.types import Completion, Prompt, Sampling
from ....teachers.base import BaseTeacher, TeacherOptions, make_teacher
from ....teachers.engines import CHUNK
from .cluster import Cluster
from .nodes import Share, room
from .worker import PAUSE, sendable

_SHARD = 32
"""Prompts that a copy gets at a time where the recipe does not say (`teacher: {batch: N}`)."""
_ENGINES = ("vllm:", "sglang:")
_LOST = 4
"""So many copies may be lost without a completion in between."""
_LATE = 30.0
"""Seconds after which it is told that no copy has begun: it may wait for room that somebody else holds."""

Dealt = Iterator[tuple[int, Completion]]


def may_spread(teacher: BaseTeacher) -> bool:
    """Whether copies answer in a teacher's place: it computes, and is no recording, no server and no stand-in."""
    # A server is asked from one place, which keeps its limits and the budget.
    elsewhere = teacher.reads or teacher.later or teacher.keeps_budget
    return teacher.spreads and not (elsewhere or teacher.free or teacher.supposes)


def spread(teacher: BaseTeacher, deal: Any) -> BaseTeacher:
    """The same teacher, in whose place `deal(teacher, prompts, sampling)` completes."""
    # Of its own class: whatever else it says about itself, it goes on saying.
    several = copy.copy(teacher)
    answers = {"complete": lambda self, prompts, sampling: deal(self, prompts, sampling)}
    several.__class__ = type(type(teacher).__name__, (type(teacher),), answers)
    return several


class Copy:
    """A copy of a teacher: an actor, which keeps the model that it has loaded."""

    def __init__(self, use: str, options: TeacherOptions, threads: int, quiet: bool) -> None:
        self._spec, self._threads, self._quiet = (use, options), threads, quiet
        self._teacher: BaseTeacher | None = None
        self._coming: Dealt = iter(())

    def there(self) -> str:
        """The name of its machine."""
        import torch

        if self._quiet:
            warnings.filterwarnings("ignore")
        torch.set_num_threads(self._threads)
        return socket.gethostname()

    def begin(self, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        """Take prompts; `more` answers them."""
        self._coming = self._answers(prompts, sampling)

    def _answers(self, prompts: Sequence[Prompt], sampling: Sampling) -> Dealt:
        self._teacher = self._teacher or make_teacher(*self._spec)
        began = time.perf_counter()
        for position, completion in self._teacher.complete(prompts, sampling):
            yield position, completion if completion.seconds else replace(completion, seconds=_since(began))
            began = time.perf_counter()

    def more(self) -> tuple[list[tuple[int, Completion]], bool, BaseException | None]:
        """(the next completions, whether they were the last, the error that ended them)."""
        came: list[tuple[int, Completion]] = []
        until = time.monotonic() + PAUSE
        try:
            for each in self._coming:
                came.append(each)
                if time.monotonic() > until:
                    return came, False, None
        except Exception as error:
            return came, True, sendable(error)
        return came, True, None


def _since(began: float) -> float:
    return time.perf_counter() - began


@dataclass
class _At:
    """A copy as it is seen from here."""

    actor: Any
    ref: Any
    """What it is asked for: whether it is there, or for more completions; None while it has nothing to do."""
    shard: Sequence[int] = ()
    """The positions that it was given."""
    open: frozenset[int] | set[int] = frozenset()
    """Those of them that have not come."""


class Copies:
    """The copies of one teacher; they stay, with their models loaded, until `end`."""

    def __init__(self, cluster: Cluster, share: Share, use: str, options: TeacherOptions) -> None:
        import ray

        self._ray, self._cluster, self._share, self.spec = ray, cluster, share, (use, options)
        quiet = any(entry[0] == "ignore" and entry[2] is Warning for entry in warnings.filters)
        kind = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=0, max_task_retries=0)(Copy)
        self._new: Callable[[], Any] = lambda: kind.remote(use, options, share.cpus, quiet)
        self._all: list[_At] = []
        self._lost = 0
        """Lost ones since the last completion."""

    def deal(self, teacher: BaseTeacher, prompts: Sequence[Prompt], sampling: Sampling) -> Dealt:
        """Yield completions as they come, each position once, also where copies are lost on the way.

        Raises what the teacher raises, once what the other copies were at has come; and ClusterError where copies are
        lost one after another.
        """
        left = self._shards(prompts)
        error: BaseException | None = None
        late: float | None = time.monotonic() + _LATE
        try:
            while self._busy or (left and error is None):
                if error is None:
                    self._give(left, prompts, sampling, teacher)
                done, _ = self._ray.wait([at.ref for at in self._all if at.ref], timeout=PAUSE)
                self._cluster.check()
                if late is not None and (self._busy or time.monotonic() > late):
                    if not self._busy:
                        teacher.tell("no copy has begun: the cluster has no free room yet, or is slow to start one")
                    late = None
                for at in [at for at in self._all if at.ref in done]:
                    came, failed = self._came(at, left)
                    error = error or failed
                    for number, (position, completion) in enumerate(came, 1):
                        teacher.ready = len(came) - number
                        yield position, completion
            if error is not None:
                raise error
        finally:
            for at in self._busy:  # nobody waits for what these still write
                self._drop(at)

    @property
    def _busy(self) -> list[_At]:
        return [at for at in self._all if at.shard]

    def _shards(self, prompts: Sequence[Prompt]) -> deque[Sequence[int]]:
        """The positions in parts: those of like length together, so that little is padding, and the longest first."""
        use, options = self.spec
        most = options.batch or (CHUNK if use.startswith(_ENGINES) else _SHARD)
        # Two parts for each place at least, so that none waits long for the last one.
        size = max(1, min(most, math.ceil(len(prompts) / (2 * max(1, self._places)))))
        order = sorted(
            range(len(prompts)), key=lambda position: -sum(len(turn.text) for turn in prompts[position].turns)
        )
        return deque(order[start : start + size] for start in range(0, len(order), size))

    @property
    def _places(self) -> int:
        return room(self._cluster.nodes, self._share)

    def _give(
        self, left: deque[Sequence[int]], prompts: Sequence[Prompt], sampling: Sampling, teacher: BaseTeacher
    ) -> None:
        """Have every copy that is there answer a part, and begin more copies where there is room for them."""
        for at in self._all:
            if at.ref is None and left:
                at.shard = left.popleft()
                at.open = set(at.shard)
                at.actor.begin.remote([prompts[position] for position in at.shard], sampling)
                at.ref = at.actor.more.remote()
        starting = sum(not at.shard and at.ref is not None for at in self._all)
        new = min(max(1, self._places) - len(self._all), len(left) - starting)
        if new > 0:
            teacher.tell(f"{new} more cop{'y' if new == 1 else 'ies'} on the cluster, {len(self._all) + new} in all")
        for _ in range(new):
            actor = self._new()
            # Nothing is given to it before it is there: it may have to wait for room.
            self._all.append(_At(actor, actor.there.remote()))

    def _came(self, at: _At, left: deque[Sequence[int]]) -> tuple[list[tuple[int, Completion]], BaseException | None]:
        """What a copy answered, and the error that ended it."""
        try:
            said = self._ray.get(at.ref)
        except self._ray.exceptions.RayError as error:
            return [], self._again(at, left, error)
        at.ref = None
        if not at.shard:  # it has told that it is there
            return [], None
        came, ended, failed = said
        shard = at.shard
        if ended:
            at.shard, at.open = (), frozenset()
        else:
            at.ref = at.actor.more.remote()  # while these are stored
            at.open = at.open - {shard[place] for place, _ in came}
        self._lost = 0 if came else self._lost
        return [(shard[place], completion) for place, completion in came], failed

    def _again(self, at: _At, left: deque[Sequence[int]], error: BaseException) -> BaseException | None:
        """Have others answer what a lost copy left open, unless too many are lost."""
        if at.open:
            left.appendleft([position for position in at.shard if position in at.open])
        self._drop(at)
        self._lost += 1
        if self._lost < _LOST:
            return None
        return ClusterError(
            f"{self._lost} copies of the teacher {self.spec[0]} were lost, one after another: {last_line(error)} "
            "Where memory was short, give each more (--cpus-per-cell, --gpus-per-cell). Completions so far are stored."
        )

    def _drop(self, at: _At) -> None:
        self._all.remove(at)
        if self._cluster.lost:
            return
        with suppress(Exception):  # of a cluster that is gone
            self._ray.kill(at.actor)

    def end(self) -> None:
        """Give back the room that the copies take."""
        for at in list(self._all):
            self._drop(at)
