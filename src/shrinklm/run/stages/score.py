"""The metrics of a recipe and of `shrinklm score`, measured on the predictions of one cell; probes and simulators are
kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError, RecipeError
from ...core.files import Part
from ...core.intact import intact
from ...core.results import CellFile, read_predictions, read_scores, write_scores
from ...core.types import Example, Prediction, Score, Task, Tick, digest
from ...evaluation.metrics.base import AnyMetric, Context, Probe, Simulated, SimulateSettings, metric_of
from ...evaluation.probes import AnswerCache, probe
from ...evaluation.score import score_predictions
from ...evaluation.simulate import simulated, trained
from ...models.encoder import NO_MODEL, Encoder
from ...students.open import open_student
from ...students.start import model_start, start_of
from ..blocks import SimulatorBlock, TrainBlock
from ..folder import Cell
from ..once import Stage, marker, once, with_start
from ..recipe import Recipe
from ..students import answering_student

if TYPE_CHECKING:
    from ...students.training.train import TrainSettings


@dataclass(frozen=True)
class CellTest:
    """One cell, and what its student is tested on."""

    cell: Cell
    recipe: Recipe
    task: Task
    examples: Sequence[Example]
    """The test questions."""
    tick: Tick


def check(names: Iterable[str], recipe: Recipe) -> None:
    """Raises UnknownName or RecipeError for a metric that cannot be measured, before anything is."""
    for name in names:
        metric = metric_of(name)
        if isinstance(metric, Simulated) and recipe.evaluate.simulator is None:
            add = "evaluate: {simulator: {use: causal:PATH_OR_ID}}"
            raise RecipeError(f"The metric '{name}' trains a simulator, and the recipe names none. Add: {add}")
        if getattr(metric, "entails", False) and recipe.evaluate.entailment is None:
            raise RecipeError(NO_MODEL.replace("This metric", f"The metric '{name}'"))


def asks_again(names: Iterable[str]) -> bool:
    """Whether one of the metrics asks the student again."""
    return any(isinstance(metric_of(name), Probe) for name in names)


def settings(names: Iterable[str], recipe: Recipe, tests: Sequence[Example]) -> list[Any]:
    """The settings that scores depend on besides predictions and metrics; empty for a recipe that states none."""
    block = recipe.evaluate
    wrong = [example.meta.get("counterfactual") for example in tests] if asks_again(names) else []
    parts = [
        block.encoder,
        block.entailment,
        block.simulator and block.simulator.model_dump(mode="json"),
        [texts for texts in wrong if texts],
    ]
    # Not a list of nulls: without these settings the key is the one that version 0.1.0 wrote.
    return parts if any(parts) else []


def starts(recipe: Recipe) -> str:
    """A digest of the weights of the models that metrics use; "" where there are none, or one cannot be found."""
    block = recipe.evaluate
    try:
        keys = [model_start(ref, recipe.root).key for ref in (block.encoder, block.entailment) if ref]
    except ModelError:
        return ""
    keys += [start_of(block.simulator.spec, recipe.root).key] if block.simulator else []
    return digest(keys) if keys and all(keys) else ""


def added(cell: Cell) -> list[str]:
    """The metrics that `shrinklm score` added to the present predictions of a cell."""
    # A note about earlier predictions is void: their scores went with them.
    try:
        note = json.loads(cell.done("score") or "{}")
        return list(note["metrics"]) if note and note["asked"] == cell.done("predict") else []
    except (ValueError, LookupError, TypeError):  # a damaged note tells of none
        return []


def measure(test: CellTest, names: Iterable[str]) -> list[Score]:
    """The scores of a cell's predictions. The student is opened only for a probe that was not asked before.

    Raises RecipeError for a metric that cannot be measured, ShrinkError for predictions of other questions.
    """
    cell, recipe = test.cell, test.recipe
    check(wanted := list(dict.fromkeys(names)), recipe)
    block, predictions_key = recipe.evaluate, str(cell.done("predict"))
    predictions = read_predictions(cell.folder / CellFile.PREDICTIONS)
    metrics: dict[str, AnyMetric] = {name: metric_of(name) for name in wanted}
    asking = [metric for metric in metrics.values() if isinstance(metric, Probe)]
    plain = [name for name, metric in metrics.items() if not isinstance(metric, Probe | Simulated)]

    # A function, since most metrics need no embeddings: weights are looked for when one does.
    def encoder() -> Encoder:
        return Encoder(block.encoder, recipe.root, block.entailment)

    scores = score_predictions(test.task, test.examples, predictions, plain, encoder)
    explained = [prediction for prediction in predictions if prediction.explanation is not None]
    # Probes replace an explanation and simulators read it: both need one.
    if not explained:
        return scores
    if asking:
        wrong = {example.id: texts for example in test.examples if (texts := example.meta.get("counterfactual"))}
        answers = AnswerCache(
            lambda: answering_student(cell, recipe),  # loaded only for a question that is not in the file
            test.task,
            cell.folder / CellFile.PROBES,
            predictions_key,
            block.batch,
            test.tick,
        )
        scores += probe(answers, test.examples, asking, Context(cell.method, explained, counterfactuals=wrong))
    for name, metric in metrics.items():
        if isinstance(metric, Simulated):
            scores += _simulated(name, metric, test, explained)
    return scores


def add(test: CellTest, names: Sequence[str]) -> list[Score]:
    """Measures more of a cell whose student was asked, and adds it to its scores; the others stay.

    Returns the new scores.
    """
    scores = measure(test, names)
    path, new = test.cell.folder / CellFile.SCORES, {score.metric for score in scores}
    old = read_scores(path) if intact(path) else []
    write_scores([*(row for row in old if row.rater is not None or row.metric not in new), *scores], path)
    note = {"asked": test.cell.done("predict"), "metrics": list(dict.fromkeys([*added(test.cell), *names]))}
    test.cell.mark("score", json.dumps(note))
    return scores


def _simulated(name: str, metric: Simulated, test: CellTest, explained: Sequence[Prediction]) -> list[Score]:
    """The simulator's scores; those in the file where the same questions, answers and settings made them."""
    cell, recipe, block = test.cell, test.recipe, test.recipe.evaluate.simulator
    assert block is not None  # `check` refuses the metric without one
    questions = [(example.id, example.answer, dict(example.meta)) for example in simulated(test.examples, explained)]
    key = digest(name, str(cell.done("predict")), block.model_dump(mode="json"), questions)
    key = with_start(key, start_of(block.spec, recipe.root).key)
    path, folder, part = (
        cell.folder / name for name in (CellFile.SIMULATOR, CellFile.SIMULATOR_FOLDER, CellFile.SIMULATOR_PART)
    )

    def work() -> None:
        # The folder carries the key: checkpoints of another simulator are never resumed.
        title = f"simulator of {cell.name}"
        fit = trained(lambda: open_student(block.spec, recipe.root), _training(block), folder / key, test.tick, title)
        known = SimulateSettings(block.folds, block.seed, block.masked, recipe.evaluate.batch)
        write_scores(metric.simulate(test.examples, explained, fit, known, Part(part, key), test.tick), path)

    if once(Stage(marker(cell.folder, "simulate"), key, work, makes=(path,))):
        # Only an unfinished simulation needs its folds.
        shutil.rmtree(folder, ignore_errors=True)
        part.unlink(missing_ok=True)
    return read_scores(path)


def _training(block: SimulatorBlock) -> TrainSettings:
    from ...students.training.train import TrainSettings

    stated = block.model_dump(include={"examples", "batch", "micro_batch", "learning_rate", "precision", "max_length"})
    # What the block does not state is as in any training. One checkpoint: what is kept of a fold is its scores.
    return TrainSettings(**TrainBlock().settings(block.seed, **stated, checkpoints=1, curve=0))
