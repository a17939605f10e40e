"""What the stages of a run work on: its questions, teachers, texts and cells, each made when it is first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from ..core.results import RunFile
from ..core.types import Example, Split, Task, Teacher, Tick
from ..methods.corpus import Corpus
from ..methods.view import Method
from ..teachers.base import BaseTeacher, as_teacher
from ..teachers.prompts import Prompts
from ..teachers.remote import open_store
from ..teachers.steps import StepRequest
from ..teachers.store import Store
from .blocks import StudentBlock
from .engines.base import Engine
from .engines.local import LocalEngine
from .folder import Cell
from .lock import FolderLock
from .recipe import Recipe
from .stages.data import Data, task_of
from .stages.generate import Teaching, cells_of, methods_of, steps_of
from .stages.origin import Sources
from .stages.score import asks_again
from .stages.weigh import Weights
from .stages.word_markers import WordMarkers
from .stages.works import Cells
from .stages.writers import Writers


class Inputs:
    """What the stages of a run work on. The arguments are those of `Run`."""

    def __init__(
        self, recipe: Recipe, teacher: Teacher | None = None, tick: Tick | None = None, engine: Engine | None = None
    ) -> None:
        self.recipe = recipe
        self.folder = recipe.run_folder
        self.tick: Tick = tick or (lambda what, done, total, note: None)
        self.engine = engine or LocalEngine()
        self._teacher = None if teacher is None else as_teacher(teacher)
        self._scratch = False

    @cached_property
    def lock(self) -> FolderLock:
        """Held while a stage writes to the folder."""
        return FolderLock(self.folder, lambda *said: self.tick(*said))

    @cached_property
    def methods(self) -> list[Method]:
        """The recipe's methods. Raises UnknownName or MethodError."""
        return methods_of(self.recipe)

    @property
    def steps(self) -> list[StepRequest]:
        """The steps of the recipe."""
        return steps_of(self.recipe)

    @cached_property
    def task(self) -> Task:
        """The recipe's task. Raises TaskError."""
        return task_of(self.recipe)

    @cached_property
    def prompts(self) -> Prompts:
        """The prompts: the package's, or the recipe's own."""
        return Prompts(self.task.type, self.recipe.path(self.recipe.prompts) if self.recipe.prompts else None)

    @cached_property
    def writers(self) -> Writers:
        """The recipe's teachers, their weights not yet loaded."""
        return Writers(self.recipe, self._teacher, self.engine)

    @cached_property
    def data(self) -> Data:
        """The questions, and how those without answers are labelled."""
        return Data(self.recipe, self.task, self.prompts, self.writers, lambda: self.store, self.tick)

    @property
    def splits(self) -> dict[Split, list[Example]]:
        """The examples of each split, with answers. Raises MethodError where a teacher is still to give them."""
        return self.data.splits

    @property
    def teacher(self) -> BaseTeacher | None:
        """The teacher that takes every step which names no other."""
        return self.writers.first

    @cached_property
    def markers(self) -> WordMarkers:
        """The models that mark words."""
        return WordMarkers(self.recipe, self.folder, self.splits["train"])

    @cached_property
    def store(self) -> Store:
        """The project's generations. Raises StoreError."""
        return open_store(self.recipe.path(self.recipe.store))

    @cached_property
    def teaching(self) -> Teaching:
        """The teachers of this run, with their generations and a report of the missing ones."""
        about = self.recipe, self.task, self.splits
        return Teaching(*about, self.writers, self.markers, self.prompts, self.store, self.tick)

    @property
    def cells(self) -> list[Cell]:
        """Method × student × seed, and each student before training."""
        return cells_of(self.recipe, self.methods, self.folder / RunFile.CELLS)

    @property
    def work(self) -> Cells:
        """What is done cell by cell."""
        return Cells(self.recipe, self.task, self.engine, self.tick)

    def corpus(self, seed: int = 0, student: StudentBlock | None = None, method: Method | None = None) -> Corpus:
        """The training examples with their texts, as `student` (left out: the first) marks and `method` weighs them."""
        student, examples = student or self.recipe.student[0], self.splits["train"]
        known = self.teaching.known(student)[0]
        return Corpus(examples, known, seed, None if method is None else self.weights.of(method, student, known))

    @cached_property
    def weights(self) -> Weights:
        """The weights of samples."""
        return Weights(self.recipe, self.folder, self.splits["train"], self.tick, not self._scratch)

    def tests(self, metrics: Sequence[str] = ()) -> list[Example]:
        """The test questions with what the metrics compare with: see `Teaching.references`."""
        return self.teaching.references(asks_again(metrics))

    @property
    def sources(self) -> Sources:
        """What the students are trained from."""
        return Sources(self.recipe, self.splits["train"], self.splits["dev"], self.writers, self.prompts)
