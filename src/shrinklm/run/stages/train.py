"""The stage that trains a cell's student."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.errors import StoreError
from ...core.files import write_json, write_jsonl, write_text
from ...core.intact import intact
from ...core.logprobs import to_json
from ...core.results import CellFile
from ...core.types import Example, Generation, Task, Tick, digest
from ...evaluation.ask import EvaluateSettings, Evaluation, answers, tell_long
from ...evaluation.drop import left_out
from ...evaluation.score import score_predictions
from ...methods.chances import chances
from ...methods.corpus import Corpus
from ...methods.view import Method
from ...methods.weighing import RULES, Weighing
from ...students.open import open_student, ready_to_answer
from ..folder import Cell, about_cell
from ..once import Stage, marker, once, same_work, split_start, with_start
from ..recipe import Recipe
from ..storage import Storage
from ..students import explanation_cap, student_start
from .agreement import model, writer
from .distil import learned_from, logit_teacher, teacher_named
from .figures import SOURCES
from .questions import dev_sample, question_key

if TYPE_CHECKING:
    from ...students.base import BaseStudent
    from ...students.training.train import Fit

Origin = dict[str, Any]
"""What weights come from: a recipe's key, such as "train.learning_rate", or a name such as "teacher" → its value, or a
digest of it. `origin.py` makes it, and compares it with a later recipe's."""

NO_WEIGHT = frozenset({"seeds", "micro_batch", "at_once", "report_to"})
"""Keys of `train` that change no weight of a cell, which holds its own seed: the micro-batch and how many are trained
at once are what memory allows, and the effective batch stays the same; trackers only watch."""
_FIRST = 100
"""Version 0.1.0 measured dev accuracy on so many dev questions, the first of the file."""


def train_key(cell: Cell, recipe: Recipe, corpus: Corpus, dev: Sequence[Example]) -> str:
    """Names everything the weights depend on: equal keys mean equal weights. Last, what the student starts from."""
    # Which dev questions are asked changes no weight but by early stopping, and is then in `chosen`.
    block = recipe.train.model_dump(mode="json", exclude={*NO_WEIGHT, "dev_questions"})
    chosen = _stopped_by(recipe, dev) if recipe.train.early_stopping else None
    if chosen is None:
        # Without early stopping, how often dev accuracy is measured and weights are saved changes no weight.
        del block["checkpoints"], block["curve"]
    kinds = {*cell.method.needs, *cell.method.weighed_by}
    # All texts that the method may read, since later epochs draw others than the first.
    texts = [
        (
            example.id,
            [
                (kind, answer, text.text, text.refusal, *_weighed_by(cell.method, text))
                for (kind, answer), generation in used.items()
                for text in generation.texts
            ],
        )
        for example in corpus.examples
        if (used := {slot: text for slot, text in corpus.generations.get(example.id, {}).items() if slot[0] in kinds})
    ]
    student = cell.student.model_dump(mode="json", exclude={"name"})  # a label trains nothing
    # The pairs of the first epoch stand for the views: another template is another training.
    terms: list[Any] = [dict(cell.method.losses)] if cell.method.losses else []
    if any(term.chances for term in cell.method.terms.values()):
        labels = ((each, corpus.generations.get(each.id, {}).get(("label", ""))) for each in corpus.examples)
        terms.append([(each.id, chances(label, each.choices)) for each, label in labels])
    terms += filter(None, [learned_from(cell, recipe)])
    # Not the weights of samples, which are found later: what they are found from.
    # "shown": a text's weight is the share of the epochs that show it, and not that of its loss.
    shown = [{"weigh": [*weigh.key, *_version(weigh)], "shown": "by weight"}] if (weigh := cell.method.weigh) else []
    pairs = first_epoch(cell, corpus.unweighted)
    key = digest(cell.method.name, student, block, cell.seed, chosen, texts, pairs, *terms, *shown)
    return with_start(key, student_start(cell, recipe).key)


def _weighed_by(method: Method, text: Generation) -> tuple[Any, ...]:
    """Who wrote a text, and how sure of its answer: as the rule that weighs samples may ask."""
    if method.weigh is None:
        return ()
    # Labels are found by their model where another name took the step.
    models = (model(text),) if method.weighed_by else ()
    return writer(text), *models, to_json(text.logprobs)


def _version(rule: Weighing) -> tuple[int, ...]:
    """That of the figures that a rule reads, but for the first, of which keys say nothing."""
    version = SOURCES[RULES[rule.rule].reads].version
    return () if version == 1 else (version,)


def _stopped_by(recipe: Recipe, dev: Sequence[Example]) -> list[Any]:
    """The dev questions that decide when a training stops."""
    sample = dev_sample(dev, recipe.train.dev_questions, recipe.task.seed)
    # Where these are the questions that version 0.1.0 asked, the key is the one that it wrote, of all dev questions.
    if sample == list(dev[:_FIRST]):
        return [question_key(example) for example in dev]
    return ["sample", *(question_key(example) for example in sample)]


def first_epoch(cell: Cell, corpus: Corpus) -> list[dict[str, Any]]:
    """The pairs of a cell's first epoch, one row a pair."""
    examples = range(len(corpus.examples))
    return [item.row() for index in examples for item in corpus.pairs(cell.method, index, 0)]


def refuse_another(cell: Cell, key: str) -> None:
    """Raises StoreError when the cell holds a student that was trained with another key: no weights are overwritten."""
    done = cell.done("train")
    if done is not None and not same_work(done, key):
        same_recipe = split_start(done)[0] == split_start(key)[0]
        raise StoreError(refusal(cell, ["the student's weights or its tokenizer are others"] if same_recipe else ()))


def refusal(cell: Cell, differences: Sequence[str] = ()) -> str:
    """The message for a student that was trained from something else than the recipe says."""
    return (
        f"{cell.folder} holds a student trained from another recipe or other generations, and nothing is overwritten. "
        "Give the recipe a new `name`, or delete that folder."
    ) + (f" What changed: {'; '.join(differences)}." if differences else "")


def train_cell(
    cell: Cell,
    recipe: Recipe,
    task: Task,
    corpus: Corpus,
    dev: Sequence[Example],
    tick: Tick,
    origin: Origin | None = None,
    tests: Sequence[Example] = (),
) -> None:
    """Trains a cell's student unless it is trained, and goes on with a training that was interrupted; weights that are
    missing or damaged are trained again, to the same weights. `origin` is kept in cell.json, and how many of
    the dev and test questions are longer than the student reads.

    Raises StoreError when the cell holds a student trained otherwise, MethodError or StudentError when there is nothing
    to train on.
    """
    key = train_key(cell, recipe, corpus, dev)
    refuse_another(cell, key)
    if cell.done("train") is not None and not cell.trained:
        tick(f"train {cell.name}", 0, 0, "its weights are missing or damaged, and are trained again")
    work = partial(_train, cell, recipe, task, corpus, dev, tick, key, origin, tests)
    once(Stage(marker(cell.folder, "train"), key, work, whole=lambda: cell.trained))
    _tidy(cell)  # after the marker: until then a killed training needs its checkpoints
    if not intact(cell.folder / CellFile.PAIRS):  # which take no training to be written again
        write_jsonl(cell.folder / CellFile.PAIRS, first_epoch(cell, corpus))


def _train(
    cell: Cell,
    recipe: Recipe,
    task: Task,
    corpus: Corpus,
    dev: Sequence[Example],
    tick: Tick,
    key: str,
    origin: Origin | None,
    tests: Sequence[Example],
) -> None:
    from ...students.training import processes
    from ...students.training.train import discard_checkpoints

    # Before training, whose dev accuracy takes the cap of an answer from the longest of these targets.
    write_jsonl(cell.folder / CellFile.PAIRS, first_epoch(cell, corpus))
    started = cell.folder / CellFile.STARTED
    if started.is_file() and not same_work(started.read_text(), key):
        # The checkpoints belong to an unfinished training with another key.
        discard_checkpoints(cell.folder)
        (cell.folder / CellFile.LOG).unlink(missing_ok=True)
    write_text(started, key)
    start = student_start(cell, recipe)
    splits = {"dev": dev if _measures(recipe, dev) else (), "test": tests}
    long: dict[str, int] = {}

    def named(what: str, done: int, total: int, note: str) -> None:
        tick(f"{what} {cell.name}", done, total, note)

    def look(student: BaseStudent) -> None:
        long.update(_long_questions(student, cell, recipe, task, splits, tick))

    if processes.met():
        processes.told({"name": cell.name, "key": key})
    student, fit = share(cell, recipe, task, corpus, dev, named, look)
    student.save(cell.folder / CellFile.STUDENT)
    # Of the weights alone: a tokenizer does not shrink with its model.
    size = sum(path.stat().st_size for path in (cell.folder / CellFile.STUDENT).glob("*.safetensors"))
    sizes = {"parameters": student.parameters_total, "bytes": size}
    about = {**about_cell(cell), "base": asdict(start), **asdict(fit), **sizes}
    if logits := learned_from(cell, recipe):
        about["distil"] = {**logits, "teacher": teacher_named(recipe)}
    if long:
        about["too_long"] = long
    if origin is not None:
        about["origin"] = origin
    slots = (corpus.generations.get(example.id, {}) for example in corpus.examples)
    used = (text for texts in slots for text in texts.values() if text.kind in cell.method.needs)
    if gone := left_out(sample for text in used for sample in text.texts):
        about["left_out"] = gone
    write_json(cell.folder / CellFile.ABOUT, {**about, "reading": asdict(student.reading)})


def share(
    cell: Cell,
    recipe: Recipe,
    task: Task,
    corpus: Corpus,
    dev: Sequence[Example],
    tick: Tick | None = None,
    look: Callable[[BaseStudent], None] | None = None,
) -> tuple[BaseStudent, Fit]:
    """This process's share of a cell's training: all of it, or that of one of several which train it together.

    `look` is given the student as soon as it is opened, and before anything is trained.
    """
    from ...students.training import processes
    from ...students.training.trackers import About, tracked
    from ...students.training.train import TrainSettings, train_student

    def opened() -> BaseStudent:
        student = open_student(cell.student.spec(recipe.train.max_length), recipe.root)
        if look is not None:
            look(student)
        return student

    def measure(student: BaseStudent) -> dict[str, float]:
        return _dev_accuracy(student, cell, recipe, task, dev)

    settings = TrainSettings(**recipe.train.settings(cell.seed))
    score = measure if _measures(recipe, dev) else None
    stated = {"method": cell.method.name, "student": cell.student.label, **asdict(settings)}
    about = About(recipe.name, cell.name, cell.folder, stated)
    with processes.together(), tracked(recipe.train.report_to if processes.rank() == 0 else (), about, tick) as tell:
        teacher = logit_teacher(cell, recipe, tick)
        arguments = opened, corpus, cell.method, settings, cell.folder, score, tick, tell, teacher
        return train_student(*arguments, partial(Storage(cell.folder, tick).send, cell.folder))


def _measures(recipe: Recipe, dev: Sequence[Example]) -> bool:
    """Whether dev accuracy is measured on the way."""
    return bool(dev and (recipe.train.curve or recipe.train.early_stopping))


def _long_questions(
    student: BaseStudent, cell: Cell, recipe: Recipe, task: Task, splits: Mapping[str, Sequence[Example]], tick: Tick
) -> dict[str, int]:
    """Split → its questions that are longer than the student reads, where there are any.

    Raises StudentError when none of a split fits.
    """
    settings = EvaluateSettings(explanation_cap(student, cell, recipe), recipe.evaluate.batch, None)
    evaluation = Evaluation(student, task, cell.method, cell.name, settings)
    counts = {}
    for split, examples in splits.items():
        tokens = evaluation.answer_tokens(examples)
        if long := sum(not evaluation.fits(example, tokens) for example in examples):
            counts[split] = long
            tell_long(evaluation, long, len(examples), tick, split)
    return counts


def _tidy(cell: Cell) -> None:
    """Removes what only an unfinished training needs."""
    from ...students.training.train import discard_checkpoints

    discard_checkpoints(cell.folder)
    (cell.folder / CellFile.STARTED).unlink(missing_ok=True)


def _dev_accuracy(
    student: BaseStudent, cell: Cell, recipe: Recipe, task: Task, dev: Sequence[Example]
) -> dict[str, float]:
    """Dev accuracy of a student in training: of a copy, in the precision in which it will answer."""
    # A copy, since the weights in training must not be rounded to that precision.
    other = ready_to_answer(student.copied())
    examples = dev_sample(dev, recipe.train.dev_questions, recipe.task.seed)
    settings = EvaluateSettings(explanation_cap(other, cell, recipe), recipe.evaluate.batch, 0)
    predictions = answers(Evaluation(other, task, cell.method, cell.name, settings), examples)
    scores = score_predictions(task, examples, predictions, ["accuracy"])
    return {"dev_accuracy": sum(row.value for row in scores) / len(examples), "dev_n": len(examples)}
