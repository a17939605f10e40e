"""A training is keyed by the weights and the tokenizer it starts from; what earlier versions trained is still read."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from shrinklm import Recipe, Run
from shrinklm.core.errors import StoreError
from shrinklm.core.results import CellFile
from shrinklm.core.types import Example, Prompt, Sampling, Turn
from shrinklm.models.locate import locate_model
from shrinklm.report.findings import read
from shrinklm.report.heading import facts
from shrinklm.report.results import compare
from shrinklm.run.once import same_work, split_start, with_start
from shrinklm.run.stages.origin import changes
from shrinklm.run.stages.train import refuse_another, train_key
from shrinklm.students.causal import CausalStudent
from shrinklm.students.open import StudentSpec
from shrinklm.students.start import Start, model_start, start_of
from shrinklm.teachers.ask import Asker
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.store import Store
from teacher_cases import tiny_model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "base")


def run(tmp_path: Path, use: str = "causal:base", **student: Any) -> Run:
    recipe = {
        "name": "r",
        "task": {"use": "everyday", "limit": {"train": 4, "dev": 2, "test": 3}},
        "methods": ["finetune"],
        "student": {"use": use, **student},
        "train": {"examples": 4, "batch": 2, "curve": 0, "checkpoints": 0},
        "evaluate": {"metrics": ["accuracy"]},
    }
    return Run(Recipe.parse(recipe).model_copy(update={"root": tmp_path}))


def other_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    times = (folder / "model.safetensors").stat()
    save_file({**weights, name: weights[name] + 1}, folder / "model.safetensors", {"format": "pt"})
    os.utime(folder / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp -p` would leave it


def other_tokenizer(folder: Path) -> None:
    content = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**content, "edited": True}))


def other_ends(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')


CHANGES = (other_weights, other_tokenizer, other_ends)


def trained_cell(made: Run) -> Any:
    return next(cell for cell in made.cells if cell.method.views)


@pytest.mark.parametrize("options", [{}, {"lora": 2}])
def test_a_changed_base_is_noticed_and_nothing_is_overwritten(tmp_path: Path, base: Path, options: Any) -> None:
    run(tmp_path, **options).train()
    made = run(tmp_path, **options)
    cell = trained_cell(made)
    weights = (cell.folder / CellFile.STUDENT / "model.safetensors").read_bytes()
    about = json.loads((cell.folder / CellFile.ABOUT).read_text())
    model = locate_model(str(base))
    assert about["base"] == {"name": "base", "revision": model.revision, "tokenizer": model.tokenizer}
    made.train()  # nothing has changed
    key = train_key(cell, made.recipe, made.corpus(), [])
    assert cell.done("train") == key
    original = shutil.copytree(base, tmp_path / "original")
    for change in CHANGES:
        change(base)
        assert train_key(cell, made.recipe, made.corpus(), []) != key
        for stage in ("train", "evaluate", "generate" if made.steps else "train"):
            with pytest.raises(
                StoreError, match=r"nothing is overwritten.* What changed: student\.(revision|tokenizer) was"
            ):
                getattr(run(tmp_path, **options), stage)()
        assert (cell.folder / CellFile.STUDENT / "model.safetensors").read_bytes() == weights
        assert cell.done("train") == key
        shutil.rmtree(base)
        shutil.copytree(original, base)
        run(tmp_path, **options).train()


def test_the_report_names_the_base(tmp_path: Path, base: Path) -> None:
    made = run(tmp_path)
    made.train()
    made.evaluate()
    model = locate_model(str(base))
    named = dict(facts(compare(read(made.folder), 100)))["Base weights"]
    assert named == f"base {model.revision[:12]}, tokenizer {model.tokenizer[:12]}"


def test_weights_that_are_gone_are_compared_with_nothing(tmp_path: Path, base: Path) -> None:
    run(tmp_path).train()
    shutil.rmtree(base)
    made = run(tmp_path)
    cell = trained_cell(made)
    refuse_another(cell, train_key(cell, made.recipe, made.corpus(), []))
    assert changes(cell, made.sources) == []
    assert start_of(trained_cell(made).student.spec(64), tmp_path).key == ""


def test_what_was_trained_without_the_record_is_still_trained(tmp_path: Path, base: Path) -> None:
    made = run(tmp_path)
    made.train()
    made.evaluate()
    folders = {cell.name: cell.folder for cell in made.cells}
    for folder in folders.values():
        for stage in ("train", "predict", "evaluate"):
            path = folder / "done" / stage
            if path.is_file():  # as version 0.1.0 wrote it
                path.write_text(re.sub(" from [0-9a-f]+", "", path.read_text()))
    trained = trained_cell(made).folder
    path = folders[next(name for name in folders if name.startswith("zero-shot"))] / CellFile.PREDICTIONS
    kept = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in (path, trained / CellFile.ABOUT)}
    other_weights(base)
    again = run(tmp_path)
    again.train()
    again.evaluate()
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in kept} == kept


def test_an_unfinished_training_of_before_goes_on(tmp_path: Path, base: Path) -> None:
    made = run(tmp_path)
    cell = trained_cell(made)
    key = train_key(cell, made.recipe, made.corpus(), [])
    (cell.folder / CellFile.CHECKPOINTS).mkdir(parents=True)
    (cell.folder / CellFile.LOG).write_text('{"step": 0, "examples": 0, "seconds": 7.0, "tokens": 11}\n')
    (cell.folder / CellFile.STARTED).write_text(split_start(key)[0])
    made.train()
    assert '"seconds": 7.0' in (cell.folder / CellFile.LOG).read_text()


def test_an_untrained_student_is_asked_again_when_its_weights_are_others(tmp_path: Path, base: Path) -> None:
    made = run(tmp_path)
    made.train()
    made.evaluate()
    zero = next(cell for cell in made.cells if not cell.method.views)
    assert json.loads((zero.folder / CellFile.ABOUT).read_text())["base"]["name"] == "base"
    before = zero.done("predict")
    shutil.rmtree(trained_cell(made).folder)
    other_weights(base)
    made = run(tmp_path)
    made.train()
    made.evaluate()
    assert zero.done("predict") != before


def test_what_is_unknown_on_one_side_does_not_tell_two_works_apart() -> None:
    assert same_work(with_start("a", "x"), with_start("a", "x"))
    assert not same_work(with_start("a", "x"), with_start("a", "y"))
    assert same_work("a", with_start("a", "y"))
    assert same_work(with_start("a", "y"), "a")
    assert not same_work("b", with_start("a", "y"))
    assert not same_work(None, "a")


# Origins


class Own(CausalStudent):
    """A user's class, which alone knows which weights it reads."""

    weights: Path

    @classmethod
    def open(cls, ref: str, root: Path = Path("."), **options: Any) -> Any:
        opened = CausalStudent.open(str(cls.weights), root, **options)
        return cls(opened.model, opened.tokenizer)


def spec(use: str) -> StudentSpec:
    return StudentSpec(use, None, 1, 64, False)


def test_a_users_class_is_known_by_what_it_opens(base: Path) -> None:
    Own.weights = base
    use = f"{__name__}:Own"
    state = torch.random.get_rng_state()
    first = start_of(spec(use))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.key
    assert start_of(spec(use)) == first
    other_weights(base)
    second = start_of(spec(use))
    assert (second.revision != first.revision, second.tokenizer) == (True, first.tokenizer)
    Own.weights = base / "nowhere"
    assert start_of(spec(use)).key == ""
    assert start_of(spec("tiny")) == start_of(spec("tiny:seq2seq"))
    assert start_of(spec("tiny")).key
    assert start_of(spec("causal:no/such/folder")) == Start("no/such/folder", "", "")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Path) -> Path:
    """A cache of the hub with two commits of org/name, and no network."""
    from huggingface_hub import constants

    home = tmp_path / "hub"
    repository = home / "models--org--name"
    for commit in ("a" * 40, "b" * 40):
        (repository / "snapshots" / commit).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(base, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return repository


def test_a_hub_revision_that_moved_is_noticed(hub: Path) -> None:
    assert model_start("org/name") == Start("name", "a" * 40, "")
    assert model_start("org/name@main") == Start("name", "a" * 40, "")
    (hub / "refs" / "main").write_text("b" * 40)
    assert model_start("org/name") == Start("name", "b" * 40, "")
    assert model_start(f"org/name@{'a' * 40}") == Start("name", "a" * 40, "")  # pinned
    assert model_start("org/other").key == ""  # neither hub nor cache knows it


# Teachers


def test_a_teachers_texts_are_keyed_by_its_tokenizer_and_earlier_ones_are_read(tmp_path: Path, base: Path) -> None:
    prompt = Prompt((Turn("user", "Why?"),), Example("q", "Why?", ("a", "b"), "a"), "explanation", "a")

    def asker(store: Store) -> Asker:
        return Asker(make_teacher(f"transformers:{base}", TeacherOptions()), store, None, "teacher")

    def key_of(store: Store, sampling: Sampling) -> str:
        [key] = asker(store).keys([prompt], sampling)
        return key

    from shrinklm.core.types import ask_key

    with Store(tmp_path / "new.db") as store:
        first = key_of(store, Sampling())
        other_tokenizer(base)
        assert key_of(store, Sampling()) != first
    with Store(tmp_path / "old.db") as store:
        from student_cases import generation

        teacher = asker(store).teacher
        earlier = ask_key(teacher.name, teacher.revision, prompt, Sampling())
        said = generation(prompt.example, "explanation", "a", "Because.")
        store.put([said.__class__(**{**vars(said), "key": earlier})])
        assert key_of(store, Sampling()) == earlier
        assert key_of(store, Sampling(seed=1)) != ask_key(teacher.name, teacher.revision, prompt, Sampling(seed=1))
