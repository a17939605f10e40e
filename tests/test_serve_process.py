"""`shrinklm serve` as a process: asked to stop, it answers what it took; killed, it has kept what it sent."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from forked import Forked
from shrinklm import Recipe, Run, Store
from shrinklm.deploy.passing import Escalations


class Process:
    """A server in a process of its own, once it answers."""

    def __init__(self, folder: Path, *arguments: str, keys: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.server = Forked(["serve", *arguments, "--port", port], folder, SHRINKLM_API_KEYS=keys)
        deadline = time.monotonic() + 60
        while "Stop with Ctrl-C" not in self.said:
            assert self.server.poll() is None, self.server.err.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        head = {"authorization": f"Bearer {keys}"} if keys else {}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=head, trust_env=False, timeout=60)

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.server.out.read_text() if self.server.out.exists() else ""

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.close()


def test_a_stop_of_the_process_loses_no_answer(deployed: Run, tmp_path: Path) -> None:
    student = deployed.student("multitask")
    student.student.save(tmp_path)
    student.answering.write(tmp_path)
    arguments = [str(tmp_path), "--host", "0.0.0.0", "--batch", "1", "--cell", "multitask"]
    asked = {"question": "Where do fish swim?", "choices": ["in the sea", "in the sky"]}
    with Process(tmp_path, *arguments, keys="very-secret") as process, ThreadPoolExecutor(12) as pool:
        client = process.client
        taken = [pool.submit(client.post, "/v1/answer", json=asked) for _ in range(12)]
        live = 0
        while live + sum(one.done() for one in taken) < 13:  # the request for the metrics is one
            found = re.search(r"shrinklm_requests_live (\d+)", client.get("/metrics").text)
            assert found
            live = int(found[1])
        assert not all(one.done() for one in taken), "some are under way"
        process.server.send(signal.SIGTERM)
        replies = [one.result() for one in taken]
        process.server.wait(30)
        out, err = process.said, process.server.err.read_text()
    assert [reply.status_code for reply in replies] == [200] * 12
    assert {reply.json()["raw"] for reply in replies} == {student.predict([asked])[0].raw}
    assert process.server.returncode == 0, err
    assert "Every question that was taken is answered" in out
    assert "multitask--tiny--s0 answers:" in process.said
    assert "warning: 0.0.0.0 can be reached from other machines, and nothing is encrypted" in err
    assert "very-secret" not in out + err


def test_a_killed_server_has_kept_every_escalation_that_it_sent(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "unsure",
            "task": {"use": "everyday", "dev": 0.3, "limit": {"train": 4, "dev": 8, "test": 2}},
            "teacher": {"use": "fake"},
            "student": {"use": "tiny"},
            "train": {"examples": 4, "curve": 0},
            "evaluate": {"max_tokens": 4, "metrics": ["accuracy"], "zero_shot": False},
            # More than eight questions can show: no threshold reaches it, and every question is passed on.
            "cascade": {"teacher": "fake", "accuracy": 0.99, "by": "likelihood"},
        }
    ).model_copy(update={"root": tmp_path})
    run = Run(recipe)
    run.train()
    run.evaluate()
    questions = [{"id": n, "question": f"Who is in house {n}?", "choices": ["she", "he", "it"]} for n in range(60)]
    replies: list[dict[str, Any]] = []

    def ask(question: dict[str, Any]) -> None:
        with contextlib.suppress(httpx.TransportError):
            replies.append(process.client.post("/v1/answer", json=question).json())
        if len(replies) >= 20:
            process.server.send(signal.SIGKILL)

    with Process(tmp_path, str(run.folder), "--cascade") as process, ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, questions))
    assert 20 <= len(replies) < 60
    # The fake teacher has no answer to some questions; what it says to those is paid for too.
    sent = {reply["id"]: reply["answer"] for reply in replies if reply["escalated"]}
    assert sent
    kept = {row["id"]: row["answer"] for row in Escalations(run.folder / "escalated.jsonl")}
    assert sent.items() <= kept.items()
    with Store(recipe.path(recipe.store)) as store:
        assert sum(one.kind == "label" for one in store) >= len(replies)
