"""What a trained student came from, as far as that is known before a teacher is asked, and what of it has changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ...core.errors import RecipeError, StoreError
from ...core.files import read_json
from ...core.intact import intact
from ...core.results import CellFile, RunFile
from ...core.types import Example, digest
from ...methods.corpus import Corpus
from ...methods.view import Method
from ...teachers.generate import GenerationsByExample
from ...teachers.prompts import Prompts
from ...teachers.steps import STEPS, StepRequest, plan
from ...teachers.usage import Report
from ..asked import TeacherBlock
from ..folder import Cell
from ..once import same_work
from ..recipe import Recipe
from ..students import student_start
from ..values import Block
from .distil import origin_of
from .generate import steps_of
from .train import NO_WEIGHT, Origin, refusal, train_key
from .writers import Writers

_QUESTIONS = "the training questions"
_NOTHING = "nothing"
_ASKING = ("temperature", "top_p", "seed", "retries", "thinking", "max_tokens", "extra")
"""Keys of the teacher's block that change what it writes; who it is, its name and revision say."""
_MARKING = ("method", "norm", "pieces", "steps", "most_steps", "label")
"""Keys of the salient block that change which words are marked."""


@dataclass(frozen=True)
class Sources:
    """What a run's students are trained from."""

    recipe: Recipe
    train: Sequence[Example]
    dev: Sequence[Example]
    writers: Writers
    prompts: Prompts

    @cached_property
    def _asked(self) -> str:
        return _digest(self.train)

    def origin(self, cell: Cell) -> Origin:
        """What the weights of a cell depend on, but for the teacher's words themselves, which may not be there yet."""
        recipe = self.recipe
        origin: Origin = {**_trained_by(recipe, cell), _QUESTIONS: self._asked}
        if recipe.train.early_stopping:
            origin["the dev questions"] = _digest(self.dev)
        steps = self.steps(cell.method)
        written = [request for request in steps if not STEPS[request.name].marks]
        if written:
            drop = recipe.audit.drop
            origin["audit.drop"] = None if drop is None else drop.model_dump(mode="json", exclude_defaults=True)
        origin |= self._written_by(written)
        origin |= origin_of(cell, recipe)
        if len(written) < len(steps):
            origin |= _values("salient", recipe.salient, _MARKING)
        return origin

    def _written_by(self, requests: Sequence[StepRequest]) -> Origin:
        """Who writes, and what is asked."""
        by = self.writers.by_teacher(request.name for request in requests)
        who = {teacher: f"{teacher.name} {teacher.revision}".strip() for teacher in by}
        takers = {request.name: self.writers.takers(request.name) for request in requests}
        blocks = {each.teacher: each.block for found in takers.values() for each in found}
        origin: Origin = {"teacher": ", ".join(who.values())} if by else {}
        sampled = [request for request in requests if request.name not in self.writers.reads]
        for teacher, steps in by.items():
            # Of one teacher the names are those that recipes with one have always had.
            if len(by) > 1:
                names = {step: ", ".join(who[each.teacher] for each in takers[step]) for step in steps}
                origin |= {f"generate.{step}.teacher": name for step, name in names.items()}
            if not teacher.reads:
                name = "teacher" if len(by) == 1 else f"teacher of {', '.join(steps)}"
                origin |= _values(name, blocks[teacher], _ASKING)
        if by and sampled:
            origin |= _capped(sampled)
            origin["the prompts"] = digest([self._prompt(request) for request in sampled])
        return origin

    def steps(self, method: Method) -> list[StepRequest]:
        """The steps that a method's texts come from, with those that they build on."""
        reads = self.writers.reads
        needed = [StepRequest(kind, 1, None, None) for kind in method.needs if kind in STEPS]
        names = {request.name for request, _ in plan(needed, reads)}
        return [request for request, turn in plan(steps_of(self.recipe), reads) if turn == 1 and request.name in names]

    def _prompt(self, request: StepRequest) -> list[str]:
        step = STEPS[request.name]
        example = Example("", "", ("a", "b"), "a")  # the question itself is no part of the prompt's wording
        quoted = dict.fromkeys(step.needs, "")
        return [turn.text for turn in self.prompts.prompt(step, example, "a", quoted, request.max_words).turns]


def changes(cell: Cell, now: Sources) -> list[str]:
    """What a trained cell came from that is another thing in the recipe: "train.batch was 8, is 16".

    Left out is what only the teacher's words would tell. Raises nothing where a record is missing: then less is known.
    """
    new = now.origin(cell) | _started_from(asdict(student_start(cell, now.recipe)))
    about = read_json(cell.folder / CellFile.ABOUT) if intact(cell.folder / CellFile.ABOUT) else {}
    old = about.get("origin") if isinstance(about, dict) else None
    before = _recipe_before(cell)
    task = list(_differences(_task(before), _task(now.recipe))) if before is not None else []
    if not isinstance(old, dict):
        # Version 0.1.0 kept no such record: the recipe and the first epoch's pairs in the folder tell most of it.
        old = _recorded(cell, before, new)
    old |= _started_from(about.get("base") if isinstance(about, dict) else None)
    found = [difference for difference in _differences(old, new) if not difference.startswith(_QUESTIONS)]
    # The digest tells whether questions differ; the pairs, of which there may be a million, tell which one.
    if _QUESTIONS not in old or old[_QUESTIONS] != new[_QUESTIONS]:
        example = next(_other_questions(cell, now.train), "")
        if _QUESTIONS in old or example:
            found += task or [f"{_QUESTIONS} are others{example and f': {example}'}"]
    return found


def refuse_changes(
    cells: Sequence[Cell], now: Sources, known: Callable[[Cell], tuple[GenerationsByExample, Report]]
) -> None:
    """Raises StoreError when the recipe would train other weights than a trained cell holds: before a teacher is asked.

    A change that trains the same weights, such as a copy of the same questions elsewhere, passes. So does a store that
    was lost: what the teacher says again is held against the weights when they would be trained.

    Args:
        cells: Those of the recipe.
        now: What they would be trained from.
        known: The texts for a cell that are in the store, and a report of those that are not.
    """
    for cell in cells:
        if not cell.method.views or cell.done("train") is None or not (found := changes(cell, now)):
            continue
        texts, report = known(cell)
        needed = [report.steps[request.name] for request in now.steps(cell.method) if request.name in report.steps]
        corpus = Corpus(now.train, texts, cell.seed)
        # With all texts there, the key says for certain whether the change matters.
        lacking = any(step.missing for step in needed)
        if lacking or not same_work(cell.done("train"), train_key(cell, now.recipe, corpus, now.dev)):
            raise StoreError(refusal(cell, found))


def _started_from(base: Any) -> Origin:
    """The model that a student starts from, by its record in cell.json; without what is not known."""
    if not isinstance(base, dict):
        return {}
    return {f"student.{key}": base[key] for key in ("revision", "tokenizer") if base.get(key)}


def _trained_by(recipe: Recipe, cell: Cell) -> Origin:
    left_out = set(NO_WEIGHT)
    if not recipe.train.early_stopping:
        left_out |= {"checkpoints", "curve", "dev_questions"}
    student = cell.student.model_dump(mode="json", exclude={"name"})
    train = recipe.train.model_dump(mode="json", exclude=left_out)
    return {f"student.{key}": value for key, value in student.items()} | {
        f"train.{key}": value for key, value in train.items()
    }


def _asked_by(recipe: Recipe, requests: Sequence[StepRequest]) -> Origin:
    return _values("teacher", recipe.teacher or TeacherBlock(use=""), _ASKING) | _capped(requests)


def _capped(requests: Sequence[StepRequest]) -> Origin:
    keys = ("rounds", "max_words", "max_tokens", "samples")
    return {f"generate.{request.name}.{key}": getattr(request, key) for request in requests for key in keys}


def _values(name: str, block: Block, keys: Sequence[str]) -> Origin:
    return {f"{name}.{key}": getattr(block, key) for key in keys}


def _digest(examples: Sequence[Example]) -> str:
    return digest([(example.id, example.text, example.answer) for example in examples])


def _task(recipe: Recipe) -> Origin:
    bounds = {"most_rows", "most_megabytes"}  # what is read is the same
    return {f"task.{key}": value for key, value in recipe.task.model_dump(mode="json", exclude=bounds).items()}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What differs of the keys that both have, a digest without its value."""
    for key in new:
        if key in old and old[key] != new[key]:
            named = "." in key or key == "teacher"
            yield f"{key} was {_shown(old[key])}, is {_shown(new[key])}" if named else f"{key} are others"


def _shown(value: Any) -> str:
    text = _NOTHING if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _recipe_before(cell: Cell) -> Recipe | None:
    """The recipe in the run folder; None where there is none that can be read."""
    try:
        return Recipe.read(cell.folder.parent.parent / RunFile.RECIPE)
    except RecipeError:
        return None


def _recorded(cell: Cell, before: Recipe | None, new: Origin) -> Origin:
    """What a run folder of version 0.1.0 tells of a cell's origin."""
    old: Origin = {}
    if before is not None:
        students = [student for student in before.student if student.label == cell.student.label]
        for student in students:
            old |= _trained_by(before, Cell(cell.method, student, cell.seed, cell.folder))
        old |= _asked_by(before, steps_of(before)) | _values("salient", before.salient, _MARKING)
    path = cell.folder.parent.parent / RunFile.GENERATIONS
    if intact(path) and (known := read_json(path)).get("teacher"):
        old["teacher"] = f"{known['teacher']} {known.get('revision') or ''}".strip()
    return old


def _other_questions(cell: Cell, questions: Sequence[Example]) -> Iterator[str]:
    """Questions that are others than in the pairs that the student was trained on, each as a clause of a sentence."""
    path = cell.folder / CellFile.PAIRS
    if not intact(path):
        return
    known = {example.id: example for example in questions}
    answers = {view.name for view in cell.method.views if not view.source and "counterfactual" not in view.also}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, example = row["example_id"], known.get(row["example_id"])
        if example is None:
            yield f"'{name}' is gone"
        elif example.text not in row["prompt"]:
            yield f"'{name}' has other words"
        elif row["view"] in answers and row["option"] and row["option"] != example.answer:
            yield f"the answer to '{name}' was '{row['option']}', is '{example.answer}'"
