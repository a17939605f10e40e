"""Further terms of the loss: what they ask for, what they are given, and how they count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from shrinklm.core.errors import MethodError, StudentError, UnknownName
from shrinklm.core.types import Example, Pair
from shrinklm.methods.builtin import JUSTIFY, PREDICT
from shrinklm.methods.corpus import Corpus, ViewPair
from shrinklm.methods.spec import method
from shrinklm.methods.terms import Term
from shrinklm.methods.view import Method, View
from shrinklm.students.batch import labelled
from shrinklm.students.tiny import Tiny
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.limit import Limit
from shrinklm.students.training.losses import base
from shrinklm.students.training.losses.base import Around, Ask, Loss, Read, Shown, term
from shrinklm.students.training.losses.options import Options, stated_options
from shrinklm.students.training.passes import Steps
from student_cases import OPTIONS, corpus, fresh, many

FAMILIES = ["tiny", "tiny:seq2seq"]


class Both(Loss):
    """Asks for both trained views of an example and a further pair, with figures for all of them."""

    reads = frozenset({"logits", "states"})

    def begin(self, around: Around) -> None:
        self.tokens = around.tokens

    def asks(self, shown: Shown) -> Iterable[Ask]:
        more = Pair(shown.example.text, "another target", "")
        pairs = [more, *(item.pair for item in shown.pairs)]
        counts = [len(tokens.scored) for pair in pairs for tokens in self.tokens([pair])]
        yield Ask(pairs, {"three": 3, "each": [10, 11, 12]}, {"nth": np.arange(1, sum(counts) + 1)})

    def value(self, read: Read) -> torch.Tensor:
        return read.table(fill=0.0).sum(1)


def lessons(loss: Loss, spec: str, monkeypatch: pytest.MonkeyPatch, count: int = 6) -> Lessons:
    monkeypatch.setattr("shrinklm.students.training.lessons.term", lambda name: loss)
    return Lessons(fresh(spec), corpus(count), replace(method("multitask"), losses={"both": 1.0}), count)


@pytest.mark.parametrize("spec", FAMILIES)
def test_a_term_reads_trained_pairs_once_and_is_given_its_figures(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = lessons(Both(), spec, monkeypatch)
    for limit in (Limit(2, 0), Limit(None, 4096)):
        for part in Steps(found, 6, limit)[0].passes:
            asked = part.asked["both"]
            assert int(part.batch["pairs"]) == 3 * asked.count, "two views and one further pair an example"
            assert asked.figures["three"].tolist() == [3] * asked.count
            assert asked.figures["each"].tolist() == [[10, 11, 12]] * asked.count
            # Each pair has the numbers that were given for its tokens, in their order.
            _, _, owner = labelled(part.batch)
            for number in range(asked.count):
                places = asked.pairs[asked.ask == number].tolist()
                numbers = torch.cat([asked.tokens["nth"][owner == place] for place in places])
                assert numbers.tolist() == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("spec", FAMILIES)
def test_logits_and_states_are_those_of_the_tokens_that_are_scored(spec: str) -> None:
    student = fresh(spec).eval()
    batch = student.encode(
        [[item.pair for item in corpus(3).pairs(method("multitask"), index, 0)] for index in range(3)]
    )
    with torch.no_grad():
        plain, full = student.scored(batch), student.scored(batch, logits=True, states=True)
        head = student.model.get_output_embeddings()
    assert (plain.logits, plain.states) == (None, ())
    assert full.logits is not None
    torch.testing.assert_close(full.losses, plain.losses)
    chosen = full.logits.log_softmax(-1).gather(1, full.labels[:, None])[:, 0]
    torch.testing.assert_close(-chosen, plain.losses)
    layers = student.config.get_text_config(decoder=True).num_hidden_layers
    assert [states.shape[0] for states in full.states] == [len(full.labels)] * (layers + 1)
    if spec == "tiny":
        torch.testing.assert_close(head(full.states[-1]), full.logits)


def test_a_class_with_logits_of_its_own_tells_no_states() -> None:
    class Own(Tiny):
        def logits(self, batch: Any) -> Any:
            return super().logits(batch)

    student = fresh()
    own = Own(student.model, student.tokenizer)
    batch = own.encode([[Pair("one", "two", "")]])
    assert own.scored(batch, logits=True).logits is not None
    with pytest.raises(StudentError, match="`logits` of its own"):
        own.scored(batch, states=True)


def weighted(weights: Sequence[float]) -> tuple[Corpus, Method]:
    """Questions of which each has a pair with its own weight."""

    def build(view: View, example: Example, generations: Any, draw: Any) -> Pair:
        pair = PREDICT.pair(example, generations, draw)
        assert isinstance(pair, Pair)
        return replace(pair, weight=weights[int(example.id)])

    examples = [replace(example, id=str(number)) for number, example in enumerate(many(len(weights)))]
    return Corpus(examples, {}), replace(method("finetune"), views={replace(PREDICT, build=build): 0.5})


@pytest.mark.parametrize("spec", FAMILIES)
def test_a_pair_counts_by_its_weight_however_the_step_is_cut(spec: str) -> None:
    weights = [0.0, 0.5, 2.0, 1.5]
    student = fresh(spec)
    found = Lessons(student, *weighted(weights), 4)
    expected = sorted(0.5 * weight / 4 for weight in weights)
    for limit in (Limit(4, 0), Limit(1, 0), Limit(None, 1)):
        passes = Steps(found, 4, limit)[0].passes
        assert sorted(torch.cat([part.weight for part in passes]).tolist()) == pytest.approx(expected)
        assert sorted(torch.cat([part.own for part in passes]).tolist()) == sorted(weights)
    same = Lessons(student, *weighted([1.0] * 4), 4)
    assert len(same.tokens._ends) == len(found.tokens._ends), "a weight changes no token"


def test_a_weight_is_shown_where_it_is_not_1() -> None:
    examples, weighing = weighted([1.0, 0.25])
    rows = [item.row() for index in range(2) for item in examples.pairs(weighing, index, 0)]
    assert ["pair_weight" in row for row in rows] == [False, True]
    assert rows[1]["pair_weight"] == 0.25


def test_which_pairs_the_loss_over_options_is_about() -> None:
    example = many(1)[0]

    def ask(view: View, pair: Pair, of: Example = example) -> list[Ask | str]:
        return list(Options().asks(Shown(of, {}, [ViewPair(of, view, 1.0, pair)], 0)))

    (found,) = ask(PREDICT, Pair(PREDICT.prompt(example), PREDICT.states("apple"), "apple"))
    assert isinstance(found, Ask)
    assert [each.option for each in found.pairs] == list(OPTIONS)
    assert (found.pairs[0].target, found.figures) == ("The answer is apple.", {"gold": 0})
    justified = Pair(JUSTIFY.prompt(example), f"{JUSTIFY.states('apple')} It grows on trees.", "apple")
    (found,) = ask(JUSTIFY, justified)
    assert isinstance(found, Ask)
    assert {each.target for each in found.pairs} == {f"The answer is {option}." for option in OPTIONS}
    assert stated_options(JUSTIFY, example, justified) == list(found.pairs)
    free = Example("f", "How many?", (), "5")
    assert ask(PREDICT, Pair("How many?", "The answer is 5.", "5"), free) == ["the question has no options"]
    assert ask(PREDICT, Pair("x", "an explanation", "")) == []


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (print, r"is <built-in function print>. Wanted: a subclass of .*\.Loss"),
        (Both(), "takes a weight alone, such as both=0.5; found 'both=2'"),
        (Both, "'both=2' is not understood by the loss 'both'"),
    ],
)
def test_what_is_no_loss_is_refused(found: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find", lambda group, name: found)
    with pytest.raises(MethodError, match=message):
        term("both=2")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", ("t", 1.0)), ("0.5", ("t", 0.5)), ("a", ("t=a", 1.0)), ("a&.5", ("t=a", 0.5)), ("b&2", None), ("a&0", None)],
)
def test_how_a_term_is_written(value: str, expected: tuple[str, float] | None) -> None:
    with_values = Term("", {"a": "the first"})
    if expected is None:
        with pytest.raises(ValueError, match=r"Known: t=a, t=0\.5 \(its weight\); with a weight t=a&0\.5"):
            with_values.read("t", value)
    else:
        assert with_values.read("t", value) == expected
    by_number = Term("", number="temperature")
    assert by_number.read("t", "2") == ("t=2", 1.0)
    assert by_number.read("t", "2&0.1") == ("t=2", 0.1)


WRONG = replace(method("finetune"), losses={"option": 1.0})


def test_a_plug_in_whose_term_nobody_computes_is_refused_when_the_recipe_is_read() -> None:
    with pytest.raises(UnknownName, match=r"No loss is called 'option'. Did you mean 'options'"):
        method(f"{__name__}:WRONG")
