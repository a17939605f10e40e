"""The stage that asks a cell's student dev questions and fits the temperature of its probabilities on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...core.files import read_json, write_json
from ...core.intact import intact
from ...core.results import CellFile, read_predictions, write_predictions
from ...core.types import Example, Prediction, digest
from ...evaluation.ask import EvaluateSettings, Evaluation, score_options, scored_answers
from ...evaluation.confidence import likelihoods, scores
from ...evaluation.metrics.answers import accuracy
from ...stats import temperature
from ..folder import Cell
from ..once import Stage, marker, once
from ..recipe import Recipe
from ..students import answering_student, explanation_cap
from .cascade import threshold_stage
from .questions import dev_sample, question_key
from .score import CellTest

_FIT = 1
"""Counted up when the same predictions would give another temperature."""


def calibrate_cell(test: CellTest, dev: Sequence[Example]) -> None:
    """Asks a trained cell's student dev questions and fits the temperature on its answers, unless that is done.

    Nothing is made without dev questions that have options, or where the recipe turns it off.
    """
    cell = test.cell
    questions = asked(test.recipe, dev)
    if not cell.method.views or not questions:
        return
    stages = [ask_stage(test, questions), *_score_stages(test)]
    if not cell.trained and not all(stage.done for stage in stages):
        test.tick(f"calibrate {cell.name}", 0, 0, "its weights are gone, so its probabilities are not calibrated")
        return
    for stage in stages:
        once(stage)
    (cell.folder / CellFile.DEV_PREDICTIONS_PART).unlink(missing_ok=True)
    once(_fit_stage(test, questions))
    if test.recipe.cascade is not None:
        once(threshold_stage(test, test.recipe.cascade, questions))


def asked(recipe: Recipe, dev: Sequence[Example]) -> list[Example]:
    """The dev questions that a student is calibrated on; none where options are missing or the recipe turns it off."""
    if not recipe.evaluate.calibrate or not all(example.choices for example in dev):
        return []
    return dev_sample(dev, recipe.evaluate.calibrate, recipe.task.seed)


def ask_stage(test: CellTest, questions: Sequence[Example]) -> Stage:
    """Asks the student the dev questions: answers and likelihoods of the options, without further explanations."""
    cell, block, path = test.cell, test.recipe.evaluate, test.cell.folder / CellFile.DEV_PREDICTIONS
    about = cell.student.model_dump(mode="json"), block.max_tokens, block.batch
    key = digest("dev", cell.done("train"), *about, [question_key(example) for example in questions])

    def work() -> None:
        evaluation, part = _evaluation(test), cell.folder / CellFile.DEV_PREDICTIONS_PART
        write_predictions(scored_answers(evaluation, questions, part, key, test.tick), path)

    return Stage(marker(cell.folder, "ask-dev"), key, work, makes=(path,))


def _fit_stage(test: CellTest, questions: Sequence[Example]) -> Stage:
    cell, path = test.cell, test.cell.folder / CellFile.CALIBRATION

    def work() -> None:
        write_json(path, fitted(questions, read_predictions(cell.folder / CellFile.DEV_PREDICTIONS)))

    return Stage(marker(cell.folder, "calibrate"), digest(_FIT, cell.done("ask-dev")), work, makes=(path,))


def fitted(questions: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """The content of calibration.json: the temperature, and what it was fitted on."""
    rows = [
        (list(values.values()), list(values).index(example.answer))
        for example, prediction in zip(questions, predictions, strict=True)
        if example.answer in (values := scores(likelihoods(prediction, example.choices), prediction.summed))
    ]
    found = temperature([row for row, _ in rows], [right for _, right in rows])
    right = [accuracy(*pair) for pair in zip(questions, predictions, strict=True)]
    return {
        "temperature": asdict(found),
        "questions": len(questions),
        "accuracy": sum(right) / len(right),
        "unread": sum(prediction.answer is None for prediction in predictions),
    }


def temperature_of(cell: Cell, recipe: Recipe) -> float | None:
    """The temperature that was fitted for a cell's student; None where its probabilities are not calibrated."""
    path = cell.folder / CellFile.CALIBRATION
    if not recipe.evaluate.calibrate or cell.done("calibrate") is None or not intact(path):
        return None
    value = read_json(path).get("temperature", {}).get("value")
    return None if value is None else float(value)


def _evaluation(test: CellTest) -> Evaluation:
    cell, block = test.cell, test.recipe.evaluate
    student = answering_student(cell, test.recipe)
    settings = EvaluateSettings(explanation_cap(student, cell, test.recipe), block.batch, 0)
    return Evaluation(student, test.task, cell.method, cell.name, settings)


def _score_stages(test: CellTest) -> list[Stage]:
    """Gives the test predictions of an earlier version likelihoods, in a file of their own: of the texts that stand
    there. Predictions of this version need no such stage."""
    predictions = read_predictions(test.cell.folder / CellFile.PREDICTIONS)
    pairs = [
        (example, row)
        for example, row in zip(test.examples, predictions, strict=True)
        if example.choices and not row.refusal and not row.likelihoods
    ]
    path = test.cell.folder / CellFile.LIKELIHOODS

    def work() -> None:
        write_predictions(score_options(_evaluation(test), pairs), path)

    key = digest("likelihoods", test.cell.done("predict"))
    return [Stage(marker(test.cell.folder, "likelihoods"), key, work, makes=(path,))] if pairs else []
