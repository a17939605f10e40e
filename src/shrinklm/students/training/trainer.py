"""transformers' Trainer, subclassed once: its own loss, order and log; checkpoints hold the trained weights alone.

The loss of a step is Σ_view weight × mean over the view's pairs of the whole effective batch, each pair counting once
whatever its length, however the batch is cut into micro-batches and processes.
"""

from __future__ import annotations

import json
import math
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from ...core.errors import StoreError
from ...core.files import write_text, writing
from ...core.intact import intact
from ...core.types import Tick
from ..base import BaseStudent
from .lessons import Lessons

WEIGHTS = "trained.safetensors"

Measure = Callable[[BaseStudent], Mapping[str, float]]
"""Scores a student on dev during training, such as {"dev_accuracy": 0.41, "dev_n": 100}; "dev_accuracy" decides early
stopping."""


class _Points(TrainerCallback):  # type: ignore[misc]
    """The steps after which the Trainer saves and measures."""

    def __init__(self, save: set[int], measure: set[int]) -> None:
        self.save, self.measure = save, measure

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_save = state.global_step in self.save
        control.should_evaluate = state.global_step in self.measure


class StudentTrainer(Trainer):  # type: ignore[misc]
    """Trains a student on lessons.

    Args:
        lessons: The dataset; its student is trained.
        arguments: The Trainer's own.
        log_file: Grows by one line a step.
        save: Steps after which a checkpoint is written.
        measure: Steps after which `score` is called.
        score: Scores the student on dev.
        patience: Stop after so many measurements in a row without a better dev accuracy, and keep the best student;
            None: never.
        tick: Called with the progress of each step.
    """

    def __init__(
        self,
        lessons: Lessons,
        arguments: TrainingArguments,
        log_file: Path,
        *,
        save: set[int],
        measure: set[int],
        score: Measure | None = None,
        patience: int | None = None,
        tick: Tick | None = None,
    ) -> None:
        self.lessons = lessons
        self.names = [view.name for view in lessons.method.views]
        self.weights = list(lessons.method.views.values())
        self.log_file, self.score, self.patience, self.tick = log_file, score, patience, tick
        self.lines: list[dict[str, Any]] = []
        """The log so far, that of earlier processes included."""
        self.non_finite = False
        """Whether a loss or a gradient was NaN or infinite."""
        self.tokens_seen = 0
        self._sums = torch.zeros(len(self.weights))
        self._counts = torch.zeros(len(self.weights))
        super().__init__(
            model=lessons.student,
            args=arguments,
            train_dataset=lessons,
            data_collator=lessons.tensors,
            callbacks=[_Points(save, measure)],
        )
        # `compute_loss` divides by the pairs of the whole step; the Trainer must not divide by the number of
        # micro-batches once more.
        self.loss_is_scaled_for_ga = True
        for name in ("PrinterCallback", "ProgressCallback"):  # progress goes to `tick`
            for callback in [each for each in self.callback_handler.callbacks if type(each).__name__ == name]:
                self.remove_callback(callback)
        self._before, self._started = 0.0, time.perf_counter()

    # Called by the Trainer

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> SequentialSampler:
        # The corpus has ordered the examples already, the same for every method.
        return SequentialSampler(self.lessons)

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """The micro-batches of one step, and how many pairs of each view they hold together, over all processes."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        # Before any of them is computed: each micro-batch's share of the loss depends on the others' pairs.
        counts = torch.zeros(len(self.weights), dtype=torch.long)
        for batch in batches:
            counts += self._by_view(batch["view"]).cpu()
        return batches, self.accelerator.reduce(counts.to(device), "sum")

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Σ_view weight × Σ of the pairs' mean cross-entropies / pairs of that view in the step."""
        view = inputs.pop("view")
        counts = self._by_view(view) if num_items_in_batch is None else num_items_in_batch
        total, scored = model(inputs)
        losses = total / scored
        sums = losses.new_zeros(len(self.weights)).index_add(0, view, losses)
        weights = torch.tensor(self.weights, device=sums.device)
        # Gradients are averaged over the processes, while the counts are already those of all processes.
        loss = (weights * sums / counts.clamp(min=1)).sum() * self.accelerator.num_processes
        self._sums += sums.detach().cpu()
        self._counts += self._by_view(view).cpu()
        self.tokens_seen += int(inputs["tokens"])
        return (loss, losses) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write one line of the log a step; stop where a number is not finite."""
        if "loss" not in logs:
            return
        means = (self._sums / self._counts.clamp(min=1)).tolist()
        parts = {
            f"loss/{name}": mean
            for name, mean, count in zip(self.names, means, self._counts.tolist(), strict=True)
            if count
        }
        self._sums.zero_()
        self._counts.zero_()
        loss = sum(
            weight * parts.get(f"loss/{name}", 0.0) for name, weight in zip(self.names, self.weights, strict=True)
        )
        self._write(
            {"loss": loss, **parts, **{name: logs[name] for name in ("learning_rate", "grad_norm") if name in logs}}
        )
        self.control.should_training_stop |= self.non_finite
        if self.tick:
            note = " ".join(
                f"{name.removeprefix('loss/')} {value:.3f}" for name, value in {"loss": loss, **parts}.items()
            )
            self.tick("train", self.state.global_step, self.state.max_steps, note)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score the student on dev during training; its time is not training time."""
        # The Trainer's own `evaluate` clears this flag: left set, the epoch's end would measure the last step again.
        self.control.should_evaluate = False
        if self.score is None:
            return {}
        before = time.perf_counter()
        self.lessons.student.eval()
        scores = dict(self.score(self.lessons.student))
        self.lessons.student.train()
        self._started += time.perf_counter() - before
        self._write(scores)
        self.control.should_training_stop |= self.out_of_patience
        return scores

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Write the Trainer's own checkpoint and remove the older ones; with `patience`, the best so far stays."""
        new = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            with writing(new):
                super()._save_checkpoint(*args, **kwargs)
        except StoreError:
            shutil.rmtree(new, ignore_errors=True)  # half a checkpoint is worth nothing, and a full disk needs its room
            raise
        self.control.should_save = False
        keep = {self.state.global_step, *([self.best_step] if self.patience else [])}
        for step, folder in _checkpoints(Path(self.args.output_dir)):
            if step not in keep:
                shutil.rmtree(folder, ignore_errors=True)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the trained weights alone, each tied one once."""
        # Frozen ones (below LoRA) come with the student that `open_student` opens; safetensors refuses shared memory.
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        trained = {name: weight for name, weight in self.lessons.student.named_parameters() if weight.requires_grad}
        save_file({name: weight.detach().cpu().contiguous() for name, weight in trained.items()}, folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # Not strict: the file lacks the frozen weights and the second names of tied ones.
        self.lessons.student.load_state_dict(load_file(Path(resume_from_checkpoint) / WEIGHTS), strict=False)

    # Called by `train_student`

    def fit(self) -> None:
        """Train to the end, from the last whole checkpoint if there is one; `patience` ends with the best student."""
        folder = Path(self.args.output_dir)
        step, last = last_checkpoint(folder)
        self._resume_log(step)
        if self.non_finite or self.out_of_patience:
            # Training had already ended when the process was killed: one more step would change the weights.
            self.state.global_step = step
            self._load_from_checkpoint(str(last))
        else:
            self.train(resume_from_checkpoint=str(last) if last else None)
        if self.patience and self.best_step is not None:
            self._load_from_checkpoint(str(folder / f"checkpoint-{self.best_step}"))

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite, or the last loss of a view is twice that of guessing every token."""
        # Guessing among V tokens costs log V. One view suffices: the others' small losses must not hide it in a mean.
        vocabulary = self.lessons.student.config.get_text_config(decoder=True).vocab_size
        last: dict[str, Any] = next((line for line in reversed(self.lines) if "loss" in line), {})
        return self.non_finite or any(
            value > 2 * math.log(vocabulary) for name, value in last.items() if name.startswith("loss/")
        )

    @property
    def out_of_patience(self) -> bool:
        """Whether early stopping ends the training."""
        measured = [line["step"] for line in self.lines if "dev_accuracy" in line]
        return bool(self.patience and measured and len(measured) - 1 - measured.index(self.best_step) >= self.patience)

    @property
    def best_step(self) -> int | None:
        """The first step with the best dev accuracy; None before any was measured."""
        measured = [line for line in self.lines if "dev_accuracy" in line]
        return max(measured, key=lambda line: line["dev_accuracy"])["step"] if measured else None

    @property
    def examples_seen(self) -> int:
        """Examples trained on so far."""
        # The last step of a training may hold less than a whole batch.
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return int(min(self.state.global_step * batch, len(self.lessons)))

    @property
    def seconds(self) -> float:
        """Training time, that of earlier processes included."""
        return self._before + time.perf_counter() - self._started

    def _by_view(self, view: Tensor) -> Tensor:
        """The pairs of each view."""
        return torch.bincount(view, minlength=len(self.weights))

    def _write(self, values: Mapping[str, float | None]) -> None:
        """Append a line to the log, with null for a value that is not finite: JSON has no NaN."""
        numbers = {
            name: value if value is not None and math.isfinite(value) else None for name, value in values.items()
        }
        step = {"step": self.state.global_step, "examples": self.examples_seen}
        line = {**step, **numbers, "seconds": round(self.seconds, 2), "tokens": self.tokens_seen}
        self.lines.append(line)
        self.non_finite |= None in numbers.values()
        with writing(self.log_file), self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _resume_log(self, step: int) -> None:
        """Take the log back to `step`, the last that the checkpoint holds, so that no step stands in it twice."""
        text = self.log_file.read_text(encoding="utf-8") if self.log_file.is_file() else ""
        # A line that a kill tore does not end with "}": the objects in it hold no others.
        lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        self.lines = [line for line in lines if line["step"] <= step]
        write_text(self.log_file, "".join(json.dumps(line) + "\n" for line in self.lines))
        self.non_finite = any(None in line.values() for line in self.lines)
        if self.lines:
            self._before, self.tokens_seen = self.lines[-1]["seconds"], self.lines[-1]["tokens"]
        self._started = time.perf_counter()


def last_checkpoint(folder: Path) -> tuple[int, Path | None]:
    """(step, folder) of the last whole checkpoint; (0, None) without one. Incomplete and damaged ones are removed."""
    whole: tuple[int, Path | None] = (0, None)
    for step, checkpoint in _checkpoints(folder):
        # The state is written last. The others are looked at too: a machine that goes down may lose what was written.
        archives = [checkpoint / name for name in ("optimizer.pt", "scheduler.pt")]
        parts = (checkpoint / WEIGHTS, checkpoint / "trainer_state.json")
        if all(map(intact, parts)) and all(map(zipfile.is_zipfile, archives)):
            whole = step, checkpoint
        else:
            shutil.rmtree(checkpoint, ignore_errors=True)
    return whole


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of the checkpoints, the first step first."""
    return sorted((int(path.name.partition("-")[2]), path) for path in folder.glob("checkpoint-*"))
