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
from transformers import TrainingArguments, set_seed

from ...core.errors import StudentError
from ...core.files import write_text
from ...core.results import CellFile
from ...core.types import Tick
from ...methods.corpus import Corpus
from ...methods.view import Method
from ...models.load import bf16_supported
from ..base import BaseStudent
from .lessons import Lessons
from .trainer import Measure, StudentTrainer


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
    micro_batch: int
    steps: int
    tokens_seen: int
    """Tokens that the model read, padding not counted; a beginning that views share is read once."""
    pairs: Mapping[str, int]
    """View → pairs trained on, over all epochs."""
    unbuilt: Mapping[str, Mapping[str, int]]
    """View → reason → how often a pair could not be built or did not fit."""
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
) -> tuple[BaseStudent, Fit]:
    """Train a student with a method; resume from the last checkpoint in `folder`, to the same weights.

    Args:
        open_student: Opens the untrained student; called again when memory ran out and the micro-batch is halved.
        corpus: The training examples with the teacher's generations.
        method: Its views are trained on.
        settings: How long and how.
        folder: Holds train.jsonl and, until `discard_checkpoints`, checkpoints/.
        measure: Scores the student on dev, for the curve and for early stopping.
        tick: Called with the progress after each step.

    Raises:
        MethodError: the method cannot build any pair, because generations are missing.
        StudentError: not even one example fits into memory, or early stopping has nothing to go by.
        StoreError: `folder` cannot be written.
    """
    if settings.early_stopping and (measure is None or not settings.checkpoints):
        advice = "Give the task a `dev` split and `train: {checkpoints: 4}`."
        raise StudentError(f"`early_stopping` goes by dev accuracy at checkpoints. {advice}")
    note = folder / CellFile.MICRO_BATCH
    micro = _micro_batch(settings)
    if note.is_file() and note.read_text().isdigit():  # the size that fitted into memory before a kill
        micro = _divisor(settings.batch, int(note.read_text()))
    while True:
        try:
            return _train(open_student, corpus, method, settings, folder, micro, measure, tick)
        except RuntimeError as error:
            # The CPU's allocator has no error class of its own.
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            if micro == 1:
                advice = "Use a smaller student, `lora`, or a shorter `max_length`."
                raise StudentError(f"Out of memory with a single example in the micro-batch. {advice}") from error
        # Outside the handler: inside it, the error's traceback would still hold the tensors. The trainer refers to
        # itself.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        # Written down, so that a resumed training does not run out of memory at the same place once more.
        micro = _divisor(settings.batch, micro // 2)
        write_text(note, str(micro))
        if tick:
            halved = f"micro-batch halved to {micro}, accumulation {settings.batch // micro}: same effective batch"
            tick("out of memory", 0, 0, halved)


def _train(
    open_student: Callable[[], BaseStudent],
    corpus: Corpus,
    method: Method,
    settings: TrainSettings,
    folder: Path,
    micro: int,
    measure: Measure | None,
    tick: Tick | None,
) -> tuple[BaseStudent, Fit]:
    set_seed(settings.seed)  # before the student is opened, whose weights may be drawn
    student = open_student()
    lessons = Lessons(student, corpus, method, settings.examples)
    steps = -(-len(lessons) // settings.batch)
    save = _points(steps, settings.checkpoints)
    # Early stopping goes back to a checkpoint, so it measures where one is written.
    measured = save if settings.early_stopping else _points(steps, settings.curve)
    trainer = StudentTrainer(
        lessons,
        _arguments(settings, folder / CellFile.CHECKPOINTS, micro, steps),
        folder / CellFile.LOG,
        save=save,
        measure=measured if measure else set(),
        score=measure,
        patience=settings.early_stopping,
        tick=tick,
    )
    trainer.fit()
    unbuilt: dict[str, dict[str, int]] = {}
    for (view, reason), count in sorted(lessons.unbuilt.items()):
        unbuilt.setdefault(view, {})[reason] = count
    fit = Fit(
        examples_seen=trainer.examples_seen,
        batch=settings.batch,
        micro_batch=micro,
        steps=trainer.state.global_step,
        tokens_seen=trainer.tokens_seen,
        pairs=lessons.pairs(trainer.examples_seen),
        unbuilt=unbuilt,
        train_seconds=round(trainer.seconds, 1),
        diverged=trainer.diverged,
    )
    student.eval()
    return student, fit


def discard_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished training, once its student is saved."""
    shutil.rmtree(folder / CellFile.CHECKPOINTS, ignore_errors=True)
    (folder / CellFile.MICRO_BATCH).unlink(missing_ok=True)


def _arguments(settings: TrainSettings, checkpoints: Path, micro: int, steps: int) -> TrainingArguments:
    """The Trainer's arguments."""
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and bf16_supported())
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=1,  # the dataset holds all epochs
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=settings.batch // micro,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        seed=settings.seed,
        data_seed=settings.seed,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not finite ends the training: it must reach the log
        save_strategy="no",  # `_Points` sets when to save and when to measure
        eval_strategy="no",
        remove_unused_columns=False,  # items are lessons, without the columns that the Trainer would look for
        disable_tqdm=True,
        report_to="none",
        label_names=["labels"],
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # packed rows cannot be split over devices by DataParallel
    return arguments


def _points(steps: int, parts: int) -> set[int]:
    """The last steps of `parts` equal parts of a training."""
    # Rounded up, so that there are never more parts than asked for; the last may be shorter.
    every = -(-steps // parts) if parts else 0
    return {*range(every, steps, every), steps} if parts else set()


def _micro_batch(settings: TrainSettings) -> int:
    default = 32 if torch.cuda.is_available() else 8
    return _divisor(settings.batch, settings.micro_batch or default)


def _divisor(batch: int, most: int) -> int:
    """The largest divisor of `batch` that is at most `most`, so that the effective batch stays exact."""
    return next(size for size in range(max(1, min(batch, most)), 0, -1) if batch % size == 0)
