"""200 people at once: does a study's server lose an answer, double one, leave a cell behind, or keep anybody waiting?

python benchmarks/study_load.py [--people 200] [--think 2] [--kill] [--going] [--postgres]

A real `shrinklm study serve` in a process of its own, and people in this one, on the same cores: they come within the
time that five pages take, read a page for about `--think` seconds (people take fifteen times as long), and answer
whatever forms the pages hold. A page's time is that of the POST and of the page that it leads to.

With --kill the server is killed (SIGKILL) in the middle and started again: half of the people go on in the same
browser, half by their link in a new one. With --going (300 people unless said) each request is a connection of its own;
three in ten leave for good somewhere on the way, two in ten come back after a break, by cookie or by link; others come
for the seats of those who left, until somebody has finished on each. With --postgres the records are in a PostgreSQL
server of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from study_crowd import AWAY, Person, come_and_go, crowd

from postgres import NoPostgres, postgres
from shrinklm import TaskOptions, make_task
from shrinklm.study.design.booklets import Design, Question, Shown, places
from shrinklm.study.design.folder import Study
from shrinklm.study.design.form import FORMS, Form
from shrinklm.study.records.database import Records
from shrinklm.study.records.key import Key

QUESTIONS, PER_PERSON = 48, 12
LIMIT, LIMIT_POSTGRES = 0.250, 0.500
"""Seconds below which 95 % of each page must come."""
CONDITIONS = ("A", "B", "C", "D")


def study(home: Path, people: int, away: float) -> Study:
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
    told = {"people: null": people, "starts_per_minute: null": 100000, "timeout: 120": away / 60}
    for line, value in told.items():
        assert f"{line} " in text
        text = text.replace(f"{line} ", f"{line.partition(':')[0]}: {value} ")
    form = Form.parse(yaml.safe_load(text), "study.yaml")
    design = Design(
        "rating", CONDITIONS, ids[:QUESTIONS], ids[QUESTIONS:], PER_PERSON, 13, form.checks.number(PER_PERSON), 5, 0
    )
    runs = {c: {"run": "packaged", "cell": c, "length": 0.0} for c in CONDITIONS}
    Study(home, form, design, questions, runs, {}).write(text)
    return Study.read(home)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, help="200; with --going 300")
    parser.add_argument("--think", type=float, help="seconds on a page: 2; with --going 3")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--going", action="store_true")
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    think = asked.think or (3.0 if asked.going else 2.0)
    seats, away = asked.people or (300 if asked.going else 200), AWAY * think + 1.5
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shrinklm-load-"))) / "study"
        made = study(home, seats, away if asked.going else 7200)
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
        before, base = _cpu(), f"http://127.0.0.1:{port}"
        server = [serve(home, port, database)]
        stack.callback(lambda: (server[0].kill(), server[0].wait()))

        def restart() -> None:
            server[0].kill()
            server[0].wait()
            server[0] = serve(home, port, database)

        start = time.perf_counter()
        if asked.going:
            people = asyncio.run(come_and_go(base, seats, think, away))
        else:
            people = [Person(base, n, think, random.Random(n)) for n in range(seats)]
            asyncio.run(crowd(people, restart if asked.kill else None, seats * PER_PERSON / 2))
        wall = time.perf_counter() - start
        server[0].terminate()
        server[0].wait()
        # After a kill everybody comes at once.
        limit = None if asked.kill else LIMIT_POSTGRES if asked.postgres else LIMIT
        print(f"the server took {_cpu() - before:.1f} s of CPU, the time of its start included")
        sys.exit(report(made, seats, database or made.database, people, wall, limit, asked.going))


def _cpu() -> float:
    """Seconds of CPU of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(
    made: Study, seats: int, database: str, people: Sequence[Person], wall: float, limit: float | None, going: bool
) -> int:
    """Prints what was found; 1 where anything is not as it must be. `limit`: see LIMIT; None: speed is not judged."""
    records = Records(database, Key.of(made.home))
    persons, responses = records.participants(), records.responses()
    links = {person.id: records.link(person) for person in persons}
    records.close()
    done = {person.id: made.booklet(person.seat) for person in persons if person.finished_at}
    kept = Counter(response.participant for response in responses)
    given = Counter((r.question, r.treatment) for r in responses if r.kind == "item" and r.participant in done)
    cells = [given.get((q, t), 0) for q in made.design.questions for t in made.design.treatments]
    acknowledged = {(p.link.rpartition("/")[2], at): steps for p in people for at, steps in p.acknowledged.items()}
    there = {(links[r.participant], r.position): sorted(str(step) for step in r.values.values()) for r in responses}
    finished, begun = [p for p in people if p.finished], [p for p in people if p.link]
    print(
        f"{len(people)} people, {len(finished)} finished, {sum(p.resumed for p in people)} came back, "
        f"{len(responses):,} answers in {wall:.0f} s; {sum(p.busy for p in people)} pages were sent again"
    )
    slow = speed(people, limit)
    print(
        f"answers acknowledged {len(acknowledged):,}, kept {len(responses):,}; "
        f"ratings a cell {min(cells)} to {max(cells)}"
    )
    said = {
        "an error": [error for person in people for error in person.errors][:3],
        "a seat without somebody who finished": [seats - len(finished)] if len(finished) != seats else [],
        "people counted twice": [len(persons)] if len(persons) != len(begun) or len(done) != len(finished) else [],
        "answers lost or doubled": [kept[n] for n, booklet in done.items() if kept[n] != len(booklet)],
        "an acknowledged answer that is not there": [k for k, steps in acknowledged.items() if there.get(k) != steps][
            :3
        ],
        # Of one whose server was killed an answer can be kept before it was acknowledged.
        "an answer that nobody gave": sorted(there.keys() - acknowledged.keys())[:3] if going else [],
        "a cell more than one rating behind": [] if max(cells) - min(cells) <= 1 else [min(cells), max(cells)],
        "an answer to another page than the booklet's": []
        if places(list(done.values())) == dict(given)
        else ["see the records"],
        f"a page of which 95 % take {limit or 0:.3f} s or more": slow,
    }
    for what, found in said.items():
        if found:
            print(f"FOUND {what}: {found}")
    return int(any(said.values()))


def speed(people: Sequence[Person], limit: float | None) -> list[str]:
    """Prints how long pages took; returns those that took too long."""
    times: dict[str, list[float]] = {}
    for name, seconds in (page for person in people for page in person.pages):
        times.setdefault(name, []).append(seconds)
    every = [seconds for own in times.values() for seconds in own]
    slow = []
    for name, own in [("all pages", every), *sorted(times.items())]:
        p95 = float(np.quantile(own, 0.95))
        if limit is not None and p95 >= limit:
            slow.append(name)
        print(
            f"{name:14} {len(own):6,}, median {np.median(own) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, "
            f"longest {max(own) * 1000:.0f} ms"
        )
    return slow


if __name__ == "__main__":
    main()
