"""Asks one server many prompts at once: what comes back is a completion for each, or the error that ends the run."""

from __future__ import annotations

import asyncio
import heapq
import math
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ...core.errors import TeacherError
from ...core.types import Completion, Prompt, Sampling
from ..base import FAILED
from .meter import Meter
from .pace import Pace
from .reply import Trouble, read, trimmed, used_up
from .request import Request
from .wire import Wire

FIRST = 3
"""Before a server has answered at all, so many questions must fail, one after the other, to end the run."""
WINDOW = 50
"""Questions among which failures are counted."""
PATIENCE = 900.0
"""Seconds: a server that wants to be left alone for longer ends the run, which says until when."""
QUIET = 60
"""Seconds without any answer after which the state says so, again and again."""
DRAIN = 30.0
"""Seconds that a run which ends waits for the answers to requests that are out."""

_Result = tuple[int, Completion] | TeacherError | None
"""A completion, the error that ends the run, or the end."""


@dataclass
class Server:
    """What is known of a server; it lasts longer than one session."""

    request: Request
    pace: Pace
    attempts: int
    """Tries of one question before it counts as failed."""
    backoff: float
    """Seconds before the second try; doubles each time, with jitter."""
    failures: float
    """Share of the last questions whose failing ends the run."""
    meter: Meter | None = None
    """Counts against the run's budget, if it has one."""
    answered: bool = False
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    """Whether each of the last questions failed."""
    started: int = 0
    """Questions that failed before the server had answered at all."""


class Session:
    """One round of questions with the same sampling."""

    def __init__(self, server: Server, wire: Wire, prompts: Sequence[Prompt], sampling: Sampling) -> None:
        self.server, self.wire, self.prompts, self.sampling = server, wire, prompts, sampling
        if server.meter:
            server.meter.begin()
        # Side by side those that begin alike, such as all questions about a passage: a server that keeps what it has
        # read of the last prompts reads their common beginning once.
        self._fresh = iter(sorted(range(len(prompts)), key=lambda i: [turn.text for turn in prompts[i].turns]))
        self._again: list[tuple[float, int]] = []
        self._tries = [0] * len(prompts)
        self._out: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._left = len(prompts)
        self._ended: TeacherError | None = None
        self._quiet_since = time.monotonic()
        self._last: Trouble | None = None
        self._stop = threading.Event()

    def results(self, tell: Callable[[str], None]) -> Iterator[tuple[int, Completion]]:
        """Yield (position, completion) as they come. The asking goes on in a thread of its own.

        `tell` is called with the state in words when it changes while nothing comes. Raises TeacherError.
        """
        # In a thread: a caller such as a notebook may have an event loop running in this one.
        thread = threading.Thread(target=asyncio.run, args=(self._run(),), daemon=True)
        thread.start()
        said = ""
        try:
            while True:
                try:
                    result = self._results.get(timeout=1)
                except queue.Empty:
                    state = self._state()
                    if state != said:
                        tell(state)
                        said = state
                    continue
                if result is None:
                    return
                if isinstance(result, TeacherError):
                    raise result
                left = self._results.qsize()
                if self._loop and left in (0, int(self.server.pace.window) // 2):
                    # It may be waiting for its results to be taken. Woken before the last, it sends while this thread
                    # works on the others.
                    with suppress(RuntimeError):  # it has ended
                        self._loop.call_soon_threadsafe(self._changed.set)
                yield result
        finally:
            self._stop.set()
            thread.join()

    @property
    def ready(self) -> int:
        """Completions that can be yielded without waiting."""
        return self._results.qsize()

    def _state(self) -> str:
        if paused := self.server.pace.paused:
            until = datetime.now() + timedelta(seconds=paused)
            why = f": {self._last.reason[:80]}" if self._last else ""
            return f"waiting until {until:%H:%M:%S}, as the server wants{why}"
        quiet = int((time.monotonic() - self._quiet_since) // QUIET)
        return (
            f"no answer from {self.wire.url} for {quiet * QUIET} s, {len(self._out)} requests are out" if quiet else ""
        )

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with self.wire:
                await self._ask_all()
        except TeacherError as error:
            self._results.put(error)
        except Exception as error:  # whatever it is, the thread that waits for results must hear of it
            self._results.put(TeacherError(f"The endpoint teacher failed: {error!r}"))
        finally:
            self._results.put(None)

    async def _ask_all(self) -> None:
        try:
            while self._left and not self._ended and not self._stop.is_set():
                self._changed.clear()
                wait = self._send()
                with suppress(TimeoutError):
                    # Half a second at most: a consumer that went away is noticed.
                    async with asyncio.timeout(min(wait, 0.5)):
                        await self._changed.wait()
            if self._ended:
                # What is out may be paid for already.
                if self._out:
                    await asyncio.wait(self._out, timeout=DRAIN)
                raise self._ended
        finally:
            for task in self._out:
                task.cancel()
            await asyncio.gather(*self._out, return_exceptions=True)
            if self.server.meter:
                self._book(self.server.meter)

    def _send(self) -> float:
        """Send what may go out now; return the seconds until more may."""
        server = self.server
        while True:
            # What the consumer has not taken yet is as good as out: it is not stored.
            out = len(self._out) + self._results.qsize()
            # One alone, until it is known how the server wants to be asked.
            if not server.answered and out:
                return math.inf
            now = time.monotonic()
            if not self._again or self._again[0][0] > now:
                # Before anything was answered, the same question again: it shows more than another.
                position = next(self._fresh, None) if server.answered or not self._again else None
                if position is None:
                    return self._again[0][0] - now if self._again else math.inf
                self._repeat(position, 0)
            position = self._again[0][1]
            tokens = self.sampling.max_tokens + sum(len(turn.text) for turn in self.prompts[position].turns) // 4
            if wait := server.pace.next(out, tokens):
                return wait
            if server.meter and not self._affordable(server.meter, position):
                # What is out may turn out to cost less than it may at most.
                return 0 if self._ended else math.inf
            heapq.heappop(self._again)
            server.pace.sent(tokens)
            task = asyncio.create_task(self._ask(position))
            self._out.add(task)
            task.add_done_callback(self._back)

    def _book(self, meter: Meter) -> None:
        """Tell what may have been paid for without an answer: the store must know."""
        meter.end()
        why = self._last.reason if self._last else "no answer came before the run ended"
        for position in meter.unbooked:
            self._deliver(position, Completion("", refusal=f"{FAILED}: {why}"))

    def _affordable(self, meter: Meter, position: int) -> bool:
        """Whether a question may be sent; its cost at most is reserved then. Ends the run where no answer can help."""
        cap = self.server.request.cap(self.sampling)
        if cap is None:
            self._ended = TeacherError(
                f"{self.wire.url} takes no `max_tokens`, so that a call may cost any amount and no `budget:` can be "
                "kept. Remove `budget:` from the recipe, or name another server."
            )
            return False
        most = meter.most(self.prompts[position].turns, cap)
        if meter.send(position, most):
            return True
        if not meter.budget.out:
            self._ended = meter.budget.exceeded(meter.cost(most))
        return False

    def _back(self, task: asyncio.Task[None]) -> None:
        self._out.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._ended = TeacherError(f"The endpoint teacher failed: {error!r}")
        self._changed.set()

    async def _ask(self, position: int) -> None:
        server, began = self.server, time.monotonic()
        prompt, without = self.prompts[position], server.request.without
        try:
            status, headers, content = await self.wire.post(server.request.encode(prompt, self.sampling))
            completion = read(status, headers, content)
        except BaseException as error:
            if server.meter:
                server.meter.failed(position, error.paid if isinstance(error, Trouble) else True)
            if not isinstance(error, Trouble):
                raise
            self._quiet_since = time.monotonic()
            await self._troubled(position, server.request.body(prompt, self.sampling, without), error)
            return
        if server.meter:
            server.meter.came(position, completion)
        seconds = time.monotonic() - began
        self._quiet_since = time.monotonic()
        server.pace.answered(seconds)
        if (wait := used_up(headers)) and wait <= PATIENCE:
            server.pace.pause(wait)  # rather than be refused
        server.request.came(completion, self.sampling)
        self._deliver(position, trimmed(completion, self.sampling, server.request.adapted))
        server.answered = True
        server.recent.append(False)

    async def _troubled(self, position: int, body: dict[str, Any], trouble: Trouble) -> None:
        server = self.server
        self._last = trouble
        # A server's template may fail on a system turn, which is no fault of the request by its status.
        if trouble.todo == "change" or trouble.status >= 500:
            # Another request may have taught what this one, already under way then, shows once more.
            now = server.request.body(self.prompts[position], self.sampling, server.request.without)
            if body != now or server.request.adapt(body, trouble.words):
                self._repeat(position, 0)
                return
        # Some servers fail at what they do not know without a word about it, or send what cannot be read.
        unnamed = trouble.todo == "change" or (trouble.status in (200, 500, 501) and self._tries[position])
        if unnamed and server.request.strip(body, server.answered or trouble.todo != "change"):
            self._repeat(position, 0)
            return
        if trouble.todo == "end" or (trouble.todo == "change" and not server.answered):
            self._ended = await self.wire.error(trouble)
        elif trouble.todo == "refuse":
            server.answered = True
            server.recent.append(False)
            self._deliver(position, Completion("", refusal=trouble.reason))
        elif trouble.todo == "change":
            self._fail(position, trouble)
        else:
            await self._try_again(position, trouble)

    async def _try_again(self, position: int, trouble: Trouble) -> None:
        server = self.server
        if trouble.status in (429, 503, 529):
            server.pace.slow_down(trouble.wait)
            if trouble.wait is not None and trouble.wait > PATIENCE:
                self._ended = await self.wire.error(trouble)
                return
        # A limit with a stated end is no failure: it is waited for.
        if trouble.wait is None or trouble.status != 429:
            self._tries[position] += 1
        # Before anything came, a page instead of an answer is likelier a wrong address than a fault that passes.
        if self._tries[position] >= (server.attempts if server.answered or trouble.status != 200 else FIRST):
            self._fail(position, trouble)
            if self._must_end():
                self._ended = await self.wire.error(trouble, server.attempts)
            return
        pause = server.backoff * 2 ** self._tries[position] * random.uniform(0.5, 1)
        self._repeat(position, max(trouble.wait or 0, min(pause, 30)))

    def _must_end(self) -> bool:
        server = self.server
        if not server.answered:
            server.started += 1
            return server.started >= min(FIRST, len(self.prompts))
        return sum(server.recent) > server.failures * WINDOW

    def _fail(self, position: int, trouble: Trouble) -> None:
        self.server.recent.append(True)
        self._deliver(position, Completion("", refusal=f"{FAILED}: {trouble.reason}"))

    def _repeat(self, position: int, seconds: float) -> None:
        heapq.heappush(self._again, (time.monotonic() + seconds, position))

    def _deliver(self, position: int, completion: Completion) -> None:
        if self.server.meter:
            completion = self.server.meter.booked(position, completion)
        self._left -= 1
        self._results.put((position, completion))
