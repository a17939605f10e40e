"""All that a recipe or `shrinklm score` lists, measured on what one cell's student said; what costs time is kept and never done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import RecipeError
from ...core.files import Part
from ...core.registry import find
from ...core.results import read_predictions, read_scores, write_scores
from ...core.types import Example, Prediction, Score, Task, Tick, digest
from ...evaluation.metrics.base import AnyMetric, Context, Probe, Simulated, SimulateSettings
from ...evaluation.probes import AnswerCache, probe
from ...evaluation.score import score
from ...evaluation.simulate import simulated, trained
from ...models.encoder import Encoder
from ...students.open import open_student
from ..folder import Cell
from ..recipe import Recipe, SimulatorBlock, TrainBlock

if TYPE_CHECKING:
    from ...students.base import Student
    from ...students.training.train import TrainSettings


def check(names: Iterable[str], recipe: Recipe) -> None:
    """Raises UnknownName or RecipeError for a metric that cannot be measured, before anything is."""
    for name in names:
        if isinstance(find("metrics", name), Simulated) and recipe.evaluate.simulator is None:
            add = "evaluate: {simulator: {use: causal:PATH_OR_ID}}"
            raise RecipeError(f"The metric '{name}' trains a simulator, and the recipe names none. Add: {add}")


def probes(names: Iterable[str]) -> bool:
    """Whether one of the metrics asks the student again."""
    return any(isinstance(find("metrics", name), Probe) for name in names)


def settings(names: Iterable[str], recipe: Recipe, tests: Sequence[Example]) -> list[Any]:
    """What the figures hang on besides the predictions and the names of the metrics; empty for a recipe that says nothing of it."""
    block = recipe.evaluate
    told = [example.meta.get("counterfactual") for example in tests] if probes(names) else []
    said = [
        block.encoder,
        block.entailment,
        block.simulator and block.simulator.model_dump(mode="json"),
        [one for one in told if one],
    ]
    return said if any(said) else []


def added(cell: Cell) -> list[str]:
    """The metrics that `shrinklm score` added to what the cell's student was asked; none when it was asked anew since."""
    note = json.loads(cell.done("score") or "{}")
    return list(note["metrics"]) if note and note["asked"] == cell.done("predict") else []


def measure(
    cell: Cell,
    recipe: Recipe,
    task: Task,
    tests: Sequence[Example],
    names: Iterable[str],
    student: Callable[[], Student],
    tick: Tick,
) -> list[Score]:
    """The scores of a cell's predictions. `student` opens who said them, and is called only for a probe that was not asked before.

    Raises RecipeError for a metric that cannot be measured, ShrinkError for predictions of other questions.
    """
    check(wanted := list(dict.fromkeys(names)), recipe)
    block, asked = recipe.evaluate, str(cell.done("predict"))
    predictions = read_predictions(cell.folder / "predictions.parquet")
    metrics: dict[str, AnyMetric] = {name: find("metrics", name) for name in wanted}
    asking = [metric for metric in metrics.values() if isinstance(metric, Probe)]
    plain = [name for name, metric in metrics.items() if not isinstance(metric, Probe | Simulated)]
    scores = score(task, tests, predictions, plain, lambda: Encoder(block.encoder, recipe.root, block.entailment))
    explained = [said for said in predictions if said.explanation is not None]
    if not explained:
        return scores
    if asking:
        told = {example.id: found for example in tests if (found := example.meta.get("counterfactual"))}
        cache = AnswerCache(student, task, cell.folder / "probes.parquet", asked, block.batch, tick)
        scores += probe(cache, tests, asking, Context(cell.method, explained, counterfactuals=told))
    for name, metric in metrics.items():
        if isinstance(metric, Simulated):
            scores += _simulated(name, metric, cell, recipe, tests, explained, asked, tick)
    return scores


def add(
    cell: Cell,
    recipe: Recipe,
    task: Task,
    tests: Sequence[Example],
    names: Sequence[str],
    student: Callable[[], Student],
    tick: Tick,
) -> list[Score]:
    """Measures more of a cell that was asked, and adds it to scores.parquet; what else stands there stays. Returns the new scores."""
    scores = measure(cell, recipe, task, tests, names, student, tick)
    file, new = cell.folder / "scores.parquet", {score.metric for score in scores}
    kept = [
        old for old in (read_scores(file) if file.is_file() else ()) if old.rater is not None or old.metric not in new
    ]
    write_scores([*kept, *scores], file)
    names = list(dict.fromkeys([*added(cell), *names]))
    cell.mark("score", json.dumps({"asked": cell.done("predict"), "metrics": names}))
    return scores


def _simulated(
    name: str,
    metric: Simulated,
    cell: Cell,
    recipe: Recipe,
    tests: Sequence[Example],
    explained: Sequence[Prediction],
    asked: str,
    tick: Tick,
) -> list[Score]:
    """The simulator's scores: of before, when it would learn the same from the same."""
    block = recipe.evaluate.simulator
    assert block is not None
    said = [(example.id, example.answer, dict(example.meta)) for example in simulated(tests, explained)]
    key = digest(name, asked, block.model_dump(mode="json"), said)
    file, folder, part = (cell.folder / place for place in ("simulator.parquet", "simulator", "simulator.part"))
    if cell.done("simulate") != key:
        fit = trained(
            lambda: open_student(block.spec, recipe.root),
            _training(block),
            folder / key,
            tick,
            f"simulator of {cell.name}",
        )
        known = SimulateSettings(block.folds, block.seed, block.masked, recipe.evaluate.batch)
        write_scores(metric.simulate(tests, explained, fit, known, Part(part, key), tick), file)
        cell.mark("simulate", key)
        shutil.rmtree(folder, ignore_errors=True)
        part.unlink(missing_ok=True)
    return read_scores(file)


def _training(block: SimulatorBlock) -> TrainSettings:
    from ...students.training.train import TrainSettings

    stated = block.model_dump(
        include={"examples", "batch", "micro_batch", "learning_rate", "precision", "max_length", "seed"}
    )
    # What the block does not state is as in any training. One checkpoint: what is kept of a fold is its scores.
    rest = TrainBlock().model_dump(exclude={"seeds"})
    return TrainSettings(**{**rest, **stated, "checkpoints": 1, "curve": 0})
