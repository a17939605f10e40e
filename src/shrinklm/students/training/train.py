"""The training of one student: settings, retries with less memory, resuming.

Every method goes through it with the same number of examples at the same effective batch; only its views differ.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ...core.errors import StudentError
from ...core.files import write_text
from ...core.results import CellFile
from ...core.types import Tick
from ...methods.corpus import Corpus
from ...methods.view import Method
from ...models.load import bf16_supported
from ..base import BaseStudent
from ..logits import LogitTeacher
from . import processes
from .lessons import Lessons
from .limit import Limit, compute_again, divisor
from .log import Log
from .trackers import Tell
from .trainer import Measure, Plan, Trainer


@dataclass(frozen=True)
class TrainSettings:
    """The `train:` block of a recipe, for one seed. The recipe documents them and holds the defaults."""

    examples: int
    batch: int
    micro_batch: int | None
    learning_rate: float
    warmup: float
    weight_decay: float
    clip: float
    precision: str
    checkpoints: int
    early_stopping: int | None
    curve: int
    max_length: int
    seed: int


@dataclass(frozen=True)
class Fit:
    """The facts of a finished training: written to cell.json."""

    examples_seen: int
    batch: int
    micro_batch: int | None
    """Examples of a pass; None: it was cut by tokens."""
    pass_tokens: int | None
    """Tokens of a pass with their padding; None: it was cut by examples."""
    steps: int
    tokens_seen: int
    """Tokens that the model read, padding not counted; a beginning that views share is read once."""
    pairs: Mapping[str, int]
    """View → pairs trained on, over all epochs."""
    unbuilt: Mapping[str, Mapping[str, int]]
    """View → reason → how often a pair could not be built or did not fit."""
    processes: int
    """That trained it together."""
    train_seconds: float
    diverged: bool
    """A loss or gradient was not finite (training then ends), or the last loss is far above that of guessing."""


def train_student(
    open_student: Callable[[], BaseStudent],
    corpus: Corpus,
    method: Method,
    settings: TrainSettings,
    folder: Path,
    measure: Measure | None = None,
    tick: Tick | None = None,
    tell: Tell | None = None,
    teacher: LogitTeacher | None = None,
    saved: Callable[[], None] | None = None,
) -> tuple[BaseStudent, Fit]:
    """Train a student with a method; resume from the last checkpoint in `folder`, to the same weights.

    Args:
        open_student: Opens the untrained student; called again when memory ran out and the micro-batch is halved.
        corpus: The training examples with the teacher's generations.
        method: Its views are trained on.
        settings: How long and how.
        folder: Holds train.jsonl and, until `discard_checkpoints`, checkpoints/.
        measure: Scores the student on dev, for the curve and for early stopping.
        tick, tell: Called after each step, with the progress, and with its figures as they go into train.jsonl.
        teacher: Terms of the loss may read its logits.
        saved: Called when this process has written a checkpoint.

    Raises:
        MethodError: the method cannot build any pair, because generations are missing.
        StudentError: not even one example fits into memory, or early stopping has nothing to go by.
        StoreError: `folder` cannot be written.
    """
    _check_stopping(settings, measure)
    note = folder / CellFile.MICRO_BATCH
    # What fitted into memory before a kill.
    limit = Limit.read(note.read_text(), settings.batch) if note.is_file() else None
    while True:
        torch.manual_seed(settings.seed)  # before the student is opened, whose weights may be drawn
        student = open_student()
        limit = limit or _limit(student, settings)
        if processes.count() > 1:  # each cuts every step, and all must cut it alike
            limit = Limit(*processes.told((limit.examples, limit.tokens, limit.again)))
        if limit.again and not compute_again(student.model):
            raise StudentError(_no_memory(limit, settings))
        try:
            fit = _train(student, corpus, method, settings, folder, limit, measure, tick, tell, teacher, saved)
            return student, fit
        except RuntimeError as error:
            # The CPU's allocator has no error class of its own.
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            less = limit.less(settings.batch)
            if less is None or processes.count() > 1:
                raise StudentError(_no_memory(limit, settings)) from error
        # Outside the handler, where the error's traceback would hold the tensors. The trainer refers to itself.
        del student
        _free()
        # Written down, so that a resumed training does not run out of memory at the same place once more.
        limit = less
        write_text(note, limit.note)
        if tick:
            tick("out of memory", 0, 0, _now(limit, settings))


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _now(limit: Limit, settings: TrainSettings) -> str:
    """What is done about memory that ran out."""
    if limit.again:
        return "layers are computed once more in the backward pass: the same weights, in about a third more time"
    accumulation = f", accumulation {settings.batch // limit.examples}" if limit.examples else ""
    return f"micro-batch halved to {limit}{accumulation}: same effective batch"


def _train(
    student: BaseStudent,
    corpus: Corpus,
    method: Method,
    settings: TrainSettings,
    folder: Path,
    limit: Limit,
    measure: Measure | None,
    tick: Tick | None,
    tell: Tell | None,
    teacher: LogitTeacher | None,
    saved: Callable[[], None] | None,
) -> Fit:
    lessons = Lessons(student, corpus, method, settings.examples, teacher)
    steps = -(-len(lessons) // settings.batch)
    save = _points(steps, settings.checkpoints)
    # Early stopping goes back to a checkpoint, so it measures where one is written.
    measured = save if settings.early_stopping else _points(steps, settings.curve)
    plan = Plan(
        batch=settings.batch,
        limit=limit,
        learning_rate=settings.learning_rate,
        warmup=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        clip=settings.clip,
        bf16=_in_bf16(settings),
        seed=settings.seed,
        save=save,
        measure=measured if measure else frozenset(),
        patience=settings.early_stopping,
    )
    log = Log(folder / CellFile.LOG, processes.rank() == 0, tell)
    trainer = Trainer(lessons, plan, log, folder / CellFile.CHECKPOINTS, measure, tick, saved)
    trainer.fit()
    unbuilt: dict[str, dict[str, int]] = {}
    for (view, reason), count in sorted(lessons.unbuilt.items()):
        unbuilt.setdefault(view, {})[reason] = count
    fit = Fit(
        examples_seen=trainer.examples_seen,
        batch=settings.batch,
        micro_batch=limit.examples,
        pass_tokens=None if limit.examples else limit.tokens,
        steps=trainer.step,
        tokens_seen=trainer.log.tokens,
        pairs=lessons.pairs(trainer.examples_seen),
        unbuilt=unbuilt,
        processes=processes.count(),
        train_seconds=round(trainer.log.seconds, 1),
        diverged=trainer.diverged,
    )
    student.eval()
    if processes.rank() == 0:
        student.remember(lessons.shown(trainer.examples_seen))
    return fit


def _check_stopping(settings: TrainSettings, measure: Measure | None) -> None:
    if settings.early_stopping and (measure is None or not settings.checkpoints):
        advice = "Give the task a `dev` split and `train: {checkpoints: 4}`."
        raise StudentError(f"`early_stopping` goes by dev accuracy at checkpoints. {advice}")


def discard_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished training, once its student is saved."""
    shutil.rmtree(folder / CellFile.CHECKPOINTS, ignore_errors=True)
    (folder / CellFile.MICRO_BATCH).unlink(missing_ok=True)


def _points(steps: int, parts: int) -> frozenset[int]:
    """The last steps of `parts` equal parts of a training."""
    # Rounded up, so that there are never more parts than asked for; the last may be shorter.
    every = -(-steps // parts) if parts else 0
    return frozenset({*range(every, steps, every), steps} if parts else ())


def _in_bf16(settings: TrainSettings) -> bool:
    return settings.precision == "bf16" or (settings.precision == "auto" and bf16_supported())


def _limit(student: BaseStudent, settings: TrainSettings) -> Limit:
    examples = settings.micro_batch and divisor(settings.batch, settings.micro_batch)
    return Limit.of(student, examples, _in_bf16(settings))


def _no_memory(limit: Limit, settings: TrainSettings) -> str:
    """The message where less cannot be tried."""
    advice = "Use a smaller student, `lora`, or a shorter `max_length`."
    several = processes.count()
    most = limit.examples or -(-settings.batch // several)
    if several == 1 or limit.smallest or most == 1:
        return f"Out of memory with a single example in the micro-batch. {advice}"
    # Where one has no memory left the others wait for its gradients, and cannot begin again with less.
    less = divisor(settings.batch, most // 2)
    return (
        f"Out of memory in process {processes.rank()} of {several}. Several cannot take smaller steps by themselves. "
        f"Write: train: {{micro_batch: {less}}}. The same command goes on from the last checkpoint."
    )
