"""Works done on a Ray cluster: each a task with the CPUs and GPUs that it needs, sent again where a node is lost."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from ....core.errors import ClusterError, RecipeError, ShrinkError, last_line
from ....core.types import Completion, Prompt, Sampling, Tick
from ....teachers.base import BaseTeacher, TeacherOptions
from ..base import Engine, Work
from . import worker
from .cluster import Cluster
from .copies import Copies, may_spread, spread
from .nodes import Place, Share, look, room, seen
from .parcel import Packer

_PAUSE = 0.2
"""Seconds between two looks at what the workers tell."""
_TRIES = 4
"""How often a work is begun without getting further than before."""
_LATE = 5.0
"""Seconds to wait for what was told last."""
_ENDING = 10.0
"""Seconds to wait for works that were cancelled to end."""


class RayEngine(Engine):
    """A Ray cluster.

    Args:
        address: See `Cluster`.
        cpus: Of each work: so many threads it has. None: 2, or as many as the largest node has where that is less.
        gpus: Of each work, also a part of one. None: 1 where the cluster has GPUs, else 0.
    """

    elsewhere = True

    def __init__(self, address: str | None = None, cpus: int | None = None, gpus: float | None = None) -> None:
        if cpus is not None and cpus < 1:
            raise RecipeError(f"--cpus-per-cell takes a number from 1, and got {cpus}. Write: --cpus-per-cell 2")
        if gpus is not None and (not 0 <= gpus < math.inf or (gpus > 1 and gpus != int(gpus))):
            raise RecipeError(
                f"--gpus-per-cell takes a part of one GPU or whole ones, and got {gpus:g}. Write: --gpus-per-cell 0.5"
            )
        self.address, self._cpus, self._gpus = address, cpus, gpus
        self._cluster: Cluster | None = None
        self._copies: Copies | None = None
        """Those of the teacher that was asked last."""

    @property
    def cluster(self) -> Cluster:
        """Joined when it is first asked for."""
        if self._cluster is None:
            self._cluster = Cluster(self.address)
        return self._cluster

    @property
    def share(self) -> Share:
        """What each work has."""
        return Share.of(self.cluster.nodes, self._cpus, self._gpus)

    def do(self, works: Iterable[Work], tick: Tick, at_once: int = 1) -> dict[str, Any]:
        """See Engine. As many at a time as the nodes have room for, whatever the recipe says."""
        left = iter(works)
        first = next(left, None)
        if first is None:
            return {}
        self._dismiss()  # works need the room
        with seen(self.cluster, first.folder.parent) as place:
            return _Doing(self.cluster, self.share, tick, place).do(chain([first], left))

    def spread(self, teacher: BaseTeacher, use: str, options: TeacherOptions) -> BaseTeacher:
        """See Engine."""
        if teacher.on_ray:
            _ = self.cluster  # which it finds then
        return spread(teacher, partial(self._deal, use, options)) if may_spread(teacher) else teacher

    def _deal(
        self, use: str, options: TeacherOptions, teacher: BaseTeacher, prompts: Sequence[Prompt], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        if self._copies is None or self._copies.spec != (use, options):
            self._dismiss()
            look(self.cluster)
            self._copies = Copies(self.cluster, self.share, use, options)
        yield from self._copies.deal(teacher, prompts, sampling)

    def _dismiss(self) -> None:
        if self._copies is not None:
            self._copies.end()
            self._copies = None

    def close(self) -> None:
        """See Engine."""
        self._dismiss()
        if self._cluster is not None:
            self._cluster.leave()
            self._cluster = None


@dataclass
class _Sent:
    """A work that is sent, and sent again where it is lost."""

    work: Work
    tries: int = 0
    """How often it was begun since it last got further than before."""
    node: str = ""
    """Where it is done, once it has begun."""
    avoid: set[str] = field(default_factory=set)
    """Nodes that lost it, or had no room for it."""
    best: dict[str, int] = field(default_factory=dict)
    """The most steps that it has told of each thing."""


class _Doing:
    """Works on their way."""

    def __init__(self, cluster: Cluster, share: Share, tick: Tick, place: Place) -> None:
        import ray

        self._ray, self.cluster, self.share, self.tick, self._place = ray, cluster, share, tick, place
        self._taking: Any = None
        """What is taken of what the workers tell."""
        self._task = ray.remote(max_retries=0, num_cpus=share.cpus, num_gpus=share.gpus)(worker.do)
        self._quiet = any(entry[0] == "ignore" and entry[2] is Warning for entry in warnings.filters)
        self._packer = Packer()
        self._waits = False
        self._under_way: dict[Any, _Sent] = {}
        self._waiting: deque[_Sent] = deque()
        self._results: dict[str, Any] = {}
        self._error: BaseException | None = None

    def do(self, works: Iterator[Work]) -> dict[str, Any]:
        """Do works; what each returned. Raises the error of the first that failed."""
        try:
            while self._begin_more(works):
                done, _ = self._ray.wait(list(self._under_way), timeout=_PAUSE)
                self._tell()
                self.cluster.check()
                for ref in done:
                    self._end(self._under_way.pop(ref), ref)
            self._tell(_LATE)
        except BaseException:
            self._cancel()
            raise
        if self._error is not None:
            raise self._error
        return self._results

    def _begin_more(self, works: Iterator[Work]) -> bool:
        """Begin as many as there is room for. Returns whether any is under way."""
        places = room(self.cluster.nodes, self.share)
        if not places and not self._waits:
            self.tick("cluster", 0, 0, "no node with room for a cell is left: waiting for one")
        self._waits = not places
        while self._error is None and len(self._under_way) < max(1, places):
            try:
                sent = self._waiting.popleft() if self._waiting else _Sent(next(works))
            except StopIteration:
                break
            except ShrinkError as error:  # what it needs is not there: those under way are done nevertheless
                self._fail("next", error)
                break
            self._send(sent)
        return bool(self._under_way)

    def _send(self, sent: _Sent) -> None:
        sent.tries, sent.node = sent.tries + 1, ""
        others = [node for node in self.cluster.nodes if node["NodeID"] not in sent.avoid]
        if not room(others, self.share):
            sent.avoid.clear()
        where: dict[str, Any] = {}
        if sent.avoid:
            where["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(sent.avoid))})"}
        content, parts = self._packer.pack(sent.work)
        if sent.work.memory and not self.share.gpus:  # with a GPU, it is that one's memory
            most = max(int(node["Resources"].get("memory", 0)) for node in self.cluster.nodes)
            where["memory"] = min(sent.work.memory, most)  # where no node has as much, the largest may have enough
        task = self._task.options(**where, name=sent.work.name)
        ref = task.remote(content, self.cluster.told, self._place, self.share.cpus, self._quiet, *parts)
        self._under_way[ref] = sent

    def _tell(self, seconds: float = 0.0) -> None:
        """Tell what the workers told; wait so long for it."""
        self._taking = self._taking or self.cluster.told.take.remote()
        if not self._ray.wait([self._taking], timeout=seconds)[0]:
            return
        try:
            told, self._taking = self._ray.get(self._taking), None
        except self._ray.exceptions.RayError:  # it is made again, and nothing hangs on what it held
            self._taking = None
            return
        sent = {each.work.name: each for each in self._under_way.values()}
        for name, node, what, done, total, note in told:
            one = sent.get(name)
            if one is not None:
                one.node = node
                if done > one.best.get(what, 0):
                    if what in one.best and one.tries > 1:
                        one.tries = 1  # further than any try before
                        one.avoid.clear()
                    one.best[what] = done
            if what:
                self.tick(what, done, total, note)

    def _end(self, sent: _Sent, ref: Any) -> None:
        name = sent.work.name
        try:
            outcome: worker.Outcome = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:  # outside of the work: its code cannot be read there
            self._fail(name, ClusterError(f"A node cannot do '{name}': {last_line(error)}"))
        except self._ray.exceptions.RayError as error:
            self._again(sent, last_line(error))
        else:
            if outcome.error is None:
                self._results[name] = outcome.result
            elif outcome.full:
                sent.node = outcome.node
                self._again(sent, f"no room on a disk of {outcome.host}: {outcome.error}", outcome.error)
            else:
                self._fail(name, outcome.error)

    def _again(self, sent: _Sent, why: str, error: BaseException | None = None) -> None:
        """Do a work again that was lost, if it has not been lost too often."""
        name = sent.work.name
        if sent.node:
            sent.avoid.add(sent.node)
        if sent.tries < _TRIES:
            if self._error is None:
                self.tick(name, 0, 0, f"lost ({why}); begun again, from its last checkpoint")
                self._waiting.append(sent)
        else:
            lost = ClusterError(
                f"'{name}' was lost {sent.tries} times without getting further: {why}. Where memory was short, give "
                "each cell more (--cpus-per-cell, --gpus-per-cell). The same command goes on from its last checkpoint."
            )
            self._fail(name, error or lost)

    def _fail(self, what: str, error: BaseException) -> None:
        if self._error is not None:
            return
        self._error = error
        if self._under_way:
            self.tick(what, 0, 0, f"{error} Those under way are done to their end; no other is begun")

    def _cancel(self) -> None:
        """End works, so that the next command finds their folders free."""
        with suppress(Exception):  # of a cluster that is gone
            if self.cluster.lost:
                return
            for ref in self._under_way:
                self._ray.cancel(ref, force=True)
            self._ray.wait(list(self._under_way), num_returns=len(self._under_way), timeout=_ENDING)
