"""How long it takes to open a store and to find what of a recipe's questions it lacks, and how much memory.

python benchmarks/store.py [GENERATIONS] [--folder FOLDER] [--rounds ROUNDS]

The store is made first: prompts of 700 tokens of which the few-shot examples are the same, texts of 60 words. The other
side is a loop as one would write it by hand: every row is read into a Generation, and its key is looked up. Each
side is a process of its own, so that its memory is its own; it is given the keys that a recipe asks, of which
the store lacks every tenth. Ours runs once before it is measured, which brings the pages that it reads into the
system's cache; the loop reads the whole file, from the cache as far as that holds it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from shrinklm.core.types import Generation, Sampling, Source, digest
from shrinklm.teachers.store import Store

TEXT = "people keep their money in a bank because it is safe there and they can have it back at any time"
WORDS = TEXT.split()
SHOTS = f"{TEXT}, " * 32
"""About 640 tokens, the same in every prompt."""
SOURCE = Source(
    "model", "f" * 40, Sampling(120, 0.7, 1.0, ("\n\n",), 0), 0, "2026-01-01T00:00:00+00:00", 700, 75, "0.1.0"
)


def made(count: int) -> Iterator[Generation]:
    """`count` generations in the order of their keys, in which a file is written quickest."""
    for key, number in sorted((digest(number), number) for number in range(count)):
        own = " ".join(WORDS[(number + word) % len(WORDS)] for word in range(60))
        prompt = f'[{{"role": "system", "text": "{SHOTS}"}}, {{"role": "user", "text": "Question {number}: {own}"}}]'
        yield Generation(f"q{number}", "explanation", "a bank", f"{number}: {own}", prompt, (), SOURCE, key)


def make(path: Path, count: int) -> None:
    """Writes the store, ten thousand texts in a commit."""
    with Store(path) as store:
        batch: list[Generation] = []
        for generation in made(count):
            batch.append(generation)
            if len(batch) == 10_000:
                store.put(batch)
                batch = []
        store.put(batch)


def ours(path: Path, asked: list[str]) -> int:
    """Opens the store, and counts the keys that it lacks."""
    with Store(path) as store:
        return len(store.missing(asked))


def plain(path: Path, asked: list[str]) -> int:
    """The same by reading every row."""
    with Store(path) as store:
        there = {generation.key for generation in store}
        return sum(key not in there for key in asked)


def measured(side: Callable[[Path, list[str]], int], path: Path, count: int, results: Any) -> None:
    asked = [digest(number + count // 10) for number in range(count)]
    started, busy = time.perf_counter(), time.process_time()
    missing = side(path, asked)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    results.put((missing, seconds, busy, peak()))


def peak() -> float:
    """The most memory of this process so far, in MB."""
    # Not `getrusage`: on Linux its figure begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def in_a_process(side: Callable[[Path, list[str]], int], path: Path, count: int) -> tuple[int, float, float, float]:
    """(missing keys, seconds, seconds of CPU, the process's peak of memory in MB)."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=measured, args=(side, path, count, results))
    process.start()
    found: tuple[int, float, float, float] = results.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("generations", nargs="?", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="Where the store is made; 4.7 GB for a million.")
    parser.add_argument("--rounds", type=int, default=3, help="How often ours is measured; the median is compared.")
    arguments = parser.parse_args()
    count = arguments.generations
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder, "generations.db")
        started = time.perf_counter()
        make(path, count)
        size = path.stat().st_size / 1e6
        print(f"{count:,} generations, {size:,.1f} MB, written in {time.perf_counter() - started:,.1f} s", flush=True)
        _, cold, *_ = in_a_process(ours, path, count)
        print(f"for the first time:  {cold:.3f} s", flush=True)
        rounds = [in_a_process(ours, path, count) for _ in range(arguments.rounds)]
        for missing, seconds, busy, memory in rounds:
            print(
                f"opened and compared: {missing:,} missing, {seconds:.3f} s (CPU {busy:.3f} s), {memory:,.0f} MB",
                flush=True,
            )
        missing, seconds, busy, _ = sorted(rounds, key=itemgetter(1))[len(rounds) // 2]
        same, slow, worked, more = in_a_process(plain, path, count)
        assert same == missing
        print(f"every row read:      {same:,} missing, {slow:.3f} s (CPU {worked:.3f}), {more:,.0f} MB")
        print(f"{slow / seconds:.1f} times as long, {worked / busy:.1f} times the CPU time")


if __name__ == "__main__":
    main()
