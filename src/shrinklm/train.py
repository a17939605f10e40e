"""THE training loop: transformers' Trainer, subclassed once.

Every method goes through it with the same examples in the same order at the same effective batch; only its views differ. The loss of
a step is Σ_view weight × mean over the view's pairs of the whole effective batch, however it is cut into micro-batches and processes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from .errors import MethodError, StudentError
from .methods import Corpus, Method, Shown
from .models import bf16_supported
from .students.base import BaseStudent
from .types import Tick

WEIGHTS = "trained.safetensors"

Measure = Callable[[BaseStudent], Mapping[str, float]]
"""Scores a student on dev on the way, such as {"dev_accuracy": 0.41, "dev_n": 100}; "dev_accuracy" decides early stopping."""


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
    pairs: Mapping[str, int]
    """View → pairs trained on, over all epochs."""
    unbuilt: Mapping[str, Mapping[str, int]]
    """View → reason → how often it could not be shown."""
    train_seconds: float
    diverged: bool


class _Schedule(Dataset[tuple[int, int]]):
    """(index of the example, epoch) for everything that is seen, in order."""

    def __init__(self, items: Sequence[tuple[int, int]]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> tuple[int, int]:
        return self.items[place]


class Collator:
    """Items of the schedule → tensors, with the view of each pair."""

    def __init__(self, student: BaseStudent, corpus: Corpus, method: Method) -> None:
        self.student, self.corpus, self.method = student, corpus, method
        self.views = {view.name: place for place, view in enumerate(method.views)}

    def __call__(self, items: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        groups = [self.fitting(self.corpus.show(self.method, index, epoch)) for index, epoch in items]
        groups = [group for group in groups if group]
        batch = self.student.encode([[shown.pair for shown in group] for group in groups])
        view = torch.tensor([self.views[shown.view.name] for group in groups for shown in group])
        return {**batch, "view": view}

    def fitting(self, group: Sequence[Shown], unbuilt: Counter[tuple[str, str]] | None = None) -> list[Shown]:
        """The pairs that fit the student's length whole; the others are counted, never cut."""
        kept = []
        for shown in group:
            length = self.student.length(shown.pair)
            if length <= self.student.max_length:
                kept.append(shown)
            elif unbuilt is not None:
                unbuilt[shown.view.name, f"longer than {self.student.max_length} tokens"] += 1
        return kept


class StudentTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with our loss, our order, our log, and checkpoints of the trained weights alone."""

    def __init__(self, method: Method, log_file: Path, measure: Measure | None, tick: Tick | None, **kwargs: Any) -> None:
        self.weights = list(method.views.values())
        self.names = [view.name for view in method.views]
        self.log_file = log_file
        self.measure = measure
        self.tick = tick
        self.diverged = False
        self._sums = torch.zeros(len(self.weights))
        self._counts = torch.zeros(len(self.weights))
        super().__init__(**kwargs)
        self.loss_is_scaled_for_ga = True
        self._started = time.perf_counter()
        self._before = 0.0
        self.tokens_seen = 0

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Tensor]:
        """The micro-batches of one step, and how many pairs of each view they hold together, over all processes."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        counts = torch.stack([torch.bincount(batch["view"].cpu(), minlength=len(self.weights)) for batch in batches] or [torch.zeros(len(self.weights))]).sum(0)
        return batches, self.accelerator.reduce(counts.to(device), "sum")

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Tensor | None = None
    ) -> Any:
        """Σ_view weight × Σ of the pairs' mean cross-entropies / pairs of that view in the step."""
        view = inputs.pop("view")
        counts = torch.bincount(view, minlength=len(self.weights)) if num_items_in_batch is None else num_items_in_batch
        total, scored = model(inputs)
        losses = total / scored
        sums = losses.new_zeros(len(self.weights)).index_add(0, view, losses)
        weights = torch.tensor(self.weights, device=sums.device)
        loss = (weights * sums / counts.clamp(min=1)).sum() * self.accelerator.num_processes
        self._sums += sums.detach().cpu()
        self._counts += torch.bincount(view, minlength=len(self.weights)).cpu()
        self.tokens_seen += int(inputs["input_ids"].numel())
        return (loss, losses) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One line of train.jsonl a step."""
        if "loss" not in logs:
            return
        means = (self._sums / self._counts.clamp(min=1)).tolist()
        parts = {f"loss/{name}": mean for name, mean, count in zip(self.names, means, self._counts.tolist(), strict=True) if count}
        self._sums.zero_()
        self._counts.zero_()
        if not torch.isfinite(torch.tensor([logs["loss"], *parts.values()])).all():
            self.diverged = True
            self.control.should_training_stop = True
        loss = sum(weight * parts.get(f"loss/{name}", 0.0) for name, weight in zip(self.names, self.weights, strict=True))
        self.write({"loss": loss, **parts, "learning_rate": logs.get("learning_rate"), "grad_norm": logs.get("grad_norm")})
        if self.tick:
            note = " ".join(f"{name} {value:.3f}" for name, value in [("loss", loss), *((k.removeprefix("loss/"), v) for k, v in parts.items())])
            self.tick("train", self.state.global_step, self.state.max_steps, note)

    def write(self, values: Mapping[str, Any]) -> None:
        """Appends to train.jsonl with the step, examples and seconds so far."""
        seen = min(self.state.global_step * self.args.train_batch_size * self.args.gradient_accumulation_steps, len(self.train_dataset))
        line = {"step": self.state.global_step, "examples": seen, **values, "seconds": round(self.seconds, 2), "tokens": self.tokens_seen}
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def seconds(self) -> float:
        """Training time, that of earlier processes included."""
        return self._before + time.perf_counter() - self._started

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measures the student on dev, on the way."""
        if self.measure is None:
            return {}
        student: BaseStudent = self.accelerator.unwrap_model(self.model)
        student.eval()
        found = dict(self.measure(student))
        student.train()
        self.write(found)
        return {f"eval_{name}": value for name, value in found.items()}

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Only what is trained, each tied weight once."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        student = self.accelerator.unwrap_model(self.model)
        save_file({name: weight.detach().cpu().contiguous() for name, weight in student.named_parameters() if weight.requires_grad}, folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        student = self.accelerator.unwrap_model(model or self.model)
        student.load_state_dict(load_file(Path(resume_from_checkpoint) / WEIGHTS), strict=False)

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint:
            self._load_from_checkpoint(self.state.best_model_checkpoint)

    def goes_on(self) -> None:
        """Takes the log back to the step that the checkpoint holds, so that nothing stands in it twice."""
        step = self.state.global_step
        lines = [json.loads(line) for line in self.log_file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        kept = [line for line in lines if line["step"] <= step]
        self.log_file.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        if kept:
            self._before, self.tokens_seen = kept[-1]["seconds"], kept[-1]["tokens"]
        self._started = time.perf_counter()


class _Begin(TrainerCallback):  # type: ignore[misc]
    """Tells the trainer when it starts, at whatever step that is."""

    trainer: StudentTrainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.state = state
        self.trainer.goes_on()


def train(
    open_student: Callable[[], BaseStudent], corpus: Corpus, method: Method, settings: TrainSettings, folder: Path,
    measure: Measure | None = None, tick: Tick | None = None,
) -> tuple[BaseStudent, Fit]:  # fmt: skip
    """Trains a student with a method; resumes from the last checkpoint in `folder`, to the same weights.

    Args:
        open_student: makes the untrained student; called again when memory ran out and the micro-batch is halved.
        folder: holds train.jsonl and, until training is done, checkpoints/.

    Raises:
        MethodError: the method can show nothing, because generations are missing.
        StudentError: not even one example fits into memory.
    """
    micro = _micro_batch(settings)
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / "micro_batch"
    if notes.is_file():
        micro = int(notes.read_text())
    while True:
        try:
            return _train(open_student, corpus, method, settings, folder, micro, measure, tick)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
        if micro == 1:
            raise StudentError("Out of memory with a single example in the micro-batch. Use a smaller student, `lora`, or a shorter `max_length`.")
        micro = _divisor(settings.batch, micro // 2)
        notes.write_text(str(micro))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if tick:
            tick("out of memory", 0, 0, f"micro-batch halved to {micro}, accumulation {settings.batch // micro}: same effective batch")


def _train(
    open_student: Callable[[], BaseStudent], corpus: Corpus, method: Method, settings: TrainSettings, folder: Path, micro: int,
    measure: Measure | None, tick: Tick | None,
) -> tuple[BaseStudent, Fit]:  # fmt: skip
    set_seed(settings.seed)
    student = open_student()
    collator = Collator(student, corpus, method)
    schedule = list(corpus.schedule(method, settings.examples))
    schedule, pairs, unbuilt = _shown(schedule, collator)
    log_file = folder / "train.jsonl"
    steps = -(-len(schedule) // settings.batch)
    save_every = max(1, -(-steps // settings.checkpoints)) if settings.checkpoints else steps
    measure_every = save_every if settings.early_stopping else max(1, steps // settings.curve) if settings.curve and measure else 0
    begin = _Begin()
    callbacks: list[TrainerCallback] = [begin]
    if settings.early_stopping:
        callbacks.append(EarlyStoppingCallback(settings.early_stopping))
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and bf16_supported())
    checkpoints = folder / "checkpoints"
    trainer = StudentTrainer(
        method=method, log_file=log_file, measure=measure, tick=tick, model=student, data_collator=collator, train_dataset=_Schedule(schedule),
        eval_dataset=_Schedule(schedule[:1]) if measure_every else None, callbacks=callbacks,
        args=TrainingArguments(
            output_dir=str(checkpoints), num_train_epochs=1, per_device_train_batch_size=micro, gradient_accumulation_steps=settings.batch // micro,
            learning_rate=settings.learning_rate, lr_scheduler_type="linear", warmup_steps=round(settings.warmup * steps),
            weight_decay=settings.weight_decay, max_grad_norm=settings.clip, seed=settings.seed, data_seed=settings.seed, bf16=bf16,
            use_cpu=not torch.cuda.is_available(), logging_steps=1, logging_nan_inf_filter=False, save_strategy="steps" if settings.checkpoints else "no",
            save_steps=save_every, save_total_limit=2 if settings.early_stopping else 1, eval_strategy="steps" if measure_every else "no",
            eval_steps=measure_every or None, load_best_model_at_end=bool(settings.early_stopping), metric_for_best_model="eval_dev_accuracy" if settings.early_stopping else None,
            greater_is_better=True if settings.early_stopping else None, remove_unused_columns=False, disable_tqdm=True, report_to="none", label_names=["labels"],
        ),
    )  # fmt: skip
    begin.trainer = trainer
    for default in ("PrinterCallback", "ProgressCallback"):
        for callback in [found for found in trainer.callback_handler.callbacks if type(found).__name__ == default]:
            trainer.remove_callback(callback)
    log_file.touch()
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    fit = Fit(
        examples_seen=min(trainer.state.global_step * settings.batch, len(schedule)), batch=settings.batch, micro_batch=micro, steps=trainer.state.global_step,
        tokens_seen=trainer.tokens_seen, pairs=pairs, unbuilt=unbuilt, train_seconds=round(trainer.seconds, 1), diverged=trainer.diverged,
    )  # fmt: skip
    student.eval()
    return student, fit


def discard_checkpoints(folder: Path) -> None:
    """Removes the checkpoints of a finished training, once its student is saved."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "micro_batch").unlink(missing_ok=True)


def _shown(
    schedule: Sequence[tuple[int, int]], collator: Collator
) -> tuple[list[tuple[int, int]], dict[str, int], dict[str, dict[str, int]]]:
    """The schedule without examples of which no pair fits, the pairs of each view, and why the others were not built."""
    pairs: Counter[str] = Counter({view.name: 0 for view in collator.method.views})
    unbuilt: Counter[tuple[str, str]] = Counter()
    kept = []
    for index, epoch in schedule:
        group = collator.fitting(collator.corpus.show(collator.method, index, epoch, unbuilt), unbuilt)
        pairs.update(shown.view.name for shown in group)
        if group:
            kept.append((index, epoch))
    if not kept:
        raise MethodError(f"Method '{collator.method.name}': no pair fits into {collator.student.max_length} tokens. Raise `train: {{max_length: ...}}`.")
    reasons: dict[str, dict[str, int]] = {}
    for (view, reason), count in sorted(unbuilt.items()):
        reasons.setdefault(view, {})[reason] = count
    return kept, dict(pairs), reasons


def _micro_batch(settings: TrainSettings) -> int:
    default = 8 if not torch.cuda.is_available() else 32
    return _divisor(settings.batch, settings.micro_batch or default)


def _divisor(batch: int, most: int) -> int:
    """The largest divisor of `batch` that is at most `most`, so that the effective batch stays exact."""
    return next(size for size in range(max(1, min(batch, most)), 0, -1) if batch % size == 0)
