"""The stage that asks dev questions and fits a temperature: what it makes, when it is done, and who uses it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from shrinklm import Recipe, Run
from shrinklm.core.results import read_predictions, write_predictions
from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.confidence import confidence, probabilities
from shrinklm.run.stages import calibrate
from shrinklm.run.stages.calibrate import fitted


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = made(tmp_path_factory.mktemp("calibrate"))
    run.train()
    run.evaluate()
    return run.recipe.root


def made(root: Path, **evaluate: Any) -> Run:
    settings = {
        "name": "calibrated",
        "task": {"use": "everyday", "dev": 0.3, "limit": {"train": 12, "dev": 24, "test": 3}},
        "student": {"use": "tiny"},
        "train": {"examples": 12, "curve": 0},
        "evaluate": {
            "max_tokens": 8,
            "batch": 4,
            "metrics": ["accuracy"],
            "zero_shot": True,
            "calibrate": 22,
            **evaluate,
        },
    }
    return Run(Recipe.model_validate(settings).model_copy(update={"root": root}))


def cell_of(run: Run) -> Path:
    return next(cell.folder for cell in run.cells if cell.method.views)


def test_it_asks_a_sample_of_the_dev_questions_and_the_student_tells_calibrated_probabilities(home: Path) -> None:
    run = made(home)
    cell = cell_of(run)
    predictions = read_predictions(cell / "dev_predictions.parquet")
    found = json.loads((cell / "calibration.json").read_text())
    assert len(predictions) == found["questions"] == 22
    assert {row.example_id for row in predictions} <= {example.id for example in run.splits["dev"]}
    assert all(len(row.likelihoods) == 5 and row.explanation is None for row in predictions)
    assert found["temperature"]["n"] == 22
    assert found["temperature"]["low"] <= found["temperature"]["value"] <= found["temperature"]["high"]
    assert not (next(each.folder for each in run.cells if not each.method.views) / "calibration.json").exists()
    assert not (cell / "dev_predictions.part").exists()
    student = run.student()
    assert student.answering.temperature == found["temperature"]["value"]
    options = {"shed": -3.0, "kitchen": -9.0}
    apart = math.log(student.probabilities(options)["shed"] / student.probabilities(options)["kitchen"])
    assert apart == pytest.approx((9 / 7 - 3 / 4) / found["temperature"]["value"])
    assert made(home, calibrate=0).student().answering.temperature is None


def test_it_is_done_once_and_made_again_where_something_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = calibrate.scored_answers
    monkeypatch.setattr(calibrate, "scored_answers", lambda *args: asked.append(len(args[1])) or ask(*args))
    made(home).evaluate()
    assert asked == []
    cell = cell_of(made(home))
    before = (cell / "calibration.json").read_bytes(), (cell / "dev_predictions.parquet").read_bytes()
    (cell / "calibration.json").write_text("{")
    made(home).evaluate()
    assert asked == [], "the answers are there"
    (cell / "dev_predictions.parquet").write_bytes(b"PAR1")
    made(home).evaluate()
    assert asked == [22]
    assert ((cell / "calibration.json").read_bytes(), (cell / "dev_predictions.parquet").read_bytes()) == before
    made(home, calibrate=21).evaluate()
    assert asked == [22, 21]
    made(home).evaluate()


def test_a_killed_stage_goes_on_from_its_chunks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.evaluation.ask import Evaluation

    ask, asked = Evaluation.ask, []

    def dies(self: Evaluation, chunk: list[Example], *rest: Any) -> Any:
        if asked:
            raise KeyboardInterrupt
        asked.extend(chunk)
        return ask(self, chunk, *rest)

    cell = cell_of(made(home))
    (cell / "dev_predictions.parquet").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "ask", dies)
        with pytest.raises(KeyboardInterrupt):
            made(home).evaluate()
    assert len(asked) == 8
    asked_later: list[str] = []
    monkeypatch.setattr(
        Evaluation, "ask", lambda self, chunk, *rest: asked_later.extend(e.id for e in chunk) or ask(self, chunk, *rest)
    )
    made(home).evaluate()
    assert len(asked_later) == 14
    assert not {example.id for example in asked} & set(asked_later)


def test_predictions_of_an_earlier_version_are_given_the_likelihoods_of_their_texts(home: Path) -> None:
    cell = cell_of(made(home))
    path = cell / "predictions.parquet"
    now, content = read_predictions(path), path.read_bytes()
    write_predictions([Prediction(**{**vars(row), "likelihoods": ()}) for row in now], path)
    old = path.read_bytes()
    made(home).evaluate()
    then = read_predictions(cell / "likelihoods.parquet")
    assert path.read_bytes() == old, "what is done is not touched"
    assert [row.answer for row in then] == [row.answer for row in now]
    assert [row.likelihoods for row in then] == [pytest.approx(row.likelihoods, abs=1e-4) for row in now]
    path.write_bytes(content)


def test_without_weights_nothing_is_asked_and_it_is_said(home: Path) -> None:
    run = made(home)
    cell = cell_of(run)
    student, told = cell / "student", []
    student.rename(cell / "elsewhere")
    (cell / "calibration.json").rename(cell / "kept.json")
    try:
        run.evaluate()
        assert (cell / "calibration.json").exists(), "the answers to the dev questions are there, and need no weights"
        (cell / "dev_predictions.parquet").rename(cell / "dev.kept")
        run.tick = lambda what, done, total, note: told.append(note)
        run.evaluate()
        assert any("weights are gone" in note for note in told)
    finally:
        (cell / "elsewhere").rename(student)
        (cell / "dev.kept").rename(cell / "dev_predictions.parquet")


def test_nothing_is_made_of_free_answers_or_without_dev_questions(home: Path) -> None:
    recipe = made(home).recipe
    free, choice = Example("1", "2 + 2?", (), "4", {}), Example("2", "Which?", ("a", "b"), "a", {})
    assert calibrate.asked(recipe, []) == calibrate.asked(recipe, [free, choice]) == []
    assert calibrate.asked(recipe, [choice]) == [choice]


def test_what_cannot_tell_is_left_out_of_the_fit() -> None:
    examples = [Example(str(number), "Which?", ("aa", "b"), "aa", {}) for number in range(30)]
    rows = [Prediction("cell", example.id, "aa", None, "", likelihoods=(-2.0, -3.0)) for example in examples]
    rows[0] = Prediction("cell", "0", None, None, "", refusal="too long")
    rows[1] = Prediction("cell", "1", "b", None, "", likelihoods=(math.nan, -1.0))
    found = fitted(examples, rows)
    assert (found["temperature"]["n"], found["questions"], found["unread"]) == (28, 30, 1)
    assert found["accuracy"] == 28 / 30
    assert found["temperature"]["bound"] == "low", "every answer is right: no temperature is cold enough"


def test_confidence_is_that_of_the_answer_given() -> None:
    likeliest = Prediction("cell", "1", "b", None, "", likelihoods=(-2.0, -3.0))
    # -2 over two characters against -3 over one: e^-1 against e^-3.
    assert confidence(likeliest, ("aa", "b")) == pytest.approx(math.exp(-3) / (math.exp(-1) + math.exp(-3)))
    assert confidence(likeliest, ("aa", "b"), 2.0) == pytest.approx(1 / (1 + math.exp(1)))
    assert confidence(likeliest, ("aa", "aa", "b")) == confidence(likeliest, ("aa", "b")), "an option listed twice"
    assert math.isnan(confidence(Prediction("cell", "1", None, None, "", likelihoods=(-2.0, -3.0)), ("aa", "b")))
    assert math.isnan(confidence(Prediction("cell", "1", "b", None, ""), ("aa", "b")))
    assert probabilities({"a": -math.inf, "b": -1.0}) == {"a": 0.0, "b": 1.0}
    assert probabilities({"a": math.nan, "b": -1.0}) == probabilities({"a": -math.inf}) == probabilities({}) == {}
