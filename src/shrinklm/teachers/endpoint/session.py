"""Asks one or several servers many prompts at once.

What comes back is a completion for each prompt, or the error that ends the run.
"""

from __future__ import annotations

import asyncio
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ...core.errors import TeacherError
from ...core.types import Completion, Prompt, Sampling
from ..base import FAILED
from .meter import Meter
from .reply import Trouble, read, trimmed, used_up
from .servers import BUSY, WINDOW, Different, Server, Servers
from .waiting import Waiting

FIRST = 3
"""Before a server has answered at all, so many questions must fail, one after the other, to end the run."""
LOOK = 5.0
"""Seconds after which it is looked again which servers there are."""
PATIENCE = 900.0
"""Seconds: a server that wants to be left alone for longer ends the run, which says until when."""
QUIET = 60
"""Seconds without any answer after which the state says so, again and again."""
DRAIN = 30.0
"""Seconds that a run which ends waits for the answers to requests that are out."""

_Result = tuple[int, Completion] | TeacherError | None
"""A completion, the error that ends the run, or the end."""


class Session:
    """One round of questions with the same sampling."""

    def __init__(
        self, servers: Servers, addresses: Callable[[], Sequence[str]], prompts: Sequence[Prompt], sampling: Sampling
    ) -> None:
        self.servers, self.prompts, self.sampling = servers, prompts, sampling
        self._addresses, self._looked = addresses, time.monotonic()
        self._connected: set[Server] = set()
        servers.follow(addresses())
        if servers.meter:
            servers.meter.begin()
        # Side by side those that begin alike, such as all questions about a passage: a server that keeps what it has
        # read of the last prompts reads their common beginning once.
        order = sorted(range(len(prompts)), key=lambda i: [turn.text for turn in prompts[i].turns])
        self._waiting = Waiting(iter(order))
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
                if self._loop and left in (0, self.servers.window // 2):
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
        if paused := self.servers.paused:
            until = datetime.now() + timedelta(seconds=paused)
            why = f": {self._last.reason[:80]}" if self._last else ""
            return f"waiting until {until:%H:%M:%S}, as the server wants{why}"
        quiet = int((time.monotonic() - self._quiet_since) // QUIET)
        known = self.servers.all
        where = known[0].wire.url if len(known) == 1 else f"any of {len(known)} servers"
        return f"no answer from {where} for {quiet * QUIET} s, {len(self._out)} requests are out" if quiet else ""

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with AsyncExitStack() as wires:
                await self._welcome(wires, self.servers.all)
                await self._ask_all(wires)
        except TeacherError as error:
            self._results.put(error)
        except Exception as error:  # whatever it is, the thread that waits for results must hear of it
            self._results.put(TeacherError(f"The endpoint teacher failed: {error!r}"))
        finally:
            self._results.put(None)

    async def _welcome(self, wires: AsyncExitStack, servers: Sequence[Server]) -> None:
        """Connect to servers, and see that all serve the same. Raises TeacherError."""

        async def greet(server: Server) -> None:
            if server not in self._connected:  # one that was taken out of the file and put back is
                self._connected.add(server)
                await wires.enter_async_context(server.wire)
            if server.until:  # met when it is tried again
                return
            try:
                await self.servers.meet(server)
            except Different as trouble:
                # One that joins later is no reason to end a run that goes on without it.
                if not (self.servers.answered and self.servers.leave_out(server, trouble.reason)):
                    raise await self.servers.error(server, trouble) from trouble
            except Trouble as trouble:
                # The last one that is left is asked all the same: its error says what is wrong.
                self.servers.leave_out(server, trouble.reason)

        await asyncio.gather(*map(greet, servers))

    async def _ask_all(self, wires: AsyncExitStack) -> None:
        try:
            while self._left and not self._ended and not self._stop.is_set():
                self._changed.clear()
                if time.monotonic() - self._looked > LOOK:
                    self._looked = time.monotonic()
                    await self._welcome(wires, self.servers.follow(self._addresses()))
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
            if self.servers.meter:
                self._book(self.servers.meter)

    def _send(self) -> float:
        """Send what may go out now; return the seconds until more may."""
        servers = self.servers
        while True:
            # What the consumer has not taken yet is as good as out: it is not stored.
            if servers.out + self._results.qsize() >= max(1, servers.window):
                return math.inf
            # Before anything was answered, the same questions again, one for each server: that shows more than others.
            more = servers.answered or len(self._waiting) + len(self._out) < len(servers.all)
            position, wait = self._waiting.next(more)
            if position is None:
                return wait
            server, wait = servers.next(self._waiting.tried.get(position, ()), self._left - len(self._out))
            if server is None:
                return wait
            tokens = self.sampling.max_tokens + sum(len(turn.text) for turn in self.prompts[position].turns) // 4
            if wait := servers.limit.next(tokens):
                return wait
            if servers.meter and not self._affordable(server, servers.meter, position):
                # What is out may turn out to cost less than it may at most.
                return 0 if self._ended else math.inf
            self._waiting.take()
            servers.limit.sent(tokens)
            server.out += 1
            task = asyncio.create_task(self._ask(server, position))
            self._out.add(task)
            task.add_done_callback(partial(self._back, server))

    def _book(self, meter: Meter) -> None:
        """Tell what may have been paid for without an answer: the store must know."""
        meter.end()
        why = self._last.reason if self._last else "no answer came before the run ended"
        for position in meter.unbooked:
            self._deliver(position, Completion("", refusal=f"{FAILED}: {why}"))

    def _affordable(self, server: Server, meter: Meter, position: int) -> bool:
        """Whether a question may be sent; its cost at most is reserved then. Ends the run where no answer can help."""
        cap = server.request.cap(self.sampling)
        if cap is None:
            self._ended = TeacherError(
                f"{server.wire.url} takes no `max_tokens`, so that a call may cost any amount and no `budget:` can be "
                "kept. Remove `budget:` from the recipe, or name another server."
            )
            return False
        most = meter.most(self.prompts[position].turns, cap)
        if meter.send(position, most):
            return True
        if not meter.budget.out:
            self._ended = meter.budget.exceeded(meter.cost(most))
        return False

    def _back(self, server: Server, task: asyncio.Task[None]) -> None:
        self._out.discard(task)
        server.out -= 1
        if not task.cancelled() and (error := task.exception()):
            self._ended = TeacherError(f"The endpoint teacher failed: {error!r}")
        self._changed.set()

    async def _ask(self, server: Server, position: int) -> None:
        servers, request = self.servers, server.request
        prompt, without, began = self.prompts[position], request.without, time.monotonic()
        try:
            await servers.meet(server)
            status, headers, content = await server.wire.post(request.encode(prompt, self.sampling))
            completion = read(status, headers, content)
        except BaseException as error:
            if servers.meter:
                servers.meter.failed(position, error.paid if isinstance(error, Trouble) else True)
            if not isinstance(error, Trouble):
                raise
            self._quiet_since = time.monotonic()
            await self._troubled(server, position, request.body(prompt, self.sampling, without), error)
            return
        if servers.meter:
            servers.meter.came(position, completion)
        self._quiet_since = time.monotonic()
        server.pace.answered(self._quiet_since - began)
        if (wait := used_up(headers)) and wait <= PATIENCE:
            server.pace.pause(wait)  # rather than be refused
        request.came(completion, self.sampling)
        self._deliver(position, trimmed(completion, self.sampling, request.adapted))
        servers.came(server, began)

    async def _troubled(self, server: Server, position: int, body: dict[str, Any], trouble: Trouble) -> None:
        request = server.request
        self._last = trouble
        # A server's template may fail on a system turn, which is no fault of the request by its status.
        if trouble.todo == "change" or trouble.status >= 500:
            # Another request may have taught what this one, already under way then, shows once more.
            now = request.body(self.prompts[position], self.sampling, request.without)
            if body != now or request.adapt(body, trouble.words):
                self._waiting.repeat(position, 0)
                return
        # Some servers fail at what they do not know without a word about it, or send what cannot be read.
        unnamed = trouble.todo == "change" or (trouble.status in (200, 500, 501) and position in self._waiting.tries)
        if unnamed and request.strip(body, server.answered or trouble.todo != "change"):
            self._waiting.repeat(position, 0)
            return
        if trouble.todo == "end" or (trouble.todo == "change" and not server.answered):
            # A key or a model that is wrong from the start is a mistake in the recipe; later the server has changed.
            mistaken = trouble.status and not server.answered and not server.until
            if not mistaken and self.servers.leave_out(server, trouble.reason):
                self._waiting.repeat(position, 0)
            else:
                self._ended = await self.servers.error(server, trouble)
        elif trouble.todo == "refuse":
            self.servers.came(server, time.monotonic())
            self._deliver(position, Completion("", refusal=trouble.reason))
        elif trouble.todo == "change":
            self._fail(position, trouble)
        else:
            await self._try_again(server, position, trouble)

    async def _try_again(self, server: Server, position: int, trouble: Trouble) -> None:
        servers, waiting, busy = self.servers, self._waiting, trouble.status in BUSY
        if busy and trouble.wait is not None and trouble.wait > PATIENCE:
            if not servers.leave_out(server, trouble.reason, trouble.wait):
                self._ended = await servers.error(server, trouble)
                return
        else:
            servers.failed(server, trouble, self._backoff)
        tried = waiting.tried.setdefault(position, set())
        tried.add(server)
        # Elsewhere at once; all that are left have failed at it before it waits.
        elsewhere = [other for other in servers.others(server) if other not in tried]
        # A limit with a stated end is no failure: it is waited for. Nor is what another server may still answer.
        waits = trouble.wait is not None and trouble.status == 429
        if not waits and not (elsewhere and (busy or not trouble.sent)):
            waiting.tries[position] = waiting.tries.get(position, 0) + 1
        tries = waiting.tries.get(position, 0)
        # Before anything came, a page instead of an answer is likelier a wrong address than a fault that passes.
        if tries >= (servers.attempts if servers.answered or trouble.status != 200 else FIRST):
            self._fail(position, trouble)
            if self._must_end():
                self._ended = await servers.error(server, trouble, servers.attempts)
        elif elsewhere:
            self._waiting.repeat(position, 0)
        else:
            tried.clear()
            alone = not servers.others(server)
            self._waiting.repeat(position, max((trouble.wait or 0) if alone else 0, self._backoff(tries)))

    def _backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        return min(self.servers.backoff * 2.0 ** min(failures, 10) * random.uniform(0.5, 1), 30.0)

    def _must_end(self) -> bool:
        servers = self.servers
        if not servers.answered:
            servers.started += 1
            return servers.started >= min(FIRST, len(self.prompts))
        return sum(servers.recent) > servers.failures * WINDOW

    def _fail(self, position: int, trouble: Trouble) -> None:
        self.servers.recent.append(True)
        self._deliver(position, Completion("", refusal=f"{FAILED}: {trouble.reason}"))

    def _deliver(self, position: int, completion: Completion) -> None:
        if self.servers.meter:
            completion = self.servers.meter.booked(position, completion)
        self._waiting.done(position)
        self._left -= 1
        self._results.put((position, completion))
