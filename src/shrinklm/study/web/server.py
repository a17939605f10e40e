"""The HTTP server of a study: bounded in connections and in time, so that whoever holds them open stops nobody else."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ...core.connections import room_for
from .guard import Guard

HEAD = 15.0
"""Seconds in which the head of a request must have come."""
_MOST = 4000
"""Open connections, where the system lets a process have so many files."""
_SPARE = 100
"""Files that are kept free for the database and the pages."""
_FOLD = 60.0
"""Seconds in which a line of the log is written once."""


def config(app: Guard, host: str, port: int, proxies: list[str]) -> uvicorn.Config:
    """The settings of the server.

    Args:
        app: see `make_app`.
        host: address to listen on.
        port: of it.
        proxies: addresses whose word about visitors' addresses is taken.
    """
    Bounded.most = room_for(_MOST, _SPARE)
    for name in ("uvicorn.error", "asyncio", "shrinklm.study"):
        logging.getLogger(name).addFilter(Folding())
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Bounded,
        access_log=False,  # it would keep addresses
        # The server's own settings would replace those of the whole process.
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        lifespan="on",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=10,
    )


class Bounded(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """One connection. It is closed when the head of its request does not come in time.

    Where too many are open, the one that has kept its request back for longest makes room.
    """

    most: ClassVar[int] = _MOST
    _waiting: ClassVar[dict[Bounded, None]] = {}
    """Connections whose request has not come, the oldest first."""
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            oldest = next(iter(self._waiting), self)
            oldest.transport.abort()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if not self._idle:
            self._came()
        elif self._due is None and not self.transport.is_closing():
            self._wait()  # the beginning of a further request

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._came()
        super().connection_lost(exc)

    @property
    def _idle(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait(self) -> None:
        self._waiting[self] = None
        # Counted from its first byte, so that one byte at a time gains nothing.
        self._due = self.loop.call_later(HEAD, self.transport.abort)

    def _came(self) -> None:
        self._waiting.pop(self, None)
        if self._due is not None:
            self._due.cancel()
            self._due = None


class Folding(logging.Filter):
    """Lets a line of the log through once a minute; the next one says how many there were meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, int, Any], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        kind = type(record.exc_info[1]).__name__ if record.exc_info and record.exc_info[1] else ""
        key = (record.name, record.lineno, f"{record.msg} {kind}")
        now = time.monotonic()
        first, folded = self._seen.get(key, (-_FOLD, 0))
        if now - first < _FOLD:
            self._seen[key] = first, folded + 1
            return False
        if len(self._seen) > 1000:  # messages that hold a number each
            self._seen.clear()
        self._seen[key] = now, 0
        if folded:
            record.msg = f"{record.msg} (and {folded} more like it since)"
        return True
