"""The questions of a run, split by split, with answers: those of the data, or the labels of a teacher."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from ...core.files import write_json, write_jsonl
from ...core.results import RunFile
from ...core.types import SPLITS, Example, Split, Task, Tick
from ...tasks.base import TaskOptions, make_task, without
from ...teachers.prompts import Prompts
from ...teachers.store import Store
from .. import folder as folders
from ..code import allow
from ..recipe import Recipe
from .cascade import learned
from .labels import Label, Labelling, labelling_of
from .writers import Writers


def task_of(recipe: Recipe) -> Task:
    """The task of a recipe. Raises TaskError, or RecipeError for code that nobody trusts."""
    allow(recipe)
    block = recipe.task
    return make_task(block.use, TaskOptions(**block.model_dump(exclude={"use"}), root=recipe.root))


class Data:
    """The questions of a run.

    Args:
        recipe: The settings of the run.
        task: The source of the questions.
        prompts: Questions that they show are held out of training.
        writers: One of them labels questions without answers.
        store: Opens the store of its answers, where it is needed.
        tick: Called with the progress.
    """

    def __init__(
        self, recipe: Recipe, task: Task, prompts: Prompts, writers: Writers, store: Callable[[], Store], tick: Tick
    ) -> None:
        self.recipe, self.task, self.prompts, self.writers = recipe, task, prompts, writers
        self.store, self.tick = store, tick
        self.escalated: list[Example] = []
        """Of the training questions those that a cascade passed on, with its teacher's answers."""

    @cached_property
    def questions(self) -> dict[Split, list[Example]]:
        """The examples of each split; training questions that stand in the few-shot prompts are held out.

        The answer of a question that comes without one is "".
        """
        train = without(self.task, "train", (example for example, _ in self.prompts.shots))
        held = {split: list(self.task.examples(split)) for split in SPLITS if split != "train"}
        self.escalated = learned(self.recipe, [example for examples in held.values() for example in examples], train)
        return {split: [*train, *self.escalated] if split == "train" else held[split] for split in SPLITS}

    @cached_property
    def labelling(self) -> Labelling | None:
        """The teacher's labels of questions that come without answers; None where all have one. Raises RecipeError."""
        if all(example.answer for split in SPLITS for example in self.questions[split]):
            return None
        return labelling_of(self.recipe, self.task, self.questions, self.writers, self.prompts, self.store(), self.tick)

    @cached_property
    def splits(self) -> dict[Split, list[Example]]:
        """`questions`, of which those without answers have the teacher's, or are left out. Raises MethodError."""
        return self.labelling.splits(self._labels) if self.labelling is not None else self.questions

    def write(self, folder: Path) -> None:
        """Write data.json, and labels.jsonl where a teacher gave answers."""
        figures = folders.describe(self.task, self.splits, len(self.questions["train"]) - len(self.escalated))
        if self.escalated:
            figures["escalated"] = len(self.escalated)
        if self.labelling is not None:
            figures["labels"] = self.labelling.figures(self._labels)
            write_jsonl(folder / RunFile.LABELS, self.labelling.rows(self._labels))
        write_json(folder / RunFile.DATA, figures)

    @cached_property
    def _labels(self) -> dict[str, Label]:
        """Question → its label, of the questions that come without answers."""
        return self.labelling.labels() if self.labelling is not None else {}
