"""Seconds and peak memory of what a run does besides the work of models, at the size of large runs.

python benchmarks/sizes.py [GENERATIONS] [--tests TEST_QUESTIONS] [--folder FOLDER] [--only STAGE ...]

A table of questions with five options is made, and a teacher that answers at once writes seven texts about each: an
explanation, a critique, a revision and four counterfactuals. The stages of a run then go over it, each in a process of
its own, so that its memory is its own: the student is `tiny` and trains for one step, and the answers of the students
are made up. So what is measured is the store, reading, packing and bookkeeping, which grow with the questions; what
models take is for `shrinklm plan` to say.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shrinklm import Completion, Prompt, Recipe, Run, Sampling
from shrinklm.core.types import Pair, Reply
from shrinklm.teachers.costs import Price
from shrinklm.teachers.usage import Report

OPTIONS = 5
EACH = 3 + OPTIONS - 1
"""Texts about a question."""
BLOCK = 20_000
"""Rows of the table in memory at a time."""
NOUNS = [
    "river",
    "stone",
    "lamp",
    "hammer",
    "garden",
    "winter",
    "market",
    "teacher",
    "paper",
    "bottle",
    "window",
    "engine",
    "carpet",
    "ladder",
    "village",
    "doctor",
    "needle",
    "button",
    "shovel",
    "blanket",
    "candle",
    "mirror",
    "kettle",
    "bridge",
    "forest",
    "island",
    "letter",
    "pocket",
    "saddle",
    "tunnel",
]
PLACES = [
    "kitchen",
    "harbour",
    "school",
    "workshop",
    "museum",
    "station",
    "theatre",
    "office",
    "stable",
    "library",
    "bakery",
    "castle",
]


class Instant:
    """A teacher that answers at once, at a price: what it writes is read from a store, and not made again."""

    name, revision = "instant", "1"
    price: Price = {"input": 1e-9, "output": 1e-9}  # noqa: RUF012

    def __init__(self, free: bool = False) -> None:
        self.free = free

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            draw = random.Random(f"{prompt.example.id} {prompt.kind} {prompt.answer}")
            place, other = draw.sample(PLACES, 2)
            text = (
                f"People who look for {prompt.answer} go to the {place}, where it is kept near the "
                f"{draw.choice(NOUNS)} because it is used there every day, and seldom in the {other}."
            )
            yield position, Completion(text, 700, 40, finished=True)


def recipe(folder: Path) -> Recipe:
    columns = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}
    files = {name: str(folder / f"{name}.parquet") for name in ("train", "test")}
    return Recipe.parse(
        {
            "name": "sizes",
            "task": {"use": "table", **files, "dev": 0.001, "columns": columns},
            "teacher": {"use": "fake"},  # `Instant` takes its place
            "generate": ["explanation", "critique", "revision", "counterfactual"],
            "methods": ["finetune", "multitask", "multitask+counterfactual"],
            "student": "tiny",
            "train": {"examples": 8, "batch": 8, "checkpoints": 0, "curve": 0, "seeds": [0, 1], "max_length": 4096},
            "store": str(folder / "store.db"),
            "runs": str(folder / "runs"),
        }
    )


def opened(folder: Path) -> Run:
    return Run(recipe(folder), Instant())


def rows(count: int, name: str, seed: int) -> Iterator[dict[str, Any]]:
    draw = random.Random(seed)
    for number in range(count):
        options = [f"a {noun} of {name} {number}" for noun in draw.sample(NOUNS, OPTIONS)]
        place, other = draw.sample(PLACES, 2)
        question = f"What do people look for in the {place} when the {other} is closed, case {number} of {name}?"
        yield {"id": f"{name}{number}", "question": question, "choices": options, "answer": draw.choice(options)}


def tables(folder: Path, generations: int, tests: int) -> None:
    """The questions."""
    schema = pa.schema([(name, pa.list_(pa.string()) if name == "choices" else pa.string())
                        for name in ("id", "question", "choices", "answer")])  # fmt: skip
    # As many more as dev takes away.
    for name, count in (("train", -(-generations * 1000 // EACH // 999)), ("test", tests)):
        with pq.ParquetWriter(folder / f"{name}.parquet", schema) as writer:
            block: list[dict[str, Any]] = []
            for row in rows(count, name, len(name)):
                block.append(row)
                if len(block) == BLOCK:
                    writer.write_table(pa.Table.from_pylist(block, schema))
                    block = []
            writer.write_table(pa.Table.from_pylist(block, schema))


# The stages, each with the run's folder.


def reading(folder: Path) -> str:
    splits = opened(folder).splits
    return ", ".join(f"{len(examples):,} {split}" for split, examples in splits.items())


def generate(folder: Path) -> str:
    # Free texts are committed by the thousand: how long a commit waits for the disk is `endpoint.py`'s to say.
    return generated(Run(recipe(folder), Instant(free=True)).generate())


def again(folder: Path) -> str:
    return generated(opened(folder).generate())


def generated(report: Report) -> str:
    return f"{report.total.asked:,} asked, {report.total.found:,} found"


def preview(folder: Path) -> str:
    *_, last = opened(folder).preview(limit=3)
    return f"{sum(sum(views.values()) for views in last['summary']['pairs'].values()):,} pairs counted"


def plan(folder: Path) -> str:
    from shrinklm.run.plan import plan_run

    planned = plan_run(opened(folder), trials=False)
    return f"{planned['total']['found']:,} texts found, {planned['total']['prompts']:,} prompts"


def audit(folder: Path) -> str:
    figures = opened(folder).audit()
    return f"{sum(step['n'] for step in figures['steps'].values()):,} texts"


def train(folder: Path) -> str:
    run = opened(folder)
    run.train()
    return f"{sum(cell.trained for cell in run.cells)} cells, one step each"


def epoch(folder: Path) -> str:
    """The lessons of one whole epoch of the method with most pairs, as a training sets them up."""
    from shrinklm.students.open import open_student
    from shrinklm.students.training.lessons import Lessons

    run = opened(folder)
    method = run.methods[-1]
    corpus = run.corpus(0)
    student = open_student(run.recipe.student[0].spec(run.recipe.train.max_length), run.recipe.root)
    lessons = Lessons(student, corpus, method, len(corpus.usable(method)))
    return f"{len(lessons):,} lessons of {sum(lessons.pairs(len(lessons)).values()):,} pairs"


def says(prompt: str, begun: str = "") -> Reply:
    """A student's reply: any option, and words about it where it is to explain."""
    draw = random.Random(prompt + begun)
    option = draw.choice(re.findall(r"\([a-e]\) (.*?)(?= \([a-e]\) |\n|$)", prompt))
    if "[predict]" in prompt:
        return Reply(f"The answer is {option}.", True)
    place, noun = draw.choice(PLACES), draw.choice(NOUNS)
    return Reply(f"People go to the {place} for {option}, which is kept near the {noun} and used every day.", True)


def evaluate(folder: Path) -> str:
    from shrinklm.students.causal import CausalStudent

    def replies(self: Any, prompts: Sequence[str], *_: Any, begun: Sequence[str] = (), **__: Any) -> list[Reply]:
        return [says(prompt, words) for prompt, words in zip(prompts, begun or [""] * len(prompts), strict=True)]

    def likelihood(self: Any, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        draw = random.Random(pairs[0].prompt)
        return [-draw.random() * len(pair.target) for pair in pairs]

    # Models take their own time: what is measured is all that stands around them.
    CausalStudent.replies, CausalStudent.likelihood = replies, likelihood  # type: ignore[method-assign]
    run = opened(folder)
    run.evaluate()
    return f"{sum(cell.scored for cell in run.cells)} cells of {len(run.splits['test']):,} questions"


def report(folder: Path) -> str:
    from shrinklm.report import build

    page = build(opened(folder).folder)
    return f"page of {page.stat().st_size / 1e6:,.1f} MB"


STAGES: dict[str, Callable[[Path], str]] = {
    "reading": reading,
    "generate": generate,
    "again": again,
    "preview": preview,
    "plan": plan,
    "audit": audit,
    "train": train,
    "epoch": epoch,
    "evaluate": evaluate,
    "report": report,
}
WHAT = {
    "reading": "the tables read into questions",
    "generate": "all texts asked for and stored",
    "again": "generate again: every key looked up, nothing asked",
    "preview": "shrinklm preview",
    "plan": "shrinklm plan, without trials",
    "audit": "shrinklm audit",
    "train": "six trainings of one step: keys, pairs, lessons",
    "epoch": "one epoch of the method with most pairs, as lessons",
    "evaluate": "seven students asked, read and scored; answers made up",
    "report": "shrinklm report",
}


def peak() -> float:
    """The most memory of this process so far, in MB."""
    # Not `getrusage`: on Linux its figure begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measured(name: str, folder: Path, results: Any) -> None:
    started, busy = time.perf_counter(), time.process_time()
    said = STAGES[name](folder)
    results.put((time.perf_counter() - started, time.process_time() - busy, peak(), said))


def in_a_process(name: str, folder: Path) -> tuple[float, float, float, str]:
    """(seconds, seconds of CPU, the process's peak of memory in MB, what it did)."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=measured, args=(name, folder, results))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{name} ended with {process.exitcode}")
    found: tuple[float, float, float, str] = results.get()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("generations", nargs="?", type=int, default=100_000)
    parser.add_argument("--tests", type=int, help="Test questions; left out: a tenth of the generations.")
    parser.add_argument("--folder", type=Path, help="Where all of it is made, and kept; 5 GB for a million.")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE")
    arguments = parser.parse_args()
    tests = arguments.tests or max(20, arguments.generations // 10)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "test.parquet").is_file():
            tables(folder, arguments.generations, tests)
        for name in arguments.only:
            seconds, busy, memory, said = in_a_process(name, folder)
            took = f"{seconds:,.1f} s (CPU {busy:,.1f} s), {memory:,.0f} MB"
            print(f"{name + ':':10} {took}: {said} [{WHAT[name]}]", flush=True)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        print(f"{size:,.0f} MB on the disk", flush=True)


if __name__ == "__main__":
    main()
