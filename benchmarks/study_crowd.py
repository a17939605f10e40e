"""The people of `study_load.py`: those who stay until the end, and those who come and go."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from visitor import filled, sheets, words

STEPS = 17
"""Pages from the first to the last."""
ARRIVAL = 5
"""Everybody comes within the time that so many pages take."""
AWAY = 12
"""Nobody who will come back stays away for as long as so many pages take."""

_TLS = ssl.create_default_context()
"""Not needed, and each browser would make one of its own: 300 of them took seconds."""


class Wrong(Exception):
    """The server answered what it should not."""


@dataclass
class Person:
    """One visitor, who stays until the end."""

    base: str
    number: int
    think: float
    rng: random.Random
    pages: list[tuple[str, float]] = field(default_factory=list)
    """(what was sent or asked for, seconds until the page that it leads to)."""
    acknowledged: dict[int, list[str]] = field(default_factory=dict)
    """Page → the steps that the server said it has, in some order."""
    errors: list[str] = field(default_factory=list)
    finished: bool = False
    cut: bool = False
    """The server was killed since the last page."""
    resumed: int = 0
    busy: int = 0
    """Pages that could not be kept at once, and were sent again."""
    link: str = ""

    async def visit(self, up: asyncio.Event) -> None:
        """From the welcome page to the completion code."""
        await asyncio.sleep(self.rng.uniform(0, ARRIVAL * self.think))
        client = self._browser()
        html = ""
        while not self.finished:
            await asyncio.sleep(self.think * self.rng.uniform(0.5, 1.5))
            await up.wait()
            try:
                if self.cut:
                    self.cut, self.resumed = False, self.resumed + 1
                    client, html = await self._resume(client)
                elif not html:
                    html = await self._get(client, "/")
                else:
                    html = await self._next(client, html)
            except httpx.TransportError:
                self.cut = True
            except Wrong as wrong:
                self.errors.append(str(wrong))
                break
        await client.aclose()

    async def _next(self, client: httpx.AsyncClient, html: str) -> str:
        if "THANK-YOU" in html:
            self.finished = True
            return html
        sheet = sheets(html)[0]
        start = time.perf_counter()
        sent = filled(sheet, self.rng)
        answer = await self._sent(client, "POST", sheet.action, data=dict(sent))
        if answer.status_code not in (302, 303):
            raise Wrong(f"POST {sheet.action}: {answer.status_code} {words(answer.text)[:200]}")
        if "/item/" in sheet.action:
            self.acknowledged[int(sheet.action.rpartition("/")[2]) - 1] = sorted(sent[name] for name in sheet.choices)
        return await self._get(client, answer.headers["location"], start, sheet.action)

    async def _sent(self, client: httpx.AsyncClient, method: str, path: str, **what: Any) -> httpx.Response:
        """The answer to a request; one that cannot be kept just now is sent again, as a browser does."""
        for _ in range(10):
            answer = await client.request(method, path, **what)
            if answer.status_code != 503:
                break
            self.busy += 1
            await asyncio.sleep(int(answer.headers["retry-after"]))
        return answer

    async def _get(self, client: httpx.AsyncClient, path: str, start: float | None = None, sent: str = "") -> str:
        start = time.perf_counter() if start is None else start
        answer = await self._sent(client, "GET", path, follow_redirects=True)
        if answer.status_code != 200:
            raise Wrong(f"GET {path}: {answer.status_code} {words(answer.text)[:200]}")
        self.pages.append((f"/{(sent or path).split('/')[1]}", time.perf_counter() - start))
        if link := re.search(r"/resume/[\w-]+", answer.text):
            self.link = link.group()
        return answer.text

    async def _resume(self, client: httpx.AsyncClient) -> tuple[httpx.AsyncClient, str]:
        """Half go on where they are, half come back by their link with a browser that knows nothing."""
        if not self.link or self.number % 2:
            return client, await self._get(client, "/")
        await client.aclose()
        client = self._browser()
        html = await self._get(client, self.link)
        return client, await self._next(client, html)

    def _browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base, verify=_TLS, trust_env=False, timeout=30)


@dataclass
class Passing(Person):
    """One who may leave for good, or take a break. Each request is a connection of its own."""

    leaving: float = 0.3
    """Chance of leaving for good, at any page."""
    returning: float = 0.2
    """Chance of a break, after which the person comes back by cookie or by link."""

    async def visit(self, up: asyncio.Event) -> None:
        """From the welcome page to the completion code, or until the person leaves."""
        draw = self.rng
        leaves = draw.randrange(1, STEPS) if draw.random() < self.leaving else None
        breaks = draw.randrange(2, STEPS) if draw.random() < self.returning else None
        await asyncio.sleep(draw.uniform(0, ARRIVAL * self.think))
        client, html = self._browser(), ""
        try:
            for step in range(10 * STEPS):
                # Skewed to the right, as people's times are, and no longer than a seat is kept.
                think = self.think * min(4.0, draw.lognormvariate(-0.125, 0.5))
                await asyncio.sleep(think)
                if step == leaves or self.finished:
                    break
                if step == breaks:
                    await asyncio.sleep(3 * self.think)
                    client, html = await self._back(client, html)
                html = await self._next(client, html) if html else await self._get(client, "/")
        except (httpx.TransportError, Wrong) as wrong:
            self.errors.append(f"{type(wrong).__name__}: {wrong}")
        await client.aclose()

    async def _back(self, client: httpx.AsyncClient, html: str) -> tuple[httpx.AsyncClient, str]:
        """The browser is opened again: with its cookies, or another one by the link."""
        cookies = dict(client.cookies)
        await client.aclose()
        client = self._browser()
        if self.number % 2:
            client.cookies.update(cookies)
            found = await self._get(client, "/")
        else:
            found = await self._next(client, await self._get(client, self.link))
        self.resumed += 1
        where = [sheets(page)[0].action for page in (html, found) if sheets(page)]
        if len(set(where)) > 1:
            raise Wrong(f"the person was at {where[0]} and came back to {where[1]}")
        return client, found

    def _browser(self) -> httpx.AsyncClient:
        closed = httpx.Limits(max_keepalive_connections=0)
        return httpx.AsyncClient(base_url=self.base, verify=_TLS, trust_env=False, timeout=30, limits=closed)


async def crowd(people: Sequence[Person], restart: Callable[[], None] | None = None, half: float = 0) -> None:
    """Everybody comes; `restart` is called once `half` answers are acknowledged."""
    up = asyncio.Event()
    up.set()
    tasks = [asyncio.create_task(person.visit(up)) for person in people]
    if restart is not None:
        while sum(len(person.acknowledged) for person in people) < half and not all(task.done() for task in tasks):
            await asyncio.sleep(0.05)
        up.clear()
        await asyncio.to_thread(restart)
        for person in people:
            person.cut = not person.finished
        up.set()
    await asyncio.gather(*tasks)


async def come_and_go(base: str, seats: int, think: float, away: float) -> list[Person]:
    """People who leave and come back, and others for the seats of those who left, until each has somebody finished.

    Args:
        base: address of the server.
        seats: how many come at first.
        think: seconds on a page.
        away: seconds after which a seat is free again.
    """
    everybody: list[Person] = []
    for leaving in (0.3, 0.3, 0.0):
        free = range(len(everybody), len(everybody) + seats - sum(person.finished for person in everybody))
        await asyncio.sleep(away if everybody and free else 0)
        wave = [Passing(base, n, think, random.Random(n), leaving=leaving) for n in free]
        await crowd(wave)
        everybody += wave
    return everybody
