"""A run: a recipe and the folder of what happened. Stages in order; whatever is already done is skipped."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import folder as files
from .errors import MethodError, RecipeError, StoreError, StudentError
from .evaluate import EvaluateSettings, predict, read_answer, reason, score
from .folder import Cell, cell_name, read_json, write_json, write_text
from .generate import GenerateSettings, Report, Said, StepRequest, generate, said
from .methods import Corpus, Method, View, method
from .prompts import Prompts
from .recipe import Recipe, StudentBlock
from .registry import find
from .results import read_predictions, write_predictions, write_scores
from .store import Store
from .tasks.base import TaskOptions, duplicates_across, make_task, question_key
from .teachers.base import TeacherOptions, make_teacher
from .types import SPLITS, Example, Prediction, Split, Task, Teacher, Tick, by_id, digest

if TYPE_CHECKING:
    from .students.base import BaseStudent

_SHORTEST_CAP, _LONGEST_CAP = 32, 256
"""Bounds, in tokens, of the cap on a student's explanations when the recipe names none."""
_DEV_QUESTIONS = 100
"""Dev questions asked on the way, for the curve."""


class Run:
    """What a recipe asks for, done stage by stage in `runs/NAME`.

    Args:
        recipe: What is asked.
        teacher: Used instead of the one the recipe names: any object with `name`, `revision` and `complete`.
        tick: Told of progress: (what, done, total, note).
    """

    def __init__(self, recipe: Recipe, teacher: Teacher | None = None, tick: Tick | None = None) -> None:
        self.recipe = recipe
        self.folder = recipe.run_folder
        self.tick: Tick = tick or (lambda what, done, total, note: None)
        self._teacher = teacher

    # What the stages work on

    @cached_property
    def methods(self) -> list[Method]:
        """The recipe's methods. Raises UnknownName or MethodError."""
        return [method(spec) for spec in self.recipe.methods]

    @cached_property
    def task(self) -> Task:
        """The recipe's task. Raises TaskError."""
        block = self.recipe.task
        return make_task(block.use, TaskOptions(**block.model_dump(exclude={"use"}), root=self.recipe.root))

    @cached_property
    def prompts(self) -> Prompts:
        """The prompts: the package's, or the recipe's own."""
        return Prompts(self.task.type, self.recipe.path(self.recipe.prompts) if self.recipe.prompts else None)

    @cached_property
    def splits(self) -> dict[Split, list[Example]]:
        """The examples of each split; training questions that stand in the few-shot prompts are held out."""
        found = {split: list(self.task.examples(split)) for split in SPLITS}
        shots = {" ".join(shot["question"].lower().split()) for shot in self.prompts.shots}
        found["train"] = [example for example in found["train"] if " ".join(example.question.lower().split()) not in shots]
        return found

    @cached_property
    def teacher(self) -> Teacher | None:
        """The recipe's teacher, its weights not yet loaded."""
        block = self.recipe.teacher
        if self._teacher is not None or block is None:
            return self._teacher
        options = TeacherOptions(self.recipe.root, block.columns, block.batch, block.trust_remote_code, block.api_key_env, block.price)
        return make_teacher(block.use, options)

    @cached_property
    def store(self) -> Store:
        """The project's generations. Raises StoreError."""
        return Store(self.recipe.path(self.recipe.store))

    @property
    def steps(self) -> list[StepRequest]:
        """What the teacher is asked to write."""
        return [StepRequest(step.name, step.rounds, step.max_words, step.max_tokens) for step in self.recipe.generate]

    @property
    def _settings(self) -> GenerateSettings:
        block = self.recipe.teacher
        if block is None:
            return GenerateSettings()
        return GenerateSettings(block.temperature, block.top_p, block.seed, block.retries, block.price)

    @property
    def cells(self) -> list[Cell]:
        """Method × student × seed, and each student before training."""
        grid = [(found, student, seed) for student in self.recipe.student for found in self.methods for seed in self.recipe.train.seeds]
        if self.recipe.evaluate.zero_shot:
            grid += [(method("zero-shot"), student, 0) for student in self.recipe.student]
        cells = []
        for found, student, seed in grid:
            cells.append(Cell(found, student, seed, self.folder / "cells" / cell_name(found.name, student.label, seed)))
        return cells

    def corpus(self, seed: int = 0) -> Corpus:
        """The training examples with what the teacher said about them."""
        return Corpus(self.splits["train"], self._said, seed)

    @cached_property
    def _said(self) -> Said:
        if self.teacher is None or not self.steps:
            return {}
        if getattr(self.teacher, "free", False):  # a recording costs nothing: read it now, asked or not
            self._ask(self.splits["train"], self.steps)
        return said(self.splits["train"], self.steps, self.teacher, self.prompts, self.store, self._settings, self.task.parse)

    def _ask(self, examples: Sequence[Example], steps: Sequence[StepRequest]) -> Report:
        assert self.teacher is not None
        return generate(examples, steps, self.teacher, self.prompts, self.store, self._settings, self.task.parse, self.tick)

    # The stages

    def start(self) -> None:
        """Makes the folder, with the recipe, the environment and what the data are."""
        if not (self.folder / "env.json").is_file():  # first of all: it tells a run folder from a folder that holds a recipe
            write_json(self.folder / "env.json", {**files.environment(), "root": str(self.recipe.root.resolve())})
        write_text(self.folder / "recipe.yaml", self.recipe.dump())
        write_json(self.folder / "data.json", self._data())

    def generate(self, step: str | None = None) -> Report:
        """Asks the teacher for what the store lacks; `step` alone when named. Raises RecipeError without a teacher."""
        if self.teacher is None or not self.steps:
            raise RecipeError("The recipe asks a teacher for nothing. Add `teacher: {use: ...}` and `generate: [explanation, ...]`.")
        steps = [request for request in self.steps if step in (None, request.name)]
        if not steps:
            raise RecipeError(f"The recipe has no step '{step}'. Its steps: {', '.join(request.name for request in self.steps)}.")
        self.start()
        # The teacher's own answers are asked of the test split too: they are its accuracy. In train only methods on its labels need them.
        train = [request for request in steps if request.name != "label" or any("label" in found.needs for found in self.methods)]
        report = self._ask(self.splits["train"], train)
        if any(request.name == "label" for request in steps):
            tested = self._ask(self.splits["test"], [request for request in steps if request.name == "label"])
            report.steps["label (test)"] = tested.steps["label"]
        self.__dict__.pop("_said", None)
        if step is None:
            about = {"teacher": self.teacher.name, "revision": self.teacher.revision, "steps": report.as_dict()}
            write_json(self.folder / "generations.json", {**about, "teacher_accuracy": self._teacher_accuracy()})
        return report

    def preview(self, limit: int = 3, tokens: bool = False, epoch: int = 0) -> Iterator[dict[str, Any]]:
        """One object a pair of the first `limit` examples (0: all) of each method, then the summary of all of them."""
        corpus = self.corpus(self.recipe.train.seeds[0])
        student = self._open(self.recipe.student[0]) if tokens else None
        counts: dict[str, dict[str, int]] = {}
        for found in self.methods:
            count = counts[found.name] = {view.name: 0 for view in found.views}
            for index in range(len(corpus.examples)):
                for shown in corpus.show(found, index, epoch):
                    count[shown.view.name] += 1
                    if limit and index >= limit:
                        continue
                    pair = shown.pair
                    row = {"method": found.name, "view": shown.view.name, "weight": shown.weight, "example_id": shown.example.id, "option": pair.option}
                    row |= {"prompt": pair.prompt, "target": pair.target}
                    if student is not None:
                        row |= dict(zip(("tokens", "scored"), student.tokens(pair), strict=True))
                    yield row
        yield {"summary": {"examples": len(corpus.examples), "pairs": counts, "refused": self._refused()}}

    def train(self) -> None:
        """Trains every cell that is not trained yet. Raises MethodError when generations are missing."""
        self.start()
        for cell in self.cells:
            if cell.method.views:
                self._train(cell)

    def evaluate(self) -> None:
        """Predictions and scores of every trained cell, and of each student before training."""
        self.start()
        tests = self._tests()
        self._write_tests(tests)
        for cell in self.cells:
            self._evaluate(cell, tests)

    def report(self) -> Path:
        """The report of what is there; its path."""
        from .report import build

        return build(self.folder)

    def all(self) -> Path:
        """Every stage; the path of the report."""
        if self.teacher is not None and self.steps:
            self.generate()
        self.train()
        self.evaluate()
        return self.report()

    def predict(self, question: str, choices: Sequence[str] = (), cell: str | None = None, **fields: str) -> Prediction:
        """A trained student's answer and explanation of one question. `cell` picks one; left out: the last method, its first seed."""
        return ask_cell(self._trained(cell), self.task, Example("asked", question, tuple(choices), "", fields))

    # How

    def _train(self, cell: Cell) -> None:
        from .students.base import BaseStudent
        from .train import TrainSettings, discard_checkpoints, train

        corpus = self.corpus(cell.seed)
        if not corpus.usable(cell.method):  # raises with what is missing
            return
        pairs = self._pairs(cell, corpus)
        asked = self._train_key(cell, pairs)
        if (done := cell.done("train")) is not None:
            if done != asked:
                raise StoreError(
                    f"{cell.folder} holds a student trained from another recipe or other generations, and nothing is overwritten. "
                    "Give the recipe a new `name`, or delete that folder."
                )
            return
        settings = TrainSettings(**self.recipe.train.model_dump(exclude={"seeds"}), seed=cell.seed)
        write_text(cell.folder / "pairs.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in pairs))
        started = cell.folder / "started"
        if started.is_file() and started.read_text() != asked:
            shutil.rmtree(cell.folder / "checkpoints", ignore_errors=True)  # of an unfinished training of something else
            (cell.folder / "train.jsonl").unlink(missing_ok=True)
        write_text(started, asked)

        def tick(what: str, done: int, total: int, note: str) -> None:
            self.tick(f"{what} {cell.name}", done, total, note)

        def measure(student: BaseStudent) -> dict[str, float]:
            return self._dev(student, cell)

        use_dev = measure if self.splits["dev"] and (self.recipe.train.curve or self.recipe.train.early_stopping) else None
        student, fit = train(lambda: self._open(cell.student), corpus, cell.method, settings, cell.folder, use_dev, tick)
        student.save(cell.folder / "student")
        about = {"cell": cell.name, "method": cell.method.name, "student": cell.student.label, "seed": cell.seed, **asdict(fit)}
        write_json(cell.folder / "cell.json", {**about, **_size(student, cell.folder / "student")})
        cell.mark("train", asked)
        discard_checkpoints(cell.folder)

    def _train_key(self, cell: Cell, pairs: Sequence[dict[str, Any]]) -> str:
        """What this training asks for: equal keys mean equal weights."""
        block = self.recipe.train.model_dump(mode="json", exclude={"seeds", "micro_batch"})
        return digest(cell.method.name, cell.student.model_dump(mode="json"), block, cell.seed, pairs)

    def _pairs(self, cell: Cell, corpus: Corpus) -> list[dict[str, Any]]:
        rows = []
        for index in range(len(corpus.examples)):
            for shown in corpus.show(cell.method, index, 0):
                row = {"view": shown.view.name, "weight": shown.weight, "example_id": shown.example.id}
                rows.append({**row, "option": shown.pair.option, "prompt": shown.pair.prompt, "target": shown.pair.target})
        return rows

    def _dev(self, student: BaseStudent, cell: Cell) -> dict[str, float]:
        """Dev accuracy of a student in training: of a copy, in the precision it will be asked in."""
        import copy

        import torch

        from .models import bf16_supported

        asked = type(student)(copy.deepcopy(student.model), student.tokenizer, student.max_length)
        asked.to(torch.bfloat16 if bf16_supported() else torch.float32).eval()
        examples = self.splits["dev"][:_DEV_QUESTIONS]
        with tempfile.TemporaryDirectory() as place:
            settings = EvaluateSettings(self._cap(asked, cell), self.recipe.evaluate.batch, 0)
            predictions, _ = predict(asked, self.task, examples, cell.method, cell.name, settings, Path(place) / "part")
        scores = score(self.task, examples, predictions, ["accuracy"])
        return {"dev_accuracy": sum(found.value for found in scores) / len(examples), "dev_n": len(examples)}

    def _evaluate(self, cell: Cell, tests: Sequence[Example]) -> None:
        from .students.base import load_student

        trained = cell.done("train")
        if cell.method.views and trained is None:
            raise StudentError(f"{cell.name} is not trained. Run: shrinklm train RECIPE")
        block = self.recipe.evaluate
        about = [(example.id, example.text, example.answer) for example in tests]
        asked = digest(trained, cell.student.model_dump(mode="json"), block.max_tokens, block.batch, block.explanations, about)
        if cell.done("predict") != asked:
            student = load_student(cell.folder / "student") if cell.method.views else self._untrained(cell.student)
            settings = EvaluateSettings(self._cap(student, cell), block.batch, block.explanations)
            part = cell.folder / "predictions.part"
            predictions, timing = predict(student, self.task, tests, cell.method, cell.name, settings, part, self.tick, asked)
            write_predictions(predictions, cell.folder / "predictions.parquet")
            write_json(cell.folder / "timing.json", asdict(timing))
            if not cell.method.views:
                self._write_untrained(cell, student)
            cell.mark("predict", asked)
            part.unlink(missing_ok=True)
        scored = digest(asked, block.metrics, [example.meta.get("reference") for example in tests])
        if cell.done("evaluate") != scored:
            predictions = read_predictions(cell.folder / "predictions.parquet")
            write_scores(score(self.task, tests, predictions, block.metrics), cell.folder / "scores.parquet")
            cell.mark("evaluate", scored)

    def _cap(self, student: BaseStudent, cell: Cell) -> int:
        """The cap of an explanation: the recipe's, or the longest target it was trained on."""
        if self.recipe.evaluate.max_tokens:
            return self.recipe.evaluate.max_tokens
        pairs = cell.folder / "pairs.jsonl"
        if not pairs.is_file():
            return 2 * _SHORTEST_CAP
        targets = [json.loads(line)["target"] for line in pairs.read_text(encoding="utf-8").splitlines()]
        longest = max((len(student.target_ids(target)) for target in sorted(targets, key=len)[-20:]), default=_SHORTEST_CAP)
        return max(_SHORTEST_CAP, min(_LONGEST_CAP, longest))

    def _open(self, block: StudentBlock) -> BaseStudent:
        from .students.base import open_student

        return open_student(
            block.use, self.recipe.root, lora=block.lora, keep_every=block.keep_every, max_length=self.recipe.train.max_length,
            trust_remote_code=block.trust_remote_code,
        )  # fmt: skip

    def _untrained(self, block: StudentBlock) -> BaseStudent:
        import torch

        from .models import bf16_supported
        from .students.base import default_device

        torch.manual_seed(0)
        student = self._open(block)
        return student.to(default_device(), torch.bfloat16 if bf16_supported() else torch.float32).eval()

    def _write_untrained(self, cell: Cell, student: BaseStudent) -> None:
        none = {"examples_seen": 0, "batch": 0, "micro_batch": 0, "steps": 0, "tokens_seen": 0, "pairs": {}, "unbuilt": {}, "train_seconds": 0.0}
        about = {"cell": cell.name, "method": cell.method.name, "student": cell.student.label, "seed": cell.seed, **none, "diverged": False}
        write_json(cell.folder / "cell.json", {**about, "parameters": student.parameters_total, "bytes": None})

    def _tests(self) -> list[Example]:
        """The test questions, with the explanation that overlap is measured against: the teacher's, else the task's own."""
        tests, known = self.splits["test"], {}
        if self.teacher is not None and any(request.name == "explanation" for request in self.steps):
            request = [StepRequest("explanation")]
            if getattr(self.teacher, "free", False):
                self._ask(tests, request)
            known = said(tests, request, self.teacher, self.prompts, self.store, self._settings, self.task.parse)
        found = []
        for example in tests:
            generation = known.get(example.id, {}).get(("explanation", example.answer))
            taught = generation.text if generation is not None and not generation.refusal else None
            reference = taught or example.meta.get("explanation")
            by = self.teacher.name if taught and self.teacher else "task"
            found.append(replace(example, meta={**example.meta, "reference": reference, "reference_by": by if reference else None}))
        return found

    def _write_tests(self, tests: Sequence[Example]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [
            {"id": example.id, "question": example.question, "choices": list(example.choices), "answer": example.answer,
             "fields": json.dumps(dict(example.fields), ensure_ascii=False), "reference": example.meta["reference"], "teacher": example.meta["reference_by"]}
            for example in tests
        ]  # fmt: skip
        text = pa.string()
        schema = pa.schema([("id", text), ("question", text), ("choices", pa.list_(text)), ("answer", text), ("fields", text), ("reference", text), ("teacher", text)])
        new = self.folder / ".examples.parquet.new"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), new, compression="zstd")
        new.replace(self.folder / "examples.parquet")

    def _data(self) -> dict[str, Any]:
        train, tests = self.splits["train"], self.splits["test"]
        held_out = len(list(self.task.examples("train"))) - len(train)
        fixed = len({example.choices for example in (*train, *tests)}) == 1
        place = Counter(example.answer if fixed else str(_position(example)) for example in train)
        common = place.most_common(1)[0][0] if place else ""
        hits = [(example.answer if fixed else str(_position(example))) == common for example in tests]
        guess = [1 / len(set(example.choices)) for example in tests if example.choices]
        return {
            "task": self.task.name, "type": self.task.type, **{split: len(examples) for split, examples in self.splits.items()},
            "duplicates": duplicates_across(self.task), "held_out": held_out,
            "majority": sum(hits) / len(hits) if hits and guess else None, "random": sum(guess) / len(guess) if guess else None,
        }  # fmt: skip

    def _teacher_accuracy(self) -> dict[str, Any] | None:
        """Share of test questions whose own answer by the teacher is right; one that does not parse is wrong."""
        requests = [request for request in self.steps if request.name == "label"]
        if not requests or self.teacher is None:
            return None
        tests = self.splits["test"]
        known = said(tests, requests, self.teacher, self.prompts, self.store, self._settings, self.task.parse)
        answers = [known[example.id].get(("label", "")) for example in tests]
        right = [found is not None and found.answer == example.answer for found, example in zip(answers, tests, strict=True)]
        return {"split": "test", "value": sum(right) / len(right), "n": len(right)} if any(answers) else None

    def _refused(self) -> dict[str, dict[str, int]]:
        counts: dict[str, Counter[str]] = {request.name: Counter() for request in self.steps}
        for generations in self._said.values():
            for (kind, _), generation in generations.items():
                if generation.refusal:
                    counts.setdefault(kind, Counter())[generation.refusal] += 1
        return {kind: dict(count.most_common()) for kind, count in counts.items()}

    def _trained(self, name: str | None) -> Cell:
        trained = [cell for cell in self.cells if cell.method.views and cell.done("train") is not None]
        if not trained:
            raise StudentError(f"{self.folder} has no trained student. Run: shrinklm train RECIPE")
        if name is None:
            last = trained[-1].method.name
            return next(cell for cell in trained if cell.method.name == last)
        for cell in trained:
            if name in (cell.name, cell.method.name):
                return cell
        raise StudentError(f"No trained student is called '{name}'. There are: {', '.join(cell.name for cell in trained)}.")


def ask_cell(cell: Cell, task: Task, example: Example) -> Prediction:
    """One question to one trained student."""
    from .students.base import load_student

    student = load_student(cell.folder / "student")

    def say(view: View) -> str:
        return student.answer([view.prompt(example)], _LONGEST_CAP)[0]

    raw = say(cell.method.answer)
    explain = cell.method.explain
    told = None if explain is None else reason(explain, raw if explain == cell.method.answer else say(explain))
    return Prediction(cell.name, example.id, read_answer(task, cell.method.answer, raw, example), told, raw)


def open_run(folder: str | Path, tick: Tick | None = None) -> Run:
    """The run in a folder made before. Raises StoreError when it holds none."""
    folder = Path(folder).resolve()
    recipe, env = folder / "recipe.yaml", folder / "env.json"
    for file in (recipe, env):
        if not file.is_file():
            raise StoreError(f"{folder} is not a run folder: it has no {file.name}. Run folders are made by: shrinklm run RECIPE")
    # The recipe's paths start where the recipe stood, not in the run folder.
    root = Path(read_json(env)["root"])
    read = Recipe.read(recipe)
    found = Run(read.model_copy(update={"root": root}), tick=tick)
    found.folder = folder
    return found


def _position(example: Example) -> int:
    return example.choices.index(example.answer) if example.answer in example.choices else -1


def _size(student: BaseStudent, folder: Path) -> dict[str, int]:
    return {"parameters": student.parameters_total, "bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors"))}
