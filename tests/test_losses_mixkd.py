"""Two questions mixed into one: by hand, drawn alike however a training is cut, and what cannot be mixed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from loss_cases import CUTS, FAMILIES, assert_cuts_change_nothing, trainer
from shrinklm.core.errors import MethodError, StudentError
from shrinklm.core.types import Pair
from shrinklm.methods.builtin import COUNTERFACTUAL, FACTUAL
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.view import Method
from shrinklm.models.decode import below_lora
from shrinklm.students.tiny import Tiny
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.losses.mixkd import NO_OTHER, MixKD, _Mix, _read
from student_cases import corpus, fitted, fresh, many
from test_losses_kd import teacher


def plain(model: Any, embeddings: torch.Tensor, target: list[int]) -> torch.Tensor:
    """[target, vocabulary]: the logits at each token of a target behind embeddings, in a forward pass of its own."""
    network = below_lora(model.model)
    if model.family == "seq2seq":
        ids = torch.tensor([target])
        read = network.prepare_decoder_input_ids_from_labels(labels=ids)
        return network(inputs_embeds=embeddings[None], decoder_input_ids=read).logits[0]
    whole = torch.cat([embeddings, network.get_input_embeddings()(torch.tensor(target[:-1]))])
    return network(inputs_embeds=whole[None]).logits[0, len(embeddings) - 1 :]


@pytest.mark.parametrize("spec", FAMILIES)
def test_the_loss_of_a_mix_is_the_formula(spec: str, tmp_path: Path) -> None:
    examples, other = corpus(4), teacher(spec, temperature=2.0)
    made = trainer(spec, examples, method("multitask:mixkd=0.7"), CUTS[0], tmp_path, teacher=other)
    made.student.eval()
    term = made.lessons.losses["mixkd=0.7"]
    assert isinstance(term, MixKD)
    assert len(term._mixes) == 4
    step, models, losses = made.steps[0], (made.student, other.load()), []
    with torch.no_grad():
        found = sum(made._loss(made.student, part, step)[1][-1] for part in step.passes) / 4
        for mix in term._mixes:
            assert len(mix.longer) >= len(mix.shorter)
            assert sum(mix.weights) == pytest.approx(1)
            assert mix.share in mix.weights
            told = []
            for model in models:
                table = below_lora(model.model).get_input_embeddings()
                mixed = table(torch.tensor(mix.longer))
                short = table(torch.tensor(mix.shorter))
                mixed[len(mix.longer) - len(mix.shorter) :] *= mix.share
                mixed[len(mix.longer) - len(mix.shorter) :] += (1 - mix.share) * short
                told.append([plain(model, mixed, target).double() for target in mix.targets])
            value = 0.0
            for weight, target, own, far in zip(mix.weights, mix.targets, *told, strict=True):
                labels = torch.tensor(target)
                entropy = -own.log_softmax(-1)[range(len(target)), labels]
                q, p = (own / 2).log_softmax(-1), (far / 2).log_softmax(-1)
                value += weight * float((entropy + 4 * (p.exp() * (p - q)).sum(-1)).mean())
            losses.append(value)
    assert float(found) == pytest.approx(sum(losses) / 4, rel=1e-4)


@pytest.mark.parametrize("spec", FAMILIES)
def test_however_a_step_is_cut_the_gradient_is_the_same(spec: str, tmp_path: Path) -> None:
    losses = assert_cuts_change_nothing(spec, "multitask:mixkd=0.4&0.5", corpus(5), tmp_path, teacher=teacher(spec))
    assert float(losses[-1]) > 0.1


def test_a_student_that_reads_pairs_one_by_one_reads_the_same_mixes() -> None:
    packs, alone = fresh(), fresh()
    alone.reading = replace(alone.reading, rows="single")
    one, two = (packs.tokenized([Pair(text, target, "")], True)[0] for text, target in (("a b c", "one"), ("d", "two")))
    mixes = [
        _Mix(one.prompt, two.prompt, 0.3, (one.scored, two.scored), (0.3, 0.7)),
        _Mix(one.prompt, one.prompt, 0.5, (one.scored, one.scored), (0.5, 0.5)),
    ]
    with torch.no_grad():
        for found, expected in zip(_read(packs, mixes), _read(alone, mixes), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        logits = _read(packs, mixes)[0]
    count = len(one.scored)
    torch.testing.assert_close(logits[-count:], logits[-2 * count : -count])


def mixes(seed: int, seen: int, name: str = "finetune:mixkd", **options: Any) -> list[_Mix]:
    term = Lessons(fresh(**options), corpus(6, seed), method(name), seen, teacher()).losses["mixkd"]
    assert isinstance(term, MixKD)
    return term._mixes


def test_what_is_mixed_follows_from_seed_question_and_epoch() -> None:
    longer = mixes(0, 18)
    assert mixes(0, 12) == longer[:12]
    assert mixes(0, 18, "multitask:mixkd") == longer, "whatever other views are trained"
    assert mixes(1, 18) != longer
    # Each epoch draws anew, and no question is mixed with itself.
    assert all(mix.targets[0] != mix.targets[1] or mix.longer != mix.shorter for mix in longer)
    assert len({mix.share for mix in longer}) == 18


def test_shares_are_of_the_beta_distribution() -> None:
    draws = [random.Random(number).betavariate(0.4, 0.4) for number in range(4000)]
    assert sum(draws) / 4000 == pytest.approx(0.5, abs=0.03)
    # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    assert sum((draw - 0.5) ** 2 for draw in draws) / 4000 == pytest.approx(1 / (4 * 1.8), rel=0.05)


wrong = Method("own", {FACTUAL: 0.5, COUNTERFACTUAL: 0.5}, FACTUAL, FACTUAL, {"mixkd": 1.0})
"""A method of a user's own, which has no view of the question's answer alone."""


def test_a_view_of_wrong_options_is_never_mixed() -> None:
    plain = method("multitask+counterfactual:mixkd")
    first = replace(plain, views=dict(sorted(plain.views.items(), key=lambda item: item[0] != COUNTERFACTUAL)))
    assert next(iter(first.views)) == COUNTERFACTUAL
    examples = corpus(6)
    expected = mixes(0, 12)
    for trained in (plain, first):
        term = Lessons(fresh(), examples, trained, 12, teacher()).losses["mixkd"]
        assert isinstance(term, MixKD)
        assert term._mixes == expected
    # A question without the teacher's answer still trains its other views, and is mixed with nothing.
    named = method("multitask+counterfactual:teacher-labels,mixkd")
    texts = {key: {**known} for key, known in examples.generations.items()}
    lost = examples.examples[2]
    del texts[lost.id]["label", ""]
    lessons = Lessons(fresh(), Corpus(examples.examples, texts), named, 12, teacher())
    assert lessons.unbuilt["mixkd", "no 'predict'"] == 2
    assert any(lessons.corpus.examples[item.index] == lost and "counterfactual" in item.views for item in lessons.items)
    assert len(lessons.losses["mixkd"]._mixes) == 10
    for refused in ("counterfactual:mixkd", "counterfactual:counterfactual=prefix,mixkd", "test_losses_mixkd:wrong"):
        with pytest.raises(MethodError, match=r"'mixkd' needs a view that only says the answer, as multitask has; "):
            method(refused)
    with pytest.raises(MethodError, match="'own': 'mixkd' needs a view that only says the answer"):
        Lessons(fresh(), examples, wrong, 6, teacher())


class Killed(Exception):
    """Stands in for a kill."""


def test_a_training_that_was_killed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    def tick(what: str, done: int, total: int, note: str) -> None:
        if what == "train" and done == 3:
            raise Killed

    common = {"name": "finetune:mixkd", "examples": 32, "checkpoints": 2, "count": 6, "teacher": teacher()}
    whole, _ = fitted(tmp_path / "whole", **common)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", tick=tick, **common)
    cut, _ = fitted(tmp_path / "cut", **common)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), cut.parameters(), strict=True))


def test_a_question_with_which_a_mix_is_too_long_makes_room_for_the_next() -> None:
    long = " ".join(["and so on"] * 40)
    plain = many(8)
    some = [replace(each, choices=(*each.choices, long)) if place % 2 else each for place, each in enumerate(plain)]
    room = max(
        fresh().length(item.pair) for index in range(8) for item in corpus(8).pairs(method("finetune"), index, 0)
    )
    # Above the longest pair, since a mix has the longer prompt of one and the longer answer of the other.
    lessons = Lessons(fresh(max_length=room + 8), corpus(examples=some), method("finetune:mixkd"), 16, teacher())
    assert {name for name, _ in lessons.unbuilt} == {"predict"}
    assert len(lessons.asks) == 16
    alone = corpus(examples=[plain[0], *some[1::2]])
    with pytest.raises(MethodError, match=r"'mixkd' says nothing about any .*: a mix is longer than"):
        Lessons(fresh(max_length=room + 8), alone, method("finetune:mixkd"), 1, teacher())


def test_what_cannot_be_mixed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MethodError, match=r"learns from a teacher's logits, and none is named"):
        Lessons(fresh(), corpus(2), method("finetune:mixkd"), 2)
    with pytest.raises(StudentError, match="the teacher big is an encoder–decoder"):
        Lessons(fresh(), corpus(2), method("finetune:mixkd"), 2, teacher("tiny:seq2seq"))
    with pytest.raises(MethodError, match=rf"'mixkd' says nothing about any of the 1 .*{NO_OTHER}"):
        Lessons(fresh(), corpus(1), method("finetune:mixkd"), 1, teacher())
    examples = corpus(6)
    pairs = [item.pair for index in range(6) for item in examples.pairs(method("finetune"), index, 0)]
    longest = max(map(fresh().length, pairs))
    lessons = Lessons(fresh(max_length=longest - 1), corpus(6), method("finetune:mixkd"), 12, teacher())
    assert sum(lessons.unbuilt.values()) > 0
    for name in ("explain-then-answer:mixkd", "counterfactual:mixkd", "finetune:mixkd=0", "finetune:mixkd=x"):
        with pytest.raises(MethodError, match="mixkd"):
            method(name)

    class Own(Tiny):
        def logits(self, batch: Any) -> Any:
            return super().logits(batch)

    student = fresh()
    with pytest.raises(StudentError, match="Own has `logits` of its own, and mixkd mixes the embeddings"):
        Lessons(Own(student.model, student.tokenizer), corpus(2), method("finetune:mixkd"), 2, teacher())
