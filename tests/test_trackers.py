"""Trackers: what they are told, that they change no weight, and that one that fails or is missing costs no training."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli_cases import call, recipe
from shrinklm import Recipe, Run

CELL = "multitask--tiny--s0"
STUBS = {
    "wandb": """
class _Run:
    def log(self, values, step): _put("log", step, values)
    def finish(self): _put("finish")
def init(**about): _put("init", {key: about[key] for key in ("project", "name", "config")}); return _Run()
""",
    "trackio": """
class _Run:
    def log(self, values, step): raise ConnectionError("no route to the host")
    def finish(self): _put("finish")
def init(**about): _put("init", about["name"]); return _Run()
""",
    "mlflow": """
class _Info: run_id, experiment_id = "r1", "e1"
class _Run: info = _Info
class MlflowClient:
    def get_experiment_by_name(self, name): return None
    def create_experiment(self, name): _put("experiment", name); return "e1"
    def create_run(self, experiment, run_name): _put("run", experiment, run_name); return _Run
    def log_param(self, run, name, value): pass
    def log_metric(self, run, name, value, step): _put("log", step, {name: value})
    def set_terminated(self, run): _put("finish")
""",
}


def stub(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """A package of that name that writes what it is told into a file."""
    home, told = folder / "stubs" / name, folder / f"{name}.jsonl"
    home.mkdir(parents=True)
    put = f"import json\nout = open({str(told)!r}, 'a', buffering=1)\ndef _put(*x): print(json.dumps(x), file=out)\n"
    (home / "__init__.py").write_text(put + STUBS[name])
    monkeypatch.syspath_prepend(str(folder / "stubs"))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return told


def run(folder: Path, ticks: list[Any], **train: Any) -> Run:
    """The training of one cell; what it says is in `ticks`."""
    blocks = {"examples": 24, "batch": 8, "curve": 1, "learning_rate": 1e-3, **train}
    path = recipe(folder, methods=["multitask"], generate=["explanation"], train=blocks)
    made = Run(Recipe.read(path), tick=lambda *what: ticks.append(what))
    made.generate()
    made.train()
    return made


def weights(made: Run) -> str:
    return hashlib.sha256((made.folder / "cells" / CELL / "student" / "model.safetensors").read_bytes()).hexdigest()


def test_trackers_get_each_step_and_change_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {name: stub(tmp_path, monkeypatch, name) for name in STUBS}
    ticks: list[Any] = []
    tracked = run(tmp_path, ticks, report_to=list(STUBS))
    lines = {name: [json.loads(line) for line in path.read_text().splitlines()] for name, path in told.items()}
    begun, *steps, end = lines["wandb"]
    assert begun[1]["project"] == "mini"
    assert begun[1]["name"] == CELL
    assert begun[1]["config"]["learning_rate"] == 1e-3
    assert end == ["finish"]
    log = [json.loads(line) for line in (tracked.folder / "cells" / CELL / "train.jsonl").read_text().splitlines()]
    names = {"loss", "loss/predict", "loss/explain", "dev_accuracy"}
    assert names <= {name for _, _, values in steps for name in values}
    assert [(step, values.get("loss")) for _, step, values in steps] == [(row["step"], row.get("loss")) for row in log]
    assert ["experiment", "mini"] in lines["mlflow"]
    assert ["run", "e1", CELL] in lines["mlflow"]
    for name in ("loss", "loss/predict"):
        assert ["log", 1, {name.replace("/", "."): log[0][name]}] in lines["mlflow"]
    # The one whose server cannot be reached is told of once.
    failed = [note for what, _, _, note in ticks if what == f"tracker trackio {CELL}"]
    assert failed == ["it failed, and the training goes on without it: no route to the host"]
    assert lines["trackio"] == [["init", CELL]]
    # The same weights without them, and no reason to train again.
    (plain := tmp_path / "plain").mkdir()
    assert weights(run(plain, [])) == weights(tracked)
    before = (tracked.folder / "cells" / CELL / "cell.json").stat().st_mtime_ns
    run(tmp_path, [])
    assert (tracked.folder / "cells" / CELL / "cell.json").stat().st_mtime_ns == before


def test_a_missing_package_is_told_before_anything_is_paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    path = recipe(tmp_path, train={"examples": 24, "batch": 8, "report_to": ["wandb", "trackio"]})
    done = call("generate", path)
    assert done.exit_code == 1
    assert "pip install wandb trackio" in " ".join(done.output.split())
    assert not (tmp_path / "asked.log").exists()


@pytest.mark.parametrize(("value", "said"), [("wandb", "must be a list: [wandb]"), (["neptune"], "'tensorboard'")])
def test_a_wrong_tracker_is_an_error_of_the_recipe(tmp_path: Path, value: Any, said: str) -> None:
    done = call("plan", recipe(tmp_path, train={"report_to": value}))
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
