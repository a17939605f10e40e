"""The cascade of a recipe: its threshold, its teacher, the teacher's answers to the test questions, its escalations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...core.errors import RecipeError, StudentError
from ...core.files import read_json, write_json
from ...core.intact import intact
from ...core.remote import is_url, mirror
from ...core.results import CellFile, RunFile, read_predictions
from ...core.types import Example, Prediction, Task, digest
from ...deploy.cascade import Cascade
from ...deploy.passing import Escalations, Passed, Passing, examples_in
from ...deploy.student import TrainedStudent
from ...evaluation.confidence import confidence
from ...evaluation.metrics.answers import accuracy
from ...evaluation.reading import by_likelihood
from ...stats import Threshold, threshold_for_accuracy, threshold_for_budget
from ...tasks.base import question_key
from ...teachers.prompts import Prompts
from ...teachers.steps import STEPS
from ..asked import CascadeBlock
from ..folder import Cell
from ..lock import FolderLock
from ..once import Stage, marker
from ..recipe import Recipe
from .score import CellTest
from .writers import Writers

_PICK = 1
"""Counted up when the same predictions would give another threshold."""
_NO_BLOCK = "The recipe has no cascade. Add, for instance: cascade: {accuracy: 0.9}"


def threshold_stage(test: CellTest, block: CascadeBlock, questions: Sequence[Example]) -> Stage:
    """Picks the threshold of a cell's student on its answers to the dev questions."""
    cell, path = test.cell, test.cell.folder / CellFile.CASCADE
    settings = block.model_dump(include={"accuracy", "budget", "confidence", "by"})

    def work() -> None:
        temperature = read_json(cell.folder / CellFile.CALIBRATION)["temperature"]["value"]
        picked = pick(block, questions, read_predictions(cell.folder / CellFile.DEV_PREDICTIONS), temperature)
        write_json(path, {**settings, "threshold": asdict(picked)})

    key = digest("cascade", _PICK, cell.done("calibrate"), settings)
    return Stage(marker(cell.folder, "cascade"), key, work, makes=(path,))


def pick(
    block: CascadeBlock, questions: Sequence[Example], predictions: Sequence[Prediction], temperature: float | None
) -> Threshold:
    """The threshold that answers to dev questions give."""
    told = [by_block(block, prediction) for prediction in predictions]
    shares = [confidence(row, example.choices, temperature) for example, row in zip(questions, told, strict=True)]
    right = [accuracy(example, row) for example, row in zip(questions, told, strict=True)]
    if block.accuracy is not None:
        return threshold_for_accuracy(shares, right, block.accuracy, block.confidence)
    assert block.budget is not None
    return threshold_for_budget(shares, right, block.budget, block.confidence)


def by_block(block: CascadeBlock, prediction: Prediction) -> Prediction:
    """The prediction with the answer that the cascade reads: of the text, or the likeliest option."""
    return prediction if block.by == "text" else by_likelihood(prediction)


def cascade_of(trained: TrainedStudent, cell: Cell, recipe: Recipe, folder: Path, passing: Passing | None) -> Cascade:
    """The cascade of a cell's student. Raises RecipeError without a block, StudentError before a threshold is there."""
    if recipe.cascade is None:
        raise RecipeError(_NO_BLOCK)
    path = cell.folder / CellFile.CASCADE
    if cell.done("cascade") is None or not intact(path):
        raise StudentError(
            f"{cell.name} has no threshold: it is picked on its answers to dev questions with options. "
            "Run: shrinklm evaluate RECIPE"
        )
    value = read_json(path)["threshold"]["value"]
    return Cascade(trained, value, recipe.cascade.by, passing, Escalations(folder / RunFile.ESCALATED))


def passing_of(
    recipe: Recipe, writers: Writers, prompts: Prompts, task: Task, folder: Path, count: Callable[[], None]
) -> Passing | None:
    """How questions are passed on; None where the cascade names no teacher. Raises what opening it raises."""
    if recipe.cascade is None:
        raise RecipeError(_NO_BLOCK)
    name = recipe.cascade.teacher
    if name is None:
        return None
    teacher, settings = writers.named(name)
    if teacher.later:
        raise RecipeError(f"The teacher '{name}' answers later; a cascade needs one that answers at once.")
    if not teacher.reads:
        prompts.check(STEPS["label"])
    if writers.budget is not None and not teacher.free:
        from ...teachers.budget import check_price

        check_price(settings.price or teacher.price, teacher.name, "teacher")
    store = recipe.path(recipe.store)
    passing = Passing(teacher, prompts, store, settings, task.parse, lambda: _count(passing, count, folder))
    return passing


def _count(passing: Passing, count: Callable[[], None], folder: Path) -> None:
    """Counts against the budget what the run has paid for, earlier escalations included."""
    budget = passing.teacher.budget
    if budget is None or passing.teacher.free:
        return
    count()
    from ...teachers.ask import Asker
    from ...teachers.remote import open_store
    from ...teachers.usage import Usage

    keys = [row["generation"] for row in Escalations(folder / RunFile.ESCALATED)]
    keys += [row["key"] for row in tests_answered(folder).values()]
    with open_store(passing.store) as store:
        price = passing.settings.price or passing.teacher.price
        Asker(passing.teacher, store, price, "teacher").find(filter(None, keys), Usage(), ask=False)


def answer_tests(passing: Passing, tests: Sequence[Example], folder: Path) -> list[Passed]:
    """The teacher's answers to the test questions, for the report; cascade.json in the run folder holds them."""
    passed = passing.ask([Example(e.id, e.question, e.choices, e.answer, e.fields) for e in tests])
    names = ("answer", "why", "key", "tokens_in", "tokens_out", "cost")
    answers = {
        example.id: {name: getattr(one, name) for name in names} for example, one in zip(tests, passed, strict=True)
    }
    write_json(folder / RunFile.CASCADE, {"teacher": passing.teacher.name, "answers": answers})
    return passed


def tests_answered(folder: Path) -> dict[str, Any]:
    """Test question → what the teacher answered; {} where it was not asked."""
    path = folder / RunFile.CASCADE
    answers: dict[str, Any] = read_json(path).get("answers", {}) if intact(path) else {}
    return answers


def learned(recipe: Recipe, held: Sequence[Example], train: Sequence[Example]) -> list[Example]:
    """Escalated questions as training questions, where the recipe takes them in.

    Those of the dev and test split (`held`) stay out, and so do those that are training questions already.
    Raises RecipeError where the file is not there.
    """
    if recipe.cascade is None or not recipe.cascade.learn:
        return []
    path = _escalated(recipe)
    if not path.exists():
        if recipe.cascade.learn is True:
            return []
        raise RecipeError(f"No escalated questions at {path}: `learn` names a run that passed some on, or its file.")
    there = set(map(question_key, (*held, *train)))
    return [example for example in examples_in(iter(Escalations(path))) if question_key(example) not in there]


def _escalated(recipe: Recipe) -> Path:
    assert recipe.cascade is not None
    learn = recipe.cascade.learn
    if learn is True:
        return recipe.run_folder / RunFile.ESCALATED
    home = recipe.path(recipe.runs) / str(learn)
    if is_url(recipe.runs) and "/" not in str(learn):  # with one it is the path of a file
        home = mirror(f"{recipe.runs}/{learn}")
        FolderLock(home).look()
    run = home / RunFile.ESCALATED
    return run if run.exists() else recipe.path(str(learn))


def waiting(recipe: Recipe) -> int:
    """Escalated questions that the recipe does not take in."""
    if recipe.cascade is None or recipe.cascade.learn:
        return 0
    return sum(1 for _ in Escalations(recipe.run_folder / RunFile.ESCALATED))
