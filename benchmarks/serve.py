"""What a server bears: many clients at once against one client that asks one question after the other.

The server is a process of its own, started by `shrinklm serve`; the clients run in this process, on the same cores.
Both sides ask the same questions of the same server, one after the other, and every answer of the crowd is held against
the answer to the same question asked alone.

    python benchmarks/serve.py                       # 200 clients, a student of 200 thousand random weights
    python benchmarks/serve.py --run RUN --cell multitask --clients 50

Exits with 1 where an answer is lost or differs, or where the crowd is answered less than 4 times as fast.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

WANTED = 4.0
"""Times the throughput of one client."""


def trained(root: Path) -> str:
    """A run with one trained student, tiny and of random weights but for a few steps."""
    from shrinklm import Recipe, Run

    recipe = Recipe.model_validate(
        {
            "name": "serve",
            "task": {"use": "everyday", "dev": 0.1, "limit": {"train": 24, "dev": 6, "test": 60}},
            "teacher": {"use": "fake"},
            "generate": ["explanation"],
            "methods": ["multitask"],
            "student": {"use": "tiny"},
            "train": {"examples": 24, "seeds": [0], "curve": 0},
            "evaluate": {"max_tokens": 24, "zero_shot": False},
        }
    )
    run = Run(recipe.model_copy(update={"root": root}))
    run.generate()
    run.train()
    return str(run.folder)


def questions(run: str) -> list[dict[str, Any]]:
    """The test questions of a run, as requests."""
    from shrinklm.run.opening import open_run

    return [
        {"id": example.id, "question": example.question, "choices": list(example.choices), **example.fields}
        for example in open_run(run).splits["test"]
    ]


def serve(stack: ExitStack, run: str, cell: str | None) -> tuple[str, subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "shrinklm", "serve", run, "--port", str(port)]
    command += ["--cell", cell] if cell else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "SHRINKLM_API_KEYS": ""})
    stack.callback(lambda: (server.terminate(), server.wait()))
    assert server.stdout is not None
    while "Stop with" not in (line := server.stdout.readline()):
        if not line:
            sys.exit("the server does not start")
    return f"http://127.0.0.1:{port}", server


async def ask(session: aiohttp.ClientSession, body: dict[str, Any], replies: list[Any]) -> None:
    began = time.perf_counter()
    try:
        async with session.post("/v1/answer", json=body) as response:
            content = await response.json()
            replies.append((body["id"], response.status, content, time.perf_counter() - began))
    except (aiohttp.ClientError, TimeoutError) as error:
        replies.append((body["id"], 0, repr(error), time.perf_counter() - began))


async def side(url: str, asked: list[dict[str, Any]], clients: int) -> tuple[list[Any], float]:
    """(the replies, the seconds of all) of clients that share the questions, each asking one after the other."""
    replies: list[Any] = []

    async def client(mine: list[dict[str, Any]]) -> None:
        for body in mine:
            await ask(session, body, replies)

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(300)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(asked[start::clients]) for start in range(clients)))
        return replies, time.perf_counter() - began


def said(reply: Any) -> Any:
    """What must not depend on the company of a question."""
    return reply["id"], reply["answer"], reply["explanation"], reply["raw"]


def report(name: str, replies: list[Any], seconds: float) -> float:
    times = 1000 * np.array([reply[3] for reply in replies])
    rate = len(replies) / seconds
    print(
        f"{name}: {len(replies):,} answers in {seconds:.1f} s, {rate:.1f} a second; "
        f"p50 {np.quantile(times, 0.5):.0f} ms, p95 {np.quantile(times, 0.95):.0f} ms, longest {times.max():.0f} ms"
    )
    return float(rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--each", type=int, default=10, help="questions of each client")
    parser.add_argument("--alone", type=int, default=60, help="questions of the one client")
    parser.add_argument("--by", choices=["text", "likelihood"], default="text")
    parser.add_argument("--no-explain", action="store_true")
    parser.add_argument("--run", help="a run with a trained student; left out: a tiny one is made")
    parser.add_argument("--cell")
    given = parser.parse_args()
    with ExitStack() as stack:
        run = given.run or trained(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shrinklm-serve-"))))
        how = {"by": given.by, "explain": not given.no_explain}
        every = [{**body, **how} for body in questions(run)]
        alone = [every[index % len(every)] for index in range(given.alone)]
        crowd = [every[index % min(len(every), given.alone)] for index in range(given.clients * given.each)]
        url, server = serve(stack, run, given.cell)
        asyncio.run(side(url, alone[:2], 1))
        single, seconds = asyncio.run(side(url, alone, 1))
        one = report("one client", single, seconds)
        many, seconds = asyncio.run(side(url, crowd, given.clients))
        rate = report(f"{given.clients} clients", many, seconds)
        peak = Path(f"/proc/{server.pid}/status")
        memory = [line for line in peak.read_text().splitlines() if "VmHWM" in line] if peak.is_file() else []
        print(*(f"memory of the server at most: {int(line.split()[1]) // 1024} MB" for line in memory))
    known = {id: said(content) for id, status, content, _ in single if status == 200}
    lost = [reply[1:3] for reply in many if reply[1] != 200]
    differ = sum(known[id] != said(content) for id, status, content, _ in many if status == 200)
    print(f"lost {len(lost)}, other than alone {differ}, {rate / one:.1f} times as many a second")
    for status, content in lost[:3]:
        print(f"FOUND {status}: {content}")
    sys.exit(int(bool(lost or differ or rate < WANTED * one)))


if __name__ == "__main__":
    main()
