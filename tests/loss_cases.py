"""What the tests of terms of the loss share: the gradient of one step, a short training, accuracy by likelihood."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shrinklm.core.types import Example
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.view import Method
from shrinklm.students.likeliest import likeliest_options
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.limit import Limit
from shrinklm.students.training.log import Log
from shrinklm.students.training.trainer import Plan, Trainer
from student_cases import fresh

FAMILIES = ["tiny", "tiny:seq2seq"]
CUTS = [Limit(100, 0), Limit(1, 0), Limit(None, 200)]
"""All examples of a step in one pass, one example in each, and passes of so many tokens."""


def trainer(spec: str, examples: Corpus, trained: Method, limit: Limit, folder: Path, **settings: Any) -> Trainer:
    """A trainer of a new student, or of `student`, whose steps hold all examples of the corpus, without dropout."""
    student = settings.pop("student", None) or fresh(spec)
    count = len(examples.examples)
    lessons = Lessons(student, examples, trained, settings.pop("seen", count), settings.pop("teacher", None))
    common = {"learning_rate": 1e-3, "warmup": 0, "weight_decay": 0.0, "clip": 1.0, "bf16": False, "seed": 0}
    rest: dict[str, Any] = {"save": frozenset(), "measure": frozenset(), "patience": None}
    plan = Plan(batch=settings.pop("batch", count), limit=limit, **{**common, **rest, **settings})
    return Trainer(lessons, plan, Log(folder / "train.jsonl", False), folder)


def gradient(made: Trainer) -> tuple[torch.Tensor, torch.Tensor]:
    """(the gradient of the first step, the losses of its views and terms)."""
    step, losses = made.steps[0], torch.zeros(len(made._names))
    for part in step.passes:
        loss, parts = made._loss(made.student, part, step)
        loss.backward()
        losses += parts
    counts = torch.tensor([*step.pairs, *(step.asks.get(name, 0) for name in made.lessons.losses)])
    weights = [weight.grad for weight in made.student.parameters() if weight.grad is not None]
    return torch.cat([weight.flatten() for weight in weights]), losses / counts


def assert_cuts_change_nothing(spec: str, name: str, examples: Corpus, folder: Path, **settings: Any) -> torch.Tensor:
    """However a step is cut, its gradient and its losses are the same; they are returned."""
    student = fresh(spec)

    def found(made: Method, limit: Limit) -> tuple[torch.Tensor, torch.Tensor]:
        cut = trainer(spec, examples, made, limit, folder, student=student, **settings)
        assert len(cut.steps[0].passes) > 1 or limit is CUTS[0]
        student.zero_grad()
        return gradient(cut)

    whole, losses = found(method(name), CUTS[0])
    for limit in CUTS[1:]:
        other, parts = found(method(name), limit)
        torch.testing.assert_close(parts, losses, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(other, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))
    without, _ = found(replace(method(name), losses={}), CUTS[0])
    assert not torch.allclose(without, whole, rtol=1e-2), "the term has a gradient"
    return losses


def trained(spec: str, examples: Corpus, name: str, folder: Path, **settings: Any) -> Any:
    """A student after a short training."""
    folder.mkdir(exist_ok=True)
    made = trainer(spec, examples, method(name), CUTS[0], folder, **settings)
    made.fit()
    return made.student.eval()


def right_share(student: Any, name: str, questions: Sequence[Example], raws: Sequence[str] | None = None) -> float:
    """The share of questions whose likeliest option is the right one."""
    view = method(name).answer
    found = likeliest_options(student, view, questions, raws or [""] * len(questions), 32)
    return sum(one == each.answer for one, each in zip(found, questions, strict=True)) / len(questions)


THINGS = {"wet": "river", "hard": "stone", "loud": "violin", "sweet": "apple"}


def cued(count: int, seed: int = 0) -> list[Example]:
    """Questions of which one word tells the answer, among four options in any order."""
    draw, found = random.Random(seed), []
    for number in range(count):
        cue = list(THINGS)[number % len(THINGS)]
        options = tuple(draw.sample(list(THINGS.values()), len(THINGS)))
        found.append(Example(f"{seed}-{number}", f"Which is {cue}, number {number}?", options, THINGS[cue]))
    return found
