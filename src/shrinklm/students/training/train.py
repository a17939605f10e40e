"""THE training loop. Every method goes through it with the same number of examples at the same effective batch; only its views differ."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import TrainingArguments, set_seed

from ...core.errors import StudentError
from ...core.types import Tick
from ...methods.corpus import Corpus
from ...methods.view import Method
from ...models.load import bf16_supported
from ..base import BaseStudent
from .lessons import Lessons
from .trainer import Measure, StudentTrainer

__all__ = ["Fit", "Measure", "TrainSettings", "discard_checkpoints", "train"]


@dataclass(frozen=True)
class TrainSettings:
    """The `train:` block of a recipe, for one seed."""

    examples: int = 20_000
    batch: int = 32
    micro_batch: int | None = None
    learning_rate: float = 1e-4
    warmup: float = 0.06
    weight_decay: float = 0.0
    clip: float = 1.0
    precision: str = "auto"
    checkpoints: int = 4
    early_stopping: int | None = None
    curve: int = 4
    max_length: int = 1024
    seed: int = 0


@dataclass(frozen=True)
class Fit:
    """What a training run was: written to cell.json."""

    examples_seen: int
    batch: int
    micro_batch: int
    steps: int
    tokens_seen: int
    """What the model read, padding not counted; a beginning that views share is read once."""
    pairs: Mapping[str, int]
    """View → pairs trained on, over all epochs."""
    unbuilt: Mapping[str, Mapping[str, int]]
    """View → reason → how often it could not be shown."""
    train_seconds: float
    diverged: bool
    """A loss or gradient was no number any more (training then ends), or the last loss is far above that of guessing."""


def train(
    open_student: Callable[[], BaseStudent], corpus: Corpus, method: Method, settings: TrainSettings, folder: Path,
    measure: Measure | None = None, tick: Tick | None = None,
) -> tuple[BaseStudent, Fit]:  # fmt: skip
    """Trains a student with a method; resumes from the last checkpoint in `folder`, to the same weights.

    Args:
        open_student: makes the untrained student; called again when memory ran out and the micro-batch is halved.
        corpus: the training examples with what the teacher said about them.
        method: what the student is shown.
        settings: how long and how.
        folder: holds train.jsonl and, until `discard_checkpoints`, checkpoints/.
        measure: scores the student on dev, for the curve and for early stopping.
        tick: told after each step.

    Raises:
        MethodError: the method can show nothing, because generations are missing.
        StudentError: not even one example fits into memory, or early stopping has nothing to go by.
    """
    if settings.early_stopping and (measure is None or not settings.checkpoints):
        advice = "Give the task a `dev` split and `train: {checkpoints: 4}`."
        raise StudentError(f"`early_stopping` goes by dev accuracy at checkpoints. {advice}")
    note = folder / "micro_batch"
    folder.mkdir(parents=True, exist_ok=True)
    micro = _micro_batch(settings)
    if note.is_file() and note.read_text().isdigit():  # what fitted into memory before
        micro = _divisor(settings.batch, int(note.read_text()))
    while True:
        try:
            return _train(open_student, corpus, method, settings, folder, micro, measure, tick)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            if micro == 1:
                advice = "Use a smaller student, `lora`, or a shorter `max_length`."
                raise StudentError(f"Out of memory with a single example in the micro-batch. {advice}") from error
        gc.collect()  # the trainer refers to itself
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        micro = _divisor(settings.batch, micro // 2)
        note.write_text(str(micro))
        if tick:
            tick(
                "out of memory",
                0,
                0,
                f"micro-batch halved to {micro}, accumulation {settings.batch // micro}: same effective batch",
            )


def _train(
    open_student: Callable[[], BaseStudent], corpus: Corpus, method: Method, settings: TrainSettings, folder: Path, micro: int,
    measure: Measure | None, tick: Tick | None,
) -> tuple[BaseStudent, Fit]:  # fmt: skip
    set_seed(settings.seed)
    student = open_student()
    lessons = Lessons(student, corpus, method, settings.examples)
    steps = -(-len(lessons) // settings.batch)
    save = _points(steps, settings.checkpoints)
    at = save if settings.early_stopping else _points(steps, settings.curve)
    trainer = StudentTrainer(
        lessons, _arguments(settings, folder / "checkpoints", micro, steps), folder / "train.jsonl",
        save=save, measure=at if measure else set(), score=measure, patience=settings.early_stopping, tick=tick,
    )  # fmt: skip
    trainer.fit()
    unbuilt: dict[str, dict[str, int]] = {}
    for (view, reason), count in sorted(lessons.unbuilt.items()):
        unbuilt.setdefault(view, {})[reason] = count
    fit = Fit(
        examples_seen=trainer.examples_seen, batch=settings.batch, micro_batch=micro, steps=trainer.state.global_step,
        tokens_seen=trainer.tokens_seen, pairs=lessons.pairs(trainer.examples_seen), unbuilt=unbuilt,
        train_seconds=round(trainer.seconds, 1), diverged=trainer.diverged,
    )  # fmt: skip
    student.eval()
    return student, fit


def discard_checkpoints(folder: Path) -> None:
    """Removes the checkpoints of a finished training, once its student is saved."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "micro_batch").unlink(missing_ok=True)


def _arguments(settings: TrainSettings, checkpoints: Path, micro: int, steps: int) -> TrainingArguments:
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and bf16_supported())
    arguments = TrainingArguments(
        output_dir=str(checkpoints), num_train_epochs=1, per_device_train_batch_size=micro,
        gradient_accumulation_steps=settings.batch // micro, learning_rate=settings.learning_rate, lr_scheduler_type="linear",
        warmup_steps=round(settings.warmup * steps), weight_decay=settings.weight_decay, max_grad_norm=settings.clip,
        seed=settings.seed, data_seed=settings.seed, bf16=bf16, use_cpu=not torch.cuda.is_available(), logging_steps=1,
        logging_nan_inf_filter=False, save_strategy="no", eval_strategy="no", remove_unused_columns=False, disable_tqdm=True,
        report_to="none", label_names=["labels"],
    )  # fmt: skip
    arguments._n_gpu = min(arguments.n_gpu, 1)  # packed rows cannot be split over devices by DataParallel
    return arguments


def _points(steps: int, parts: int) -> set[int]:
    """The last steps of `parts` equal parts of a training."""
    every = -(-steps // parts) if parts else 0
    return {*range(every, steps, every), steps} if parts else set()


def _micro_batch(settings: TrainSettings) -> int:
    default = 8 if not torch.cuda.is_available() else 32
    return _divisor(settings.batch, settings.micro_batch or default)


def _divisor(batch: int, most: int) -> int:
    """The largest divisor of `batch` that is at most `most`, so that the effective batch stays exact."""
    return next(size for size in range(max(1, min(batch, most)), 0, -1) if batch % size == 0)
