"""`shrinklm init`: what it writes is a whole recipe that runs, and it overwrites nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cli_cases import call
from shrinklm.cli.init import FOLDER
from shrinklm.core.types import SPLITS
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.tasks.base import TaskOptions, make_task, question_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    done = call("init", tmp_path / "my task")
    assert done.exit_code == 0, done.output
    assert "Try them: shrinklm run" in done.stdout
    return tmp_path / "my task"


def test_the_recipe_reads_and_every_block_is_there(folder: Path) -> None:
    recipe = Recipe.read(folder / "recipe.yaml")
    assert recipe.name == "my-task"
    text = (folder / "recipe.yaml").read_text()
    for block in ("task", "teacher", "generate", "methods", "student", "train", "evaluate"):
        assert re.search(rf"^{block}:", text, re.MULTILINE)
    assert text.count("#") > 20, "a recipe to start from explains itself"


def test_the_table_has_thirty_questions_that_read(folder: Path) -> None:
    run = Run(Recipe.read(folder / "recipe.yaml"))
    assert sum(len(run.splits[split]) for split in SPLITS) == 30
    assert all(len(run.splits[split]) >= 3 for split in SPLITS)
    for examples in run.splits.values():
        for example in examples:
            assert len(set(example.choices)) == 4
            assert example.answer in example.choices


def test_no_question_of_the_table_is_in_the_packaged_task() -> None:
    options = {
        "columns": {
            "id": "id",
            "question": "question",
            "choices": [f"option_{n}" for n in range(1, 5)],
            "answer": "answer",
        }
    }
    table = make_task("table", TaskOptions(train="questions.csv", root=FOLDER, **options))  # type: ignore[arg-type]
    everyday = make_task("everyday", TaskOptions())
    keys = [
        {question_key(example) for split in SPLITS for example in task.examples(split)} for task in (table, everyday)
    ]
    assert not keys[0] & keys[1]


def test_the_recipe_runs_to_its_report(folder: Path) -> None:
    """With the smallest student and no model for a teacher, the rest as written."""
    path = folder / "recipe.yaml"
    data = yaml.safe_load(path.read_text())
    data["teacher"]["use"] = "fake"
    data["student"] = {"use": "tiny"}
    data["train"]["examples"] = 8
    data["evaluate"]["max_tokens"] = 8
    path.write_text(yaml.safe_dump(data))
    done = call("run", folder)  # the folder that init made stands for its recipe
    assert done.exit_code == 0, done.output
    assert (folder / "runs" / "my-task" / "report.html").is_file()
    assert yaml.safe_load(path.read_text()) == data, "the user's recipe is never written to"


def test_nothing_is_overwritten(folder: Path) -> None:
    (folder / "questions.csv").write_text("mine")
    again = call("init", folder)
    assert again.exit_code == 1
    assert "is there already, and nothing is overwritten. Give another name: shrinklm init my-task-2" in again.stderr
    (folder / "recipe.yaml").unlink()
    (folder / "notes.txt").write_text("mine")
    assert call("init", folder).exit_code == 1
    assert not (folder / "recipe.yaml").exists()
    assert (folder / "questions.csv").read_text() == "mine"


def test_names_and_places_that_cannot_be(tmp_path: Path) -> None:
    assert "gives the run no name" in call("init", tmp_path / "...").stderr
    (tmp_path / "file").write_text("")
    assert "cannot be written" in call("init", tmp_path / "file" / "x").stderr
