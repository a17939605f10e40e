"""Distillation of a teacher's distribution over tokens: by hand, from whichever teacher, read once, and refused."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loss_cases import CUTS, FAMILIES, THINGS, assert_cuts_change_nothing, right_share, trained, trainer
from shrinklm.core.errors import MethodError, StudentError
from shrinklm.core.logprobs import OptionLogprobs
from shrinklm.core.types import Example, Prompt, Sampling
from shrinklm.deploy.mentor import Mentor
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.terms import TERMS
from shrinklm.models.locate import Model
from shrinklm.students.base import BaseStudent
from shrinklm.students.logits import LogitTeacher, another_vocabulary
from shrinklm.students.tiny import build_tokenizer
from shrinklm.students.tokens import PairTokens
from shrinklm.students.training import table
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.losses.kd import KINDS, divergence, outcomes
from shrinklm.students.training.table import Table
from shrinklm.teachers.base import TeacherOptions
from student_cases import corpus, fitted, fresh, generation

WHOLE = 10**6


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHRINKLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def teacher(spec: str = "tiny", load: Callable[[], BaseStudent] | None = None, **settings: Any) -> LogitTeacher:
    """Another random model, whose distributions are far from even."""

    def sharp() -> BaseStudent:
        student = fresh(spec, 7)
        with torch.no_grad():
            for weight in student.parameters():
                weight.mul_(3)
        return student

    family = "seq2seq" if spec.endswith("seq2seq") else "causal"
    rest = {"positions": lambda: 2048, "top": 64, "temperature": 1.0, "beta": 0.5, **settings}
    return LogitTeacher("big", family, "key", load or sharp, lambda: fresh(spec).tokenizer, **rest)


def by_hand(kind: str, p: np.ndarray, q: np.ndarray, beta: float) -> float:
    """Of one token, in float64: p of the teacher, q of the student."""
    if kind == "forward":
        return float((p * np.log(p / q)).sum())
    if kind == "reverse":
        return float((q * np.log(q / p)).sum())
    m = beta * p + (1 - beta) * q
    return float(beta * (p * np.log(p / m)).sum() + (1 - beta) * (q * np.log(q / m)).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_the_distances_are_the_formulas(kind: str) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 30, dtype=torch.float64) * 3
    p, q = logits.softmax(-1).numpy()
    for beta in (0.5, 0.2):
        found = divergence(kind, *logits.log_softmax(-1), beta)
        assert found.dtype == torch.float64
        assert found.tolist() == pytest.approx(
            [by_hand(kind, *each, beta) for each in zip(p, q, strict=True)], rel=1e-12
        )
    same = logits[0].log_softmax(-1)
    assert divergence(kind, same, same).tolist() == pytest.approx([0.0] * 5, abs=1e-14)


def test_all_other_tokens_are_one_outcome() -> None:
    torch.manual_seed(0)
    logits = (torch.randn(4, 50, dtype=torch.float64) * 3).requires_grad_()
    ids = logits.topk(6).indices
    found, plain = outcomes(logits, ids), logits.softmax(-1)
    chosen = plain.gather(1, ids)
    torch.testing.assert_close(found.exp(), torch.cat([chosen, 1 - chosen.sum(1, keepdim=True)], 1))
    weights = torch.randn(4, 7, dtype=torch.float64)
    (grad,) = torch.autograd.grad((found.exp() * weights).sum(), logits, retain_graph=True)
    every = weights[:, 6:].expand(-1, 50).scatter(1, ids, weights[:, :6])
    (expected,) = torch.autograd.grad((plain * every).sum(), logits)
    torch.testing.assert_close(grad, expected)
    assert outcomes(logits, logits.topk(50).indices).shape == (4, 50), "nothing is left over"
    read = table.likeliest(logits.detach().float(), 6)
    assert (read["ids"] == ids.numpy()).all()
    np.testing.assert_allclose(read["logp"], chosen.detach().log().numpy(), rtol=1e-5)
    np.testing.assert_allclose(read["rest"], found[:, 6].detach().numpy(), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", FAMILIES)
def test_the_loss_of_a_step_is_that_of_both_models_read_by_themselves(spec: str, kind: str, tmp_path: Path) -> None:
    other = teacher(spec, top=WHOLE, temperature=2.0, beta=0.3)
    examples, trained = corpus(3), method(f"multitask:kd={kind}")
    made = trainer(spec, examples, trained, CUTS[0], tmp_path, teacher=other)
    step = made.steps[0]
    with torch.no_grad():
        found = sum(made._loss(made.student, part, step)[1][-1] for part in step.passes) / step.asks[f"kd={kind}"]
        models, losses = (fresh(spec), other.load()), []
        for index in range(3):
            for item in examples.pairs(trained, index, 0):
                chances = []
                for model in models:
                    values, _, _ = model.logits(model.encode([[item.pair]]))
                    chances.append((values.double() / 2).softmax(-1).numpy())
                q, p = chances
                losses.append(4 * np.mean([by_hand(kind, *each, 0.3) for each in zip(p, q, strict=True)]))
    assert step.asks == {f"kd={kind}": 6}
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize(("spec", "kind"), [("tiny", "forward"), ("tiny:seq2seq", "jsd"), ("tiny", "reverse")])
def test_however_a_step_is_cut_the_gradient_is_the_same(spec: str, kind: str, tmp_path: Path) -> None:
    name = f"multitask+counterfactual:kd={kind}&0.5"
    losses = assert_cuts_change_nothing(spec, name, corpus(4), tmp_path, teacher=teacher(spec, top=8))
    assert float(losses[-1]) > 0.1


def counted(spec: str = "tiny") -> tuple[LogitTeacher, list[int]]:
    """A teacher, and one entry for each pair that it reads."""
    reads: list[int] = []

    def load() -> BaseStudent:
        model = teacher(spec).load()
        original = model.scored

        def scored(*arguments: Any, **named: Any) -> Any:
            reads.append(1)
            return original(*arguments, **named)

        model.scored = scored  # type: ignore[method-assign]
        return model

    return teacher(spec, load), reads


def numbers(made: Table, pairs: Sequence[PairTokens]) -> list[bytes]:
    return [values.tobytes() for pair in pairs for values in made[pair].values()]


def test_a_teacher_reads_each_pair_once_and_a_killed_reading_goes_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, reads = counted()
    student = fresh()
    pairs = [
        student.tokenized([item.pair], True)[0]
        for index in range(6)
        for item in corpus(6).pairs(method("multitask"), index, 0)
    ]
    monkeypatch.setattr(table, "_PART", 20)
    writes, write = [], Table._write

    def killed(self: Table, found: Any) -> None:
        if len(writes) == 3:
            raise KeyboardInterrupt
        writes.append(len(found))
        write(self, found)

    monkeypatch.setattr(Table, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        Table(other, student).fill(pairs)
    monkeypatch.setattr(Table, "_write", write)
    before, kept = len(reads), sum(writes)
    resumed = Table(other, student)
    resumed.fill(pairs)
    assert len(reads) == before + len(pairs) - kept, "what was written is not read again"
    Table(other, student).fill(pairs)
    assert len(reads) == before + len(pairs) - kept, "nor is anything when all is there"
    # In another order, in other files: the same numbers. Damaged files are made anew.
    monkeypatch.setattr(table, "_PART", 1 << 14)
    expected = numbers(resumed, pairs)
    (damaged, *_) = (cache / "logits").glob("*/*.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:50])
    mended = Table(other, student)
    mended.fill(pairs[::-1])
    assert numbers(mended, pairs) == expected
    # Other weights, another number of tokens or temperature: another table.
    folders = {
        Table(each, student).folder
        for each in (other, replace(other, key="new"), replace(other, top=2), replace(other, temperature=2.0))
    }
    assert len(folders) == 4


def test_a_training_shows_no_pair_that_was_not_read(tmp_path: Path) -> None:
    other, reads = counted()
    name = "multitask+counterfactual:kd"
    examples, student = corpus(6), fresh()
    pairs = [item.pair for index in range(6) for item in examples.pairs(method(name), index, 0)]
    middle = sorted(map(student.length, pairs))[len(pairs) // 2]
    lessons = Lessons(fresh(max_length=middle), examples, method(name), 24, other)
    assert lessons.unbuilt["factual", f"longer than {middle} tokens"] > 0, "some do not fit, and are not read"
    assert {ask.loss for ask in lessons.asks} == {"kd"}
    shown = {pair for item in lessons.items for pair in item.pairs}
    assert {place for ask in lessons.asks for place in ask.pairs} == shown
    assert len(reads) == len(shown)
    with pytest.raises(MethodError, match="no pair fits into 8 tokens"):
        Lessons(fresh(max_length=8), corpus(3), method(name), 6, other)


def test_a_pair_counts_by_its_weight(tmp_path: Path) -> None:
    from test_losses import weighted

    examples, trained = weighted([0.0, 1.0, 3.0])
    lessons = Lessons(fresh(), examples, replace(trained, losses={"kd": 1.0}), 3, teacher())
    assert sorted(ask.weight for ask in lessons.asks) == [0.0, 1.0, 3.0]
    assert [float(ask.tokens["share"].sum()) for ask in lessons.asks] == pytest.approx([1.0] * 3), "applied once"


def test_another_vocabulary_is_refused() -> None:
    small = build_tokenizer(600)
    assert another_vocabulary(small, small) == ""
    wrong = another_vocabulary(fresh().tokenizer, small)
    assert wrong.startswith(f"{len(fresh().tokenizer):,} tokens and {len(small):,}, of which ")
    larger = build_tokenizer(600)
    larger.add_tokens(["<more>"])
    assert another_vocabulary(small, larger) == "", "the teacher may know more"
    assert "'<more>' is number 600 of the student's and none" in another_vocabulary(larger, small)
    with pytest.raises(StudentError, match="The teacher big has another vocabulary than the student: 2,000 tokens"):
        Lessons(fresh(), corpus(2), method("finetune:kd"), 2, replace(teacher(), tokenizer=lambda: small))
    encoder = replace(teacher(), family="encoder")
    with pytest.raises(StudentError, match="The student is decoder-only and the teacher big is an encoder: they read"):
        Lessons(fresh(), corpus(2), method("finetune:kd"), 2, encoder)
    with pytest.raises(StudentError, match="student is decoder-only and the teacher big is an encoder–decoder"):
        Lessons(fresh(), corpus(2), method("finetune:kd"), 2, teacher("tiny:seq2seq"))


@pytest.mark.parametrize("option", ["kd", "mixkd"])
def test_a_teacher_that_reads_fewer_tokens_than_are_trained_is_refused(option: str) -> None:
    reads: list[int] = []

    def load() -> BaseStudent:
        reads.append(1)
        return teacher().load()

    short, name = teacher(load=load, positions=lambda: 100), method(f"finetune:{option}")
    said = (
        r"The teacher big reads 100 tokens, and the student is trained on up to 1,024. Write: train: \{max_length: 100"
    )
    with pytest.raises(StudentError, match=said):
        Lessons(fresh(), corpus(2), name, 2, short)
    assert not reads, "its weights are not loaded for that"
    assert Lessons(fresh(max_length=100), corpus(2), name, 2, short).asks
    # What the student itself can read counts, where that is less than what the recipe allows.
    student = fresh(max_length=100_000)
    assert student.max_length == 2048
    with pytest.raises(StudentError, match=r"reads 2,047 tokens, and the student is trained on up to 2,048"):
        replace(short, positions=lambda: 2047).check(student)
    replace(short, positions=lambda: math.inf).check(student)


def test_how_it_is_asked_for() -> None:
    told = TERMS["kd"].values
    assert ("KL(teacher ‖ student)" in told["forward"], "KL(student ‖ teacher)" in told["reverse"]) == (True, True)
    assert method("multitask:kd").losses == {"kd": 1.0}
    assert method("multitask:kd=reverse&0.3").losses == {"kd=reverse": 0.3}
    with pytest.raises(MethodError, match=r"'kd=backward' is not understood.*Known: kd=forward, kd=reverse, kd=jsd,"):
        method("multitask:kd=backward")
    with pytest.raises(MethodError, match=r"'finetune:kd' learns from a teacher's logits, and none is named.*distil:"):
        Lessons(fresh(), corpus(2), method("finetune:kd"), 2)


class Killed(Exception):
    """Stands in for a kill."""


def test_a_training_that_was_killed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    def tick(what: str, done: int, total: int, note: str) -> None:
        if what == "train" and done == 4:
            raise Killed

    common = {"name": "multitask:kd=jsd", "examples": 40, "checkpoints": 2, "count": 6, "teacher": teacher()}
    whole, fit = fitted(tmp_path / "whole", **common)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", tick=tick, **common)
    cut, again = fitted(tmp_path / "cut", **common)
    assert (fit.steps, again.steps) == (5, 5)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), cut.parameters(), strict=True))


def short(count: int, seed: int = 0) -> list[Example]:
    """Questions of which one word tells the answer, among the same options."""
    draw, cues = random.Random(seed), list(THINGS)
    return [
        Example(
            f"{seed}-{number}",
            f"{cues[number % 4]} {draw.randrange(1000)}",
            tuple(THINGS.values()),
            THINGS[cues[number % 4]],
        )
        for number in range(count)
    ]


def test_a_student_of_few_questions_learns_more_from_a_teacher(tmp_path: Path) -> None:
    known = {"batch": 8, "learning_rate": 5e-3}
    big = trained("tiny", Corpus(short(64, 5), {}), "finetune:options", tmp_path / "big", seen=800, **known)
    few, tests = short(16), short(40, 1)
    # Through its logits, on mixes, and through its labels as those of a mentor: its distribution over the options.
    mentor = Mentor("big", method("finetune"), Model("big", "big", "1", None), "causal", lambda: big, TeacherOptions())
    labels = {}
    for index, done in mentor.complete(
        [Prompt((), each, "label", "") for each in few], Sampling(max_tokens=12, logprobs=True)
    ):
        said = generation(few[index], "label", few[index].answer, done.text)
        labels[few[index].id] = {("label", ""): replace(said, logprobs=OptionLogprobs(done.options, ()))}
    right = {}
    for name in ("finetune", "finetune:kd", "finetune:mixkd=0.2", "finetune:soft=1"):
        examples = Corpus(few, labels if "soft" in name else {})
        student = trained("tiny", examples, name, tmp_path / name, seen=600, teacher=teacher(load=lambda: big), **known)
        right[name] = right_share(student, "finetune", tests)
    plain = right.pop("finetune")
    assert min(right.values()) > plain + 0.15, (plain, right)
