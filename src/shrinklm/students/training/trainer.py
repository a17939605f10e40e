"""The loop of a training: its loss, order, log and checkpoints.

The loss of a step is Σ_view weight × mean over the view's pairs of the whole effective batch, each pair counting once
whatever its length, plus Σ weight × mean of each further term over what it is asked, each ask by its own weight. It is
the same however the batch is cut into passes and processes.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.types import Tick, digest
from ..base import BaseStudent
from ..batch import by_pair, sums
from . import processes
from .ahead import ahead
from .checkpoints import checkpoints, last_checkpoint, load_moments, load_weights, save_checkpoint
from .lessons import Lessons
from .limit import Limit
from .log import Log
from .passes import Pass, Step, Steps
from .precision import HalfCopy

Measure = Callable[[BaseStudent], Mapping[str, float]]
"""Scores a student on dev during training, such as {"dev_accuracy": 0.41, "dev_n": 100}; "dev_accuracy" decides early
stopping."""
_UNREAD = 20
"""Steps whose figures may wait on a GPU: reading them stops it. A CPU has nothing to wait for."""


@dataclass(frozen=True)
class Plan:
    """How a training is done, beside its dataset."""

    batch: int
    """Examples of a step."""
    limit: Limit
    learning_rate: float
    warmup: int
    """Steps."""
    weight_decay: float
    clip: float
    bf16: bool
    seed: int
    save: frozenset[int]
    """Steps after which a checkpoint is written."""
    measure: frozenset[int]
    """Steps after which the student is scored on dev."""
    patience: int | None
    """Stop after so many measurements in a row without a better dev accuracy, and keep the best; None: never."""


class Trainer:
    """Trains a student on lessons.

    Args:
        lessons: The dataset; its student is trained.
        plan: How.
        log: Grows by one line a step.
        folder: Of the checkpoints.
        score: Scores the student on dev.
        tick: Called with the progress of each step.
        saved: Called whenever a checkpoint was written, by the process that wrote it.
    """

    def __init__(
        self,
        lessons: Lessons,
        plan: Plan,
        log: Log,
        folder: Path,
        score: Measure | None = None,
        tick: Tick | None = None,
        saved: Callable[[], None] | None = None,
    ) -> None:
        self.lessons, self.plan, self.folder, self.score, self.tick = lessons, plan, folder, score, tick
        self.saved = saved
        self.student = lessons.student.to(processes.device())
        self.steps = Steps(lessons, plan.batch, plan.limit, (processes.rank(), processes.count()))
        self.step = 0
        """Steps done."""
        self.log = log
        self._half: HalfCopy | None = None
        self._unread: list[tuple[int, Step, float, Tensor]] = []
        """(step, what was read, learning rate, figures on the device) of steps that are not logged yet."""
        views = lessons.method.views
        self._names = [f"loss/{name}" for name in (*(view.name for view in views), *lessons.losses)]
        self._weights = [*views.values(), *(lessons.method.losses[name] for name in lessons.losses)]
        self._reads = frozenset(what for loss in lessons.losses.values() for what in loss.reads)
        """What the terms need of each token."""
        self._optimizer = self._adam()

    def fit(self) -> None:
        """Train to the end, from the last whole checkpoint if there is one; `patience` ends with the best student."""
        processes.wait()  # none looks for a checkpoint while another still writes
        self.step, last = last_checkpoint(self.folder)
        self.log.resume(self.step)
        if last is not None:
            load_weights(last, self.student)
        # Where it had already ended when the process was killed, one more step would change the weights.
        if not (self.log.non_finite or self._out_of_patience):
            if last is not None:
                load_moments(last, self.student, self._optimizer)
            self._train()
        if self.plan.patience and self.best_step is not None:
            processes.wait()
            load_weights(self.folder / f"checkpoint-{self.best_step}", self.student)

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite, or the last loss of a view is twice that of guessing every token."""
        # Guessing among V tokens costs log V. One view suffices: the others' small losses must not hide it in a mean.
        vocabulary = self.student.config.get_text_config(decoder=True).vocab_size
        views = self._names[: len(self.lessons.method.views)]
        last: dict[str, Any] = next((line for line in reversed(self.log.lines) if "loss" in line), {})
        return self.log.non_finite or any(
            last[name] is not None and last[name] > 2 * math.log(vocabulary) for name in views if name in last
        )

    @property
    def best_step(self) -> int | None:
        """The first step with the best dev accuracy; None before any was measured."""
        measured = [line for line in self.log.lines if "dev_accuracy" in line]
        return max(measured, key=lambda line: line["dev_accuracy"])["step"] if measured else None

    @property
    def examples_seen(self) -> int:
        """Examples trained on so far."""
        # The last step of a training may hold less than a whole batch.
        return min(self.step * self.plan.batch, len(self.lessons))

    def _train(self) -> None:
        self.student.train()
        if self.plan.bf16:
            self._half = HalfCopy(self.student)
        for step in ahead(self.steps, self.step, self.student.device):
            rate = self._rate(self.step)
            figures = self._one(step, rate)
            self.step += 1
            # Without its tensors: those of many steps would fill memory, and workers hand over each as an open file.
            self._unread.append((self.step, replace(step, passes=()), rate, figures))
            stops = self.step in self.plan.save | self.plan.measure or self.step == len(self.steps)
            if stops or self.student.device.type == "cpu" or len(self._unread) == _UNREAD:
                self._read()
            if self.log.non_finite:
                return
            if self.step in self.plan.measure:
                self._measure()
            if self.step in self.plan.save:
                self._save()
            if self._out_of_patience:
                return

    def _one(self, step: Step, rate: float) -> Tensor:
        """Take one step.

        Returns the sums of the losses of each view and term, the tokens, and the norm of the gradient; all processes
        together.
        """
        model = self.student
        if self._half is not None:
            self._half.refresh()
            model = self._half.student
        sums = torch.zeros(len(self._names) + 2, device=model.device)
        sums[-2] = step.tokens
        for number, part in enumerate(step.passes):
            # Where there is dropout, a step draws the same whatever came before it, in this process or an earlier one.
            torch.manual_seed(int(digest(self.plan.seed, self.step, number, processes.rank())[:15], 16))
            loss, parts = self._loss(model, part, step)
            loss.backward()  # type: ignore[no-untyped-call]
            sums[: len(self._names)] += parts
            if self._half is not None:
                self._half.collect()
        weights = [weight for weight in self.student.parameters() if weight.requires_grad]
        if processes.count() > 1:
            for weight in weights:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
            processes.total([weight.grad for weight in weights if weight.grad is not None])
            processes.total([sums])
        norm = nn.utils.clip_grad_norm_(weights, self.plan.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        sums[-1] = norm
        return sums

    def _loss(self, model: BaseStudent, part: Pass, step: Step) -> tuple[Tensor, Tensor]:
        """(a pass's share of the loss, the sums of each view's and term's losses)."""
        batch = model.to_device(part.batch)
        # Terms are given plain log-likelihoods, also where the tokens of a pair have weights.
        weighted = bool(part.asked) and "weights" in batch
        reads = bool(self._reads) or weighted
        read = model.scored(batch, "logits" in self._reads, "states" in self._reads) if reads else None
        total, count = model(batch) if read is None else sums(read, batch)
        plain = by_pair(read.losses, read.owner, len(total)) if read is not None and weighted else total
        view, weight, own = (value.to(total.device, non_blocking=True) for value in (part.view, part.weight, part.own))
        # A pair that only a further term reads may hold no token.
        losses = total / count.where(count > 0, 1)
        figures = total.new_zeros(len(self._names))
        loss = (weight * losses).sum()
        views = len(self.lessons.method.views)
        figures[:views] = by_pair((own * losses).detach(), view, views + 1)[:-1]
        for place, (name, term) in enumerate(self.lessons.losses.items(), start=views):
            if name in part.asked:
                asked = part.asked[name].to(total.device)
                value = asked.weighed(term.value(asked.read(-plain, read, model))).sum()
                loss = loss + self._weights[place] * value / step.asks[name]
                figures[place] = value.detach()
        return loss, figures

    def _read(self) -> None:
        """Log the steps that are done."""
        for number, step, rate, figures in self._unread:
            *sums, tokens, norm = figures.tolist()
            counts = [*step.pairs, *(step.asks.get(name, 0) for name in self.lessons.losses)]
            parts = {name: value / count for name, value, count in zip(self._names, sums, counts, strict=True) if count}
            loss = sum(weight * parts.get(name, 0.0) for name, weight in zip(self._names, self._weights, strict=True))
            self.log.tokens += int(tokens)
            self._write(number, {"loss": loss, **parts, "learning_rate": rate, "grad_norm": norm})
            if self.tick:
                shown = {"loss": loss, **parts}.items()
                note = " ".join(f"{name.removeprefix('loss/')} {value:.3f}" for name, value in shown)
                self.tick("train", number, len(self.steps), note)
            if self.log.non_finite:
                self.step = number  # the weights after it are no numbers, whatever came of the steps since
                break
        self._unread.clear()

    def _measure(self) -> None:
        """Score the student on dev; its time is not training time."""
        with self.log.paused():
            self.student.eval()
            scores = dict(self.score(self.student)) if self.score and processes.rank() == 0 else {}
            self.student.train()
        if processes.count() > 1:
            scores = processes.told(scores)
        if scores:
            self._write(self.step, scores)

    def _save(self) -> None:
        """Write a checkpoint and remove the older ones; with `patience`, the best so far stays."""
        if processes.rank() == 0:
            save_checkpoint(self.folder, self.step, self.student, self._optimizer)
            keep = {self.step, *([self.best_step] if self.plan.patience else [])}
            for step, place in checkpoints(self.folder):
                if step not in keep:
                    shutil.rmtree(place, ignore_errors=True)
            if self.saved is not None:
                self.saved()

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        examples = min(step * self.plan.batch, len(self.lessons))
        self.log.write({"step": step, "examples": examples}, values)

    @property
    def _out_of_patience(self) -> bool:
        """Whether early stopping ends the training."""
        measured = [line["step"] for line in self.log.lines if "dev_accuracy" in line]
        patience = self.plan.patience
        return bool(patience and measured and len(measured) - 1 - measured.index(self.best_step) >= patience)

    def _rate(self, step: int) -> float:
        """The learning rate: up to its peak in a straight line, then down to 0."""
        if step < self.plan.warmup:
            return self.plan.learning_rate * step / self.plan.warmup
        left = (len(self.steps) - step) / max(1, len(self.steps) - self.plan.warmup)
        return self.plan.learning_rate * max(0.0, left)

    def _adam(self) -> torch.optim.Optimizer:
        """AdamW (Loshchilov and Hutter, arXiv 1711.05101). Vectors, which are norms and biases, do not decay."""
        weights = [weight for weight in self.student.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": self.plan.weight_decay},
            {"params": [weight for weight in weights if weight.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
