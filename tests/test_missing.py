"""What a stage made and somebody deleted or a disk damaged is made again; deleted weights by `train` alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cli_cases import call, recipe
from shrinklm import Recipe, Run
from shrinklm.core.errors import StoreError, StudentError
from shrinklm.core.intact import intact
from shrinklm.core.results import CellFile, read_scores
from shrinklm.run import folder as folders
from shrinklm.students.base import BaseStudent
from shrinklm.students.saved import whole_student
from shrinklm.students.training.checkpoints import last_checkpoint

CHANGES: dict[str, Any] = {
    "task": {"use": "everyday", "limit": {"train": 8, "dev": 2, "test": 4}},
    "teacher": {"use": "fake"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "train": {"examples": 8, "batch": 8, "curve": 0, "checkpoints": 0},
    "evaluate": {"batch": 8, "max_tokens": 4, "metrics": ["accuracy", "length"]},
}
TRAINED, UNTRAINED = "multitask--tiny--s0", "zero-shot--tiny--s0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a run with everything done."""
    path = recipe(tmp_path_factory.mktemp("finished"), **CHANGES)
    run = Run(Recipe.read(path))
    run.generate()
    run.audit()
    run.train()
    run.evaluate()
    run.score(["hedges"])
    return path


@pytest.fixture
def path(finished: Path, tmp_path: Path) -> Path:
    """A copy of that recipe with its run."""
    return Path(shutil.copytree(finished.parent, tmp_path / "root")) / finished.name


def cell(path: Path, name: str = TRAINED) -> Path:
    return path.parent / "runs" / "mini" / "cells" / name


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def measured(path: Path, name: str) -> set[Any]:
    return set(read_scores(cell(path, name) / "scores.parquet"))


def break_(file: Path, how: str) -> None:
    if how == "gone":
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    elif file.is_dir():
        break_(file / "model.safetensors", how)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if how == "cut" else b"")


@pytest.mark.parametrize("how", ["gone", "cut", "empty"])
def test_predictions_scores_and_figures_are_made_again(path: Path, how: str) -> None:
    root = path.parent / "runs" / "mini"
    before = contents(root)
    scores = {one: measured(path, one) for one in (TRAINED, UNTRAINED)}
    broken = ["predictions.parquet", "scores.parquet", "timing.json"]
    for name in broken:
        for one in (TRAINED, UNTRAINED):
            break_(cell(path, one) / name, how)
    break_(cell(path, UNTRAINED) / "cell.json", how)
    break_(cell(path) / "pairs.jsonl", how)
    break_(root / "audit.json", how)
    break_(root / "env.json", how)
    run = Run(Recipe.read(path))
    run.audit()
    run.train(again=False)
    run.evaluate()
    after = contents(root)
    assert after.keys() == before.keys()
    assert {one: measured(path, one) for one in (TRAINED, UNTRAINED)} == scores
    # These hold times, or follow from such.
    timed = ("env.json", "generations.json", "timing.json", "cell.json", "scores.parquet")
    assert [
        name
        for name in before
        if before[name] != after[name] and not name.startswith("report") and not name.endswith(timed)
    ] == []


def test_one_file_alone_asks_for_no_more_than_it_needs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseStudent, "__init__", lambda *_, **__: pytest.fail("a student was opened"))
    before = contents(cell(path))
    for name in ("scores.parquet", "pairs.jsonl"):
        break_(cell(path) / name, "cut")
    run = Run(Recipe.read(path))
    run.train()
    run.evaluate()
    assert contents(cell(path)).keys() == before.keys()
    assert contents(cell(path))["pairs.jsonl"] == before["pairs.jsonl"]
    assert intact(cell(path) / "scores.parquet")


def test_deleted_weights_are_trained_again_by_train_alone(path: Path) -> None:
    before = contents(cell(path))
    break_(cell(path) / "student", "cut")
    broken = contents(cell(path))
    for command in (["run", path], ["score", path, "--metrics", "hedges"]):
        result = call(*command)
        assert result.exit_code == 0, result.output
        assert f"Weights are missing or damaged: {TRAINED}. Their predictions are kept, and nothing is trained. " in (
            " ".join(result.output.split())
        )
        assert contents(cell(path)).keys() == broken.keys()
        assert contents(cell(path))["student/model.safetensors"] == broken["student/model.safetensors"]
    result = call("predict", path.parent / "runs" / "mini", "Who?", "--choices", "a,b")
    assert result.exit_code == 1
    assert "has no student whose weights are there and whole. Run: shrinklm train RECIPE" in result.stderr
    with pytest.raises(StudentError, match=r"are missing or damaged, and this asks the student\. .*: shrinklm train"):
        Run(Recipe.read(path)).score(["tag_shortcut", "filler"])

    result = call("train", path)
    assert "Already trained" not in result.output
    assert f"train {TRAINED}: its weights are missing or damaged, and are trained again" in result.stderr
    after = contents(cell(path))
    for name in (*(name for name in before if name.startswith("student")), "predictions.parquet", "pairs.jsonl"):
        assert after[name] == before[name]
    assert "Already trained: 1 of 1." in call("train", path).output


def test_weights_are_trained_again_where_the_predictions_are_gone_too(path: Path) -> None:
    before = contents(cell(path))
    for name in ("student", "predictions.parquet"):
        break_(cell(path) / name, "gone")
    with pytest.raises(StudentError, match="are missing or damaged, and this asks the student"):
        Run(Recipe.read(path)).evaluate()
    Run(Recipe.read(path)).train(again=False)
    Run(Recipe.read(path)).evaluate()
    for name in ("student/model.safetensors", "predictions.parquet"):
        assert contents(cell(path))[name] == before[name]


def test_every_file_of_a_student_counts(finished: Path, tmp_path: Path) -> None:
    saved = cell(finished) / "student"
    assert whole_student(saved)
    for file in saved.iterdir():
        for how in ("gone", "cut", "empty"):
            copy = Path(shutil.copytree(saved, tmp_path / f"{file.name}-{how}"))
            break_(copy / file.name, how)
            assert not whole_student(copy), (file.name, how)
    assert not whole_student(tmp_path / "nothing")


def test_a_student_of_an_earlier_version_is_looked_at_too(tmp_path: Path) -> None:
    old = Path(__file__).parent / "data" / "project-0.1.0" / "run" / "cells" / "finetune--mini--s0" / "student"
    assert whole_student(old)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "shrinklm.json"):
        copy = Path(shutil.copytree(old, tmp_path / name))
        (copy / name).unlink()
        assert not whole_student(copy), name


@pytest.mark.parametrize("content", ["", "x", "x explained y", "1" * 32], ids=["empty", "word", "words", "another"])
def test_a_damaged_marker_is_none(path: Path, content: str) -> None:
    before = contents(cell(path))["predictions.parquet"]
    for stage in ("predict", "evaluate", "score"):
        (cell(path) / "done" / stage).write_text(content)
    Run(Recipe.read(path)).evaluate()
    assert contents(cell(path))["predictions.parquet"] == before


def test_an_empty_marker_of_training_is_none_and_another_is_another_training(path: Path) -> None:
    (cell(path) / "done" / "train").write_text("")
    assert not folders.Cell(*_about(path)).trained
    (cell(path) / "done" / "train").write_text("x")
    with pytest.raises(StoreError, match="nothing is overwritten"):
        Run(Recipe.read(path)).train()


def _about(path: Path) -> tuple[Any, ...]:
    (one, *_) = Run(Recipe.read(path)).cells
    return one.method, one.student, one.seed, one.folder


def test_a_damaged_checkpoint_is_none(path: Path, tmp_path: Path) -> None:
    for step in (1, 2):
        home = tmp_path / "checkpoints" / f"checkpoint-{step}"
        home.mkdir(parents=True)
        (home / "state.json").write_text("{}")
        shutil.copy(cell(path) / "student" / "model.safetensors", home / "optimizer.safetensors")
        shutil.copy(cell(path) / "student" / "model.safetensors", home / "trained.safetensors")
    assert last_checkpoint(tmp_path / "checkpoints")[0] == 2
    break_(home / "trained.safetensors", "cut")
    assert last_checkpoint(tmp_path / "checkpoints")[0] == 1
    assert not home.exists()


def test_what_is_intact(tmp_path: Path) -> None:
    for name, good, bad in [("a.json", "{}", "{"), ("a.jsonl", '{}\n{"a": 1}\n', "{}\n{"), ("a.txt", "", None)]:
        file = tmp_path / name
        assert not intact(file)
        file.write_text(good)
        assert intact(file)
        if bad is not None:
            file.write_text(bad)
            assert not intact(file)
    assert not intact(tmp_path / CellFile.STUDENT)
