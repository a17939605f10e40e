"""Several teachers in one recipe: which of them takes which step, and what follows from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli_cases import MINI, call, recipe
from shrinklm import Recipe, Run
from shrinklm.core.errors import RecipeError, StoreError

STEPS = ["explanation", {"critique": {"teacher": "strong"}}, "revision", "counterfactual"]
TWO = {"cheap": {"use": "fake:log=cheap.log"}, "strong": {"use": "fake:first,log=strong.log", "temperature": 0.3}}
BASE = {"name": "x", "task": {"use": "everyday"}, "student": "tiny", "generate": STEPS}


def kinds(root: Path, name: str) -> set[str]:
    return {line.split("\t")[0] for line in (root / f"{name}.log").read_text().splitlines()}


def test_each_step_is_asked_of_its_teacher(tmp_path: Path) -> None:
    path = recipe(tmp_path, generate=STEPS, teacher=TWO, methods=["finetune"])
    run = Run(Recipe.read(path))
    report = run.generate()
    assert kinds(tmp_path, "cheap") == {"explanation", "revision", "counterfactual"}
    assert kinds(tmp_path, "strong") == {"critique"}
    by = {(one.kind, one.source.teacher) for one in run.store}
    assert by == {(kind, "fake-first" if kind == "critique" else "fake") for kind, _ in by}
    # The strong one's first try is empty: its own settings and retries count, and the chain of texts stays whole.
    critiques = {one.key: one for one in run.store if one.kind == "critique" and not one.refusal}
    assert {one.source.sampling.temperature for one in critiques.values()} == {0.7}
    assert all(set(one.parents) & critiques.keys() for one in run.store if one.kind == "revision")
    assert report.steps["revision"].kept == 12
    summary = json.loads((run.folder / "generations.json").read_text())
    assert summary["teacher"] == "fake and fake-first"
    assert {name: step["teacher"] for name, step in summary["steps"].items()} == {
        "explanation": "fake", "critique": "fake-first", "revision": "fake", "counterfactual": "fake"
    }  # fmt: skip
    run.audit()
    assert json.loads((run.folder / "audit.json").read_text())["teacher"] == "fake and fake-first"
    # Nothing is asked twice, also by a recipe with the first teacher alone, whose keys are the same.
    before = (tmp_path / "cheap.log").read_text()
    again = Run(
        Recipe.read(recipe(tmp_path, name="y", generate=["explanation"], teacher=TWO["cheap"], methods=["finetune"]))
    )
    assert again.generate().steps["explanation"].found == 12
    assert (tmp_path / "cheap.log").read_text() == before


def test_texts_of_a_file_are_criticised_by_a_model(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"q{i}",
            "question": f"What is it, {i}?",
            "choices": ["a rope", "a lamp"],
            "answer": "a rope",
            "why": why,
        }
        for i, why in enumerate(["A rope holds what is tied to it.", "One ties it with a rope, which holds."] * 4)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {name: name for name in ("id", "question", "choices", "answer")}
    teacher = [{"name": "file", "use": "recorded:t.jsonl", "columns": {"explanation": "why"}}, "fake:log=asked.log"]
    path = recipe(
        tmp_path,
        task={"use": "table", "train": "t.jsonl", "columns": columns},
        teacher=teacher,
        methods=["multitask", "multitask:revised"],
        generate=[
            "explanation",
            {"critique": {"teacher": "log=asked.log"}},
            {"revision": {"teacher": "log=asked.log"}},
        ],
    )
    run = Run(Recipe.read(path))
    # The file is read for nothing; the model is not asked before somebody says so.
    assert run.teaching.known()[1].steps["critique"].missing > 0
    assert not (tmp_path / "asked.log").exists()
    run.generate()
    assert kinds(tmp_path, "asked") == {"critique", "revision"}
    revisions = [one for one in run.store if one.kind == "revision"]
    assert revisions
    assert all("rope" in one.prompt for one in revisions)


@pytest.mark.parametrize(
    "teacher",
    [
        TWO,
        [{"name": "cheap", **TWO["cheap"]}, {"name": "strong", **TWO["strong"]}],
        [{"cheap": TWO["cheap"]}, {"strong": TWO["strong"]}],
        {"cheap": "fake:log=cheap.log", "strong": TWO["strong"]},
    ],
    ids=["mapping", "list", "as steps", "specs"],
)
def test_ways_to_write_them(teacher: Any) -> None:
    parsed = Recipe.parse({**BASE, "teacher": teacher})
    assert parsed.teacher == parsed.named["cheap"]
    assert [(name, block.use) for name, block in parsed.named.items()] == [(n, b["use"]) for n, b in TWO.items()]
    assert Recipe.parse(yaml.safe_load(parsed.dump())) == parsed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"generate": [{"critique": {"teacher": "strng"}}]}, "names the teacher 'strng'. There are: cheap, strong."),
        ({"teacher": {"use": "fake"}}, "names the teacher 'strong'. None has a name. Write: teacher: {NAME: {use"),
        ({"teacher": ["fake", "fake"]}, "two teachers are called the same: fake, fake. Give each a `name`"),
        ({"teacher": []}, "`teacher` names none"),
        (
            {"teacher": {**TWO, "strong": {"use": "fake", "retrys": 1}}},
            "teacher.strong.retrys: No key is called 'retry",
        ),
        ({"teacher": {"usee": "fake:x"}}, "teacher.usee: No key is called 'usee'. Did you mean 'use'?"),
        ({"generate": [{"tfidf-tokens": {"teacher": "cheap"}}]}, "marks words and takes no `teacher`"),
        ({"named": {}}, "No key is called 'named'"),
    ],
)
def test_mistakes_are_told(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({**BASE, "teacher": TWO, **changed})
    assert said in str(caught.value)
    assert str(caught.value).count("retrys") <= 2


@pytest.mark.parametrize("judge", ["fake:log=judge.log", "fake:first"])
def test_none_of_them_may_judge_alone(tmp_path: Path, judge: str) -> None:
    path = recipe(tmp_path, generate=STEPS, teacher=TWO, judge={"use": [judge]})
    with pytest.raises(RecipeError, match=r"Nobody may judge alone .* is a teacher of this run"):
        Run(Recipe.read(path)).generate()
    assert not (tmp_path / "cheap.log").exists()


def test_another_teacher_of_a_step_is_another_training(tmp_path: Path) -> None:
    method = {
        "methods": ["multitask:revised"],
        "evaluate": {"zero_shot": False},
        "train": {**MINI["train"], "curve": 0},
    }
    run = Run(Recipe.read(recipe(tmp_path, generate=STEPS, teacher=TWO, **method)))
    run.generate()
    run.train()
    run.report()
    assert "critique (fake-first)" in (run.folder / "report.md").read_text()
    other = ["explanation", "critique", {"revision": {"teacher": "strong"}}, "counterfactual"]
    path = recipe(tmp_path, generate=other, teacher=TWO, **method)
    with pytest.raises(StoreError, match=r'generate.critique.teacher was "fake-first 1", is "fake 1"'):
        Run(Recipe.read(path)).generate()
    alone = recipe(tmp_path, generate=["explanation", "critique", "revision"], teacher=TWO["cheap"], **method)
    result = call("generate", alone)
    assert 'teacher was "fake 1, fake-first 1", is "fake 1"' in " ".join(result.stderr.split())


def test_a_report_names_no_teacher_by_step_where_there_is_one(tmp_path: Path) -> None:
    run = Run(Recipe.read(recipe(tmp_path, generate=["explanation"], methods=["finetune"])))
    run.generate()
    assert "teacher" not in json.loads((run.folder / "generations.json").read_text())["steps"]["explanation"]
