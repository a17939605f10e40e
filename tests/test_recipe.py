"""Recipes: what is read, what is refused and why, and the ones that come with the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shrinklm.core.errors import RecipeError
from shrinklm.methods.spec import method
from shrinklm.run.recipe import Recipe
from shrinklm.teachers.steps import STEPS

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes"
LEAST: dict[str, Any] = {"name": "a", "task": {"use": "everyday"}, "student": "tiny"}


def error(**changes: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({**LEAST, **changes})
    return str(caught.value)


def test_the_least_recipe_has_defaults() -> None:
    recipe = Recipe.parse(LEAST)
    assert (recipe.methods, recipe.train.seeds, recipe.evaluate.zero_shot) == (("finetune",), (0,), True)
    assert recipe.student[0].use == "tiny"


def test_short_forms() -> None:
    recipe = Recipe.parse(
        {
            **LEAST,
            "teacher": {"use": "fake"},
            "generate": ["explanation", {"revision": {"rounds": 2}}],
            "student": ["tiny", "tiny:seq2seq"],
        }
    )
    assert [(step.name, step.rounds) for step in recipe.generate] == [("explanation", 1), ("revision", 2)]
    assert [student.use for student in recipe.student] == ["tiny", "tiny:seq2seq"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trian": {}}, "trian: No key is called 'trian'. Did you mean 'train'?"),
        ({"train": {"exampels": 1}}, "train.exampels: No key is called 'exampels'. Did you mean 'examples'?"),
        ({"task": {"use": "table", "colums": {}}}, "task.colums: No key is called 'colums'. Did you mean 'columns'?"),
        ({"evaluate": {"metric": []}}, "evaluate.metric: No key is called 'metric'. Did you mean 'metrics'?"),
        ({"student": [{"use": "tiny", "lor": 8}]}, "student.0.lor: No key is called 'lor'. Did you mean 'lora'?"),
        ({"generate": ["explanation"]}, "`generate` needs a `teacher`"),
        (
            {"teacher": {"use": "fake"}, "generate": ["explane"]},
            "No step is called 'explane'. Did you mean 'explanation'?",
        ),
        (
            {"teacher": {"use": "fake"}, "generate": "explanation"},
            "must be a list of steps, such as [explanation, counterfactual]",
        ),
        ({"train": {"batch": 0}}, "train.batch: Input should be greater than or equal to 1 (found '0')"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate: Input should be a valid number"),
        ({"train": {"seeds": []}}, "train.seeds:"),
        ({"methods": ["finetune", "finetune"]}, "`methods` names one twice: finetune, finetune"),
        ({"student": ["tiny", "tiny"]}, "two students are called the same: tiny, tiny. Give each a `name`."),
        ({"name": "my run"}, "name: String should match pattern"),
        ({"name": None}, "name: Input should be a valid string"),
        ({"task": {"use": "everyday", "limit": {"trian": 3}}}, "task.limit"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], said: str) -> None:
    assert said in error(**changes)


def test_every_error_is_listed() -> None:
    said = error(train={"batch": 0, "seeds": []}, trian=1)
    assert all(what in said for what in ("train.batch", "train.seeds", "trian"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "expected keys such as name, task and student, found list"),
        ("name: [a\n", "cannot be read as YAML"),
        ("", "found NoneType"),
    ],
)
def test_files_that_hold_no_recipe(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=re.escape(said)):
        Recipe.read(path)


def test_paths_start_at_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(LEAST))
    recipe = Recipe.read(tmp_path / "r.yaml")
    assert recipe.run_folder == tmp_path / "runs" / "a"
    assert recipe.path(recipe.store) == tmp_path / ".shrinklm" / "generations.db"
    assert recipe.path("/somewhere/else") == Path("/somewhere/else")


@pytest.mark.parametrize("name", ["demo", "honey-csqa", "csqa-smollm2", "csqa-2cores", "csqa-salient", "csqa-teachers"])
def test_written_and_read_again_it_is_the_same(name: str) -> None:
    recipe = Recipe.read(RECIPES / f"{name}.yaml")
    again = Recipe.parse({**yaml.safe_load(recipe.dump()), "root": recipe.root})
    assert again == recipe


@pytest.mark.parametrize("name", ["demo", "honey-csqa", "csqa-smollm2", "csqa-2cores", "csqa-salient", "csqa-teachers"])
def test_each_methods_generations_are_asked_for(name: str) -> None:
    recipe = Recipe.read(RECIPES / f"{name}.yaml")
    steps = {step.name for step in recipe.generate}
    for spec in recipe.methods:
        assert set(method(spec).needs) <= steps
    reads = recipe.teacher is not None and recipe.teacher.use.startswith("recorded:")
    for step in () if reads else steps:
        assert set(STEPS[step].needs) <= steps


def test_the_demo_at_the_root_is_the_packages_and_runs_where_it_stands() -> None:
    assert (RECIPES / "demo.yaml").resolve() == (ROOT / "src" / "shrinklm" / "cli" / "recipes" / "demo.yaml").resolve()
    assert Recipe.read(RECIPES / "demo.yaml").root == RECIPES


def test_honey_is_the_papers_setting() -> None:
    recipe = Recipe.read(RECIPES / "honey-csqa.yaml")
    assert recipe.train.examples / recipe.train.batch == 5000
    assert (recipe.train.batch, recipe.train.learning_rate, recipe.train.warmup, recipe.train.clip) == (48, 5e-5, 0, 1)
    assert recipe.train.seeds == (0, 1, 2, 3, 4, 5)
    assert [student.use for student in recipe.student] == [
        "seq2seq:google/t5-v1_1-base",
        "seq2seq:google/t5-v1_1-large",
    ]
    assert len(recipe.methods) == 4
    assert {step.name: step.max_tokens for step in recipe.generate} == {
        "explanation": 160,
        "critique": 300,
        "revision": 300,
        "counterfactual": 512,
    }


def test_defect_21_and_22_no_recipe_lets_memory_or_a_seed_change_the_exposure() -> None:
    """One number of examples and one effective batch stand for every method and seed; neither is set for one alone."""
    fields = set(Recipe.model_fields["train"].annotation.model_fields)  # type: ignore[union-attr]
    assert {"examples", "batch", "micro_batch"} <= fields
    assert not fields & {"steps", "max_steps", "auto_batch", "auto_find_batch_size"}
    assert "Did you mean" in error(train={"auto_find_batch_size": True}) or "No key is called" in error(
        train={"auto_find_batch_size": True}
    )


def test_defect_28_every_flag_of_a_packaged_recipe_exists() -> None:
    """Unknown keys are errors, so a recipe that reads names nothing that is not there."""
    for path in sorted(RECIPES.glob("*.yaml")):
        Recipe.read(path)
    assert len(list(RECIPES.glob("*.yaml"))) >= 3
