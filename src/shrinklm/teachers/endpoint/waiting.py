"""The questions of a session that wait to be sent: new ones in their order, others again after a pause."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator

from .servers import Server


class Waiting:
    """Which question is sent next.

    Args:
        fresh: Positions of the questions, in the order in which they are asked.
    """

    def __init__(self, fresh: Iterator[int]) -> None:
        self._fresh = fresh
        self._again: list[tuple[float, int]] = []
        self.tries: dict[int, int] = {}
        """Position → tries that failed."""
        self.tried: dict[int, set[Server]] = {}
        """Position → the servers that have failed at it, until all have."""

    def __len__(self) -> int:
        """Questions that were looked at already, and wait."""
        return len(self._again)

    def next(self, more: bool) -> tuple[int | None, float]:
        """The question that is due, which stays until it is taken; None where none is, with the seconds until one is.

        Args:
            more: Whether it may be a new one.
        """
        now = time.monotonic()
        if not self._again or self._again[0][0] > now:
            position = next(self._fresh, None) if more else None
            if position is None:
                return None, self._again[0][0] - now if self._again else float("inf")
            self.repeat(position, 0)
        return self._again[0][1], 0.0

    def take(self) -> None:
        """The question that is due goes out."""
        heapq.heappop(self._again)

    def repeat(self, position: int, seconds: float) -> None:
        """Ask a question after so long."""
        heapq.heappush(self._again, (time.monotonic() + seconds, position))

    def done(self, position: int) -> None:
        """Forget a question that has its completion."""
        self.tries.pop(position, None)
        self.tried.pop(position, None)
