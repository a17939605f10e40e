"""The term between answers and explanations, and the one between layers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cli_cases import asked, recipe
from loss_cases import CUTS, FAMILIES, assert_cuts_change_nothing, cued, gradient, right_share, trained, trainer
from shrinklm.core.errors import MethodError, StudentError
from shrinklm.methods.builtin import COUNTERFACTUAL, EXPLAIN
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.students.batch import Scored
from shrinklm.students.causal import CausalStudent
from shrinklm.students.tiny import Tiny
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.losses import mi
from shrinklm.students.training.losses.base import Read, term
from shrinklm.students.training.losses.deep import Deep, apart
from shrinklm.students.training.losses.mi import infonce, over_time, released, shared
from student_cases import corpus, fresh, many, taught
from teacher_cases import tiny_model

VOCABULARY = 7


def targets(lengths: list[int], seed: int = 0, width: int = VOCABULARY) -> list[Tensor]:
    """Of each target [tokens, width] in float64."""
    torch.manual_seed(seed)
    return [torch.randn(length, width, dtype=torch.float64) * 3 for length in lengths]


def scored(values: list[Tensor], states: bool = False) -> Scored:
    """The targets as a pass holds them, their tokens among one another."""
    owner = torch.cat([torch.full((len(each),), place) for place, each in enumerate(values)])
    order = torch.randperm(len(owner), generator=torch.Generator().manual_seed(1))
    # A stable order within a pair does not matter to any of these terms.
    table = torch.cat(values)[order]
    kept: dict[str, Any] = {"states": (table,)} if states else {"logits": table}
    return Scored(table.new_zeros(len(table)), torch.zeros(len(table), dtype=torch.long), owner[order], **kept)


def padded(values: list[Tensor], fill: Tensor | None) -> Tensor:
    """[targets, longest, vocabulary], as the released code sees a batch; `fill` at the padding, else the last token."""
    longest = max(map(len, values))
    rows = [
        torch.cat([each, (each[-1:] if fill is None else fill[None]).expand(longest - len(each), -1)])
        for each in values
    ]
    return torch.stack(rows)


def as_released(answers: Tensor, explanations: Tensor) -> Tensor:
    """arXiv 2403.03348 as its code computes it, on padded tensors without a mask."""
    answer = answers.softmax(-1).max(1).values.detach()
    return nn.CrossEntropyLoss(reduction="none")(explanations.softmax(-1).max(1).values, answer)


@pytest.mark.parametrize(("lengths", "pads"), [([4] * 6, False), ([2, 5, 3, 4, 1, 3], True)])
def test_released_is_the_formula_of_the_authors_but_for_padding(lengths: list[int], pads: bool) -> None:
    values = [each.requires_grad_() for each in targets(lengths)]
    peaks = over_time(scored(values), 6).unflatten(0, (3, 2))
    ours = released(peaks[:, 0].detach(), peaks[:, 1])
    mine = torch.autograd.grad(ours.mean(), values, allow_unused=True)
    # Padding that repeats a token changes no maximum: what is left is the formula.
    theirs = as_released(padded(values[::2], None), padded(values[1::2], None))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    other = torch.autograd.grad(theirs.mean(), values, allow_unused=True)
    for one, two in zip(mine, other, strict=True):
        if two is None:  # the answer is fixed
            assert one is None or not one.any()
        else:
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)
    # What the model says at padding counts there, and stands in none of our rows.
    noise = torch.linspace(-4, 9, VOCABULARY, dtype=torch.float64)
    counted = as_released(padded(values[::2], noise), padded(values[1::2], noise))
    assert torch.allclose(ours, counted) is not pads


def test_shared_is_a_cross_entropy_of_two_distributions_by_hand() -> None:
    values = targets([2, 3])
    peaks = over_time(scored(values), 2)
    found = shared(peaks[:1], peaks[1:])

    def distribution(rows: list[list[float]]) -> list[float]:
        shares = [[math.exp(value) / sum(map(math.exp, row)) for value in row] for row in rows]
        most = [max(column) for column in zip(*shares, strict=True)]
        return [value / sum(most) for value in most]

    answer, explanation = (distribution(each.tolist()) for each in values)
    assert float(found) == pytest.approx(-sum(p * math.log(e) for p, e in zip(answer, explanation, strict=True)))
    equal = float(shared(peaks[:1], peaks[:1]))
    assert equal == pytest.approx(-sum(p * math.log(p) for p in answer)), "its least is the entropy of the answer"


def test_a_large_vocabulary_is_met_in_parts_with_the_same_value_and_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for most in (10**9, 20):
        monkeypatch.setattr(mi, "MOST", most)
        values = [each.requires_grad_() for each in targets([2, 5, 3, 4])]
        peaks = over_time(scored(values), 4).unflatten(0, (2, 2))
        loss = shared(peaks[:, 0].detach(), peaks[:, 1]).sum()
        found.append((loss.detach(), *torch.autograd.grad(loss, values)))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two)


def test_infonce_by_hand() -> None:
    values = targets([2, 3, 4, 1, 2], width=5)  # answer, explanation, two other answers; and a pair of nobody
    values.append(values[1])
    place = torch.tensor([0, 1, 2, 3])
    none = torch.zeros(4, dtype=torch.float64)
    pairs = torch.tensor([0, 1, 2, 3])
    read = Read(none, torch.zeros(4, dtype=torch.long), place, 1, 4, {}, pairs, 6)
    means = [each.mean(0) for each in values]

    def cosine(one: Tensor, two: Tensor) -> float:
        return float(one @ two / (one.norm() * two.norm()))

    shares = [math.exp(cosine(means[1], means[other]) / 0.1) for other in (0, 2, 3)]
    found = infonce(read, scored(values, states=True))
    assert found.tolist() == pytest.approx([-math.log(shares[0] / sum(shares))])


def test_the_distance_between_layers_by_hand() -> None:
    layers = tuple(targets([3, 3, 3, 3], width=4))
    expected = [
        sum(
            1 - float(layer[row] @ layers[3][row] / (layer[row].norm() * layers[3][row].norm()))
            for layer in layers[1:3]
        )
        / 2
        for row in range(3)
    ]
    assert apart(layers).tolist() == pytest.approx(expected)
    last = layers[3].clone().requires_grad_()
    middle = layers[1].clone().requires_grad_()
    apart((layers[0], middle, last)).sum().backward()
    assert last.grad is None, "the last layer is the target"
    assert middle.grad is not None


@pytest.mark.parametrize("option", ["mi", "mi=released", "mi=infonce", "deep"])
@pytest.mark.parametrize("spec", FAMILIES)
def test_however_a_step_is_cut_the_gradient_is_the_same(spec: str, option: str, tmp_path: Path) -> None:
    weight = 30 if option == "mi=released" else 1  # its gradient is small
    assert_cuts_change_nothing(
        spec, f"multitask:{option}{'=' if option in ('mi', 'deep') else '&'}{weight}", corpus(4), tmp_path
    )


def test_negatives_are_answers_to_other_questions_and_others_in_each_epoch() -> None:
    lessons = Lessons(fresh(), corpus(12), method("multitask:mi=infonce"), 24)
    assert {len(ask.pairs) for ask in lessons.asks} == {6}
    again = Lessons(fresh(), corpus(12), method("multitask:mi=infonce"), 24)
    assert [ask.pairs for ask in again.asks] == [ask.pairs for ask in lessons.asks]
    by_answer: dict[int, set[tuple[int, ...]]] = {}
    for ask in lessons.asks:
        by_answer.setdefault(ask.pairs[0], set()).add(ask.pairs[2:])
        assert len(set(ask.pairs)) == 6
    assert all(len(others) == 2 for others in by_answer.values())
    assert {len(ask.pairs) for ask in Lessons(fresh(), corpus(2), method("multitask:mi=infonce"), 2).asks} == {3}


def test_a_view_of_wrong_options_is_not_the_one_that_answers() -> None:
    plain = method("multitask+counterfactual:mi=infonce")
    first = replace(plain, views=dict(reversed(plain.views.items())))
    assert next(iter(first.views)) == COUNTERFACTUAL
    shown = []
    for each in (plain, first):
        lessons = Lessons(fresh(), corpus(5), each, 5)
        shown.append([[lessons.tokens[place] for place in ask.pairs] for ask in lessons.asks])
    assert shown[0] == shown[1]
    views = {COUNTERFACTUAL: 0.5, EXPLAIN: 0.5}
    with pytest.raises(MethodError, match="'mi' needs a view that only says the answer and one that only says the"):
        Lessons(fresh(), corpus(2), replace(plain, views=views), 2)


def test_an_answer_that_does_not_fit_or_is_not_there_makes_room_for_the_next() -> None:
    long = " ".join(["and so on"] * 40)
    plain = many(12)
    some = [
        replace(each, choices=(*each.choices, long), answer=long) if place % 2 else each
        for place, each in enumerate(plain)
    ]
    pairs = [item.pair for index in range(12) for item in corpus(12).pairs(method("multitask"), index, 0)]
    room = max(map(fresh().length, pairs))

    def asks(examples: Corpus, name: str = "multitask:mi=infonce", seen: int = 12) -> list[tuple[int, ...]]:
        lessons = Lessons(fresh(max_length=room), examples, method(name), seen)
        assert not any(name == "mi=infonce" and reason.startswith("longer") for name, reason in lessons.unbuilt)
        assert all(len(set(ask.pairs)) == len(ask.pairs) for ask in lessons.asks)
        return [ask.pairs for ask in lessons.asks]

    assert {len(ask) for ask in asks(corpus(examples=some))} == {6}
    # Six fit, so five others: four of them in one epoch, four in the next.
    found = asks(corpus(examples=some))
    assert len({frozenset(ask[2:]) for ask in found if ask[0] == found[0][0]}) == 2
    assert {len(ask) for ask in asks(corpus(examples=[*some[1:9:2], *plain[:3]]), seen=3)} == {4}
    # As far as they go where a label is missing.
    known = {each.id: taught(each) for each in plain}
    for each in plain[::2]:
        del known[each.id]["label", ""]
    assert {len(ask) for ask in asks(Corpus(plain, known), "multitask:teacher-labels,mi=infonce", 6)} == {6}
    with pytest.raises(
        MethodError, match=r"'mi=infonce' says nothing about any .*: no answer to another question to c"
    ):
        asks(corpus(examples=[*some[1:9:2], plain[0]]), seen=1)


def test_they_lower_their_own_terms_and_cost_no_accuracy(tmp_path: Path) -> None:
    examples = cued(16)
    known = Corpus(examples, {each.id: taught(each) for each in examples})
    name, settings = "multitask:options,mi=0.5,deep=0.2", {"seen": 256, "batch": 8, "learning_rate": 5e-3}
    students = [trained("tiny", known, each, tmp_path, **settings) for each in (name, "multitask:options")]
    # The last two losses are those of the terms.
    terms = [
        gradient(trainer("tiny", known, method(name), CUTS[0], tmp_path, student=student))[1][-2:]
        for student in students
    ]
    assert (terms[0] < 0.98 * terms[1]).all(), terms
    right = [right_share(student, "multitask", cued(40, 1)) for student in students]
    assert right[0] >= right[1] > 0.5, right


def test_infonce_falls_along_its_gradient(tmp_path: Path) -> None:
    made = trainer("tiny", corpus(5), method("multitask:mi=infonce&1000"), CUTS[0], tmp_path)
    values = []
    for _ in range(8):
        made.student.zero_grad()
        values.append(float(gradient(made)[1][-1]))
        with torch.no_grad():
            for weight in made.student.parameters():
                weight -= 2e-6 * weight.grad
    assert values[-1] < 0.9 * values[0], values


def test_what_they_need_is_said_before_anything_is_trained() -> None:
    for option in ("mi", "mi=infonce", "mi=released&2"):
        with pytest.raises(MethodError, match="'mi' needs a view that only says the answer and one that only says the"):
            method(f"explain-then-answer:{option}")
    assert method("salient:mi").losses == {"mi": 0.1}
    assert method("multitask:mi=0.2,deep").losses == {"mi": 0.2, "deep": 0.05}
    with pytest.raises(MethodError, match=r"'mi=clip' is not understood\. Known: mi=released, mi=infonce"):
        method("multitask:mi=clip")
    with pytest.raises(MethodError, match="'mi=clip' is not understood by the loss 'mi': known are released"):
        term("mi=clip")
    with pytest.raises(MethodError, match="'deep' teaches a layer by the last one, and this student has 1"):
        Lessons(fresh(keep_every=2), corpus(3), method("multitask:deep"), 3)
    with pytest.raises(MethodError, match="'mi=infonce' compares questions, and there is one"):
        Lessons(fresh(), corpus(1), method("multitask:mi=infonce"), 1)

    class Own(Tiny):
        def logits(self, batch: Any) -> Any:
            return super().logits(batch)

    student = fresh()
    with pytest.raises(StudentError, match="'deep' reads hidden states; Own has `logits` of its own"):
        Lessons(Own(student.model, student.tokenizer), corpus(3), method("multitask:deep"), 3)
    assert Deep().reads == {"states"}


class OwnLogits(CausalStudent):
    """A student of somebody's own, which computes logits in its own way."""

    @classmethod
    def open(cls, ref: str, root: Path = Path("."), **options: Any) -> Any:
        student = Tiny.open(ref, root, **options)
        return cls(student.model, student.tokenizer, student.max_length)

    def logits(self, batch: Any) -> Any:
        return super().logits(batch)


@pytest.mark.parametrize(
    ("student", "option", "error", "said"),
    [
        ({"use": "tiny", "keep_every": 2}, "deep", MethodError, "'deep' teaches a layer by the last one.* has 1"),
        ({"use": "tiny:seq2seq", "keep_every": 2}, "deep=0.1", MethodError, "'deep' teaches a layer by the last one"),
        ({"use": "tiny", "keep_every": 2, "lora": 2}, "mi,deep", MethodError, "'deep' teaches a layer by the last one"),
        ({"use": "causal:one"}, "deep", MethodError, "'deep' teaches a layer by the last one, and this student has 1"),
        ({"use": f"{__name__}:OwnLogits"}, "mi=infonce", StudentError, "'mi=infonce' reads hidden states; OwnLogits"),
        ({"use": f"{__name__}:OwnLogits"}, "mixkd", StudentError, "OwnLogits has `logits` of its own, and mixkd mixes"),
    ],
)
def test_a_student_that_a_term_cannot_train_is_refused_before_anybody_is_asked(
    student: dict[str, Any], option: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    if student["use"] == "causal:one":
        tiny_model(tmp_path / "one", num_hidden_layers=1)
    chosen = {"methods": [f"multitask:{option}"], "student": student, "generate": ["explanation"]}
    run = Run(Recipe.read(recipe(tmp_path, teacher={"use": "fake:log=asked.log"}, **chosen)))
    for act in (run.check, run.generate):
        with pytest.raises(error, match=said):
            act()
    assert asked(tmp_path) == 0
    others = {**chosen, "methods": ["multitask"], "evaluate": {"zero_shot": False, "metrics": ["accuracy"]}}
    Run(Recipe.read(recipe(tmp_path, teacher={"use": "fake"}, **others))).check()
