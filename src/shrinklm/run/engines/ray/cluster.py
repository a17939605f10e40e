"""A Ray cluster: joined, or started on this machine for as long as the run takes."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from typing import Any

from ....core.errors import ClusterError, MissingExtra

_GONE = 20.0
"""Seconds without the head after which it counts as gone. Ray itself ends this process after 60."""
_REACH = 10
"""Seconds to wait for an address that is joined."""
_LOOK = 2.0
"""Seconds between two looks at the head, and how long one takes at most."""


class Cluster:
    """The nodes of a Ray cluster.

    Args:
        address: "auto" for the cluster that this machine belongs to, HOST:PORT or ray://HOST:PORT; None: a Ray of this
            machine alone, which ends with this process.

    Raises MissingExtra without Ray, ClusterError where there is none at the address.
    """

    def __init__(self, address: str | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("ray", "ray", "--engine ray") from error
        self.address, self._ray = address, ray
        self.looked_at: set[str] = set()
        """Nodes that see the run folder and have the same code."""
        self._joined = not ray.is_initialized()
        if self._joined:
            self._join()
        _silence()
        self._head: tuple[str, int] | None = None
        with suppress(Exception):  # behind ray:// the head's own address may be out of reach
            host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
            if _reached((host, int(port))):
                self._head = host, int(port)
        self._seen = self._looked = time.monotonic()

    def _join(self) -> None:
        # Nothing is told to anybody, and the display belongs to the run.
        for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}.items():
            os.environ.setdefault(name, value)
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        logging.getLogger("ray").setLevel(logging.CRITICAL)  # it says whose address it overwrites
        if self.address is None:
            settings |= {"address": "local", "include_dashboard": False}
        else:
            self._check_address(self.address)
            settings |= {"address": self.address}
        try:
            self._ray.init(**settings)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            raise self._unreachable(str(error)) from error

    def _check_address(self, address: str) -> None:
        """Raises ClusterError where nobody listens at an address: Ray itself would wait for a minute."""
        if address == "auto":
            return
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdecimal():
            raise ClusterError(
                f"--address takes auto, HOST:PORT or ray://HOST:PORT, and got '{address}'. "
                "Write: --address auto on a node of the cluster, or --address HEAD:6379"
            )
        if not _reached((host, int(port)), _REACH):
            raise self._unreachable(f"nobody listens at {host}:{port}")

    def _unreachable(self, why: str) -> ClusterError:
        if self.address is None:
            return ClusterError(f"Ray does not start on this machine: {why}")
        return ClusterError(
            f"There is no Ray cluster at '{self.address}': {why}. Begin one with `ray start --head` on one machine and "
            "`ray start --address=HEAD:6379` on the others; without --address, a Ray of this machine is started."
        )

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are there, as Ray describes them."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def check(self) -> None:
        """Raises ClusterError where the head has been gone for a while."""
        now = time.monotonic()
        if self._head is None or now - self._looked < _LOOK:
            return
        if _reached(self._head):
            self._seen = time.monotonic()
        elif now - self._seen > _GONE:
            raise self.gone()
        self._looked = time.monotonic()

    def gone(self) -> ClusterError:
        """The error where the head has vanished."""
        head = ":".join(map(str, self._head or (self.address,)))
        return ClusterError(
            f"The head of the Ray cluster, {head}, has not answered for {_GONE:.0f} s. What was done is kept. When the "
            "cluster is there again, type the same command: it goes on from the last checkpoints."
        )

    def leave(self) -> None:
        """End what this process has of the cluster; one that was started for it ends."""
        if self._joined:
            self._joined = False
            with suppress(Exception):  # of a cluster that is gone
                self._ray.shutdown()


def _reached(place: tuple[str, int], seconds: float = _LOOK) -> bool:
    try:
        with socket.create_connection(place, seconds):
            return True
    except OSError:
        return False


def _silence() -> None:
    """Ray writes what happens to nodes, such as the log of one that died, to this process's stdout."""
    from ray._private import worker

    with suppress(AttributeError):
        _ = worker.print_to_stdstream
        worker.print_to_stdstream = lambda *_, **__: None
