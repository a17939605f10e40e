"""The models that mark words in a run: a teacher with gradients, a student before training, chance, word counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError, RecipeError, TeacherError
from ...core.registry import split_spec
from ...core.results import CellFile, RunFile
from ...core.types import Example, Task, Tick, digest
from ...evaluation.metrics.answers import matches
from ...methods.builtin import ASK
from ...methods.corpus import Corpus
from ...methods.spec import method
from ...methods.view import View
from ...models.load import default_dtype, family_of
from ...models.locate import Model, locate_model
from ...saliency.analysis import Examiner
from ...saliency.controls import Chance, Counts
from ...saliency.whitebox import WhiteBox, own_answers
from ...stats import estimate
from ...students.open import as_student, load_student, open_untrained
from ...students.start import model_start
from ...teachers.base import BaseTeacher
from ...teachers.steps import STEPS, Step
from ..blocks import SalientBlock, StudentBlock
from ..folder import Cell
from ..once import recall, with_start
from ..recipe import Recipe
from .distil import learns_tuned
from .questions import question_key
from .train import train_cell

if TYPE_CHECKING:
    from ...saliency.attribution import AttributionSettings
    from ...students.base import BaseStudent


class WordMarkers:
    """The models and counts that mark words in a run.

    Args:
        recipe: The settings of the run.
        folder: Of the run: a fine-tuned teacher stands in `teacher/`.
        train: The training questions, whose words are counted.
    """

    def __init__(self, recipe: Recipe, folder: Path, train: Sequence[Example]) -> None:
        self.recipe, self.folder, self.train = recipe, folder, train
        self._students: dict[str, WhiteBox] = {}

    def marker_of(self, step: Step, student: StudentBlock) -> BaseTeacher:
        """The model that takes a step which marks words.

        Raises TeacherError when the teacher has no gradients, or is not fine-tuned yet.
        """
        if step.by == "white-box":
            return self.teacher
        if step.by == "student":
            return self._students.setdefault(student.label, self._student(student))
        return self._counts if step.by == "counts" else Chance()

    @cached_property
    def teacher(self) -> WhiteBox:
        """The teacher of the step `salient`. Raises TeacherError, ModelError."""
        block, model = self.block, locate_model(self._ref, self.recipe.root)
        if not block.finetune:
            return self._white_box(lambda: self._load(False), model.name, model, ASK)
        if not self.cell.trained:
            why = (
                "is not fine-tuned yet"
                if self.cell.done("train") is None
                else "was fine-tuned, but the weights are gone"
            )
            raise TeacherError(f"{model.name} {why}. Run: shrinklm train-teacher RECIPE")
        tuned, view = locate_model(str(self._tuned)), method("finetune").answer
        name = f"{model.name} fine-tuned"
        return self._white_box(lambda: self._load(True), name, tuned, view)

    def examiner(self, task: Task, tests: Sequence[Example], tick: Tick) -> Examiner:
        """The teacher as the judge of every step's words: it answers the questions without them."""
        teacher, block = self.teacher, self.block
        about = {
            "name": teacher.name,
            "finetuned": block.finetune is not None,
            "accuracy": self.accuracy(task, tests, tick),
        }
        return Examiner(teacher.model, teacher.view, about, block.erase, block.compare, block.batch)

    @property
    def block(self) -> SalientBlock:
        """The recipe's block."""
        return self.recipe.salient

    # The teacher is fine-tuned as a student is: with the same code, in a folder of the same kind.

    @property
    def cell(self) -> Cell:
        """The fine-tuned teacher."""
        kind = family_of(locate_model(self._ref, self.recipe.root), self.block.trust_remote_code)
        block = StudentBlock(use=f"{kind}:{self._ref}", trust_remote_code=self.block.trust_remote_code)
        seed = self.block.finetune.seeds[0] if self.block.finetune else 0
        return Cell(method("finetune"), block, seed, self.folder / RunFile.TEACHER)

    def finetune(self, task: Task, tests: Sequence[Example], dev: Sequence[Example], tick: Tick) -> dict[str, Any]:
        """Fine-tunes the teacher unless it is, and measures its accuracy before and after on test questions: an
        estimate each, or None.

        Raises RecipeError when the recipe fine-tunes no teacher.
        """
        if self.block.finetune is None:
            raise RecipeError(
                "The recipe fine-tunes no teacher. Add: salient: {use: transformers:PATH_OR_ID, finetune: {examples: "
                "20000}}"
            )
        cell, recipe, corpus = self.training()
        train_cell(cell, recipe, task, corpus, dev, tick)
        return self.accuracy(task, tests, tick)

    def training(self) -> tuple[Cell, Recipe, Corpus]:
        """What the teacher is fine-tuned by."""
        recipe = self.recipe.model_copy(update={"train": self.block.finetune})
        return self.cell, recipe, Corpus(self.train, {}, self.cell.seed)

    def accuracy(self, task: Task, tests: Sequence[Example], tick: Tick) -> dict[str, Any]:
        """Its accuracy before and after fine-tuning: {"before": an estimate or None, "after": the same}.

        Measured by the figure that is attributed, Σ log p of an answer.
        """
        questions = tests[: self.block.questions]
        accuracies: dict[str, Any] = {"before": None, "after": None}
        for when, tuned in (("before", False), ("after", True)):
            if questions and (self.block.finetune or not tuned):
                accuracies[when] = self._measured(when, tuned, task, questions, tick)
        return accuracies

    def _measured(self, when: str, tuned: bool, task: Task, questions: Sequence[Example], tick: Tick) -> dict[str, Any]:
        """The accuracy of one state of the teacher, measured once."""
        # The marker of its training names the tuned weights: another fine-tuning is measured anew.
        revision = (self.cell.done("train") if tuned else None) or locate_model(self._ref, self.recipe.root).revision
        key = digest(revision, [question_key(example) for example in questions])
        key = with_start(key, "" if tuned else model_start(self._ref, self.recipe.root).key)
        path = self.folder / RunFile.TEACHER / f"accuracy-{when}.json"
        accuracy: dict[str, Any] = recall(
            path, key, "accuracy", lambda: self._measure(when, tuned, task, questions, tick)
        )
        return accuracy

    def _measure(self, when: str, tuned: bool, task: Task, questions: Sequence[Example], tick: Tick) -> dict[str, Any]:
        # The state that marks words is loaded already; the other one is loaded for this alone.
        marks = tuned == bool(self.block.finetune)
        model, view = (self.teacher.model, self.teacher.view) if marks else (self._load(tuned), ASK)
        right: list[float] = []
        for start in range(0, len(questions), self.block.batch):
            batch = questions[start : start + self.block.batch]
            texts = own_answers(model, view, batch, self.block.batch)
            # With options the text is one of them already; a free answer is read by the task's parser.
            answers = [
                text if example.choices or text is None else task.parse(text, example)
                for example, text in zip(batch, texts, strict=True)
            ]
            right += [matches(example, answer) for example, answer in zip(batch, answers, strict=True)]
            title = f"accuracy of the teacher {when if self.block.finetune else ''}".rstrip()
            tick(title, len(right), len(questions), "")
        return figure(right)

    @cached_property
    def _ref(self) -> str:
        """The model behind the teacher's spec. Raises TeacherError for one without gradients."""
        spec = self.block.use or (self.recipe.teacher.use if self.recipe.teacher else "")
        name, rest = split_spec(spec)
        if name != "transformers" or not rest:
            raise TeacherError(
                f"The step 'salient' looks into the model, and '{spec}' shows no gradients: "
                "it is a server, a file or a program. "
                "Name a model that runs here: salient: {use: transformers:PATH_OR_ID} (a hub id, a folder of "
                "safetensors, or a GGUF file)."
            )
        return rest

    def _load(self, tuned: bool) -> BaseStudent:
        """The teacher's model, fine-tuned or not.

        Integrated gradients sum many small steps, which would not add up in bfloat16.
        """
        dtype = "float32" if self.block.method == "integrated_gradients" else default_dtype()
        if tuned:
            return load_student(self._tuned, dtype)
        where = locate_model(self._ref, self.recipe.root)
        try:
            return as_student(where, dtype, self.block.trust_remote_code)
        except ModelError as error:
            what = "a hub id, a folder of safetensors, or a GGUF file that can be dequantised"
            raise TeacherError(f"{error} The step 'salient' needs the weights as numbers: {what}.") from error

    @property
    def _tuned(self) -> Path:
        return self.folder / RunFile.TEACHER / CellFile.STUDENT

    def _student(self, student: StudentBlock) -> WhiteBox:
        """A student before training, which answers in its own terms, not in those of a view."""
        ref = split_spec(student.use)[1]

        def opened() -> BaseStudent:
            return open_untrained(student.spec(self.recipe.train.max_length), self.recipe.root)

        try:
            where = locate_model(ref, self.recipe.root)
        except ModelError:  # one that is made, not read, such as `tiny`
            where = Model(student.use, student.use, "", None)
        name = where.name
        # Name and revision are in the key of a marking: fewer layers of the same weights are another model.
        if student.keep_every > 1:
            name += f", every {student.keep_every}th layer"
        return self._white_box(opened, name, where, ASK)

    def _white_box(self, opened: Callable[[], BaseStudent], name: str, model: Model, view: View) -> WhiteBox:
        block = self.block
        return WhiteBox(opened, name, model.revision, view, self._settings, block.label, block.batch, model.tokenizer)

    @cached_property
    def _counts(self) -> Counts:
        return Counts(self.train)

    @property
    def _settings(self) -> AttributionSettings:
        from ...saliency.attribution import AttributionSettings

        block = self.block
        return AttributionSettings(block.method, block.norm, block.pieces, block.steps, block.most_steps)


def figure(values: Sequence[float]) -> dict[str, Any]:
    """The share of items that are right, with its interval, for JSON."""
    import numpy as np

    interval = estimate(np.array([values], dtype=float), share=True)
    return {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}


def looks_inside(recipe: Recipe) -> bool:
    """Whether a step looks into a teacher."""
    return any(STEPS[step.name].by == "white-box" for step in recipe.generate)


def tunes(recipe: Recipe) -> bool:
    """Whether a teacher is fine-tuned before anything else: one that marks words, or whose logits are learned."""
    return recipe.salient.finetune is not None and (looks_inside(recipe) or learns_tuned(recipe))
