"""What `shrinklm plan --on` says of a small run, beside what the run then takes.

python benchmarks/plan.py [--student STUDENT] [--examples N] [--test N] [--processes N] [--threads N]

The plan is made first, from a few steps of training and a few replies; then each process does the cells that the plan
deals to it. Both are counted in processor time, so that other work on the machine does not count; the wall time is
printed too. What metrics import, a second or two once, is in neither. Processes run one after another, each alone
with its threads: what two at once take from each other is not in the figures. The fake teacher's texts cost no time.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from pathlib import Path
from typing import Any

wall = time.perf_counter
# Before anything is timed: the plan's trials and the log of a training look at this clock.
time.perf_counter = time.process_time

import torch  # noqa: E402

from shrinklm import Recipe, Run  # noqa: E402
from shrinklm.core.results import RunFile, write_examples  # noqa: E402
from shrinklm.core.types import Prediction  # noqa: E402
from shrinklm.evaluation.score import score_predictions  # noqa: E402
from shrinklm.run.plan import fleet, plan_run  # noqa: E402
from shrinklm.run.stages.evaluate import evaluate_cell  # noqa: E402
from shrinklm.run.stages.score import CellTest  # noqa: E402
from shrinklm.run.stages.train import train_cell  # noqa: E402


def recipe(folder: Path, arguments: argparse.Namespace) -> Recipe:
    return Recipe.parse(
        {
            "name": "planned",
            "task": {"use": "everyday", "limit": {"train": 160, "dev": 4, "test": arguments.test}},
            "teacher": {"use": "fake"},
            "generate": ["explanation"],
            "methods": ["finetune", "multitask"],
            "student": arguments.student,
            "train": {"examples": arguments.examples, "batch": 16, "seeds": [0, 1], "checkpoints": 1, "curve": 0},
            "evaluate": {"zero_shot": False, "calibrate": 0},
            "store": str(folder / "store.db"),
            "runs": str(folder / "runs"),
        }
    )


def done(run: Run, devices: int) -> dict[str, float]:
    """Part → the processor seconds of the process that ends last, each given its cells as the plan deals them."""
    run.start()
    tests = run.tests(run.recipe.evaluate.metrics)
    write_examples(tests, run.folder / RunFile.EXAMPLES)
    warm = Prediction("", tests[0].id, tests[0].answer, tests[0].question, "")
    score_predictions(run.task, tests[:1], [warm], run.recipe.evaluate.metrics)  # imports what metrics need
    ended: dict[str, float] = {}
    for part in ("training", "evaluation"):
        free = [0.0] * devices
        for cell in run.cells:
            began = time.process_time()
            if part == "training":
                train_cell(cell, run.recipe, run.task, tick=run.tick, **run._lessons(cell))
            else:
                evaluate_cell(CellTest(cell, run.recipe, run.task, tests, run.tick))
            heapq.heapreplace(free, free[0] + time.process_time() - began)
        ended[part] = max(free)
    return ended


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--student", default="tiny")
    parser.add_argument("--examples", type=int, default=640)
    parser.add_argument("--test", type=int, default=80)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = recipe(folder, arguments)
        Run(made).generate()
        began, busy = wall(), time.process_time()
        on = fleet(f"{arguments.processes}xthis")
        planned = plan_run(Run(made), on=on)["elsewhere"]
        print(f"planned in {wall() - began:.1f} s, {time.process_time() - busy:.1f} s of CPU, on {planned['on']}")
        expected: dict[str, Any] = {phase["phase"]: phase["seconds"] for phase in planned["phases"]}
        began = wall()
        measured = done(Run(made), arguments.processes)
        for part, seconds in measured.items():
            print(f"{part}: planned {expected[part]:.1f} s, measured {seconds:.1f} s of CPU: "
                  f"{100 * (expected[part] / seconds - 1):+.0f} %")  # fmt: skip
        both, taken = sum(expected[part] for part in measured), sum(measured.values())
        print(f"all: planned {both:.1f} s, measured {taken:.1f} s of CPU: {100 * (both / taken - 1):+.0f} %")
        print(f"wall time of all processes, one after another: {wall() - began:.1f} s")


if __name__ == "__main__":
    main()
