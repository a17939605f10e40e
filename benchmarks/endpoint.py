"""How fast questions go through a server that answers at once: prompts, requests, refusals and the store together.

python benchmarks/endpoint.py [QUESTIONS] [--memory]

The server is a process of its own on the same cores and answers every request with the same text. The other side is a
loop as one would write it by hand: httpx, 128 requests at once, and nothing kept. Rounds of both take turns.
With --memory: the peak of this process after a tenth of the questions and after all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from shrinklm.core.types import Example
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.generate import GenerateSettings, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import StepRequest
from shrinklm.teachers.store import Store

ROUNDS, AT_ONCE, WANTED = 3, 128, 900
TEXT = "People keep their money in a bank because it is safe there."
SETTINGS = GenerateSettings(temperature=0.0, top_p=1.0, seed=0, retries=2, price=None)


class Stub(asyncio.Protocol):
    """Answers every POST with the same completion."""

    reply = json.dumps(
        {
            "choices": [{"message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 13},
        }
    ).encode()

    def connection_made(self, transport: Any) -> None:
        self.transport, self.waiting = transport, b""

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            length = int(self.waiting[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.waiting) < end + 4 + length:
                return
            self.waiting = self.waiting[end + 4 + length :]
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(self.reply)}\r\n\r\n"
            self.transport.write(head.encode() + self.reply)


def serve(port: Any) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=512)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def questions(count: int, first: int) -> list[Example]:
    options = ("bank", "library", "department store", "mall", "new york")
    return [
        Example(f"q{i}", f"A revolving door is the entrance of which of the places numbered {i}?", options, "bank")
        for i in range(first, first + count)
    ]


def generate(url: str, examples: list[Example]) -> float:
    """Seconds for all explanations, from the question to the row on disk."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "g.db") as store:
        began = time.perf_counter()
        teacher = make_teacher(f"endpoint:{url}#stub", TeacherOptions(batch=AT_ONCE))
        step = StepRequest("explanation", rounds=1, max_words=None, max_tokens=None)
        report = run_steps(examples, [step], teacher, Prompts("choice"), store, SETTINGS, lambda text, example: None)
        seconds = time.perf_counter() - began
        assert report.steps["explanation"].kept == len(store) == len(examples)
    return seconds


async def by_hand(url: str, examples: list[Example]) -> float:
    """Seconds for the same requests in a plain loop."""
    import httpx

    turns = Prompts("choice").prompt(_step(), examples[0], "bank", {}, None).turns
    shared = [{"role": turn.role, "content": turn.text} for turn in turns[:-1]]
    began = time.perf_counter()
    rest = iter(examples)
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def worker() -> None:
            for example in rest:
                body = {"model": "stub", "messages": [*shared, {"role": "user", "content": example.text}]}
                reply = await client.post(f"{url}/chat/completions", json=body)
                assert reply.json()["choices"][0]["message"]["content"] == TEXT

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return time.perf_counter() - began


def _step() -> Any:
    from shrinklm.teachers.steps import STEPS

    return STEPS["explanation"]


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("questions", nargs="?", type=int, default=5000)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}/v1"
    count = arguments.questions
    try:
        generate(url, questions(min(count, 200), 0))  # imports and first connections
        if arguments.memory:
            for part in (count // 10, count):
                seconds = generate(url, questions(part, 0))
                print(f"{part:,} questions: {part / seconds:,.0f} a second, peak {peak():,.0f} MiB")
            return
        for number in range(ROUNDS):
            ours = generate(url, questions(count, number * count))
            theirs = asyncio.run(by_hand(url, questions(count, number * count)))
            print(
                f"round {number + 1}: {count / ours:,.0f} requests a second (wanted: {WANTED}), "
                f"by hand {count / theirs:,.0f}, {theirs / ours:.1f} times"
            )
    finally:
        server.kill()


if __name__ == "__main__":
    main()
