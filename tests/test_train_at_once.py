"""Several students trained at once: the weights of one at a time, a failure, and a kill of the one that began them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from shrinklm import Recipe, Run
from shrinklm.core.errors import StudentError
from shrinklm.run.stages import at_once

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


def run(root: Path, several: int, tick: Any = None) -> Run:
    train = {**RECIPE["train"], "at_once": several}
    return Run(Recipe.parse({**RECIPE, "root": root, "train": train}), tick=tick)


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
            training = run(root, several, lambda *tick: told.append(tick))
            training.generate()
            told.clear()
            training.train()
    finally:
        torch.set_num_threads(threads)
    for seed in (0, 1):
        assert weights(double, seed) == weights(single, seed)
        assert (f"train multitask--tiny--s{seed}", 15, 15) in [tick[:3] for tick in told]
    # One at a time or at once it is the same student: nobody trains it again, and nothing is refused.
    told.clear()
    run(double, 1, lambda *tick: told.append(tick)).train()
    assert not told


def _begins(works: Path) -> None:
    pool = at_once._Pool(1, lambda *_: None)
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
    monkeypatch.setattr(at_once, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    monkeypatch.setattr(at_once, "_tick", lambda *_: None, raising=False)
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
        "train multitask--broken--s0: It does not open. Those under way are trained to their end; no other is begun"
    ]
    trained = {cell.student.label: cell.trained for cell in several.cells if cell.method.views}
    assert trained == {"broken": False, "waiting": True, "tiny": False}
    assert not (tmp_path / "runs/r/cells/multitask--tiny--s0").exists()
