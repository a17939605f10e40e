"""A run: a recipe and its folder of results. Stages in order; whatever is done already is skipped."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import StudentError
from ..core.files import read_json, write_json
from ..core.results import RunFile, write_examples
from ..core.types import Example, Score, Teacher, Tick
from ..deploy.student import Answer, TrainedStudent
from ..saliency.analysis import Examiner
from ..teachers.remote import brought
from ..teachers.steps import STEPS
from ..teachers.store import ScratchStore
from ..teachers.usage import Report
from .engines.base import Engine
from .folder import Cell, begin
from .inputs import Inputs
from .lock import writes
from .once import once
from .recipe import Recipe
from .stages.answering import trained_cell, trained_student
from .stages.audit import audit_stage, audited, gate
from .stages.beforehand import check_recipe, check_tests
from .stages.generate import check_asks, drop_of
from .stages.judge import Panel, write_judgements
from .stages.models import check_weights
from .stages.origin import refuse_changes
from .stages.preview import preview_rows
from .stages.saliency import marked, marked_steps, read_figures, saliency_stage
from .stages.score import added, check
from .stages.together import together
from .stages.word_markers import looks_inside, tunes


class Run(Inputs):
    """What a recipe asks for, done stage by stage in `runs/NAME`.

    `teacher` is used instead of those the recipe names: any object with `name`, `revision` and `complete`; `tick` is
    called with the progress: (what, done, total, note); `engine` does what is done cell by cell.
    """

    def __init__(
        self, recipe: Recipe, teacher: Teacher | None = None, tick: Tick | None = None, engine: Engine | None = None
    ) -> None:
        super().__init__(recipe, teacher, tick, engine)
        self._checked = False
        self._students: dict[str, TrainedStudent] = {}

    def check(self) -> None:
        """Raises what would go wrong later, before anything is paid for; once, since it looks at every cell."""
        if not self._checked:
            self._check_recipe()
            refuse_changes(self.cells, self.sources, lambda cell: self.teaching.known(cell.student))
            self._checked = True

    def _check_recipe(self) -> None:
        """Raises what can be told without the answers to the questions."""
        check_recipe(self.recipe, self.task, self.methods, self.cells, self.data.questions, self.writers, self.tick)

    def check_judges(self) -> None:
        """Raises what `judge` would raise, before anything is paid for."""
        if self.recipe.judge is not None:
            self.panel().check()

    def _check_access(self, kinds: Collection[str]) -> None:
        """Raises what asking would raise."""
        self.writers.check_access(kinds, self.prompts)
        if self.recipe.judge is not None:
            self.panel().check_access()

    def panel(self) -> Panel:
        """The recipe's judges. Raises RecipeError without one."""
        return Panel(self.recipe, self.teacher, self.writers.all[1:], self.writers.budget, self.engine)

    def scratch(self, tick: Tick | None = None) -> Run:
        """The same run, whose texts are read from the store and written in memory alone."""
        look = Run(self.recipe, self._teacher, tick)
        look.folder, look.task = self.folder, self.task
        look.store = ScratchStore(brought(self.recipe.path(self.recipe.store)))
        look._scratch = True
        return look

    # The stages

    @writes
    def start(self) -> None:
        """Makes the folder, with the recipe, the environment and figures of the data.

        Raises StoreError when the folder holds students that another recipe trained, what opening a model that the
        recipe names would raise, and what else `check` can tell.
        """
        self.check()  # before the recipe on the disk, which students came from, is replaced
        begin(self.folder, self.recipe)
        self.data.write(self.folder)

    @writes
    def generate(self, step: str | None = None, wait: bool = False) -> Report:
        """Asks the teacher for what the store lacks; `step` alone when named. Raises RecipeError without a teacher,
        and Pending when it answers later, unless it is to `wait`."""
        report, labelling = Report(), self.data.labelling
        check_asks(self.steps, step, labelling is not None)
        self.check_judges()
        if labelling is not None:  # first, since the other steps are about these answers
            self._check_recipe()
            if not labelling.complete:
                self._check_access(["label", *(request.name for request in self.steps)])
            report = labelling.ask(wait)
        self.start()
        if lacking := self.teaching.lacking(step):
            self._check_access(lacking)
            check_weights(self.recipe)
        report.steps |= self.teaching.ask_all(step, wait).steps
        if step is None:
            write_json(self.folder / RunFile.GENERATIONS, self.teaching.summary(report))
        return report

    def preview(self, limit: int = 3, tokens: bool = False, epoch: int = 0) -> Iterator[dict[str, Any]]:
        """One object a pair of the first `limit` examples (0: all) of each method, then the summary of all of them.
        Nothing is written: texts of a teacher that costs nothing are kept in memory alone."""
        (look := self.scratch(self.tick)).check()
        look.check_judges()
        return preview_rows(look.recipe, look.methods, look.teaching, look.weights, limit, tokens, epoch)

    @together
    def train(self, again: bool = True) -> None:
        """Trains every cell that is not trained yet, and `again` one whose weights are missing or damaged. Without
        `again`, such a cell is left as it is where its predictions are kept: `all` has no need of its weights.

        Raises MethodError when generations are missing, AuditError when they are not good enough.
        """
        self.start()
        cells = [cell for cell in self.cells if cell.method.views and (again or not cell.kept)]
        # Students that are trained already stay: the gate is for what would be trained now.
        if self.recipe.audit.min_support is not None and not all(cell.trained for cell in cells):
            self.audit(self.recipe.audit.min_support)
        self.work.train(cells, self._lessons)

    def _lessons(self, cell: Cell) -> dict[str, Any]:
        self.corpus(cell.seed, cell.student).usable(cell.method)
        self.teaching.check_asked(cell.method, cell.student)
        corpus = self.corpus(cell.seed, cell.student, cell.method)
        splits, origin = self.splits, self.sources.origin(cell)
        return {"corpus": corpus, "dev": splits["dev"], "tests": splits["test"], "origin": origin}

    @writes
    def audit(self, min_support: float | None = None) -> dict[str, Any]:
        """Looks through the teacher's texts about the training questions; the figures, which `audit.json` keeps. Raises
        RecipeError when the recipe asks for no texts, MethodError when there are none yet; and AuditError when
        those that the methods are trained on support their answers less often than `min_support`, if it is given.
        """
        self.start()
        steps = audited(self.steps, self.writers)
        generations, drop = self.teaching.written() if steps else {}, drop_of(self.recipe)
        once(audit_stage(self.folder, self.writers, self.splits["train"], generations, steps, drop, self.tick))
        figures: dict[str, Any] = read_json(self.folder / RunFile.AUDIT)
        if min_support is not None:
            gate(figures, self.recipe, self.methods, min_support)
        found = self.weights.summaries(self.methods, self.recipe.student, lambda each: self.teaching.known(each)[0])
        return figures | found

    @writes
    def evaluate(self) -> None:
        """Predictions and scores of every trained cell, and of each student before training."""
        self.start()
        tests = self.tests([*self.recipe.evaluate.metrics, *(name for cell in self.cells for name in added(cell))])
        write_examples(tests, self.folder / RunFile.EXAMPLES)
        self.work.evaluate(self.cells, tests, self.splits["dev"])

    @writes
    def score(self, metrics: Sequence[str]) -> dict[str, list[Score]]:
        """Adds metrics to the scores of every cell whose student was asked; the new scores of each cell. Nothing is
        trained. Raises UnknownName or RecipeError for a metric, StudentError when no student was asked yet."""
        check(metrics, self.recipe)
        if not (cells := [cell for cell in self.cells if cell.done("predict") is not None]):
            raise StudentError(f"{self.folder} has no predictions to score. Run: shrinklm evaluate RECIPE")
        return self.work.score(cells, self.tests(metrics), metrics)

    @writes
    def judge(self) -> dict[str, Any]:
        """Has the recipe's judges rate the students' explanations; scores go to the cells, ratings to `judged.csv`.
        Returns what judge.json holds. Raises RecipeError without a judge or when all judges wrote what they would rate,
        StudentError when nothing was explained yet.
        """
        (panel := self.panel()).check()
        self.start()
        self.teaching.count()
        sittings = panel.sit(self.cells, self.splits["test"], self.prompts, self.store, self.tick)
        return write_judgements(sittings, self.cells, self.folder)

    @writes
    def train_teacher(self) -> dict[str, Any]:
        """Fine-tunes the teacher of the step `salient`; its accuracy before and after. May raise TeacherError."""
        self.start()
        return self.markers.finetune(self.task, self.tests(), self.splits["dev"], self.tick)

    @writes
    def saliency(self) -> dict[str, Any]:
        """Measures the marked words of the training questions, for the report (`saliency/`); returns the figures.
        Raises RecipeError when the recipe asks for none, MethodError when a step was not asked for yet."""
        steps = marked_steps(self.steps)
        self.start()
        examples = self.splits["train"]
        markings = marked(examples, self.corpus().generations, steps)
        once(saliency_stage(self.recipe, self.folder, self.methods, examples, markings, self._examiner, self.tick))
        return read_figures(self.folder)

    def _examiner(self) -> Examiner | None:
        return self.markers.examiner(self.task, self.tests(), self.tick) if looks_inside(self.recipe) else None

    def report(self) -> Path:
        """The report of what is there; its path."""
        from ..report import build

        return self.lock.of_url(lambda: build(self.folder))

    def all(self, wait: bool = False) -> Path:
        """Every stage; the path of the report. `wait`: see `generate`."""
        self._all(wait)
        return self.folder / RunFile.REPORT_PAGE

    @together
    def _all(self, wait: bool) -> None:
        self.check_judges()
        check_tests(self.task, self.data.questions["test"])
        if tunes(self.recipe):
            self.train_teacher()  # before `generate`, in which the fine-tuned teacher marks the words
        if self.steps or self.data.labelling is not None:
            self.generate(wait=wait)
        if audited(self.steps, self.writers):
            self.audit()
        self.train(again=False)
        self.evaluate()
        if self.recipe.judge:
            self.judge()
        if any(STEPS[step.name].marks for step in self.steps):
            self.saliency()
        self.report()

    def student(self, method: str | None = None, seed: int | None = None) -> TrainedStudent:
        """A trained student, loaded once; left out: the last method (or cell), the first seed. Raises StudentError."""
        self.lock.look()
        cell = trained_cell(self.cells, method, self.folder, seed)
        if cell.name not in self._students:
            self._students[cell.name] = trained_student(cell, self.recipe, self.task, self.data.questions)
        return self._students[cell.name]

    def predict(self, question: str, choices: Sequence[str] = (), cell: str | None = None, **fields: str) -> Answer:
        """The answer of `student(cell)` to one question; `fields`: context shown above it, such as premise="..."."""
        return self.student(cell).predict([Example("asked", question, tuple(choices), "", fields)])[0]
