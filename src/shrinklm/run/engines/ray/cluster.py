"""A Ray cluster: joined, or started on this machine for as long as the run takes."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from ....core.errors import ClusterError, MissingExtra
from .told import Told

_GONE = 20.0
"""Seconds without the head after which it counts as gone. Ray itself ends this process after 60."""
_REACH = 10
"""Seconds to wait for an address that is joined."""
_TOKEN = (
    "Copy ~/.ray/auth_token of its head to the same place on this machine, or write its content into RAY_AUTH_TOKEN; "
    "and leave RAY_AUTH_MODE out, or write RAY_AUTH_MODE=token"
)
"""What to do where a cluster asks for a token."""
_LOOK = 1.0
"""Seconds between two looks at the nodes."""
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


class Cluster:
    """The nodes of a Ray cluster.

    Args:
        address: "auto" for the cluster that this machine belongs to, HOST:PORT or ray://HOST:PORT; None: a Ray of this
            machine alone, which ends with this process.

    Raises MissingExtra without Ray, ClusterError where there is none at the address.
    """

    def __init__(self, address: str | None) -> None:
        # Nothing is told to anybody, and the display belongs to the run.
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with _mute():
            try:
                import ray
            except ImportError as error:
                raise MissingExtra("ray", "ray", "--engine ray") from error
            self.address, self._ray = address, ray
            self._joined = not ray.is_initialized()
            if self._joined:
                self._join()
        _silence()
        self.looked_at: set[tuple[str, bool]] = set()
        """Nodes that have the same code, each with whether it was asked, too, if it sees the run folder."""
        self.nodes = self._alive()
        """The nodes that are there, as Ray describes them; looked at once a second."""
        self.lost = False
        """Whether the head has vanished: Ray's calls would wait for it."""
        self._seen = time.monotonic()
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    @cached_property
    def told(self) -> Any:
        """The actor that takes what workers tell."""
        head = {"node:__internal_head__": 0.001}  # where it lives as long as the cluster
        return self._ray.remote(num_cpus=0, resources=head, max_restarts=-1)(Told).remote()

    def _join(self) -> None:
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        logging.getLogger("ray").setLevel(logging.CRITICAL)  # it says whose address it overwrites
        if self.address is None:
            settings |= {"address": "local", "include_dashboard": False}
        else:
            self._check_address(self.address)
            self._show_token(self.address)
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
        if not _reached((host, int(port))):
            raise self._unreachable(f"nobody listens at {host}:{port}")

    def _show_token(self, address: str) -> None:
        """Have Ray show this user's token to a cluster that asks for one.

        `ray start` asks for it wherever the user has one, and Ray itself shows it only to "auto". Raises ClusterError
        where it is missing or another cluster's.
        """
        if address == "auto" or address.startswith("ray://") or self._taken(address):
            return
        try:
            from ray._private.authentication.authentication_token_setup import (
                maybe_enable_token_auth_if_token_available as enable,
            )

            enable(warn_if_disabled=False)
        except (ImportError, TypeError):  # of another version of Ray
            return
        if not self._taken(address):
            raise ClusterError(f"The Ray cluster at '{address}' asks for a token, and takes none from here. {_TOKEN}")

    def _taken(self, address: str) -> bool:
        """Whether the cluster at an address takes what Ray shows it."""
        try:
            from ray import _raylet as inner

            inner.GcsClient(address=address)  # type: ignore[attr-defined]
        except Exception as error:  # without a token it is refused, and other errors are told by `ray.init`
            return type(error).__name__ != "AuthenticationError"
        return True

    def _unreachable(self, why: str) -> ClusterError:
        if self.address is None:
            return ClusterError(f"Ray does not start on this machine: {why}")
        return ClusterError(
            f"There is no Ray cluster at '{self.address}': {why.rstrip('.')}. "
            "Begin one with `ray start --head` on one machine and "
            "`ray start --address=HEAD:6379` on the others; without --address, a Ray of this machine is started. "
            f"If it is there and asks for a token: {_TOKEN[0].lower()}{_TOKEN[1:]}"
        )

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _look(self) -> None:
        # In a thread: where the head is gone, the call waits for a minute, after which Ray ends this process.
        while not self._ended.wait(_LOOK):
            with suppress(Exception):  # of a head that is gone
                self.nodes = self._alive()
                self._seen = time.monotonic()

    def check(self) -> None:
        """Raises ClusterError where the head has been gone for a while."""
        if time.monotonic() - self._seen > _GONE:
            self.lost = True
            raise ClusterError(
                f"The head of the Ray cluster has not answered for {_GONE:.0f} s. What was done is kept. When the "
                "cluster is there again, type the same command: it goes on from the last checkpoints."
            )

    def leave(self) -> None:
        """End what this process has of the cluster; one that was started for it ends."""
        self._ended.set()
        if not self.lost:
            self._watch.join(_LOOK)
        if self._joined:
            self._joined = False
            with _mute(), suppress(Exception):  # of a cluster that is gone
                self._ray.shutdown()


def _reached(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, _REACH):
            return True
    except OSError:
        return False


@contextmanager
def _mute() -> Iterator[None]:
    """Keeps from stderr what Ray's C++ writes there."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _silence() -> None:
    """Ray writes what happens to nodes, such as the log of one that died, to this process's stdout."""
    from ray._private import worker

    with suppress(AttributeError):
        _ = worker.print_to_stdstream
        worker.print_to_stdstream = lambda *_, **__: None
