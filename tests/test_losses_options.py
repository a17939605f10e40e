"""Losses over the options of a question: a margin, each against the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from loss_cases import FAMILIES, assert_cuts_change_nothing, cued, right_share, trained
from shrinklm.core.errors import MethodError
from shrinklm.core.types import Example
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.losses.base import term
from shrinklm.students.training.losses.options import margin, rest, softmax
from student_cases import TYPES, corpus, fresh

SCORES = [[-3.25, -4.5, -1.0, -9.0], [-20.0, -2.0]]
GOLD = [0, 1]


def by_hand(kind: str, scores: list[float], gold: int) -> float:
    """The definitions, option by option."""
    wrong = [score for place, score in enumerate(scores) if place != gold]
    if kind == "margin":
        distance = math.log(9 * len(wrong))
        return sum(max(0.0, distance - (scores[gold] - score)) for score in wrong) / len(wrong)
    chances = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
    if kind == "softmax":
        return -math.log(chances[gold])
    return sum(-math.log(chance if place == gold else 1 - chance) for place, chance in enumerate(chances))


@pytest.mark.parametrize("loss", [softmax, margin, rest])
def test_the_losses_are_those_of_their_formulas(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    table = torch.full((2, 4), -torch.inf, dtype=torch.float64)
    for row, scores in enumerate(SCORES):
        table[row, : len(scores)] = torch.tensor(scores, dtype=torch.float64)
    known = table.isfinite()
    scores = table[known].requires_grad_()
    gold = torch.tensor(GOLD)

    def value(scores: Tensor) -> Tensor:
        # Where an ask has fewer options there is -inf, as `Read.table` fills it.
        return loss(torch.full_like(table, -torch.inf).masked_scatter(known, scores), gold)

    expected = [by_hand(loss.__name__, *row) for row in zip(SCORES, GOLD, strict=True)]
    assert value(scores).tolist() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(value, (scores,))


def test_what_the_margin_and_the_rest_promise() -> None:
    kept = torch.tensor([[0.0, -math.log(36), -math.log(36), -math.log(36), -math.log(36)]], dtype=torch.float64)
    assert float(margin(kept, torch.tensor([0]))) == pytest.approx(0, abs=1e-12)
    assert float(kept.softmax(1)[0, 0]) == pytest.approx(0.9)
    # Options that are equally likely have the probability 1 / options, however long they are.
    level = torch.full((1, 5), -40.0, dtype=torch.float64)
    assert float(rest(level, torch.tensor([2]))) == pytest.approx(-math.log(0.2) - 4 * math.log(0.8))


@pytest.mark.parametrize("kind", ["margin", "rest"])
@pytest.mark.parametrize("spec", FAMILIES)
def test_however_a_step_is_cut_the_gradient_is_the_same(spec: str, kind: str, tmp_path: Path) -> None:
    # Views that answer first, last, and for a wrong option.
    name = f"counterfactual:options={kind}&0.5" if kind == "rest" else f"answer-then-explain:options={kind}"
    losses = assert_cuts_change_nothing(spec, name, corpus(4), tmp_path)
    assert float(losses[-1]) > 0


def test_each_sets_the_right_option_above_the_others(tmp_path: Path) -> None:
    settings = {"seen": 192, "batch": 8, "learning_rate": 3e-3}
    right = {
        name: right_share(trained("tiny", Corpus(cued(32), {}), name, tmp_path / name, **settings), name, cued(40, 1))
        for name in ("finetune", "finetune:options=margin", "finetune:options=rest")
    }
    assert min(right["finetune:options=margin"], right["finetune:options=rest"]) > right["finetune"] + 0.2, right


def test_how_the_kinds_are_written() -> None:
    assert method("multitask:options=margin").losses == {"options=margin": 1.0}
    assert method("multitask:options=rest&0.3").losses == {"options=rest": 0.3}
    with pytest.raises(MethodError, match=r"'options=hinge' is not understood. Known: options=margin, options=rest,"):
        method("multitask:options=hinge")
    with pytest.raises(MethodError, match="'options=hinge' is not understood by the loss 'options': known are margin"):
        term("options=hinge")  # as a plug-in may state it


def test_a_term_that_says_nothing_about_any_question_is_refused() -> None:
    free = corpus(examples=[TYPES["free"], Example("other", "Ann ate 4 plums. How many?", (), "4")])
    with pytest.raises(
        MethodError, match=r"'options=rest' says nothing about any of the 2 .* shown: the question has no options \(2\)"
    ):
        Lessons(fresh(), free, method("finetune:options=rest"), 2)
    some = corpus(examples=[TYPES["free"], TYPES["choice"]])
    lessons = Lessons(fresh(), some, method("finetune:options=rest"), 2)
    assert lessons.unbuilt["options=rest", "the question has no options"] == 1
