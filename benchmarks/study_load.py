"""200 people at once: does a study's server lose an answer, double one, leave a cell behind, or keep anybody waiting?

python benchmarks/study_load.py [--people 200] [--think 2] [--kill] [--postgres]

A real `shrinklm study serve` in a process of its own, and people in this one, on the same cores: they come within the
first ten seconds, read a page for about `--think` seconds (people take fifteen times as long), and answer whatever
forms the pages hold. A page's time is that of the POST and of the page that it leads to. With --kill the server is
killed (SIGKILL) in the middle and started again: half of the people go on in the same browser, half by their link in a
new one. With --postgres the records are in a PostgreSQL server of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from postgres import NoPostgres, postgres
from shrinklm import TaskOptions, make_task
from shrinklm.study.design.booklets import Design, Question, Shown, places
from shrinklm.study.design.folder import Study
from shrinklm.study.design.form import FORMS, Form
from shrinklm.study.records.database import Records
from shrinklm.study.records.key import Key
from visitor import filled, sheets, words

QUESTIONS, PER_PERSON, LIMIT = 48, 12, 0.250
CONDITIONS = ("A", "B", "C", "D")


def study(home: Path, people: int) -> Study:
    """A study of packaged questions; the recorded explanations of their options stand for four conditions."""
    table = pq.read_table(str(files("shrinklm.tasks") / "data" / "everyday" / "demo-generations.parquet")).to_pylist()
    texts: dict[str, list[str]] = {}
    for row in table:
        if row["text"] and row["kind"] != "label":
            texts.setdefault(row["example_id"], []).append(row["text"])
    known = [
        e for e in make_task("everyday", TaskOptions()).examples("train") if len(texts.get(e.id, ())) >= len(CONDITIONS)
    ]
    if len(known) <= QUESTIONS:
        known = [e for e in make_task("everyday", TaskOptions()).examples("train") if texts.get(e.id)]
    questions = {}
    for at, e in enumerate(known[: QUESTIONS + 1]):
        said = {c: Shown(e.answer, texts[e.id][k % len(texts[e.id])], True) for k, c in enumerate(CONDITIONS)}
        questions[e.id] = Question(
            e.id, e.question, e.choices, e.answer, e.fields, "right" if at < QUESTIONS else "practice", said
        )
    ids = tuple(questions)
    text = (FORMS / "rating.yaml").read_text() + (FORMS / "common.yaml").read_text()
    text = text.replace("people: null ", f"people: {people} ").replace(
        "starts_per_minute: null ", "starts_per_minute: 100000 "
    )
    form = Form.parse(yaml.safe_load(text), "study.yaml")
    design = Design(
        "rating", CONDITIONS, ids[:QUESTIONS], ids[QUESTIONS:], PER_PERSON, 13, form.checks.number(PER_PERSON), 5, 0
    )
    runs = {c: {"run": "packaged", "cell": c, "length": 0.0} for c in CONDITIONS}
    Study(home, form, design, questions, runs, {}).write(text)
    return Study.read(home)


@dataclass
class Person:
    """One visitor."""

    base: str
    number: int
    think: float
    rng: random.Random
    pages: list[float] = field(default_factory=list)
    acknowledged: dict[int, list[str]] = field(default_factory=dict)
    """Page → the steps that the server said it has, in some order."""
    errors: list[str] = field(default_factory=list)
    finished: bool = False
    cut: bool = False
    """The server was killed since the last page."""
    resumed: int = 0
    link: str = ""

    async def visit(self, up: asyncio.Event) -> None:
        """From the welcome page to the completion code."""
        await asyncio.sleep(self.rng.uniform(0, 10))
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
        if link := re.search(r"/resume/[\w-]+", html):
            self.link = link.group()
        sheet = sheets(html)[0]
        start = time.perf_counter()
        sent = filled(sheet, self.rng)
        answer = await client.post(sheet.action, data=dict(sent))
        if answer.status_code not in (302, 303):
            raise Wrong(f"POST {sheet.action}: {answer.status_code} {words(answer.text)[:200]}")
        if "/item/" in sheet.action:
            self.acknowledged[int(sheet.action.rpartition("/")[2]) - 1] = sorted(sent[name] for name in sheet.choices)
        html = await self._get(client, answer.headers["location"], start)
        return html

    async def _get(self, client: httpx.AsyncClient, path: str, start: float | None = None) -> str:
        start = time.perf_counter() if start is None else start
        answer = await client.get(path, follow_redirects=True)
        if answer.status_code != 200:
            raise Wrong(f"GET {path}: {answer.status_code} {words(answer.text)[:200]}")
        self.pages.append(time.perf_counter() - start)
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
        return httpx.AsyncClient(base_url=self.base, verify=False, trust_env=False, timeout=30)


class Wrong(Exception):
    """The server answered what it should not."""


def serve(home: Path, port: int, database: str | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "shrinklm", "study", "serve", str(home), "--port", str(port)]
    command += ["--database", database] if database else []
    log = (home / "server.log").open("ab")
    process = subprocess.Popen(
        command, stdout=log, stderr=log, env={**os.environ, "SHRINKLM_STUDY_TOKEN": "a token of this benchmark"}
    )
    for _ in range(300):
        try:
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
            return process
        except httpx.TransportError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    sys.exit(f"the server does not start:\n{(home / 'server.log').read_text()}")


async def crowd(people: list[Person], restart: object | None) -> None:
    up = asyncio.Event()
    up.set()
    tasks = [asyncio.create_task(person.visit(up)) for person in people]
    if restart is not None:
        goal = sum(PER_PERSON for _ in people) / 2
        while sum(len(person.acknowledged) for person in people) < goal and not all(task.done() for task in tasks):
            await asyncio.sleep(0.05)
        up.clear()
        await asyncio.to_thread(restart)  # type: ignore[arg-type]
        for person in people:
            person.cut = not person.finished
        up.set()
    await asyncio.gather(*tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--think", type=float, default=2.0, help="seconds on a page")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shrinklm-load-"))) / "study"
        made = study(home, asked.people)
        database = None
        if asked.postgres:
            try:
                database = stack.enter_context(postgres())
            except NoPostgres as why:
                print(f"skipped: {why}")
                return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = [serve(home, port, database)]
        stack.callback(lambda: (server[0].terminate(), server[0].wait()))

        def restart() -> None:
            server[0].send_signal(signal.SIGKILL)
            server[0].wait()
            server[0] = serve(home, port, database)

        people = [Person(f"http://127.0.0.1:{port}", n, asked.think, random.Random(n)) for n in range(asked.people)]
        start = time.perf_counter()
        asyncio.run(crowd(people, restart if asked.kill else None))
        wall = time.perf_counter() - start
        sys.exit(report(made, database or made.database, people, wall, judged=not (asked.kill or asked.postgres)))


def report(made: Study, database: str, people: list[Person], wall: float, judged: bool) -> int:
    """Prints what was found; 1 where anything is not as it must be.

    Speed is judged of a quiet start on SQLite alone: after a kill everybody comes at once, and PostgreSQL takes its
    part of the two cores.
    """
    records = Records(database, Key.of(made.home))
    persons, responses = records.participants(), records.responses()
    links = {person.id: records.link(person) for person in persons}
    records.close()
    pages = np.array([seconds for person in people for seconds in person.pages])
    kept = Counter(response.participant for response in responses)
    per_person = {len(made.booklet(person.seat)) for person in persons}
    given = Counter((r.question, r.treatment) for r in responses if r.kind == "item")
    cells = [given.get((q, t), 0) for q in made.design.questions for t in made.design.treatments]
    wanted = places([made.booklet(person.seat) for person in persons])
    acknowledged = {(p.link.rpartition("/")[2], at): steps for p in people for at, steps in p.acknowledged.items()}
    there = {(links[r.participant], r.position): sorted(str(step) for step in r.values.values()) for r in responses}
    errors = [error for person in people for error in person.errors]
    p95 = float(np.quantile(pages, 0.95))
    print(
        f"{len(people)} people, {len(responses):,} answers in {wall:.0f} s; "
        f"{sum(p.resumed for p in people)} went on after a cut"
    )
    print(
        f"pages: {len(pages):,}, median {np.median(pages) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, longest "
        f"{pages.max() * 1000:.0f} ms"
    )
    print(
        f"answers acknowledged {len(acknowledged):,}, kept {len(responses):,}; "
        f"ratings a cell {min(cells)} to {max(cells)}"
    )
    said = {
        "an error": errors[:3],
        "somebody who did not finish": [p.number for p in people if not p.finished],
        "people counted twice": [] if len(persons) == len(people) else [len(persons)],
        "answers lost or doubled": [n for n in (kept[p.id] for p in persons) if {n} != per_person],
        "an acknowledged answer that is not there": [
            key for key, steps in acknowledged.items() if there.get(key) != steps
        ][:3],
        "a cell more than one rating behind": [] if max(cells) - min(cells) <= 1 else [min(cells), max(cells)],
        "an answer to another page than the booklet's": []
        if wanted == {(q, t): n for (q, t), n in given.items()}
        else ["see the records"],
        f"a p95 of {LIMIT * 1000:.0f} ms or more": [] if p95 < LIMIT or not judged else [f"{p95 * 1000:.0f} ms"],
    }
    for what, found in said.items():
        if found:
            print(f"FOUND {what}: {found}")
    return int(any(said.values()))


if __name__ == "__main__":
    main()
