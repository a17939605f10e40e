"""Cells side by side on one machine: the bytes of one at a time, GPUs dealt out, a failure, a kill of the first."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
import torch

from shrinklm import Recipe, Run
from shrinklm.cli.engine import engine_of
from shrinklm.core.errors import RecipeError, StudentError
from shrinklm.core.types import Tick
from shrinklm.run.engines import local
from shrinklm.run.engines.base import Engine, Work
from shrinklm.run.engines.local import LocalEngine
from shrinklm.run.stages.works import Evaluating, Training
from shrinklm.students.open import open_student

RECIPE: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 12, "dev": 3, "test": 2}},
    "teacher": {"use": "fake"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "student": "tiny",
    "train": {
        "examples": 60,
        "batch": 4,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "seeds": [0, 1],
        "checkpoints": 5,
    },
    "evaluate": {"batch": 8, "max_tokens": 2},
}


def run(root: Path, several: int, tick: Any = None, engine: Engine | None = None) -> Run:
    train = {**RECIPE["train"], "at_once": several}
    return Run(Recipe.parse({**RECIPE, "root": root, "train": train}), tick=tick, engine=engine)


def weights(root: Path, seed: int) -> bytes:
    """The file of a student's weights."""
    return (root / f"runs/r/cells/multitask--tiny--s{seed}/student/model.safetensors").read_bytes()


def test_two_at_once_have_the_weights_of_one_after_the_other(tmp_path: Path) -> None:
    single, double = tmp_path / "single", tmp_path / "double"
    told: list[tuple[str, int, int, str]] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for root, several in ((single, 1), (double, 2)):
            engine = LocalEngine(2) if several > 1 else None  # which also evaluates side by side
            training = run(root, several, lambda *tick: told.append(tick), engine)
            training.generate()
            told.clear()
            training.train()
            training.evaluate()
    finally:
        torch.set_num_threads(threads)
    for seed in (0, 1):
        assert weights(double, seed) == weights(single, seed)
        for name in ("predictions.parquet", "scores.parquet"):
            rows = [
                pd.read_parquet(root / f"runs/r/cells/multitask--tiny--s{seed}" / name) for root in (single, double)
            ]
            pd.testing.assert_frame_equal(*rows)
        assert (f"train multitask--tiny--s{seed}", 15, 15) in [tick[:3] for tick in told]
    # One at a time or at once it is the same student: nobody trains it again, and nothing is refused.
    told.clear()
    run(double, 1, lambda *tick: told.append(tick)).train()
    assert not told


def _begins(works: Path) -> None:
    pool = local._Pool(1, lambda *_: None)
    pool._pool.submit(works.touch).result()
    pool._pool.submit(time.sleep, 600).result()


def test_those_under_way_end_with_the_one_that_began_them(tmp_path: Path) -> None:
    works = tmp_path / "works"
    first = multiprocessing.get_context("fork").Process(target=_begins, args=(works,))
    first.start()
    assert first.pid is not None
    deadline = time.monotonic() + 120
    while not works.exists():
        assert first.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    listed = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    children = [Path(f"/proc/{pid}/cmdline") for pid in listed]
    assert any(_content(child) for child in children)
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    while any(_content(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _content(path: Path) -> bytes:
    """Of a file that may be gone; a process that has ended, and that nobody asked about, has an empty one."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_one_that_fails_lets_those_under_way_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads in the place of processes, which take seconds to begin.
    monkeypatch.setattr(local, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    monkeypatch.setattr(local, "_tick", lambda *_: None, raising=False)
    told: list[str] = []

    def tick(what: str, done: int, total: int, note: str) -> None:
        if "does not open" in note:
            told.append(f"{what}: {note}")
            (tmp_path / "told").touch()

    students = [{"use": f"broken_student:{name.title()}", "name": name} for name in ("broken", "waiting")]
    train = {**RECIPE["train"], "seeds": [0], "at_once": 2, "examples": 8}
    recipe = {**RECIPE, "root": tmp_path, "student": [*students, "tiny"], "train": train}
    several = Run(Recipe.parse(recipe), tick=tick)
    several.generate()
    with pytest.raises(StudentError, match=r"^It does not open\.$"):
        several.train()
    assert told == [
        "train multitask--broken--s0: It does not open. Those under way are done to their end; no other is begun"
    ]
    trained = {cell.student.label: cell.trained for cell in several.cells if cell.method.views}
    assert trained == {"broken": False, "waiting": True, "tiny": False}
    assert not (tmp_path / "runs/r/cells/multitask--tiny--s0").exists()


class Waits(Work):
    """Waits until as many as there are have begun, and says where it was done."""

    def __init__(self, folder: Path, number: int, count: int) -> None:
        self._folder, self.number, self.count = folder, number, count

    @property
    def name(self) -> str:
        return f"work {self.number}"

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def memory(self) -> int:
        return 2**30

    def do(self, tick: Tick) -> Any:
        (self.folder / str(self.number)).touch()
        deadline = time.monotonic() + 60
        while len(list(self.folder.iterdir())) < self.count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        tick(self.name, 1, 1, "")
        return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), torch.get_num_threads()


def test_jobs_stand_side_by_side_with_a_gpu_and_a_share_of_the_cores_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    told: list[tuple[str, int, int, str]] = []
    done = LocalEngine(2).do([Waits(tmp_path, number, 2) for number in range(2)], lambda *tick: told.append(tick))
    assert sorted(told) == [("work 0", 1, 1, ""), ("work 1", 1, 1, "")]
    assert list(done) == ["work 0", "work 1"] or list(done) == ["work 1", "work 0"]
    assert len({pid for pid, _, _ in done.values()} - {os.getpid()}) == 2
    assert sorted(gpu for _, gpu, _ in done.values()) == ["3", "5"]
    assert {threads for _, _, threads in done.values()} == {3}


def test_on_two_cores_it_says_that_jobs_do_not_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    told: list[str] = []
    LocalEngine(2).do([Waits(tmp_path, number, 2) for number in range(2)], lambda *tick: told.append(tick[3]))
    note = "on 2 cores, 2 side by side are no quicker than one by one: each keeps 2 busy. They take 2 times the memory"
    assert told[0] == note
    # Auto takes one there: in this process, as without it.
    done = LocalEngine("auto").do([Waits(tmp_path, number, 2) for number in range(2)], lambda *_: None)
    assert {pid for pid, _, _ in done.values()} == {os.getpid()}


@pytest.mark.parametrize(
    ("gpus", "cores", "free", "expected"),
    [(0, 16, 5 * 2**30, 5), (0, 16, 2**40, 8), (0, 16, 2**20, 1), (4, 2, 0, 4 * 3)],
)
def test_auto_has_room_by_memory_cores_and_gpus(
    gpus: int, cores: int, free: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=3 * 2**30 + 5))
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert local._room(2**30) == expected


def test_a_training_takes_four_times_the_weights_of_an_answering_student(tmp_path: Path) -> None:
    one = run(tmp_path, 1)
    cell = one.cells[0]
    trains, asks = Training(one.recipe, cell, None, {}), Evaluating(one.recipe, cell, None, [], [])
    weights = open_student(cell.student.spec(64), tmp_path).parameters_total * 4
    assert trains.memory - asks.memory == 3 * weights > 0
    # Sent to another process, it is of the same cell.
    sent = pickle.loads(pickle.dumps(trains))
    assert (sent.name, sent.folder, sent.cell.method.name) == (trains.name, trains.folder, cell.method.name)


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5", ""])
def test_a_wrong_number_of_jobs_says_what_to_type(jobs: str) -> None:
    with pytest.raises(RecipeError, match=r"takes a number from 1 or auto, and got '.*'\. Write: --jobs 4"):
        engine_of(jobs)
