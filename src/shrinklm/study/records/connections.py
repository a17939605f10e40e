"""The connections to the database of a study: of threads, and of one event loop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Self, TypeVar

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from .engine import open_async
from .writer import Writer

T = TypeVar("T")


class Connections:
    """Connections that read, and one at a time that writes."""

    def __init__(self, engine: Engine) -> None:
        self._async: AsyncEngine | None = None
        self._use(engine)

    def _use(self, engine: Engine) -> None:
        self.engine = engine
        # A single SELECT needs no transaction around it, which would be two more round trips to the server.
        autocommit = engine.dialect.name == "postgresql"
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else engine
        self._write = Writer(engine)

    def in_loop(self) -> Self:
        """Return these records for code in one event loop, to be called within `run` alone; end them by `leave`."""
        served = copy.copy(self)
        served._async = open_async(self.engine)
        if served._async is None:
            return self
        served._use(served._async.sync_engine)
        return served

    async def run(self, code: Callable[..., T], *arguments: object) -> T:
        """Run code that uses the records of `in_loop`. While it waits for PostgreSQL, other code of the loop runs."""
        return code(*arguments) if self._async is None else await greenlet_spawn(code, *arguments)

    async def leave(self) -> None:
        """Close the connections of the event loop."""
        if self._async is not None:
            await self._async.dispose()

    def close(self) -> None:
        """Close all connections; a SQLite file then holds everything by itself."""
        self._write.close()
        self.engine.dispose()
