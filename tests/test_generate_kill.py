"""kill -9 in the middle of a generation, with a real process and a real signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from endpoint_stub import Raw, chat, failure, server
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.ask import COMMIT
from shrinklm.teachers.base import FAILED, TeacherOptions, make_teacher
from shrinklm.teachers.endpoint import EndpointTeacher
from shrinklm.teachers.generate import read_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.store import Store
from teacher_cases import many, settings, step

COUNT = 60
STEPS = [step("explanation"), step("counterfactual"), step("label")]
SPEC = "fake:first,log=asked.log,delay=0.005"
CODE = """
import sys
from pathlib import Path
root = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from test_generate_kill import COUNT, SPEC, STEPS, many, settings
from shrinklm.teachers.generate import run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.store import Store
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import TeacherOptions, make_teacher
with Store(root / "g.db") as store:
    teacher = make_teacher(SPEC, TeacherOptions(root=root))
    run_steps(many(COUNT), STEPS, teacher, Prompts("choice"), store, settings(), parse_answer)
print("done")
"""
OVER_HTTP = CODE.replace("make_teacher(SPEC, TeacherOptions(root=root))", "over_http(sys.argv[3])").replace(
    "COUNT, SPEC", "COUNT, SPEC, over_http"
)
AT_ONCE = 16


def start(root: Path, code: str = CODE, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(Path(__file__).parent), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def over_http(url: str) -> EndpointTeacher:
    teacher = EndpointTeacher(f"{url}#m", TeacherOptions(batch=AT_ONCE, timeout=3, failures=1))
    teacher.backoff = 0.01
    return teacher


def lines(root: Path) -> list[str]:
    log = root / "asked.log"
    return log.read_text().splitlines() if log.exists() else []


def test_killed_generation_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    kills = 0
    for least in (20, 150, 330):  # in the first step, in its tries again, in the second step
        process = start(tmp_path)
        while len(lines(tmp_path)) < least and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    process = start(tmp_path)
    assert process.communicate(timeout=120)[0].strip() == "done"
    asked = Counter(lines(tmp_path))
    twice = {line: count for line, count in asked.items() if count > 1}
    assert sum(count - 1 for count in twice.values()) <= kills  # at most the one in flight at each kill
    assert len(asked) == COUNT * (1 + 2 + 1) * 2  # the first try is empty, the second is good
    with Store(tmp_path / "g.db") as store:
        teacher = make_teacher(SPEC, TeacherOptions(root=tmp_path))
        known, _ = read_steps(many(COUNT), STEPS, teacher, Prompts("choice"), store, settings(), parse_answer)
        assert len(store) == len(asked)
    assert all(
        len(found) == 4 and not any(generation.refusal for generation in found.values()) for found in known.values()
    )


def test_a_server_that_fails_at_a_fifth_of_the_calls_and_a_kill(tmp_path: Path) -> None:
    faults = [failure(429), failure(500), Raw(reset=True), Raw("<html>"), Raw(chat("x")[1], cut=True)]
    paid: Counter[str] = Counter()

    def answer(body: dict[str, Any], number: int) -> tuple[int, Mapping[str, Any]] | Raw:
        if number == 36:
            return Raw(seconds=4)
        if number % 5 == 0:
            return faults[number // 5 % len(faults)]
        paid[json.dumps(body["messages"])] += 1
        return chat(f"The answer is {body['messages'][-1]['content'].split('(a) ')[1].split()[0]} as it goes with it.")

    with server(answer) as (url, asked):
        process = start(tmp_path, OVER_HTTP, url)
        while len(asked) < 90 and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process = start(tmp_path, OVER_HTTP, url)
        assert process.communicate(timeout=120)[0].strip() == "done"
    with Store(tmp_path / "g.db") as store:
        stored = list(store)
    seeds = {one.source.seed for one in stored}
    first = [one for one in stored if one.source.seed == min(seeds)]
    assert len(first) == COUNT * 4
    assert not any((one.refusal or "").startswith(FAILED) for one in stored)
    # Retries after a refusal are other requests with the same words.
    assert sum(paid.values()) - len(stored) <= AT_ONCE + COMMIT
