"""kill -9 in the middle of training, with a real process and a real signal, then the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from forked import Forked
from shrinklm import Recipe, Run

RECIPE: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 20, "dev": 3, "test": 4}},
    "teacher": {"use": "fake"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "student": ["tiny", "tiny:seq2seq"],
    "train": {"examples": 112, "batch": 8, "micro_batch": 4, "learning_rate": 1e-3, "checkpoints": 7, "curve": 3},
    "evaluate": {"batch": 8, "max_tokens": 2},
}


def lines(cell: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (cell / "train.jsonl").read_text().splitlines() if line.endswith("}")]


def fresh(root: Path) -> subprocess.Popen[bytes]:
    """`shrinklm train` in an interpreter of its own."""
    with (root / "stderr").open("w") as stderr:
        return subprocess.Popen([sys.executable, "-m", "shrinklm", "train", str(root / "recipe.yaml")], stderr=stderr)


def forked(root: Path) -> Forked:
    return Forked(["train", str(root / "recipe.yaml")], root)


def kill_at(root: Path, cell: Path, step: int, start: Callable[[Path], Forked | subprocess.Popen[bytes]]) -> None:
    """Starts `shrinklm train` and kills it once a step is logged; a checkpoint stands every second step."""
    process = start(root)
    deadline = time.monotonic() + 120
    log = cell / "train.jsonl"
    while not log.exists() or f'{{"step": {step},' not in log.read_text():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list((cell / "checkpoints").glob("checkpoint-*"))
    assert not (cell / "done").exists()


def test_killed_training_ends_with_the_same_weights_as_one_that_ran_through(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for root in (whole, killed):
        root.mkdir()
        (root / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
        Run(Recipe.read(root / "recipe.yaml")).generate()
    cells = [killed / "runs" / "r" / "cells" / f"multitask--{student}--s0" for student in ("tiny", "seq2seq")]
    kill_at(killed, cells[0], 3, forked)
    kill_at(killed, cells[1], 7, fresh)
    written = (cells[0] / "student" / "model.safetensors").stat().st_mtime_ns
    said = (killed / "stderr").read_text()  # of the process that finished the first student
    assert not [noise for noise in ("Writing model shards", "mtime", "Warning", "warning", "it/s") if noise in said], (
        said
    )
    Run(Recipe.read(killed / "recipe.yaml")).train()
    assert (cells[0] / "student" / "model.safetensors").stat().st_mtime_ns == written, (
        "a finished student was trained again"
    )

    Run(Recipe.read(whole / "recipe.yaml")).train()
    for one in cells:
        other = whole / one.relative_to(killed)
        assert (one / "student" / "model.safetensors").read_bytes() == (
            other / "student" / "model.safetensors"
        ).read_bytes()
        logs = [
            [{key: value for key, value in line.items() if key != "seconds"} for line in lines(cell)]
            for cell in (one, other)
        ]
        assert logs[0] == logs[1]
        assert [line["step"] for line in logs[0] if "loss" in line] == list(range(1, 15))
        assert [line["step"] for line in logs[0] if "dev_accuracy" in line] == [5, 10, 14]
        fits = [{**json.loads((cell / "cell.json").read_text()), "train_seconds": 0} for cell in (one, other)]
        assert fits[0] == fits[1]
        assert {path.name for path in one.iterdir()} == {"cell.json", "done", "pairs.jsonl", "student", "train.jsonl"}
