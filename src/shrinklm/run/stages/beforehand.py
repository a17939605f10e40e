"""What would end a run after its teacher was paid, and can be told by the recipe and its questions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.errors import MethodError, RecipeError, StudentError, TaskError
from ...core.types import Example, Split, Task, Tick
from ...evaluation.audit import ARGUES
from ...methods.view import Method
from ...teachers.steps import STEPS, StepRequest, plan
from ..folder import Cell
from ..recipe import Recipe
from .distil import check_distil
from .generate import check_steps, steps_of
from .models import check_models
from .room import check_room
from .score import check
from .weigh import check_readers, check_several
from .writers import Writers

Questions = Mapping[Split, Sequence[Example]]
"""Split → its questions; those that a teacher is still to label have no answer."""


def check_recipe(
    recipe: Recipe,
    task: Task,
    methods: Sequence[Method],
    cells: Sequence[Cell],
    questions: Questions,
    writers: Writers,
    tick: Tick,
) -> None:
    """Raises what training, the metrics, the audit or the judges would raise later.

    What only matters to students that are trained already is not looked at.
    """
    check(recipe.evaluate.metrics, recipe)
    steps, reads = steps_of(recipe), writers.reads
    _check_chances(methods, steps, writers)
    check_steps(methods, steps, reads)
    check_several(methods, steps, questions["train"], writers)
    check_readers(methods, recipe.student)
    writers.check_prices()
    writers.check_same(steps)
    outlines = check_models(recipe, cells, questions)
    check_readers(methods, recipe.student, outlines)
    check_distil(recipe, cells)
    untrained = [cell for cell in cells if cell.method.views and cell.opens]
    if untrained:
        _check_train(task, untrained, questions["train"])
        for method in _methods(untrained):
            method.check_epochs(recipe.train.examples, len(questions["train"]))
        _check_dev(recipe, questions["dev"])
        _check_trackers(recipe)
        _check_audit(recipe, untrained, [request.name for request, _ in plan(steps, reads)])
    if recipe.judge is not None and not all(cell.answered for cell in cells):
        _check_judged(recipe, cells)
    check_room(recipe, task, cells, questions, outlines, tick)


def check_tests(task: Task, tests: Sequence[Example]) -> None:
    """Raises TaskError where there is no question to evaluate with."""
    if not tests:
        raise TaskError(
            f"Task '{task.name}' has no test questions, so no student could be evaluated. Write: task: {{test: 0.2}}, "
            "or name a file, and look at `limit` and `where`. Texts and students alone: shrinklm generate RECIPE, "
            "shrinklm train RECIPE"
        )


def _check_train(task: Task, cells: Sequence[Cell], train: Sequence[Example]) -> None:
    if not train:
        raise TaskError(
            f"Task '{task.name}' has no training questions, and '{cells[0].method.name}' is trained on some. Questions "
            "that stand in the prompts as examples are held out. Name other data, a smaller `test` or `dev`, or "
            "another `limit` or `where`, under `task`."
        )
    optional = any(len(set(example.choices)) > 1 for example in train)
    for method in _methods(cells):
        for option in (option for option, term in method.terms.items() if term.chooses and not optional):
            raise MethodError(
                f"Method '{method.name}': '{option}' is about the options of a question, and none of {len(train):,} "
                f"training questions has any. Take '{option}' out, or name their column: columns: {{choices: NAME}}"
            )
        if not optional and any(view.letters for view in method.views):
            raise MethodError(
                f"Method '{method.name}': 'target=letter' names an option by its letter, and none of {len(train):,} "
                "training questions has options. Take it out, or name their column: columns: {choices: NAME}"
            )
        for kind in method.needs:
            if not any(STEPS[kind].answers(example) for example in train):
                raise MethodError(
                    f"Method '{method.name}' needs '{kind}' texts, which argue for wrong options, and none of "
                    f"{len(train):,} training questions has one. Take it out of `methods`, or name the column of the "
                    "options: columns: {choices: NAME}"
                )


def _check_chances(methods: Sequence[Method], steps: Sequence[StepRequest], writers: Writers) -> None:
    """Raises MethodError where a teacher's labels could not tell how likely it finds each option."""
    label = next((request for request in steps if request.name == "label"), None)
    teachers = [taker.teacher for taker in writers.takers("label")]
    # What a recording holds is known when it is read, and costs nothing.
    if any(teacher.reads for teacher in teachers):
        return
    if label is not None and (label.samples or 1) * len(teachers) > 1:
        return
    tells = any(teacher.tells_logprobs for teacher in teachers)
    if label is not None and label.logprobs and tells:
        return
    asked = "no label" if label is None else "one label of each question, and for no log-probabilities"
    if label is not None and label.logprobs and teachers:
        asked = f"one label of each question, whose log-probabilities {teachers[0].name} does not tell"
    logprobs = " or, for log-probabilities, {label: {logprobs: true}}" if tells else ""
    for method in methods:
        for option in (option for option, term in method.terms.items() if term.chances):
            raise MethodError(
                f"Method '{method.name}': '{option}' learns how likely the teacher finds each option, and the recipe "
                f"asks for {asked}. Write under `generate`: {{label: {{samples: 5}}}}{logprobs}"
            )


def _check_dev(recipe: Recipe, dev: Sequence[Example]) -> None:
    if recipe.train.early_stopping is None:
        return
    if not recipe.train.checkpoints:
        raise StudentError(
            "`early_stopping` goes by dev accuracy at checkpoints, and the recipe writes none. "
            "Write: train: {checkpoints: 4}"
        )
    if not dev:
        raise StudentError(
            "`early_stopping` goes by dev accuracy, and there are no dev questions. Write: task: {dev: 0.1}, or name a "
            "file, and look at `limit` and `where`; or take `early_stopping` out of `train`."
        )


def _check_trackers(recipe: Recipe) -> None:
    if recipe.train.report_to:
        from ...students.training.trackers import missing

        if absent := missing(recipe.train.report_to):
            raise RecipeError(
                f"`train: {{report_to: [{', '.join(recipe.train.report_to)}]}}` needs packages that are not installed: "
                f"{', '.join(absent)}. Run: pip install {' '.join(absent)}"
            )


def _check_audit(recipe: Recipe, cells: Sequence[Cell], asked: Sequence[str]) -> None:
    """Raises RecipeError for steps of the audit that are not asked for, or argue for no answer."""
    block = recipe.audit
    dropped = () if block.drop is None else block.drop.steps
    for place, names in (("audit.steps", block.steps), ("audit.drop.steps", dropped)):
        for name in names:
            if name not in asked:
                raise RecipeError(
                    f"`{place}` names '{name}', which the recipe does not ask for. It asks for: "
                    f"{', '.join(asked) or 'nothing'}. Write: generate: [{', '.join([*asked, name])}], or take "
                    f"'{name}' out of `{place}`."
                )
    argued = [name for name in asked if name in ARGUES]
    for name in block.steps:
        if name not in argued:
            raise RecipeError(
                f"`audit.steps` names '{name}', whose texts argue for no answer that they could support. Take it out, "
                f"or name others: {', '.join(argued) or 'the recipe asks for none'}."
            )
    if block.min_support is not None and not argued:
        raise RecipeError(
            f"`audit: {{min_support: {block.min_support:g}}}` holds for texts that argue for an answer, and the recipe "
            "asks for none. Add: generate: [explanation], or take it out."
        )


def _check_judged(recipe: Recipe, cells: Sequence[Cell]) -> None:
    """Raises RecipeError where the judges would find nothing to rate or compare."""
    block = recipe.judge
    assert block is not None
    if recipe.evaluate.explanations == 0:
        raise RecipeError(
            "`judge` rates explanations, and `evaluate: {explanations: 0}` asks students for none. "
            f"Write: evaluate: {{explanations: {block.items or 100}}}"
        )
    explaining = [cell for cell in cells if cell.method.explain is not None]
    if not explaining:
        raise RecipeError(
            f"`judge` rates explanations, and no method explains: {', '.join(recipe.methods)}. "
            "Add one that does, such as multitask, or take `judge` out."
        )
    groups = [(cell.student.label, cell.seed) for cell in explaining]
    if not block.constructs and len(set(groups)) == len(groups):
        raise RecipeError(
            "`judge: {pairwise: true}` without `constructs` only compares methods two by two, and of no student and "
            "seed are there two that explain. Add a method that explains, or name `constructs`."
        )


def _methods(cells: Sequence[Cell]) -> list[Method]:
    return list({cell.method.name: cell.method for cell in cells}.values())
