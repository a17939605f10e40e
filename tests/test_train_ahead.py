"""Steps that worker processes build ahead of a GPU, as far as a machine without one can tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shrinklm.methods.spec import method
from shrinklm.students.batch import by_pair
from shrinklm.students.training.ahead import ahead
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.limit import Limit
from shrinklm.students.training.passes import Pass, Step, Steps
from shrinklm.students.training.trainer import Trainer
from student_cases import corpus, fitted, fresh


def steps(spec: str, name: str) -> Steps:
    lessons = Lessons(fresh(spec), corpus(8), method(name), 16)
    return Steps(lessons, 4, Limit(None, 128))


def tensors(part: Pass) -> dict[str, torch.Tensor]:
    named = {**part.batch, "view": part.view, "weight": part.weight, "own": part.own}
    for name, ask in part.asked.items():
        named |= {f"{name} pairs": ask.pairs, f"{name} ask": ask.ask, f"{name} place": ask.place}
        named |= {f"{name} {figure}": value for figure, value in (*ask.figures.items(), *ask.tokens.items())}
    return named


def the_same(some: Step, others: Step) -> bool:
    pairs = zip(some.passes, others.passes, strict=True)
    return (some.pairs, some.asks, some.tokens) == (others.pairs, others.asks, others.tokens) and all(
        tensors(one).keys() == tensors(other).keys()
        and all(torch.equal(value, tensors(other)[name]) for name, value in tensors(one).items())
        for one, other in pairs
    )


@pytest.mark.parametrize("spec", ["tiny", "tiny:seq2seq"])
def test_workers_build_the_same_steps_in_order_and_never_run_the_model(spec: str) -> None:
    asked = steps(spec, "multitask+counterfactual:options")
    # Where it was not found out when the student was opened, a forked process would run the model on the GPU.
    assert asked.lessons.student._reading is not None
    found = list(ahead(asked, 1, torch.device("cuda")))
    assert len(found) == len(asked) - 1
    assert all(the_same(step, asked[number]) for number, step in enumerate(found, 1))


@pytest.mark.parametrize("name", ["multitask+counterfactual", "finetune:options"])
def test_every_tensor_of_a_step_is_pinned(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built = steps("tiny", name)[0]
    pinned: list[int] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda value: pinned.append(id(value)) or value)  # no GPU here
    assert the_same(built.pin_memory(), built)
    wanted = {id(value) for part in built.passes for value in tensors(part).values() if value.dim()}
    assert set(pinned) == wanted


def test_steps_that_wait_for_their_figures_hold_no_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    read = Trainer._read

    def counted(self: Trainer) -> None:
        held.extend(len(step.passes) for _, step, *_ in self._unread)
        read(self)

    monkeypatch.setattr(Trainer, "_read", counted)
    fitted(tmp_path)
    assert held == [0] * 3


def test_sums_of_a_gpu_are_those_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    values, owner = torch.randn(40).double(), torch.randint(5, (40,))
    right = by_pair(values, owner, 6)
    monkeypatch.setattr(torch.Tensor, "device", torch.device("cuda"))  # none here: the operation runs on the CPU
    monkeypatch.setattr(torch.Tensor, "index_add", None, raising=False)  # which adds there in no fixed order
    assert torch.equal(by_pair(values, owner, 6), right)
