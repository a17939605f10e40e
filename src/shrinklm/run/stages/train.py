"""What is done in one cell of a run: one method, one student, one seed. Trained, asked, scored; each once."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import StoreError, StudentError
from ...core.files import read_json, write_json, write_text
from ...core.results import read_predictions, read_scores, write_predictions, write_scores
from ...core.types import Example, Prediction, Score, Task, Tick, digest
from ...evaluation.ask import EvaluateSettings, Evaluation, Timing, predict, read_answer
from ...evaluation.score import score
from ...methods.corpus import Corpus
from ...methods.view import View
from ...students.likeliest import reason
from ...students.open import load_student, open_student, open_untrained, ready_to_answer
from ..folder import Cell
from ..recipe import Recipe, StudentBlock
from .score import add, added, measure, settings

if TYPE_CHECKING:
    from ...students.base import BaseStudent

_SHORTEST_CAP, _LONGEST_CAP = 32, 256
"""Bounds, in tokens, of the cap on a student's explanations when the recipe names none."""
_EXPLAINED = " explained "
"""In the marker of an asked cell, between what was asked and how many of its questions were explained."""
_DEV_QUESTIONS = 100
"""Dev questions asked on the way, for the curve."""


def train_key(cell: Cell, recipe: Recipe, corpus: Corpus, dev: Sequence[Example]) -> str:
    """What a training asks for: equal keys mean equal weights."""
    block = recipe.train.model_dump(mode="json", exclude={"seeds", "micro_batch"})
    chosen = [(example.id, example.text, example.answer) for example in dev] if recipe.train.early_stopping else None
    if chosen is None:
        del block["checkpoints"], block["curve"]
    said = [
        (
            example.id,
            [(kind, answer, generation.text, generation.refusal) for (kind, answer), generation in generations.items()],
        )
        for example in corpus.examples
        if (
            generations := {
                slot: found
                for slot, found in corpus.generations.get(example.id, {}).items()
                if slot[0] in cell.method.needs
            }
        )
    ]
    student = cell.student.model_dump(mode="json", exclude={"name"})
    return digest(cell.method.name, student, block, cell.seed, chosen, said, pairs(cell, corpus))


def pairs(cell: Cell, corpus: Corpus) -> list[dict[str, Any]]:
    """What a cell's student is shown in its first epoch, one row a pair."""
    rows = []
    for index in range(len(corpus.examples)):
        for shown in corpus.pairs(cell.method, index, 0):
            row = {"view": shown.view.name, "weight": shown.weight, "example_id": shown.example.id}
            rows.append({**row, "option": shown.pair.option, "prompt": shown.pair.prompt, "target": shown.pair.target})
    return rows


def unchanged(cell: Cell, key: str) -> bool:
    """Whether the cell is trained already, as `key` asks; False when it is not trained. Raises StoreError when it is trained otherwise."""
    done = cell.done("train")
    if done not in (None, key):
        raise StoreError(
            f"{cell.folder} holds a student trained from another recipe or other generations, and nothing is overwritten. "
            "Give the recipe a new `name`, or delete that folder."
        )
    return done is not None


def train_cell(cell: Cell, recipe: Recipe, task: Task, corpus: Corpus, dev: Sequence[Example], tick: Tick) -> None:
    """Trains a cell's student unless it is trained, and goes on with a training that was interrupted.

    Raises StoreError when the cell holds a student trained otherwise, MethodError or StudentError when there is nothing to train on.
    """
    from ...students.training.train import TrainSettings, discard_checkpoints, train_student

    key = train_key(cell, recipe, corpus, dev)
    if unchanged(cell, key):
        _tidy(cell)  # left by a kill after the last word
        return
    shown = pairs(cell, corpus)
    write_text(cell.folder / "pairs.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in shown))
    started = cell.folder / "started"
    if started.is_file() and started.read_text() != key:
        discard_checkpoints(cell.folder)  # of an unfinished training of something else
        (cell.folder / "train.jsonl").unlink(missing_ok=True)
    write_text(started, key)

    def named(what: str, done: int, total: int, note: str) -> None:
        tick(f"{what} {cell.name}", done, total, note)

    def measure(student: BaseStudent) -> dict[str, float]:
        return _dev(student, cell, recipe, task, dev)

    block = recipe.train
    settings = TrainSettings(**block.model_dump(exclude={"seeds"}), seed=cell.seed)
    use_dev = measure if dev and (block.curve or block.early_stopping) else None
    student, fit = train_student(
        lambda: open_block(cell.student, recipe), corpus, cell.method, settings, cell.folder, use_dev, named
    )
    student.save(cell.folder / "student")
    size = sum(path.stat().st_size for path in (cell.folder / "student").glob("*.safetensors"))
    write_json(
        cell.folder / "cell.json",
        {**_about(cell), **asdict(fit), "parameters": student.parameters_total, "bytes": size},
    )
    cell.mark("train", key)
    _tidy(cell)


def _tidy(cell: Cell) -> None:
    """Takes away what only an unfinished training needs."""
    from ...students.training.train import discard_checkpoints

    discard_checkpoints(cell.folder)
    (cell.folder / "started").unlink(missing_ok=True)


def evaluate_cell(cell: Cell, recipe: Recipe, task: Task, tests: Sequence[Example], tick: Tick) -> None:
    """Asks a cell's student the test questions, unless the same student was asked the same before, and scores what it said.

    Raises StudentError when it is not trained.
    """
    trained = cell.done("train")
    if cell.method.views and trained is None:
        raise StudentError(f"{cell.name} is not trained. Run: shrinklm train RECIPE")
    block = recipe.evaluate
    about = [(example.id, example.text, example.answer) for example in tests]
    asked = digest(trained, cell.student.model_dump(mode="json"), block.max_tokens, block.batch, about)
    explain = len(tests) if block.explanations is None else min(block.explanations, len(tests))
    before, _, explained = (cell.done("predict") or "").partition(_EXPLAINED)
    anew = before != asked
    names = [*block.metrics, *added(cell)]
    if (
        anew or int(explained) < explain
    ):  # answers that are known are not asked for again to have more of them explained
        _ask(cell, recipe, task, tests, tick, f"{asked}{_EXPLAINED}{explain}", anew)
    references = [example.meta.get("reference") for example in tests]
    scored = digest(cell.done("predict"), block.metrics, references, *settings(names, recipe, tests))
    if cell.done("evaluate") != scored:
        file = cell.folder / "scores.parquet"
        rated = [old for old in (read_scores(file) if file.is_file() and not anew else ()) if old.rater is not None]
        write_scores(
            [*measure(cell, recipe, task, tests, names, lambda: asked_student(cell, recipe), tick), *rated], file
        )
        cell.mark("evaluate", scored)


def score_cell(
    cell: Cell, recipe: Recipe, task: Task, tests: Sequence[Example], names: Sequence[str], tick: Tick
) -> list[Score]:
    """Adds metrics to a cell whose student was asked; see `scoring.add`."""
    return add(cell, recipe, task, tests, names, lambda: asked_student(cell, recipe), tick)


def ask_cell(cell: Cell, task: Task, example: Example) -> Prediction:
    """One question to one trained student."""
    student = load_student(cell.folder / "student", use=cell.student.use)

    def say(view: View) -> str:
        return student.answer([view.prompt(example)], _LONGEST_CAP)[0]

    raw = say(cell.method.answer)
    explain = cell.method.explain
    told = None if explain is None else reason(explain, raw if explain == cell.method.answer else say(explain), example)
    return Prediction(cell.name, example.id, read_answer(task, cell.method.answer, raw, example), told, raw)


def open_block(block: StudentBlock, recipe: Recipe) -> BaseStudent:
    """The student that a recipe's block names, untrained."""
    return open_student(block.spec(recipe.train.max_length), recipe.root)


def _ask(cell: Cell, recipe: Recipe, task: Task, tests: Sequence[Example], tick: Tick, key: str, anew: bool) -> None:
    block = recipe.evaluate
    known = (
        None
        if anew
        else (read_predictions(cell.folder / "predictions.parquet"), Timing(**read_json(cell.folder / "timing.json")))
    )
    student = asked_student(cell, recipe)
    how = EvaluateSettings(_cap(student, cell, recipe), block.batch, block.explanations)
    part = cell.folder / "predictions.part"
    evaluation = Evaluation(student, task, cell.method, cell.name, how)
    predictions, timing = predict(evaluation, tests, part, key, known, tick)
    write_predictions(predictions, cell.folder / "predictions.parquet")
    write_json(cell.folder / "timing.json", asdict(timing))
    if not cell.method.views:
        none = {
            "examples_seen": 0,
            "batch": 0,
            "micro_batch": 0,
            "steps": 0,
            "tokens_seen": 0,
            "pairs": {},
            "unbuilt": {},
        }
        rest = {"train_seconds": 0.0, "diverged": False, "parameters": student.parameters_total, "bytes": None}
        write_json(cell.folder / "cell.json", {**_about(cell), **none, **rest})
    cell.mark("predict", key)
    part.unlink(missing_ok=True)


def _dev(student: BaseStudent, cell: Cell, recipe: Recipe, task: Task, dev: Sequence[Example]) -> dict[str, float]:
    """Dev accuracy of a student in training: of a copy, in the precision it will be asked in."""
    asked = ready_to_answer(type(student)(copy.deepcopy(student.model), student.tokenizer, student.max_length))
    examples = dev[:_DEV_QUESTIONS]
    with tempfile.TemporaryDirectory() as place:
        settings = EvaluateSettings(_cap(asked, cell, recipe), recipe.evaluate.batch, 0)
        predictions, _ = predict(
            Evaluation(asked, task, cell.method, cell.name, settings), examples, Path(place) / "part"
        )
    scores = score(task, examples, predictions, ["accuracy"])
    return {"dev_accuracy": sum(found.value for found in scores) / len(examples), "dev_n": len(examples)}


def asked_student(cell: Cell, recipe: Recipe) -> BaseStudent:
    """The cell's student as it is asked: trained, or for a method without views as it came."""
    if cell.method.views:
        return load_student(cell.folder / "student", use=cell.student.use)
    return open_untrained(cell.student.spec(recipe.train.max_length), recipe.root)


def _cap(student: BaseStudent, cell: Cell, recipe: Recipe) -> int:
    """The cap of an explanation: the recipe's, or the longest target it was trained on."""
    if recipe.evaluate.max_tokens:
        return recipe.evaluate.max_tokens
    rows = cell.folder / "pairs.jsonl"
    if not rows.is_file():
        return 2 * _SHORTEST_CAP
    with rows.open(encoding="utf-8") as lines:
        targets = [json.loads(line)["target"] for line in lines]
    longest = max((len(student.target_ids(target)) for target in sorted(targets, key=len)[-20:]), default=_SHORTEST_CAP)
    return max(_SHORTEST_CAP, min(_LONGEST_CAP, longest))


def _about(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.name, "method": cell.method.name, "student": cell.student.label, "seed": cell.seed}
