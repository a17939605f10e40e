"""How fast questions go through a server that answers at once: prompts, requests, refusals and the store together.

python benchmarks/endpoint.py [QUESTIONS] [--memory] [--servers SECONDS]

The server is a process of its own on the same cores and answers every request with the same text. The other side is a
loop as one would write it by hand: httpx, 128 requests at once, and nothing kept. Rounds of both take turns.
With --memory: the peak of this process after a tenth of the questions and after all.
With --servers: then one teacher on 1, 2 and 4 servers that take so long for an answer, 16 requests at once at each; and
on 4 of which one takes ten times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from functools import partial
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
    """Answers every request with the same completion, after a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

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
            _, _, length_on = self.waiting[:end].lower().partition(b"content-length:")
            length = int(length_on.split(b"\r\n")[0] or 0)  # a question for the list of models has none
            if len(self.waiting) < end + 4 + length:
                return
            self.waiting = self.waiting[end + 4 + length :]
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(self.reply)}\r\n\r\n"
            reply = head.encode() + self.reply
            if self.seconds:
                asyncio.get_running_loop().call_later(self.seconds, self.transport.write, reply)
            else:
                self.transport.write(reply)


def serve(ports: Any, seconds: list[float]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        for each in seconds:
            server = await loop.create_server(partial(Stub, each), "127.0.0.1", 0, backlog=512)
            ports.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(run())


def questions(count: int, first: int) -> list[Example]:
    options = ("bank", "library", "department store", "mall", "new york")
    return [
        Example(f"q{i}", f"A revolving door is the entrance of which of the places numbered {i}?", options, "bank")
        for i in range(first, first + count)
    ]


def generate(url: str, examples: list[Example], at_once: int = AT_ONCE) -> float:
    """Seconds for all explanations, from the question to the row on disk."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "g.db") as store:
        began = time.perf_counter()
        teacher = make_teacher(f"endpoint:{url}#stub", TeacherOptions(batch=at_once))
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


def several(urls: list[str], count: int) -> None:
    """Print the seconds that 1, 2 and 4 servers take for the same questions; the fifth is a slow one."""
    for number in range(2):
        took = {servers: generate(",".join(urls[:servers]), questions(count, 0), 16) for servers in (1, 2, 4)}
        shown = ", ".join(f"{servers}: {each:.1f} s ({took[1] / each:.2f} times)" for servers, each in took.items())
        print(f"round {number + 1}: {count} questions, servers {shown}")
        mixed = generate(",".join([*urls[:3], urls[4]]), questions(count, 0), 16)
        print(
            f"one of four ten times as slow: {mixed:.1f} s ({took[1] / mixed:.2f} times one quick server)", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("questions", nargs="?", type=int, default=5000)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--servers", type=float, metavar="SECONDS")
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    seconds = [0.0, *([arguments.servers] * 4 + [10 * arguments.servers] if arguments.servers else [])]
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there, seconds), daemon=True)
    server.start()
    url, *slow = [f"http://127.0.0.1:{here.recv()}/v1" for _ in seconds]
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
        if slow:
            several(slow, count)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
