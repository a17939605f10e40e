"""How many requests are out at once, and when the next may go: by what a server bears and by the recipe's limits."""

from __future__ import annotations

import time
from collections import deque

QUICK = 15.0
"""Seconds: while answers come faster than this, more requests go out at once; a slow server would only queue them."""
MINUTE = 60.0
"""Seconds over which the limits of the recipe are counted."""


class Pace:
    """What one server bears: grows by one for each quick answer, and halves when the server says that it is too much.

    Args:
        most: Requests out at once, at most.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.window = float(min(most, 8))
        self.seconds = 0.0
        """How long an answer takes of late; 0 before the first."""
        self._resume = 0.0
        self._halved = 0.0

    def next(self, out: int) -> float:
        """Seconds until one more request may go out, 0 for at once, infinity when one must come back first.

        Args:
            out: Requests that are out.
        """
        return float("inf") if out >= int(self.window) else self.paused

    def answered(self, seconds: float) -> None:
        """Count an answer that took so long."""
        self.seconds = 0.8 * self.seconds + 0.2 * seconds if self.seconds else seconds
        if seconds < QUICK:
            self.window = min(self.most, self.window + 1)

    def slow_down(self, wait: float | None) -> None:
        """The server said that it is too much; `wait`: leave it alone for so many seconds."""
        now = time.monotonic()
        # All that were out when it happened say it again: they are one event.
        if now - self._halved > 1:
            self.window, self._halved = max(1.0, self.window / 2), now
        if wait:
            self.pause(wait)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._resume = max(self._resume, time.monotonic() + seconds)

    @property
    def paused(self) -> float:
        """Seconds for which nothing is sent yet."""
        return max(0.0, self._resume - time.monotonic())


class Limit:
    """What the recipe allows in a minute, of all servers together.

    Args:
        requests: A limit of requests, or None.
        tokens: A limit of tokens, prompts and completions together, or None.
    """

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self.requests, self.tokens = requests, tokens
        self._sent: deque[tuple[float, int]] = deque()
        self._in_a_minute = 0

    def next(self, tokens: int) -> float:
        """Seconds until one more request, which is estimated to take so many tokens, may go out."""
        now = time.monotonic()
        while self._sent and self._sent[0][0] <= now - MINUTE:
            self._in_a_minute -= self._sent.popleft()[1]
        if self._sent and (
            (self.requests and len(self._sent) >= self.requests)
            # One that is larger than the limit must go out some time: then alone.
            or (self.tokens and self._in_a_minute + tokens > self.tokens)
        ):
            return self._sent[0][0] + MINUTE - now
        return 0.0

    def sent(self, tokens: int) -> None:
        """Count a request that goes out now."""
        if self.requests or self.tokens:
            self._sent.append((time.monotonic(), tokens))
            self._in_a_minute += tokens
