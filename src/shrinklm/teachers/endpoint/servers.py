"""The servers that share a teacher's questions: who is asked next, and who is left out for a while."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ...core.connections import room_for
from ...core.errors import TeacherError
from .meter import Meter
from .pace import Limit, Pace
from .reply import Trouble
from .request import Request
from .same import difference, facts
from .wire import Wire

WINDOW = 50
"""Questions among which failures are counted."""
BUSY = (429, 503, 529)
"""What a server answers that has too much to do, or is about to start or to end: no fault of the question."""
MISSES = 3
"""Failures one after the other after which a server is left out, where others go on."""
BUSY_FOR = 6
"""The same of answers that it is busy and does not say for how long, between which it is left alone for ever longer."""
REST, LONGEST_REST = 5.0, 60.0
"""Seconds until a server that was left out is tried again; doubles up to the second each time in vain."""
SPARE = 256
"""Files that a process has open beside its connections, and some more."""

_log = logging.getLogger("shrinklm")


@dataclass(eq=False)
class Server:
    """What is known of one server; it lasts longer than one session."""

    wire: Wire
    request: Request
    """How it wants to be asked."""
    pace: Pace
    answered: bool = False
    out: int = 0
    """Requests under way."""
    misses: int = 0
    """Failures since its last answer."""
    until: float = 0.0
    """Left out until then, by the monotonic clock, and asked one question alone after it; 0: it takes part."""
    rest: float = 0.0
    """For how long it was left out last."""
    why: str = ""
    """Why it is left out, or would be if it were not the last one; "" while it answers."""
    met: bool = False
    """Whether its list of models was looked at since it was left out last."""
    facts: dict[str, str] = field(default_factory=dict)
    """What that list says of the model."""

    @property
    def wait(self) -> float:
        """Seconds until one more request may go out, infinity when one must come back first."""
        if (wait := self.until - time.monotonic()) > 0:
            return wait
        # One alone, until it is known how the server wants to be asked, or that it is back.
        if (self.until or not self.answered) and self.out:
            return math.inf
        return self.pace.next(self.out)


class Different(Trouble):
    """A server that serves another model under the same name."""


class Servers:
    """All servers of a teacher, and what counts for all of them together.

    Args:
        open_server: Makes the server of an address.
        model: The model's name on all of them.
        attempts: Tries of one question before it counts as failed.
        backoff: Seconds before the second try; doubles each time, with jitter.
        failures: Share of the last questions whose failing ends the run.
        limit: What the recipe allows in a minute.
        meter: Counts against the run's budget, if it has one.
    """

    def __init__(
        self,
        open_server: Callable[[str], Server],
        model: str,
        attempts: int,
        backoff: float,
        failures: float,
        limit: Limit,
        meter: Meter | None,
    ) -> None:
        self._open, self._by_url, self.model = open_server, dict[str, Server](), model
        self.attempts, self.backoff, self.failures = attempts, backoff, failures
        self.limit, self.meter = limit, meter
        self.all: list[Server] = []
        """Those that may be asked now."""
        self.recent: deque[bool] = deque(maxlen=WINDOW)
        """Whether each of the last questions failed."""
        self.started = 0
        """Questions that failed before any server had answered at all."""

    def follow(self, urls: Sequence[str]) -> list[Server]:
        """Ask the servers at these addresses from now on; return those that are new."""
        before = self.all
        for url in urls:
            if url not in self._by_url:
                self._by_url[url] = self._open(url)
        self.all = [self._by_url[url] for url in urls]
        room_for(sum(server.pace.most for server in self.all), SPARE)
        return [server for server in self.all if server not in before]

    @property
    def answered(self) -> bool:
        """Whether any of them has ever answered."""
        return any(server.answered for server in self.all)

    @property
    def window(self) -> int:
        """Requests that may be out at once, at those together that take part."""
        return sum(int(server.pace.window) for server in self.all if not server.until)

    @property
    def out(self) -> int:
        """Requests that are under way at them. What hangs at one that is left out holds up nobody."""
        return sum(server.out for server in self.all if not server.until)

    @property
    def paused(self) -> float:
        """Seconds for which nothing is sent to any of them."""
        return min((server.pace.paused for server in self.all if not server.until), default=0.0)

    def others(self, server: Server) -> list[Server]:
        """Those that take part beside one."""
        return [other for other in self.all if other is not server and not other.until]

    def next(self, tried: Collection[Server], left: int) -> tuple[Server | None, float]:
        """The server that is asked next; None where none may be, with the seconds until one may.

        The one that would be done soonest, by what it has to do and how long its answers take of late.

        Args:
            tried: Servers that have failed at the question. While others take part, it waits for one of those: what may
                have been paid for once is not lost in the same place again.
            left: Questions that are not sent yet, this one among them.
        """
        fresh = [server for server in self.all if server not in tried]
        waits = {server: server.wait for server in (fresh if any(not one.until for one in fresh) else self.all)}
        free = [server for server, wait in waits.items() if not wait and not _too_slow(server, waits, left)]
        if not free:
            return None, min((wait for wait in waits.values() if wait), default=math.inf)
        return min(free, key=lambda one: ((one.out + 1) * one.pace.seconds, one.out)), 0.0

    def leave_out(self, server: Server, why: str, seconds: float | None = None) -> bool:
        """Ask the others alone for a while; False where there are none.

        Args:
            server: The one that is not asked.
            why: In words.
            seconds: For how long; None: growing pauses.
        """
        now = time.monotonic()
        if server.until > now:  # what was under way when it was left out fails too
            return True
        server.why = why
        if not self.others(server):
            return False
        if not server.until:
            _log.warning(
                "%s is left out: %s. Others take its questions (%d), and it is tried again from time to time.",
                server.wire.url,
                why,
                len(self.others(server)),
            )
        server.rest = min(max(2 * server.rest, REST), LONGEST_REST)
        server.until = now + (server.rest if seconds is None else seconds)
        server.met, server.misses, server.pace.seconds = False, 0, 0.0
        return True

    def failed(self, server: Server, trouble: Trouble, backoff: Callable[[int], float]) -> None:
        """Note that a server could not answer a question, and leave it alone where that may help.

        Args:
            server: The one that failed.
            trouble: What may pass.
            backoff: The seconds to wait after so many failures.
        """
        busy = trouble.status in BUSY
        # All that were out when it said that it is busy say it again: they are one event.
        server.misses += not (busy and server.pace.paused)
        if busy:
            server.pace.slow_down(trouble.wait)
        if busy and trouble.wait is not None:
            return  # its limit is kept, and that is all
        if not trouble.sent or server.until or server.misses >= (BUSY_FOR if busy else MISSES):
            self.leave_out(server, trouble.reason)
        elif self.others(server):
            # What it is sent while it may be about to die is lost too, and may have been paid for.
            server.pace.pause(backoff(server.misses))

    def came(self, server: Server, began: float) -> None:
        """Note that a server has answered a question that was sent then, be it that it refused it for what it is."""
        server.answered, server.misses = True, 0
        self.recent.append(False)
        if server.until:
            # What was under way when it was left out does not show that it is back.
            if began < server.until:
                return
            _log.warning("%s answers again.", server.wire.url)
            server.until, server.rest = 0.0, 0.0
        server.why = ""

    async def meet(self, server: Server) -> None:
        """Look at what a server serves, where there are several.

        Raises Different where another one serves something else under the same name, Trouble without a connection.
        """
        if server.met or len(self.all) == 1:
            return
        found = facts(await server.wire.models(), self.model)
        # Also what it said itself before it was left out: it may have been started anew with something else.
        for other in self.all:
            if what := difference(found, other.facts):
                raise Different(
                    "end",
                    f"it does not serve what {other.wire.url} serves as '{self.model}': {what}. Start both with the "
                    "same model and settings, or give each a teacher of its own",
                    sent=False,
                )
        server.met, server.facts = True, found or server.facts

    async def error(self, server: Server, trouble: Trouble, attempts: int = 1) -> TeacherError:
        """The error that ends the run."""
        if isinstance(trouble, Different):
            return TeacherError(f"{server.wire.url} cannot be asked: {trouble.reason}.")
        error = await server.wire.error(trouble, attempts)
        others = [f"{other.wire.url} ({other.why})" for other in self.all if other is not server and other.why]
        return TeacherError(f"{error} The others: {'; '.join(others)}.") if others else error


def _too_slow(server: Server, others: Collection[Server], left: int) -> bool:
    """Whether quicker ones will have done all that is left before this one would have done one question."""
    quick = [
        other
        for other in others
        if 0 < other.pace.seconds < server.pace.seconds and not (other.until or other.pace.paused)
    ]
    rate = sum(int(other.pace.window) / other.pace.seconds for other in quick)
    return bool(quick) and server.pace.seconds * rate > left + sum(other.out for other in quick)
