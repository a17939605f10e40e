"""A run: a recipe and the folder of what happened. Stages in order; whatever is already done is skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.errors import MethodError, RecipeError, StoreError, StudentError
from ..core.files import read_json, write_json, write_text
from ..core.marking import Keep
from ..core.results import RunFile, write_examples
from ..core.types import SPLITS, Example, Prediction, Score, Split, Task, Teacher, Tick, digest
from ..methods.corpus import Corpus
from ..methods.spec import method
from ..methods.view import Method
from ..saliency.analysis import analyze, items, write
from ..tasks.base import TaskOptions, make_task, question_key
from ..teachers.base import BaseTeacher, TeacherOptions, as_teacher, make_teacher
from ..teachers.generate import GenerateSettings, Report, Said, look, run_steps
from ..teachers.prompts import Prompts
from ..teachers.steps import STEPS, StepRequest, plan
from ..teachers.store import Store
from . import folder as files
from .folder import Cell, cell_name
from .recipe import Recipe, StudentBlock, TeacherBlock
from .stages import audit as auditing
from .stages.audit import audited, look_through
from .stages.judge import Panel, write_judgements
from .stages.saliency import Markers
from .stages.score import added, check, probes
from .stages.train import ask_cell, evaluate_cell, open_block, score_cell, train_cell, train_key, unchanged


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
        self._teacher = None if teacher is None else as_teacher(teacher)
        self._looked: dict[str, tuple[Said, Report]] = {}

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
        shots = {question_key(example) for example, _ in self.prompts.shots}
        found["train"] = [example for example in found["train"] if question_key(example) not in shots]
        return found

    @cached_property
    def teacher(self) -> BaseTeacher | None:
        """The recipe's teacher, its weights not yet loaded."""
        block = self.recipe.teacher
        if self._teacher is not None or block is None:
            return self._teacher
        options = TeacherOptions(
            self.recipe.root, block.columns, block.batch, block.trust_remote_code, block.api_key_env, block.price
        )
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
        # Without a teacher nothing but words is marked, and no setting changes those.
        block = self.recipe.teacher or TeacherBlock(use="")
        return GenerateSettings(block.temperature, block.top_p, block.seed, block.retries, block.price)

    @property
    def cells(self) -> list[Cell]:
        """Method × student × seed, and each student before training."""
        grid = [
            (found, student, seed)
            for student in self.recipe.student
            for found in self.methods
            for seed in self.recipe.train.seeds
        ]
        if self.recipe.evaluate.zero_shot:
            grid += [(method("zero-shot"), student, 0) for student in self.recipe.student]
        cells = []
        for found, student, seed in grid:
            cells.append(Cell(found, student, seed, self.folder / "cells" / cell_name(found.name, student.label, seed)))
        return cells

    def corpus(self, seed: int = 0, student: StudentBlock | None = None) -> Corpus:
        """The training examples with what the teacher said about them; `student` (the first when left out) marked its own words."""
        return Corpus(self.splits["train"], self._known(student)[0], seed)

    def _known(self, student: StudentBlock | None = None) -> tuple[Said, Report]:
        """What was said about the training examples, and what was not asked yet."""
        student = student or self.recipe.student[0]
        if student.label not in self._looked:
            self._looked[student.label] = self._look(self.splits["train"], self.steps, student)
        return self._looked[student.label]

    @cached_property
    def markers(self) -> Markers:
        """Who marks words."""
        return Markers(self.recipe, self.folder, self.splits["train"])

    def _askers(
        self, steps: Sequence[StepRequest], student: StudentBlock
    ) -> list[tuple[BaseTeacher, list[StepRequest]]]:
        """Who takes which steps: the teacher all that are written, and each that marks words its own."""
        written = [step for step in steps if not STEPS[step.name].marks]
        found: list[tuple[BaseTeacher, list[StepRequest]]] = []
        if written and self.teacher is not None:
            found.append((self.teacher, written))
        marked = [step for step in steps if STEPS[step.name].marks]
        return found + [(self.markers.who(STEPS[step.name], student), [step]) for step in marked]

    def _look(
        self, examples: Sequence[Example], steps: Sequence[StepRequest], student: StudentBlock | None = None
    ) -> tuple[Said, Report]:
        """What the store holds, and a report of what it lacks; what costs nothing is asked first."""
        known: Said = {example.id: {} for example in examples}
        report = Report()
        for teacher, some in self._askers(steps, student or self.recipe.student[0]):
            asked = (examples, some, teacher, self.prompts, self.store, self._settings, self.task.parse)
            found, lacks = look(*asked)
            if teacher.free and any(step.missing for step in lacks.steps.values()):
                run_steps(*asked, self.tick)
                found, lacks = look(*asked)
            for example_id, said in found.items():
                known[example_id] |= said
            report.steps |= lacks.steps
        return known, report

    def _ask(self, examples: Sequence[Example], steps: Sequence[StepRequest]) -> Report:
        """Asks for what the store lacks; what each student marks is reported under its name when there are several."""
        report = Report()
        for student in self.recipe.student:
            for teacher, some in self._askers(steps, student):
                own = any(STEPS[step.name].by == "student" for step in some)
                if student != self.recipe.student[0] and not own:
                    continue
                found = run_steps(
                    examples, some, teacher, self.prompts, self.store, self._settings, self.task.parse, self.tick
                ).steps
                several = own and len(self.recipe.student) > 1
                report.steps |= (
                    {f"{name} ({student.label})": step for name, step in found.items()} if several else found
                )
        return report

    # The stages

    def start(self) -> None:
        """Makes the folder, with the recipe, the environment and what the data are."""
        check(self.recipe.evaluate.metrics, self.recipe)  # before anything is trained
        self._check_steps()
        self._check_students()
        if not (
            self.folder / "env.json"
        ).is_file():  # first of all: it tells a run folder from a folder that holds a recipe
            about = {**files.environment(), "root": str(self.recipe.root.resolve())}
            write_json(self.folder / "env.json", about, files.NO_FOLDER)
        write_text(self.folder / "recipe.yaml", self.recipe.dump())
        write_json(self.folder / "data.json", files.describe(self.task, self.splits))

    def _check_steps(self) -> None:
        """Raises MethodError when a method needs what the recipe asks no teacher for."""
        asked = [request.name for request, _ in plan(self.steps, self.teacher is not None and self.teacher.reads)]
        for found in self.methods:
            lacks = [kind for kind in found.needs if kind not in asked]
            if lacks:
                steps = f"generate: [{', '.join([*asked, *lacks])}]"
                needs = f"Method '{found.name}' needs '{lacks[0]}' generations"
                raise MethodError(f"{needs}, which the recipe does not ask for. Write: {steps}")

    def _check_students(self) -> None:
        """Raises StoreError when the folder holds students that another recipe trained: nothing of it is overwritten."""
        recipe = self.folder / "recipe.yaml"
        if not recipe.is_file() or recipe.read_text(encoding="utf-8") == self.recipe.dump():
            return
        for cell in self.cells:
            if cell.done("train") is not None:
                unchanged(cell, train_key(cell, self.recipe, self.corpus(cell.seed, cell.student), self.splits["dev"]))

    def generate(self, step: str | None = None) -> Report:
        """Asks the teacher for what the store lacks; `step` alone when named. Raises RecipeError without a teacher."""
        if not self.steps:
            raise RecipeError(
                "The recipe asks a teacher for nothing. Add `teacher: {use: ...}` and `generate: [explanation, ...]`."
            )
        steps = [request for request in self.steps if step in (None, request.name)]
        if not steps:
            raise RecipeError(
                f"The recipe has no step '{step}'. Its steps: {', '.join(request.name for request in self.steps)}."
            )
        self.start()
        # The teacher's own answers are asked of the test split too: they are its accuracy. In train only methods on its labels need them.
        train = [
            request
            for request in steps
            if request.name != "label" or any("label" in found.needs for found in self.methods)
        ]
        report = self._ask(self.splits["train"], train)
        if any(request.name == "label" for request in steps):
            tested = self._ask(self.splits["test"], [request for request in steps if request.name == "label"])
            report.steps["label (test)"] = tested.steps["label"]
        self._looked.clear()
        if step is None:
            named = self.teacher or self._askers(self.steps, self.recipe.student[0])[0][0]
            about = {"teacher": named.name, "revision": named.revision, "steps": report.as_dict()}
            write_json(self.folder / "generations.json", {**about, "teacher_accuracy": self._teacher_accuracy()})
        return report

    def preview(self, limit: int = 3, tokens: bool = False, epoch: int = 0) -> Iterator[dict[str, Any]]:
        """One object a pair of the first `limit` examples (0: all) of each method, then the summary of all of them."""
        corpus = self.corpus(self.recipe.train.seeds[0])
        student = open_block(self.recipe.student[0], self.recipe) if tokens else None
        counts: dict[str, dict[str, int]] = {}
        for found in self.methods:
            count = counts[found.name] = {view.name: 0 for view in found.views}
            for index in range(len(corpus.examples)):
                for shown in corpus.pairs(found, index, epoch):
                    count[shown.view.name] += 1
                    if limit and index >= limit:
                        continue
                    pair = shown.pair
                    row: dict[str, Any] = {"method": found.name, "view": shown.view.name, "weight": shown.weight}
                    row |= {
                        "example_id": shown.example.id,
                        "option": pair.option,
                        "prompt": pair.prompt,
                        "target": pair.target,
                    }
                    if student is not None:
                        row |= dict(zip(("tokens", "scored"), student.tokens(pair), strict=True))
                    yield row
        yield {"summary": {"examples": len(corpus.examples), "pairs": counts, "refused": self._refused()}}

    def train(self) -> None:
        """Trains every cell that is not trained yet. Raises MethodError when generations are missing, AuditError when they are no good."""
        self.start()
        least = self.recipe.audit.min_support
        if least is not None and any(cell.method.views and cell.done("train") is None for cell in self.cells):
            self.audit(least)
        for cell in self.cells:
            if cell.method.views:
                corpus = self.corpus(cell.seed, cell.student)
                corpus.usable(cell.method)
                self._check_asked(cell.method, cell.student)
                train_cell(cell, self.recipe, self.task, corpus, self.splits["dev"], self.tick)

    def audit(self, min_support: float | None = None) -> dict[str, Any]:
        """Looks through what the teacher wrote about the training questions (`shrinklm.audit`), keeps it in `audit.json`, returns it.

        Raises RecipeError when the recipe asks for no texts, MethodError when none was said yet; and AuditError when those that the
        methods are trained on support their answers less often than `min_support`, if it is given.
        """
        self.start()
        steps = audited(self.steps, self.teacher)
        known = self.corpus().generations if steps else {}
        figures: dict[str, Any] = look_through(self.folder, self.teacher, self.splits["train"], known, steps, self.tick)
        if min_support is not None:
            auditing.check(figures, self.recipe, self.methods, min_support)
        return figures

    def _check_asked(self, method: Method, student: StudentBlock) -> None:
        """Raises MethodError when the teacher was not asked for everything yet that a method needs."""
        for kind in method.needs:
            step = self._known(student)[1].steps.get(kind)
            if step is not None and step.missing:
                raise MethodError(
                    f"Method '{method.name}' needs '{kind}' generations, and {step.missing:,} were not asked for yet. "
                    f"Run: shrinklm generate RECIPE --step {kind}"
                )

    def evaluate(self) -> None:
        """Predictions and scores of every trained cell, and of each student before training."""
        self.start()
        tests = self._tests([*self.recipe.evaluate.metrics, *(name for cell in self.cells for name in added(cell))])
        write_examples(tests, self.folder / RunFile.EXAMPLES)
        for cell in self.cells:
            evaluate_cell(cell, self.recipe, self.task, tests, self.tick)

    def score(self, metrics: Sequence[str]) -> dict[str, list[Score]]:
        """Adds metrics to the scores of every cell whose student was asked; nobody is trained, or asked what was asked before.

        Returns the new scores of each cell. Raises UnknownName or RecipeError for a metric, StudentError when no student was asked yet.
        """
        check(metrics, self.recipe)
        asked = [cell for cell in self.cells if cell.done("predict") is not None]
        if not asked:
            raise StudentError(f"{self.folder} has no predictions to score. Run: shrinklm evaluate RECIPE")
        tests = self._tests(metrics)
        return {cell.name: score_cell(cell, self.recipe, self.task, tests, metrics, self.tick) for cell in asked}

    def judge(self) -> dict[str, Any]:
        """Has the recipe's judges rate what the students explained; scores go to the cells, ratings to `judged.csv`. Returns `judge.json`.

        Raises RecipeError without a judge or when all judges wrote what they would rate, StudentError when nothing was explained yet.
        """
        panel = Panel(self.recipe, self.teacher)
        panel.check()
        self.start()
        sittings = panel.sit(self.cells, self.splits["test"], self.prompts, self.store, self.tick)
        return write_judgements(sittings, self.cells, self.folder)

    def train_teacher(self) -> dict[str, Any]:
        """Fine-tunes the teacher of the step `salient`; its accuracy before and after. Raises RecipeError or TeacherError."""
        self.start()
        return self.markers.finetune(self.task, self._tests(), self.splits["dev"], self.tick)

    def saliency(self) -> dict[str, Any]:
        """Measures the marked words of the training questions, writes them to `saliency/` for the report, and returns the figures.

        Raises RecipeError when the recipe asks for none.
        """
        steps = [step.name for step in self.steps if STEPS[step.name].marks]
        if not steps:
            raise RecipeError(
                "The recipe asks for no marked words. Add: generate: [salient, own-saliency, tfidf-tokens, random-tokens]"
            )
        self.start()
        examples, known = self.splits["train"], self.corpus().generations
        said = {
            step: {
                example.id: found for example in examples if (found := known[example.id].get((step, example.answer)))
            }
            for step in steps
        }
        lacking = [step for step in steps if not said[step]]
        if lacking:
            raise MethodError(
                f"The step '{lacking[0]}' was not taken yet. Run: shrinklm generate RECIPE --step {lacking[0]}"
            )
        keep = next((view.keep for found in self.methods for view in found.views if view.keep), Keep())
        keys = {step: sorted(found.key for found in said[step].values()) for step in steps}
        asked = digest(keys, asdict(keep), self.recipe.salient.model_dump(mode="json"))
        marker = self.folder / "done" / "saliency"
        if not marker.is_file() or marker.read_text(encoding="utf-8") != asked:
            examiner = self.markers.examiner(self.task, self._tests(), self.tick) if self._looks_inside else None
            write(
                self.folder / "saliency",
                analyze(examples, said, keep, examiner=examiner, tick=self.tick),
                items(examples, said, keep),
            )
            write_text(marker, asked)
        figures: dict[str, Any] = read_json(self.folder / "saliency" / "figures.json")
        return figures

    @property
    def _looks_inside(self) -> bool:
        return any(STEPS[step.name].by == "white-box" for step in self.steps)

    def report(self) -> Path:
        """The report of what is there; its path."""
        from ..report import build

        return build(self.folder)

    def all(self) -> Path:
        """Every stage; the path of the report."""
        if self.recipe.judge:
            Panel(self.recipe, self.teacher).check()  # before anything is paid for
        if self._looks_inside and self.recipe.salient.finetune:
            self.train_teacher()
        if self.steps:
            self.generate()
        if audited(self.steps, self.teacher):
            self.audit()
        self.train()
        self.evaluate()
        if self.recipe.judge:
            self.judge()
        if any(STEPS[step.name].marks for step in self.steps):
            self.saliency()
        return self.report()

    def predict(self, question: str, choices: Sequence[str] = (), cell: str | None = None, **fields: str) -> Prediction:
        """A trained student's answer and explanation of one question. `cell` picks one; left out: the last method, its first seed.

        A task whose labels never change (NLI, yes/no) knows its choices.
        """
        if not choices and self.task.type in ("nli", "yesno"):
            choices = self.splits["test"][0].choices
        return ask_cell(self._trained(cell), self.task, Example("asked", question, tuple(choices), "", fields))

    # How

    def _tests(self, metrics: Sequence[str] = ()) -> list[Example]:
        """The test questions, with the explanation that overlap is measured against: the teacher's, else the task's own.

        For metrics that ask the student again, also with what the store holds of the teacher's explanations of wrong options.
        """
        tests = self.splits["test"]
        known: Said = {}
        wanted = {"explanation", *(["counterfactual"] if probes(metrics) else [])}
        if self.teacher is not None and (requests := [request for request in self.steps if request.name in wanted]):
            known = self._look(tests, requests)[0]
        found = []
        for example in tests:
            taught = _usable(known, example, "explanation", example.answer)
            reference = taught or example.meta.get("explanation")
            by = self.teacher.name if taught and self.teacher else "task"
            meta = {**example.meta, "reference": reference, "reference_by": by if reference else None}
            against = {
                option: text for option in example.wrong if (text := _usable(known, example, "counterfactual", option))
            }
            found.append(replace(example, meta={**meta, "counterfactual": against} if against else meta))
        return found

    def _teacher_accuracy(self) -> dict[str, Any] | None:
        """Share of test questions whose own answer by the teacher is right; one that does not parse is wrong."""
        requests = [request for request in self.steps if request.name == "label"]
        if not requests:
            return None
        tests = self.splits["test"]
        known = self._look(tests, requests)[0]
        answers = [known[example.id].get(("label", "")) for example in tests]
        right = [
            found is not None and found.answer == example.answer for found, example in zip(answers, tests, strict=True)
        ]
        return {"split": "test", "value": sum(right) / len(right), "n": len(right)} if any(answers) else None

    def _refused(self) -> dict[str, dict[str, int]]:
        counts: dict[str, Counter[str]] = {request.name: Counter() for request in self.steps}
        for kind, step in self._known()[1].steps.items():
            counts.setdefault(kind, Counter()).update(step.refused)
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
        raise StudentError(
            f"No trained student is called '{name}'. There are: {', '.join(cell.name for cell in trained)}."
        )


def _usable(known: Said, example: Example, kind: str, answer: str) -> str | None:
    """What the teacher said of an answer, unless it was refused."""
    generation = known.get(example.id, {}).get((kind, answer))
    return generation.text if generation is not None and not generation.refusal else None


def open_run(folder: str | Path, tick: Tick | None = None) -> Run:
    """The run in a folder made before. Raises StoreError when it holds none."""
    folder = Path(folder).resolve()
    recipe, env = folder / "recipe.yaml", folder / "env.json"
    for file in (recipe, env):
        if not file.is_file():
            raise StoreError(
                f"{folder} is not a run folder: it has no {file.name}. Run folders are made by: shrinklm run RECIPE"
            )
    # The recipe's paths start where the recipe stood, not in the run folder.
    root = Path(read_json(env)["root"])
    read = Recipe.read(recipe)
    found = Run(read.model_copy(update={"root": root}), tick=tick)
    found.folder = folder
    return found
