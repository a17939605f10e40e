"""The stage that asks teachers, and their texts and marked words about the questions of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.errors import MethodError, Pending, RecipeError
from ...core.types import Example, Generation, Split, Task, Tick
from ...evaluation.drop import Drop, leave_out
from ...methods.spec import method as method_of
from ...methods.view import Method
from ...teachers.base import BaseTeacher
from ...teachers.generate import GenerateSettings, GenerationsByExample, read_steps, run_steps
from ...teachers.prompts import Prompts
from ...teachers.steps import STEPS, StepRequest, plan
from ...teachers.store import Store
from ...teachers.usage import Report
from ..blocks import StudentBlock
from ..code import allow
from ..folder import Cell, cell_name
from ..recipe import Recipe
from .word_markers import WordMarkers
from .writers import Taker, Writers


class Teaching:
    """The teachers of a run: the one that writes, and the models that mark words.

    Args:
        recipe: The settings of the run.
        task: Its parser reads the teacher's own answers.
        splits: The questions.
        writers: The models that write.
        markers: The models that mark words.
        prompts: The templates of the teacher's prompts.
        store: Holds the texts.
        tick: Called with the progress.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        splits: Mapping[Split, Sequence[Example]],
        writers: Writers,
        markers: WordMarkers,
        prompts: Prompts,
        store: Store,
        tick: Tick,
    ) -> None:
        self.recipe, self.task, self.splits, self.writers = recipe, task, splits, writers
        self.markers, self.prompts, self.store, self.tick = markers, prompts, store, tick
        self._known: dict[str, tuple[GenerationsByExample, Report]] = {}

    @property
    def steps(self) -> list[StepRequest]:
        """The recipe's steps."""
        return steps_of(self.recipe)

    @property
    def settings(self) -> GenerateSettings:
        """The settings of generation, of the first teacher."""
        return self.writers.settings("")

    def known(self, student: StudentBlock | None = None) -> tuple[GenerationsByExample, Report]:
        """The generations about the training questions, and a report of what the store lacks.

        The words that a student marks are those of `student`, or of the recipe's first. Texts that the recipe leaves
        out (`audit: {drop: ...}`) have the reason as their refusal, and count as refused.
        """
        student = student or self.recipe.student[0]
        if student.label not in self._known:
            generations, report = self.look(self.splits["train"], self.steps, student)
            if (drop := drop_of(self.recipe)) is not None:
                generations, counts = leave_out(self.splits["train"], generations, drop)
                for step, reasons in counts.items():
                    report.steps[step].kept -= reasons.total()
                    report.steps[step].refused += reasons
            self._known[student.label] = generations, report
        return self._known[student.label]

    def written(self) -> GenerationsByExample:
        """The generations about the training questions as they were written, with those that are left out."""
        return self.look(self.splits["train"], self.steps)[0]

    def look(
        self, examples: Sequence[Example], steps: Sequence[StepRequest], student: StudentBlock | None = None
    ) -> tuple[GenerationsByExample, Report]:
        """The generations in the store and a report of those it lacks, after teachers that cost nothing were asked."""
        report = Report()
        if not steps:
            return {}, report
        known: GenerationsByExample = {example.id: {} for example in examples}
        for teacher, requests in self.askers(steps, student or self.recipe.student[0]):
            arguments = (teacher, self.prompts, self.store, self.settings, self.task.parse)
            generations, lacking = read_steps(examples, requests, *arguments, self.writers.others, whole=False)
            # Recordings, counts and chance cost nothing: nobody has to type `shrinklm generate` for them.
            if free := self.writers.without_cost(teacher, requests, lacking):
                for some, others in free:
                    run_steps(examples, some, *arguments, self.tick, others)
                generations, lacking = read_steps(examples, requests, *arguments, self.writers.others, whole=False)
            for example_id, slots in generations.items():
                known[example_id] |= slots
            report.steps |= lacking.steps
        return known, report

    def ask_all(self, only: str | None = None, wait: bool = False) -> Report:
        """Asks for what the store lacks about the questions that need it; the step `only` alone when it is named.

        Raises Pending when a teacher answers later, with all ordered that can be by now; with `wait` it stays instead.
        """
        return until_answered(lambda: self._ask_all(only), self.writers.all, wait)

    def _ask_all(self, only: str | None) -> Report:
        self.count()
        report = Report()
        for split, steps in self.questions(only):
            new = self.ask(self.splits[split], steps)
            named = new.steps if split == "train" else {f"{name} ({split})": step for name, step in new.steps.items()}
            report.steps |= named
            report.awaited += new.awaited
        self._known.clear()  # read before these texts were written
        return report

    def questions(self, only: str | None = None) -> list[tuple[Split, list[StepRequest]]]:
        """The splits that are asked about, each with its steps; with the step `only` alone when it is named."""
        train, labels = self._of_splits([request for request in self.steps if only in (None, request.name)])
        asked: list[tuple[Split, list[StepRequest]]] = [("train", train)]
        return [*asked, ("test", labels)] if labels else asked

    def _of_splits(self, steps: Sequence[StepRequest]) -> tuple[list[StepRequest], list[StepRequest]]:
        """The steps that are asked of training questions, and those of test questions."""
        labels = [request for request in steps if request.name == "label"]
        # The teacher's own answers are asked of the test split, as its accuracy. In train only methods that learn
        # or weigh by them need them.
        learned = any("label" in (*method.needs, *method.weighed_by) for method in methods_of(self.recipe))
        return [step for step in steps if learned or step not in labels], labels

    def count(self) -> None:
        """Counts against the recipe's budget what its texts cost that are there already."""
        if self.writers.budget is None:
            return
        train, test = self._of_splits([step for step in self.steps if not STEPS[step.name].marks])
        self.look(self.splits["train"], train)
        self.look(self.splits["test"], test)

    def lacking(self, only: str | None = None) -> list[str]:
        """The steps, or the step `only`, of which the store lacks texts; none where those cost nothing."""
        names: dict[str, None] = {}
        reads, free = self.writers.reads, self.writers.free
        for split, steps in self.questions(only):
            written = [step for step in steps if not STEPS[step.name].marks]
            if all(step.name in free for step in written):
                continue
            counts = self.look(self.splits[split], written)[1].steps
            for name in dict.fromkeys(step.name for step, _ in plan(written, reads)):
                # What builds on a text that is still to be written is not counted as missing.
                needs = () if name in reads else STEPS[name].needs
                if names.keys() & set(needs) or (name in counts and counts[name].missing):
                    names[name] = None
        return list(names) if names.keys() - set(free) else []

    def ask(self, examples: Sequence[Example], steps: Sequence[StepRequest]) -> Report:
        """Asks for what the store lacks. With several students, what each of them marks is reported under its name."""
        report = Report()
        for student in self.recipe.student:
            for teacher, requests in self.askers(steps, student):
                own = any(STEPS[step.name].by == "student" for step in requests)
                if student != self.recipe.student[0] and not own:
                    continue  # only what a student marks itself differs between students
                arguments = (teacher, self.prompts, self.store, self.settings, self.task.parse)
                asked = run_steps(examples, requests, *arguments, self.tick, self.writers.others)
                report.awaited += asked.awaited
                new = asked.steps
                several = own and len(self.recipe.student) > 1
                report.steps |= {f"{name} ({student.label})": step for name, step in new.items()} if several else new
        return report

    def askers(
        self, steps: Sequence[StepRequest], student: StudentBlock
    ) -> list[tuple[BaseTeacher, list[StepRequest]]]:
        """Each teacher with its steps: the first that writes has all that are written, each model that marks words its
        own."""
        written = [step for step in steps if not STEPS[step.name].marks]
        marked = [step for step in steps if STEPS[step.name].marks]
        askers: list[tuple[BaseTeacher, list[StepRequest]]] = []
        if written and self.writers.first is not None:
            askers.append((self.writers.first, written))
        return askers + [(self.markers.marker_of(STEPS[step.name], student), [step]) for step in marked]

    def check_asked(self, method: Method, student: StudentBlock) -> None:
        """Raises MethodError when a teacher was not asked yet for everything that a method needs."""
        # What a rule reads beside its texts is no need, but where it is asked for the weights are of all of it.
        for kind in (*method.needs, *method.weighed_by):
            step = self.known(student)[1].steps.get(kind)
            if step is not None and step.missing:
                raise MethodError(
                    f"Method '{method.name}' needs '{kind}' generations, and {step.missing:,} were not asked for yet. "
                    f"Run: shrinklm generate RECIPE --step {kind}"
                )

    def summary(self, report: Report) -> dict[str, Any]:
        """The content of generations.json."""
        # Where no teacher writes, the first model that marks words is named.
        teachers = self.writers.all or [self.askers(self.steps, self.recipe.student[0])[0][0]]
        steps = report.as_dict()
        if len(teachers) > 1:
            for name, step in steps.items():
                if takers := self.takers_of(name):
                    step["teacher"] = " and ".join(dict.fromkeys(taker.teacher.name for taker in takers))
                for taker in takers:
                    if taker.by:
                        step["by"][taker.by]["teacher"] = taker.teacher.name
        return {
            "teacher": " and ".join(dict.fromkeys(teacher.name for teacher in teachers)),
            "revision": " and ".join(filter(None, (teacher.revision for teacher in teachers))),
            "tokenizer": " and ".join(filter(None, (teacher.tokenizer_revision for teacher in teachers))),
            "steps": steps,
            "total": report.total.as_dict(),
            "teacher_accuracy": self.accuracy(),
        }

    def takers_of(self, step: str) -> list[Taker]:
        """The teachers of a step of a report; none for one that marks words."""
        name = step.partition(" ")[0]  # "label (test)"
        return [] if STEPS[name].marks else self.writers.takers(name)

    def accuracy(self) -> dict[str, Any] | None:
        """The teacher's own accuracy on the test questions; an answer that does not parse is wrong."""
        requests = [request for request in self.steps if request.name == "label"]
        if not requests:
            return None
        # A label that the teacher gave itself says nothing of how often it is right.
        tests = [example for example in self.splits["test"] if "labelled_by" not in example.meta]
        known = self.look(tests, requests)[0]
        labels = [known[example.id].get(("label", "")) for example in tests]
        if not any(labels):  # not asked yet, which is no accuracy of 0
            return None
        right = [
            label is not None and label.answer == example.answer for label, example in zip(labels, tests, strict=True)
        ]
        return {"split": "test", "value": sum(right) / len(right), "n": len(right)}

    def refused(self) -> dict[str, dict[str, int]]:
        """Step → reason → texts about training questions that may not be used."""
        counts: dict[str, Counter[str]] = {request.name: Counter() for request in self.steps}
        for kind, step in self.known()[1].steps.items():
            counts.setdefault(kind, Counter()).update(step.refused)
        return {kind: dict(count.most_common()) for kind, count in counts.items()}

    def references(self, counterfactuals: bool) -> list[Example]:
        """The test questions with the explanation that overlap is measured against: the teacher's, else the task's own.

        With `counterfactuals` also with the teacher's explanations of wrong options, as far as the store holds them.
        """
        tests = self.splits["test"]
        wanted = {"explanation", *(["counterfactual"] if counterfactuals else [])}
        requests = [request for request in self.steps if request.name in wanted]
        known = self.look(tests, requests)[0] if requests else {}
        return [self._with_references(example, known.get(example.id, {})) for example in tests]

    def _with_references(self, example: Example, slots: Mapping[tuple[str, str], Generation]) -> Example:
        # `reference_by` says in the report whether overlap is with the teacher or with the task's own explanations.
        taught = _usable(slots, "explanation", example.answer)
        reference = taught.text if taught else example.meta.get("explanation")
        writer = self.writers.of("explanation")
        by = "task" if not (taught and writer) else taught.source.teacher if taught.by else writer.name
        meta = {**example.meta, "reference": reference, "reference_by": by if reference else None}
        usable = ((option, _usable(slots, "counterfactual", option)) for option in example.wrong)
        wrong = {option: text.text for option, text in usable if text}
        return replace(example, meta={**meta, "counterfactual": wrong} if wrong else meta)


def check_asks(steps: Sequence[StepRequest], only: str | None, labels: bool = False) -> None:
    """Raises RecipeError where a recipe has no steps, or not the step `only`.

    With `labels`, questions without answers are labelled, whatever steps there are.
    """
    if not steps and not labels:
        raise RecipeError(
            "The recipe asks a teacher for nothing. Add `teacher: {use: ...}` and `generate: [explanation, ...]`."
        )
    names = list(dict.fromkeys((*(("label",) if labels else ()), *(request.name for request in steps))))
    if only is not None and only not in names:
        raise RecipeError(f"The recipe has no step '{only}'. Its steps: {', '.join(names)}.")


def until_answered(ask: Callable[[], Report], teachers: Sequence[BaseTeacher], wait: bool) -> Report:
    """Asks until nothing is awaited. Raises Pending when a teacher answers later, unless it is to `wait`."""
    while (report := ask()).awaited:
        came = [teacher.wait(moment=not wait) for teacher in teachers if teacher.later]
        if not any(came):
            raise Pending("\n".join(report.awaited))
    return report


def steps_of(recipe: Recipe) -> list[StepRequest]:
    """The steps of a recipe."""
    return [
        StepRequest(step.name, step.rounds, step.max_words, step.max_tokens, step.samples, step.logprobs, step.contrast)
        for step in recipe.generate
    ]


def drop_of(recipe: Recipe) -> Drop | None:
    """The texts that a recipe leaves out."""
    block = recipe.audit.drop
    return None if block is None else Drop(**block.model_dump())


def methods_of(recipe: Recipe) -> list[Method]:
    """The methods that a recipe trains. Raises UnknownName, MethodError, or RecipeError for code nobody trusts."""
    allow(recipe)
    return [method_of(spec) for spec in recipe.methods]


def cells_of(recipe: Recipe, methods: Sequence[Method], folder: Path) -> list[Cell]:
    """Method × student × seed, and each student before training; their folders stand in `folder`."""
    grid = [(each, student, seed) for student in recipe.student for each in methods for seed in recipe.train.seeds]
    if recipe.evaluate.zero_shot:
        grid += [(method_of("zero-shot"), student, 0) for student in recipe.student if student.answers_untrained]
    return [
        Cell(trained, student, seed, folder / cell_name(trained.name, student.label, seed))
        for trained, student, seed in grid
    ]


def check_steps(methods: Sequence[Method], steps: Sequence[StepRequest], reads: Collection[str]) -> None:
    """Raises MethodError when a method needs generations that no step of the recipe writes; `reads` are those that a
    recording takes."""
    requested = [request.name for request, _ in plan(steps, reads)]
    for method in methods:
        lacking = [kind for kind in method.needs if kind not in requested]
        if lacking:
            raise MethodError(
                f"Method '{method.name}' needs '{lacking[0]}' generations, which the recipe does not ask for. "
                f"Write: generate: [{', '.join([*requested, *lacking])}]"
            )


def _usable(slots: Mapping[tuple[str, str], Generation], kind: str, answer: str) -> Generation | None:
    """The text about an answer, unless it was refused."""
    generation = slots.get((kind, answer))
    return generation if generation is not None and generation.text and not generation.refusal else None
