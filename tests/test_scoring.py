"""Metrics of a run: what the recipe lists, what is added later, and what is not done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_cases import call
from shrinklm import Recipe, Run, open_run
from shrinklm.core.errors import RecipeError, StudentError, UnknownName
from shrinklm.core.results import read_predictions, read_probes, read_scores, write_predictions, write_scores
from shrinklm.core.types import Score

SIMULATOR = {"use": "tiny", "examples": 8, "batch": 4}
BLOCKS: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 10, "dev": 2, "test": 8}},
    "teacher": {"use": "fake"},
    "generate": ["explanation", "counterfactual"],
    "methods": ["finetune", "multitask+counterfactual"],
    "student": "tiny",
    "train": {"examples": 8, "batch": 4, "learning_rate": 1e-3, "curve": 0, "checkpoints": 0},
    "evaluate": {"batch": 8, "max_tokens": 8, "explanations": 5, "metrics": ["accuracy"], "simulator": SIMULATOR},
}
CELL = "multitask+counterfactual--tiny--s0"


def recipe(root: Path, **changes: Any) -> Recipe:
    return Recipe.parse({**BLOCKS, "root": root, "evaluate": {**BLOCKS["evaluate"], **changes}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Evaluated; each student explains in words, whatever it says itself."""
    run = Run(recipe(tmp_path_factory.mktemp("finished")))
    run.generate()
    run.train()
    run.evaluate()
    explain(run)
    return run


def explain(run: Run) -> None:
    for cell in run.cells:
        file = cell.folder / "predictions.parquet"
        said = [one if one.explanation is None else reworded(one) for one in read_predictions(file)]
        write_predictions(said, file)


def reworded(one: Any) -> Any:
    from dataclasses import replace

    return replace(one, explanation=f"People often think of {one.likeliest} because of case {one.example_id}.")


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.recipe.root, tmp_path / "root"))


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, loading or opening any student fails."""

    def now() -> None:
        from shrinklm.students.base import BaseStudent

        monkeypatch.setattr(BaseStudent, "__init__", lambda *_, **__: pytest.fail("asked or trained again"))

    return now


def scores(run: Run, cell: str = CELL) -> list[Score]:
    return read_scores(run.folder / "cells" / cell / "scores.parquet")


def names(run: Run, cell: str = CELL) -> set[str]:
    return {one.metric for one in scores(run, cell)}


FAITHFUL = {
    "cf_consistency", "cf_baseline", "perturbation_drop", "perturbation_baseline", "early_0", "early_25", "early_50",
    "early_75", "early_100", "early_aoc", "early_baseline", "filler_same", "paraphrase_same", "other_same",
    "tag_follows", "tag_blank", "tag_other", "tag_baseline", "reasons_follow", "reasons_baseline",
}  # fmt: skip
SIMULATED = {"sim_question", "sim_explanation", "sim_both"}


def test_metrics_are_added_to_a_finished_run_and_asked_once(copied: Path, idle: Callable[[], None]) -> None:
    run = Run(recipe(copied))
    before = scores(run)
    weights = {cell.name: cell.done("train") for cell in run.cells}
    found = run.score(["faithfulness", "length", "simulatability"])
    assert names(run) == {"accuracy", "length"} | FAITHFUL | SIMULATED
    assert [one for one in scores(run) if one.metric == "accuracy"] == before
    assert {one.metric for one in found[CELL]} == {"length"} | FAITHFUL | SIMULATED
    assert len({one.example_id for one in found[CELL] if one.metric == "early_aoc"}) == 5  # the explained questions
    assert names(run, "finetune--tiny--s0") == {"accuracy"}  # explains nothing
    assert "early_aoc" in names(run, "zero-shot--tiny--s0")  # an untrained student is probed too
    assert weights == {cell.name: cell.done("train") for cell in run.cells}
    assert not (copied / "runs" / "r" / "cells" / CELL / "simulator").exists()
    idle()
    assert open_run(run.folder).score(["perturbation", "simulatability", "early_answering"])[CELL]
    assert names(run) == {"accuracy", "length"} | FAITHFUL | SIMULATED


def test_evaluate_computes_what_the_recipe_lists_and_keeps_what_was_added(
    copied: Path, idle: Callable[[], None]
) -> None:
    Run(recipe(copied)).score(["filler"])
    folder = copied / "runs" / "r" / "cells" / CELL
    write_scores(
        [*read_scores(folder / "scores.parquet"), Score(CELL, "x", "plausibility", 4.0, "a person")],
        folder / "scores.parquet",
    )
    run = Run(recipe(copied, metrics=["length", "tag_shortcut"]))
    run.evaluate()
    tags = {"tag_follows", "tag_blank", "tag_other", "tag_baseline", "reasons_follow", "reasons_baseline"}
    assert names(run) == {"length", "filler_same", "other_same", "plausibility"} | tags
    idle()
    run.evaluate()
    Run(recipe(copied, metrics=["length"])).evaluate()
    assert names(run) == {"length", "filler_same", "other_same", "plausibility"}


def test_a_student_that_is_asked_anew_is_probed_anew(copied: Path) -> None:
    Run(recipe(copied)).score(["filler"])
    folder = copied / "runs" / "r" / "cells" / CELL
    write_scores(
        [*read_scores(folder / "scores.parquet"), Score(CELL, "x", "plausibility", 4.0, "a person")],
        folder / "scores.parquet",
    )
    keys = {row.key for row in read_probes(folder / "probes.parquet")}
    run = Run(recipe(copied, max_tokens=7, metrics=["accuracy", "filler"]))
    run.evaluate()
    explain(run)
    run.score(["filler"])
    assert "plausibility" not in names(run)  # it rated words that are gone
    assert keys.isdisjoint(row.key for row in read_probes(folder / "probes.parquet"))


def test_the_teachers_counterfactuals_are_read_where_the_store_has_them(copied: Path) -> None:
    run = Run(recipe(copied))
    assert all(
        "counterfactual" not in example.meta for example in run.tests(["faithfulness"])
    )  # the teacher was asked about train only
    run.teaching.ask(run.splits["test"], [request for request in run.steps if request.name == "counterfactual"])
    told = [example.meta["counterfactual"] for example in run.tests(["faithfulness"])]
    assert [tuple(found) for found in told] == [example.wrong for example in run.splits["test"]]
    assert all("counterfactual" not in example.meta for example in run.tests(["accuracy"]))
    run.score(["counterfactual_consistency"])
    given = {row.explanation for row in read_probes(run.folder / "cells" / CELL / "probes.parquet")}
    assert given & {text for found in told for text in found.values()}


def test_a_simulator_that_changes_is_trained_anew(copied: Path) -> None:
    run = Run(recipe(copied, zero_shot=False))
    run.score(["simulatability"])
    folder = copied / "runs" / "r" / "cells" / CELL
    before = (folder / "done" / "simulate").read_text()
    Run(recipe(copied, zero_shot=False, simulator={**SIMULATOR, "masked": True})).score(["simulatability"])
    assert (folder / "done" / "simulate").read_text() != before
    assert names(run) == {"accuracy", *SIMULATED, "sim_explanation_masked", "sim_both_masked"}


def test_what_cannot_be_measured_is_said_before_anything_is_done(copied: Path, tmp_path: Path) -> None:
    without = Run(recipe(copied, simulator=None))
    with pytest.raises(RecipeError, match=r"evaluate: \{simulator: \{use: causal:PATH_OR_ID\}\}"):
        without.score(["simulatability"])
    with pytest.raises(UnknownName, match="Did you mean 'filler'"):
        without.score(["fillr"])
    with pytest.raises(RecipeError, match="names none"):
        Run(recipe(tmp_path / "new", simulator=None, metrics=["simulatability"])).train()
    with pytest.raises(StudentError, match="shrinklm evaluate RECIPE"):
        Run(recipe(tmp_path / "new")).score(["length"])


def test_the_command_adds_metrics_and_prints_their_means(copied: Path) -> None:
    folder = copied / "runs" / "r"
    done = call("score", folder, "--metrics", "length, filler", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found[CELL]["length"]["n"] == 5
    assert 0 <= found[CELL]["filler_same"]["mean"] <= 1
    shown = call("score", folder, "--metrics", "length")
    assert "length" in shown.stdout
    assert f"shrinklm report {folder}" in shown.stdout.replace("\n", "")
    wrong = call("score", folder, "--metrics", " , ")
    assert (wrong.exit_code, "--metrics faithfulness,length" in wrong.stderr) == (1, True)


def test_a_wrong_key_of_the_simulator_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Did you mean 'examples'"):
        recipe(tmp_path, simulator={"use": "tiny", "exampels": 3})
