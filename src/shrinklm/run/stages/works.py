"""The works of a run's cells, as an engine does them: a training, an evaluation, further metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ...core.remote import received, sent
from ...core.types import Example, Score, Task, Tick
from ...students.open import outline
from ..engines.base import Engine, Work
from ..folder import Cell
from ..recipe import Recipe
from ..storage import Storage
from .data import task_of
from .evaluate import PredictMarker, evaluate_cell, predict_stage, score_stage
from .generate import cells_of, methods_of
from .score import CellTest, add, added
from .train import train_cell

Lessons = Callable[[Cell], Mapping[str, Any]]
"""The arguments of `train_cell` for the corpus, the questions and the origin of a cell."""


@dataclass(frozen=True)
class _CellWork(Work):
    recipe: Recipe
    cell: Cell = field(repr=False)
    task: Task | None = field(repr=False)
    """The recipe's, where it is at hand; another process reads it again."""

    verb: ClassVar[str]
    """What it does to its cell."""

    @property
    def name(self) -> str:
        """See Work."""
        return f"{self.verb} {self.cell.name}"

    @property
    def folder(self) -> Path:
        """See Work."""
        return self.cell.folder

    @property
    def memory(self) -> int:
        """See Work."""
        from ...students.training.limit import held

        student = outline(self.cell.student.spec(self.recipe.train.max_length), self.recipe.root)
        return held(student, self.verb == "train")

    def __getstate__(self) -> dict[str, Any]:
        # Methods and tasks hold functions, which cannot be sent: the other process makes them from the recipe.
        return {**self.__dict__, "cell": sent(self.cell.folder), "task": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        recipe: Recipe = state["recipe"]
        folder = received(state["cell"])
        cells = cells_of(recipe, methods_of(recipe), folder.parent)
        cell = next(cell for cell in cells if cell.folder == folder)
        self.__dict__.update(state, cell=cell)

    def _send(self, tick: Tick) -> None:
        # Each cell when it is done, wherever that was: the stage, which sends the whole run, may take days.
        Storage(self.folder, tick).send(self.folder)

    def _task(self) -> Task:
        return self.task or task_of(self.recipe)


@dataclass(frozen=True)
class Training(_CellWork):
    """A cell's training: see `train_cell`."""

    verb = "train"
    lessons: Mapping[str, Any]

    def do(self, tick: Tick) -> None:
        """See Work."""
        train_cell(self.cell, self.recipe, self._task(), tick=tick, **self.lessons)
        self._send(tick)


@dataclass(frozen=True)
class Evaluating(_CellWork):
    """A cell's evaluation: see `evaluate_cell`."""

    verb = "evaluate"
    tests: Sequence[Example]
    dev: Sequence[Example]

    @property
    def done(self) -> bool:
        """Whether the student was asked, and its answers are scored."""
        test = self._test(lambda *_: None)
        before = PredictMarker.read(self.cell.done("predict"))
        names = [*self.recipe.evaluate.metrics, *added(self.cell)]
        return predict_stage(test, before).done and score_stage(test, names, keep_ratings=True).done

    def do(self, tick: Tick) -> None:
        """See Work."""
        evaluate_cell(self._test(tick), self.dev)
        self._send(tick)

    def _test(self, tick: Tick) -> CellTest:
        return CellTest(self.cell, self.recipe, self._task(), self.tests, tick)


@dataclass(frozen=True)
class Scoring(_CellWork):
    """Further metrics of a cell: see `score.add`."""

    verb = "score"
    tests: Sequence[Example]
    metrics: Sequence[str]

    def do(self, tick: Tick) -> list[Score]:
        """See Work."""
        scores = add(CellTest(self.cell, self.recipe, self._task(), self.tests, tick), self.metrics)
        self._send(tick)
        return scores


@dataclass(frozen=True)
class Cells:
    """The cells of a run and the engine that works on them."""

    recipe: Recipe
    task: Task
    engine: Engine
    tick: Tick

    def train(self, cells: Sequence[Cell], lessons: Lessons) -> None:
        """Train cells, each unless it is trained. Raises the error of the first that failed: see `train_cell`."""
        left = []
        for cell in cells:
            if cell.trained:  # raises where that was by another recipe
                train_cell(cell, self.recipe, self.task, tick=self.tick, **lessons(cell))
            else:
                left.append(cell)
        works = (Training(self.recipe, cell, self.task, lessons(cell)) for cell in left)
        self.engine.do(works, self.tick, min(self.recipe.train.at_once, len(left)))
        self._bring(left)

    def evaluate(self, cells: Sequence[Cell], tests: Sequence[Example], dev: Sequence[Example]) -> None:
        """Ask the students of cells the test questions and score their answers: see `evaluate_cell`."""
        works = [Evaluating(self.recipe, cell, self.task, tests, dev) for cell in cells]
        left = []
        for work in works:
            if work.done:  # what stands beside its answers, such as their calibration, takes a moment
                work.do(self.tick)
            else:
                left.append(work)
        self.engine.do(left, self.tick)
        self._bring(cells)

    def score(self, cells: Sequence[Cell], tests: Sequence[Example], metrics: Sequence[str]) -> dict[str, list[Score]]:
        """Add metrics to the scores of cells; the new scores of each: see `score.add`."""
        works = [Scoring(self.recipe, cell, self.task, tests, metrics) for cell in cells]
        scores = self.engine.do(works, self.tick)
        self._bring(cells)
        return {work.cell.name: scores[work.name] for work in works}

    def _bring(self, cells: Sequence[Cell]) -> None:
        """Bring what other machines have sent to the URL of the run."""
        if cells and self.engine.elsewhere:
            Storage(cells[0].folder, self.tick).pull()
