"""A term of the loss counts what it is asked about a text by the weight of that text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from loss_cases import CUTS, assert_cuts_change_nothing, gradient, trainer
from shrinklm.core.types import Example, Pair
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.view import Method, View
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.losses.base import Ask, Loss, Read, Shown
from student_cases import fresh, many
from test_losses_kd import teacher
from test_losses_soft import labelled
from weighing_cases import garbage, good, questions, several

COUNT = 3


class Own(Loss):
    """A term of somebody's own, which knows of no weights."""

    def asks(self, shown: Shown) -> Iterable[Ask]:
        yield from (Ask([item.pair]) for item in shown.pairs)

    def value(self, read: Read) -> torch.Tensor:
        return -read.table().sum(1)


def examples(seed: int = 0) -> Corpus:
    found = many(COUNT)
    return Corpus(found, {each.id: labelled(each, 0.6) for each in found}, seed)


def weighted(spec: str, weights: Sequence[float]) -> Method:
    """A method whose texts weigh so; the pairs of a view that has none weigh 1, unless no view has one."""
    made = method(spec)
    texts = [view for view in made.views if "explanation" in view.says] or list(made.views)

    def build(of: View) -> View:
        def weighed(view: View, example: Example, generations: Any, draw: Any) -> Pair | str:
            pair = of.build(view, example, generations, draw)
            return replace(pair, weight=weights[int(example.id[1:])]) if isinstance(pair, Pair) else pair

        return replace(of, build=weighed) if of in texts else of

    return replace(made, views={build(view): weight for view, weight in made.views.items()})


TERMS: Mapping[str, bool] = {
    "explain-then-answer:options": False,
    "explain-then-answer:options=margin": False,
    "explain-then-answer:soft=2": False,
    "explain-then-answer:deep": False,
    "explain-then-answer:kd": True,
    "finetune:mixkd": True,
    "multitask:mi": False,
    "multitask:mi=infonce": False,
    "explain-then-answer": False,
}
"""Method → whether it learns from logits; the last has a term of somebody's own."""


@pytest.mark.parametrize("spec", TERMS)
def test_a_term_counts_an_ask_by_the_weight_of_its_text(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, extra = fresh(), {"teacher": teacher()} if TERMS[spec] else {}
    if ":" not in spec:
        monkeypatch.setattr("shrinklm.students.training.lessons.term", lambda name: Own())

    def loss(weights: Sequence[float]) -> float:
        made = weighted(spec, weights)
        made = made if made.losses else replace(made, losses={"own": 1.0})
        return float(gradient(trainer("tiny", examples(), made, CUTS[0], tmp_path, student=student, **extra))[1][-1])

    plain = loss([1.0] * COUNT)
    assert loss([0.0] * COUNT) == 0
    alone = [loss([float(place == number) for place in range(COUNT)]) for number in range(COUNT)]
    # A mean over all asks, each by its weight: once, and no other ask by it.
    assert sum(alone) == pytest.approx(plain, rel=1e-4)
    assert loss([0.08, 0.0, 2.0]) == pytest.approx(0.08 * alone[0] + 2 * alone[2], rel=1e-4)
    assert plain > 0


@pytest.mark.parametrize("spec", ["tiny", "tiny:seq2seq"])
def test_weights_are_the_same_however_a_step_is_cut(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = weighted("multitask:options,mi", [0.08, 1.0, 1.9])
    monkeypatch.setattr("loss_cases.method", lambda name: made)
    assert_cuts_change_nothing(spec, made.name, examples(), tmp_path)


def test_garbage_that_weighs_little_teaches_the_options_little() -> None:
    known = questions(0, 6)
    texts = {each.id: several(each, [garbage(each), *good(each)]) for each in known}
    weights = {
        text.key: 0.02 if text.text == garbage(each) else 0.3266 for each in known for text in texts[each.id].texts
    }
    weighed = Corpus(known, {each.id: {("explanation", each.answer): texts[each.id]} for each in known}, 0, weights)
    made = method("explain-then-answer:options")

    def garbage_asked_about(corpus: Corpus) -> float:
        """The share of what the term is asked that stands behind a text of garbage."""
        lessons = Lessons(fresh(), corpus, made, 1200)
        asked = behind = 0.0
        for item in lessons.items:
            # A text is shown as often as it weighs, so that each ask counts as any other.
            assert [lessons.asks[place].weight for place in item.asked] == [1.0]
            [shown] = corpus.pairs(made, item.index, item.epoch)
            asked += 1
            behind += shown.pair.target.startswith(garbage(shown.example).rstrip("."))
        return behind / asked

    assert garbage_asked_about(weighed) == pytest.approx(0.02, abs=0.01)
    assert garbage_asked_about(weighed.unweighted) == pytest.approx(0.25, abs=0.01)


def test_an_ask_weighs_as_its_pair_does_where_it_does_not_say() -> None:
    plain, light = Pair("q", "t", ""), replace(Pair("q", "u", ""), weight=0.08)
    assert [Ask([plain]).share, Ask([plain, light]).share, Ask([light], weight=1.0).share] == [1.0, 0.08, 1.0]
