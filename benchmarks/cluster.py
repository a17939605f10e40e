"""How much faster texts come with copies of a teacher on a Ray cluster: 1, 2 and 4 of them, in turn.

python benchmarks/cluster.py [QUESTIONS] [--seconds 0.5] [--rounds 2] [--copies 1 2 4]

The teacher sleeps so long over each prompt, so that cores do not matter. The cluster is a Ray of this machine, and each
copy a process of its own. Beside them the same teacher in this process, without Ray. Everything from the question to
the row on disk counts, once the copies have begun; how long they take to begin is printed first.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

from shrinklm.core.types import Example
from shrinklm.run.engines.ray import RayEngine
from shrinklm.teachers.base import BaseTeacher, TeacherOptions, make_teacher
from shrinklm.teachers.generate import GenerateSettings, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import StepRequest
from shrinklm.teachers.store import Store

SETTINGS = GenerateSettings(temperature=0.0, top_p=1.0, seed=0, retries=2, price=None)


def questions(count: int) -> list[Example]:
    options = ("bank", "library", "department store", "mall", "new york")
    return [
        Example(f"q{i}", f"A revolving door is the entrance of which of the places numbered {i}?", options, "bank")
        for i in range(count)
    ]


def generate(teacher: BaseTeacher, examples: list[Example]) -> float:
    """Seconds for all explanations, from the question to the row on disk."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "g.db") as store:
        began = time.perf_counter()
        step = StepRequest("explanation", rounds=1, max_words=None, max_tokens=None)
        report = run_steps(examples, [step], teacher, Prompts("choice"), store, SETTINGS, lambda text, example: None)
        seconds = time.perf_counter() - began
        assert report.steps["explanation"].kept == len(store) == len(examples)
    return seconds


def on_cluster(spec: str, examples: list[Example], cpus: int) -> tuple[float, float]:
    """Seconds until the copies, which have so many CPUs each, have answered the first questions; and for the others."""
    engine, options = RayEngine(cpus=cpus), TeacherOptions()
    try:
        teacher = engine.spread(make_teacher(spec, options), spec, options)
        first = generate(teacher, examples[:8])
        return first, generate(teacher, examples)
    finally:
        engine.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("questions", nargs="?", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    most = max(arguments.copies)
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL, "include_dashboard": False}
    ray.init("local", num_cpus=most, object_store_memory=80 * 2**20, **quiet)  # CPUs by name: the copies sleep
    spec, examples = f"fake:delay={arguments.seconds}", questions(arguments.questions)
    try:
        for number in range(arguments.rounds):
            here = generate(make_teacher(spec), examples)
            said = [f"{len(examples)} questions, in this process {here:.1f} s"]
            for copies in arguments.copies:
                first, took = on_cluster(spec, examples, most // copies)
                times = f"{here / took:.2f} times"
                said.append(
                    f"{copies} {'copy' if copies == 1 else 'copies'} {took:.1f} s ({times}; begun: {first:.1f} s)"
                )
            print(f"round {number + 1}: {', '.join(said)}")
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
