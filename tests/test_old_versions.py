"""What version 0.1.0 wrote is read, continued and reported: a run folder, its store, and a trained student."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from shrinklm import Pair, Recipe, Run, Store, open_run
from shrinklm.core.results import read_predictions, read_scores
from shrinklm.run.once import split_start
from shrinklm.students.open import load_student

DATA = Path(__file__).parent / "data" / "project-0.1.0"
TRAINED, NEW = "finetune--mini--s0", "multitask+counterfactual--mini--s0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project where its recipe, its store and its run folder look for each other."""
    for name in ("recipe.yaml", "mini"):
        copy = shutil.copytree if (DATA / name).is_dir() else shutil.copy
        copy(DATA / name, tmp_path / name)
    (tmp_path / ".shrinklm").mkdir()
    shutil.copy(DATA / "generations.db", tmp_path / ".shrinklm")
    shutil.copytree(DATA / "run", tmp_path / "runs" / "old")
    environment = tmp_path / "runs" / "old" / "env.json"
    environment.write_text(environment.read_text().replace('"/project"', json.dumps(str(tmp_path))))
    return tmp_path


def test_a_trained_student_loads_and_is_the_same_model() -> None:
    student = load_student(DATA / "run" / "cells" / TRAINED / "student", "float32")
    examples = Run(Recipe.read(DATA / "recipe.yaml")).task.examples("test")
    pairs = [Pair(f"{each.text}\n[predict]", f"The answer is {each.answer}.", each.answer) for each in examples]
    assert type(student).__name__ == "CausalStudent"
    # What 0.1.0 gives for its own weights.
    assert student.likelihood(pairs) == pytest.approx([-107.6858, -130.1706, -118.7462, -130.3866], abs=0.01)


def test_the_store_holds_all_that_the_recipe_asks_for(project: Path) -> None:
    with Store(project / ".shrinklm" / "generations.db") as store:
        before = len(store)
        assert {generation.source.version for generation in store} == {"0.1.0"}
    run = Run(Recipe.read(project / "recipe.yaml"))
    report = run.generate()
    assert {name: (step.asked, step.missing) for name, step in report.steps.items()} == {
        "explanation": (0, 0),
        "counterfactual": (0, 0),
    }
    assert not (project / "asked.log").exists()
    assert len(run.store) == before


def test_a_run_goes_on_where_it_stopped(project: Path) -> None:
    folder = project / "runs" / "old"
    weights = folder / "cells" / TRAINED / "student" / "model.safetensors"
    kept = {path: path.read_bytes() for path in (folder / "cells" / TRAINED).rglob("*") if path.is_file()}
    written = weights.stat().st_mtime_ns
    page = open_run(folder).all()

    assert weights.stat().st_mtime_ns == written
    assert {path: path.read_bytes() for path in kept} == kept, "a cell that is done is not touched"
    assert not (project / "asked.log").exists(), "no text is asked for again"
    new, expected = folder / "cells" / NEW, DATA / "second-cell"
    # The key is that of 0.1.0, with the weights that the student started from behind it.
    key, start = split_start((new / "done" / "train").read_text())
    assert (key, bool(start)) == ((expected / "key").read_text(), True)
    assert (new / "pairs.jsonl").read_bytes() == (expected / "pairs.jsonl").read_bytes()
    asked = [row.example_id for row in read_predictions(new / "predictions.parquet")]
    assert asked == [row.example_id for row in read_predictions(expected / "predictions.parquet")]
    text = page.read_text(encoding="utf-8")
    assert "finetune" in text
    assert "multitask+counterfactual" in text


def test_a_run_is_scored_and_reported_without_its_models(project: Path) -> None:
    shutil.rmtree(project / "mini")
    folder = project / "runs" / "old"
    shutil.rmtree(folder / "cells" / TRAINED / "student")
    run = open_run(folder)
    before = {cell.name: read_scores(cell.folder / "scores.parquet") for cell in run.cells if cell.done("evaluate")}
    new = run.score(["hedges"])
    assert {name: [score.metric for score in scores] for name, scores in new.items()} == {
        TRAINED: [],
        "zero-shot--mini--s0": ["hedges"] * 4,
    }
    for name, scores in before.items():
        assert read_scores(folder / "cells" / name / "scores.parquet") == [*scores, *new[name]]
    assert run.report().is_file()
