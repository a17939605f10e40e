"""Recipes whose students learn a teacher's logits: whose they may be, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from shrinklm import Recipe, Run
from shrinklm.core.errors import ModelError, RecipeError, StoreError, StudentError, TeacherError
from shrinklm.run.stages.distil import learned_from
from shrinklm.run.stages.train import train_key
from teacher_cases import tiny_model

RECIPE: dict[str, Any] = {
    "task": {"use": "everyday", "limit": {"train": 6, "dev": 2, "test": 2}},
    "student": "tiny",
    "train": {"examples": 8, "batch": 4, "learning_rate": 1e-3, "curve": 0, "checkpoints": 0},
    "evaluate": {"batch": 8, "max_tokens": 12, "zero_shot": False, "calibrate": 0},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHRINKLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(root: Path, name: str = "small", **blocks: Any) -> Run:
    return Run(Recipe.parse({**RECIPE, "name": name, "root": root, "methods": ["finetune:kd=forward"], **blocks}))


def weights(run: Run, method: str) -> bytes:
    return next(run.folder.glob(f"cells/{method}--*/student/model.safetensors")).read_bytes()


def test_a_student_learns_the_logits_of_another_runs_student(tmp_path: Path, cache: Path) -> None:
    made(tmp_path, "large", methods=["finetune"]).train()
    distil = {"teacher": "run:runs/large#finetune", "top": 16}
    run = made(tmp_path, methods=["finetune", "finetune:kd=forward"], distil=distil)
    run.train()
    plain, learned = run.cells[0], run.cells[1]
    lines = [json.loads(line) for line in (learned.folder / "train.jsonl").read_text().splitlines()]
    assert lines[0]["loss/kd=forward"] > 0
    about = json.loads((learned.folder / "cell.json").read_text())["distil"]
    assert (about["top"], about["temperature"], about["teacher"]) == (16, 1.0, distil["teacher"])
    assert "distil" not in json.loads((plain.folder / "cell.json").read_text())
    before = weights(run, "finetune_kd=forward")
    assert before != weights(run, "finetune")
    # Deleted weights come back byte for byte, from a table that is made anew.
    shutil.rmtree(learned.folder / "student")
    shutil.rmtree(cache / "logits")
    made(tmp_path, methods=["finetune", "finetune:kd=forward"], distil=distil).train()
    assert weights(run, "finetune_kd=forward") == before
    # Other settings, and other weights of the teacher, would make another student: nothing is overwritten.
    with pytest.raises(StoreError, match=r"distil.top was 16, is 8"):
        made(tmp_path, distil={**distil, "top": 8}).train()
    path = next((tmp_path / "runs" / "large").glob("cells/finetune--*/student/model.safetensors"))
    whole = path.read_bytes()
    save_file({name: value + 1 for name, value in load_file(path).items()}, path, {"format": "pt"})
    with pytest.raises(StoreError, match="the logits of the teacher are others"):
        made(tmp_path, distil=distil).train()
    path.write_bytes(whole)
    # A trained student needs its teacher no more.
    shutil.rmtree(tmp_path / "runs" / "large")
    made(tmp_path, methods=["finetune", "finetune:kd=forward"], distil=distil).evaluate()
    # But what the recipe says of the distance is still held against its training, and another teacher is another.
    for changed, message in (
        ({"top": 8}, r"distil.top was 16, is 8"),
        ({"temperature": 2}, r"distil.temperature was 1"),
    ):
        with pytest.raises(StoreError, match=message):
            made(tmp_path, methods=["finetune", "finetune:kd=forward"], distil={**distil, **changed}).evaluate()
    for teacher in ("run:runs/larger#finetune", "transformers:large"):
        with pytest.raises((TeacherError, ModelError), match="large"):
            made(tmp_path, methods=["finetune:kd=forward"], distil={**distil, "teacher": teacher}).evaluate()
    with pytest.raises(TeacherError, match=r"no run at .*large"):
        made(tmp_path, "third", distil=distil).train()


def test_the_block_is_no_part_of_other_students(tmp_path: Path) -> None:
    keys = []
    for distil in (None, {"teacher": "transformers:nowhere/at/all", "top": 3}):
        run = made(
            tmp_path, methods=["multitask:options"], distil=distil, teacher={"use": "fake"}, generate=["explanation"]
        )
        keys.append(train_key(run.cells[0], run.recipe, run.corpus(), []))
        assert ("distil" in run.recipe.dump()) == (distil is not None)
    assert keys[0] == keys[1]


def test_a_key_holds_what_the_terms_of_the_method_read(tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    base = {"top": 8, "temperature": 1.0, "beta": 0.5}

    def keys(method: str, **changed: Any) -> str:
        distil = {"teacher": "transformers:model", **base, **changed}
        run = made(tmp_path, methods=[method], student=SMALL, distil=distil)
        return train_key(run.cells[0], run.recipe, run.corpus(), [])

    for option, reads in (
        ("kd", {"top", "temperature"}),
        ("kd=reverse", {"top", "temperature"}),
        ("kd=jsd&0.5", {"top", "temperature", "beta"}),
        ("mixkd", {"temperature"}),
    ):
        name = f"finetune:{option}"
        changes = {"top": 9, "temperature": 2.0, "beta": 0.4}
        assert {key for key, new in changes.items() if keys(name, **{key: new}) != keys(name)} == reads


def test_a_recipe_trains_the_teacher_itself(tmp_path: Path) -> None:
    place = tiny_model(tmp_path / "model")
    salient = {"use": f"transformers:{place}", "finetune": {**RECIPE["train"]}}
    run = made(tmp_path, student=f"causal:{place}", salient=salient, distil={"teacher": "salient"})
    with pytest.raises(TeacherError, match=r"model is not fine-tuned yet. Run: shrinklm train-teacher RECIPE"):
        run.train()
    run.all()
    tuned = (run.folder / "teacher" / "student" / "model.safetensors").read_bytes()
    assert tuned != (place / "model.safetensors").read_bytes()
    assert run.cells[0].trained
    # Where it is gone, the one that would be made of the recipe must be the same.
    known = learned_from(run.cells[0], run.recipe)
    shutil.rmtree(run.folder / "teacher")
    assert learned_from(run.cells[0], run.recipe) == known
    tuned = {**salient, "finetune": {**RECIPE["train"], "examples": 4}}
    other = made(tmp_path, student=f"causal:{place}", salient=tuned, distil={"teacher": "salient"})
    with pytest.raises(TeacherError, match="not fine-tuned yet"):
        learned_from(run.cells[0], other.recipe)


SMALL = "causal:model"
ENDPOINT = {"use": "endpoint:http://127.0.0.1:9/v1#far", "price": {"input": 1, "output": 1}}
NAMED = {"far": ENDPOINT, "near": {"use": "transformers:model"}}


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            {},
            r"learns from a teacher's logits, and 'no teacher' shows none.*distil: \{teacher: transformers:PATH",
        ),
        ({"teacher": ENDPOINT}, r"'endpoint:http://127.0.0.1:9/v1#far' shows none: a server, a file or a program"),
        (
            {"teacher": {"use": "recorded:texts.csv", "columns": {"explanation": "e"}}},
            r"'recorded:texts.csv' shows none",
        ),
        ({"distil": {"teacher": "nobody"}}, r"names the teacher 'nobody', and the recipe has none.*There are: salient"),
        ({"teacher": NAMED, "distil": {"teacher": "neer"}}, r"'neer'.*There are: far, near, salient"),
        ({"teacher": NAMED, "distil": {"teacher": "far"}}, r"far' shows none"),
        ({"teacher": NAMED}, "The teacher model has another vocabulary than the student: 2,000 tokens and 600"),
        ({"distil": {"teacher": "transformers:model"}}, r"another vocabulary.*one model family, or a method without"),
        ({"distil": {"teacher": "transformers:t5"}, "student": SMALL}, "decoder-only and the teacher t5 is an encoder"),
        ({"distil": {"teacher": "transformers:gone"}}, r"No model at .*gone"),
        (
            {"distil": {"teacher": "transformers:short"}, "student": SMALL},
            r"teacher short reads 96 tokens, and the student is trained on up to 512. Write: train: \{max_length: 96\}",
        ),
        ({"distil": {"teacher": "run:runs/gone#finetune"}}, r"There is no run at .*gone"),
        (
            {"distil": {"teacher": "salient"}},
            r"fine-tunes none. Write: salient: \{use: transformers:PATH_OR_ID, finetune",
        ),
    ],
)
def test_a_teacher_without_such_logits_is_refused_before_anything_is_asked(
    blocks: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tiny_model(tmp_path / "model")
    tiny_model(tmp_path / "short", max_position_embeddings=96)
    tiny_model(tmp_path / "t5", seq2seq=True)
    (tmp_path / "texts.csv").write_text("id,e\n1,text\n")
    with pytest.raises((RecipeError, StudentError, ModelError, TeacherError), match=message):
        made(tmp_path, **blocks).all()
    assert not (tmp_path / "runs").exists()


def test_the_first_teacher_that_runs_here_is_taken(tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    run = made(tmp_path, teacher=NAMED, student=SMALL)
    run.train()
    assert run.cells[0].trained


def test_what_the_block_does_not_take(tmp_path: Path) -> None:
    for wrong, message in (
        ({"top": 0}, "distil.top"),
        ({"beta": 1}, "distil.beta"),
        ({"tep": 1}, "No key is called 'tep'"),
    ):
        with pytest.raises(RecipeError, match=message):
            made(tmp_path, distil=wrong)
