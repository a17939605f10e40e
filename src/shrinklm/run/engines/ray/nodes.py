"""The nodes of a cluster: what room they have, and whether they see the run folder and have the same code."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ....core.digests import digest
from ....core.errors import ClusterError
from ....core.files import write_text
from ....core.remote import prepared
from ...storage import Storage
from .cluster import Cluster

Nodes = Sequence[Mapping[str, Any]]
_PATIENCE = 120.0
"""Seconds in which a node must answer."""


@dataclass(frozen=True)
class Share:
    """What a work has of a node while it is done."""

    cpus: int
    gpus: float

    @classmethod
    def of(cls, nodes: Nodes, cpus: int | None, gpus: float | None) -> Share:
        """As asked for, or what suits the nodes. Raises ClusterError where no node has as much."""
        has = [node["Resources"] for node in nodes]
        if gpus is None:
            gpus = float(any(one.get("GPU", 0) >= 1 for one in has))
        most = max((int(one.get("CPU", 0)) for one in has if one.get("GPU", 0) >= gpus), default=0)
        share = cls(max(1, min(2, most)) if cpus is None else cpus, gpus)
        if not room(nodes, share):
            nodes_have = "; ".join(f"{one.get('CPU', 0):g} CPUs and {one.get('GPU', 0):g} GPUs" for one in has)
            raise ClusterError(
                f"No node has {share.cpus} CPUs and {share.gpus:g} GPUs, which each cell is to have. The nodes have: "
                f"{nodes_have}. Write: --cpus-per-cell {max(1, most)}"
                + ("" if most else f" --gpus-per-cell {max((one.get('GPU', 0) for one in has), default=0):g}")
            )
        return share


def room(nodes: Nodes, share: Share) -> int:
    """How many works the nodes have room for at a time."""
    return sum(_fit(node["Resources"], share) for node in nodes)


def _fit(has: Mapping[str, float], share: Share) -> int:
    by_cpu = int(has.get("CPU", 0) / share.cpus)
    if not share.gpus:
        return by_cpu
    gpus = int(has.get("GPU", 0))  # a work has a part of one GPU, or several whole ones
    return min(by_cpu, gpus * int(1 / share.gpus) if share.gpus <= 1 else int(gpus / share.gpus))


@cache
def code() -> str:
    """The version of this package, with a digest of its code."""
    package = Path(__file__).parents[3]
    files = sorted(path for path in package.rglob("*.py") if path.is_file())
    content = [(path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")) for path in files]
    return f"{version('shrinklm')} ({digest(content)[:8]})"


@dataclass(frozen=True)
class Place:
    """How a node tells that it sees the run folder."""

    file: str = ""
    """A file that it sees."""
    url: str = ""
    folder: str = ""
    """Of a run at a URL: that, and where its mirror is."""

    def check(self, host: str) -> None:
        """Raises ClusterError on a node, `host`, that does not see the run folder."""
        if self.file and not Path(self.file).is_file():
            raise not_seen(host, self.file)
        if self.url and str(prepared(self.url)) != self.folder:
            raise ClusterError(
                f"The node {host} mirrors {self.url} in another folder, {prepared(self.url)}, than the machine that "
                f"drives the run, where it is {self.folder}. Set SHRINKLM_MIRROR to the same folder for `ray start` "
                "on all nodes and for this command."
            )


@contextmanager
def seen(cluster: Cluster, folder: Path) -> Iterator[Place]:
    """The run in which `folder` is, as every node sees it for as long as the block lasts.

    Raises ClusterError where a node does not see it, or has other code.
    """
    storage = Storage(folder)
    if storage.url is not None:
        look(cluster)
        yield Place(url=storage.url, folder=str(storage.folder))
        return
    for left in folder.glob(".seen-*"):  # by a process that was killed: one at a time works in a run folder
        left.unlink(missing_ok=True)
    path = folder / f".seen-{uuid.uuid4().hex}"
    write_text(path, "Every node of the cluster sees this file.\n")
    try:
        look(cluster, str(path))
        yield Place(str(path))
    finally:
        path.unlink(missing_ok=True)


def not_seen(host: str, path: str) -> ClusterError:
    """The error where a node does not see the run folder."""
    return ClusterError(
        f"The node {host} does not see {Path(path).parent}, in which this run writes. Put `runs:` into a folder that "
        "all nodes share under the same path (NFS, Lustre, a volume), or at a URL: runs: s3://BUCKET/FOLDER"
    )


def look(cluster: Cluster, path: str = "") -> None:
    """Raises ClusterError where a node has other code, or does not see the file `path`; each node is asked once."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in cluster.nodes:
        if (node["NodeID"], bool(path)) not in cluster.looked_at:
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(num_cpus=0, max_retries=0)(_looking()).options(scheduling_strategy=where)
            asked[task.remote(path)] = node
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE) if asked else ([], [])
    for ref, node in asked.items():
        host = node["NodeManagerHostname"]
        if ref not in answered:
            raise ClusterError(f"The node {host} has not answered for {_PATIENCE:.0f} s. See: ray status")
        try:
            sees, found = ray.get(ref)
        except ray.exceptions.RayError:  # it has left in this moment
            continue
        if found != code():
            raise ClusterError(
                f"The node {host} has other code of shrinklm than this machine, where it is {code()}: found {found}. "
                "Install the same on all nodes, in the environment that `ray start` runs in."
            )
        if not sees:
            raise not_seen(host, path)
        cluster.looked_at.add((node["NodeID"], bool(path)))


def _looking() -> Callable[[str], tuple[bool, str]]:
    # Inside a function, it is sent as a whole: a node may lack this package.
    def look(path: str) -> tuple[bool, str]:
        import os

        try:
            from shrinklm.run.engines.ray.nodes import code

            found = code()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        return not path or os.path.isfile(path), found

    return look
