"""What of a target is trained, and how much: prefixes that are read, weights of tokens, sentences that leave."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from cli_cases import recipe
from shrinklm import Recipe, Run
from shrinklm.core.errors import MethodError, StudentError
from shrinklm.core.types import Pair
from shrinklm.evaluation.metrics.base import Condition, Context
from shrinklm.evaluation.probes import framed
from shrinklm.methods.builtin import EXPLAIN, FACTUAL
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.emphasis import Emphasis
from shrinklm.methods.spec import method
from shrinklm.methods.view import Method, View
from shrinklm.students.tiny import Tiny
from shrinklm.students.tokens import target_offsets
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.limit import Limit
from shrinklm.students.training.passes import Steps
from shrinklm.students.training.trainer import Trainer
from student_cases import TYPES, corpus, fresh, generation, many

FAMILIES = ["tiny", "tiny:seq2seq"]
PREFIX = "counterfactual:counterfactual=prefix"


def by_hand(student: Any, pair: Pair) -> tuple[list[str], torch.Tensor]:
    """(the tokens of a target with its end, the cross-entropy of each), by transformers' own forward in float64."""
    model, tokenizer = student.model.double(), student.tokenizer
    prompt = tokenizer(pair.prompt)["input_ids"]
    text = pair.target if student.family == "seq2seq" else f" {pair.target}"
    target = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        if student.family == "seq2seq":
            logits = model(input_ids=torch.tensor([prompt]), labels=torch.tensor([target])).logits[0]
        else:
            logits = model(input_ids=torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
    losses = -logits.log_softmax(-1)[range(len(target)), target]
    model.float()
    return tokenizer.convert_ids_to_tokens(target), losses


def gradients(spec: str, name: str, limit: Limit, count: int = 4) -> list[torch.Tensor]:
    """The gradients of one step of a training, cut into passes by `limit`."""
    student = fresh(spec)
    lessons = Lessons(student, corpus(count), method(name), count)
    trainer: Any = Trainer.__new__(Trainer)
    trainer.lessons, trainer._reads = lessons, frozenset()
    trainer._names, trainer._weights = [view.name for view in lessons.method.views], [0.0]
    step = Steps(lessons, count, limit)[0]
    for part in step.passes:
        trainer._loss(student, part, step)[0].backward()
    return [weight.grad for weight in student.parameters() if weight.grad is not None]


def test_a_prefixed_counterfactual_shows_the_explanation_in_its_target() -> None:
    for name in (PREFIX, "multitask+counterfactual:counterfactual=prefix"):
        plain = {item.view.name: item for item in corpus(4).pairs(method(name.partition(":")[0]), 1, 0)}
        found = {item.view.name: item for item in corpus(4).pairs(method(name), 1, 0)}
        pair = found["counterfactual"].pair
        assert pair.prompt == f"{many(2)[1].text}\n[counterfactual]"
        assert pair.target == f"It could well be {pair.option}. So the answer is {pair.option}."
        assert pair.scored is not None
        assert pair.target[slice(*pair.scored)] == f"{pair.option}."
        assert found["counterfactual"].row()["scored_characters"] == list(pair.scored)
        assert pair.option == plain["counterfactual"].pair.option
        for view in found.keys() - {"counterfactual"}:
            assert found[view].row() == plain[view].row()


@pytest.mark.parametrize("spec", FAMILIES)
def test_the_loss_of_a_prefixed_counterfactual_is_that_of_its_answer(spec: str) -> None:
    student = fresh(spec)
    pair = corpus(4).pairs(method(PREFIX), 1, 0)[1].pair
    tokens, losses = by_hand(student, pair)
    answer = max(place for place, token in enumerate(tokens) if token == "Ġis") + 1
    assert tokens[-2:] == [".", "<end>"]
    assert student.loss([pair]).item() == pytest.approx(losses[answer:].mean().item(), abs=1e-5)
    one, other = (gradients(spec, PREFIX, limit) for limit in (Limit(1, 0), Limit(4, 0)))
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-4)


THOUGHT = "explain-then-answer:thought=0.25"
KEYS = "multitask:keypoints=3"


def test_the_explanation_and_the_answer_are_told_apart_in_a_target() -> None:
    for name, parts in {
        THOUGHT: ["It fits cloud best. "],
        "answer-then-explain:thought=0.25": [" It fits cloud best."],
        "multitask+counterfactual:thought=0.25": ["It fits cloud best. "],
        KEYS: ["cloud"],
        "explain-then-answer:keypoints=2,thought=0.5": ["It fits cloud best. ", "cloud"],
    }.items():
        found = [item.pair for item in corpus(4).pairs(method(name), 1, 0) if item.pair.emphasis]
        assert [pair.target[start:end] for pair in found for start, end, _ in pair.emphasis] == parts
        plain = corpus(4).pairs(method(name.partition(":")[0]), 1, 0)
        assert [replace(item.pair, emphasis=()) for item in corpus(4).pairs(method(name), 1, 0)] == [
            item.pair for item in plain
        ]


def test_which_words_are_keypoints() -> None:
    example = replace(TYPES["nli"], question="Does it?")
    said = replace(Pair("", "The boy, asleep, is not running: a contradiction. Boys sleep.", "contradiction"))
    spans = Emphasis(keypoints=2.0).spans(example, said, (0, len(said.target)))
    assert [said.target[start:end] for start, end, _ in spans] == ["boy", "asleep", "running", "contradiction"]
    free = Pair("", "She has 9, eats four, so 5 plums are left. The answer is 5.", "5")
    spans = Emphasis(keypoints=2.0).spans(TYPES["free"], free, (0, 42))
    assert [free.target[start:end] for start, end, _ in spans] == ["9", "5", "plums", "left"]


@pytest.mark.parametrize("spec", FAMILIES)
@pytest.mark.parametrize("name", [THOUGHT, KEYS])
def test_a_weighted_loss_is_the_weighted_mean_of_its_tokens(spec: str, name: str) -> None:
    student = fresh(spec)
    pair = next(item.pair for item in corpus(4).pairs(method(name), 1, 0) if item.pair.emphasis)
    tokens, losses = by_hand(student, pair)
    text = "".join(tokens).replace("Ġ", " ")
    text = text if spec == "tiny:seq2seq" else text[1:]
    start, end, weight = pair.emphasis[0]
    weights, place = [], 0 if spec == "tiny:seq2seq" else -1
    for token in tokens:
        stop = place + len(token)
        held = [c for c in range(max(place, 0), stop) if text[c] != " "] or [stop]  # a blank: the word behind it
        weights.append(weight if all(start <= c < end for c in held) else 1.0)
        place = stop
    expected = (torch.tensor(weights, dtype=torch.float64) * losses).sum() / sum(weights)
    assert 1.0 in weights
    assert weight in weights
    assert student.loss([pair]).item() == pytest.approx(expected.item(), abs=1e-5)
    assert student.likelihood([pair]) == pytest.approx([-losses[:-1].sum().item()], abs=1e-4)
    one, other = (gradients(spec, name, limit) for limit in (Limit(1, 0), Limit(None, 4096)))
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-4)


def test_weights_belong_to_their_tokens_in_packed_rows_and_leave_terms_alone() -> None:
    student, name = fresh(), "multitask+counterfactual:keypoints=3,thought=0.5,options"
    lessons = Lessons(student, corpus(6), method(name), 6)
    plain = Lessons(student, corpus(6), method("multitask+counterfactual:options"), 6)
    trainer: Any = Trainer.__new__(Trainer)
    trainer.lessons, trainer._reads = lessons, frozenset()
    views = [view.name for view in lessons.method.views]
    trainer._names, trainer._weights = [*views, "options"], [*lessons.method.views.values(), 1.0]
    [step], [without] = ([Steps(each, 6, Limit(6, 0))[0]] for each in (lessons, plain))
    (part,), (bare,) = step.passes, without.passes
    assert "weights" not in bare.batch
    read = student.scored(part.batch)
    total, weight = student(part.batch)
    by_token = part.batch["weights"].flatten()[part.batch["scored"]]
    units = lessons.units(lessons.items)
    first = 0
    for unit in units:
        for tokens in unit.block.pairs:
            mine = read.owner == first
            assert sorted(by_token[mine].tolist()) == sorted(tokens.weights or [1.0] * len(tokens.scored))
            value = (read.losses * by_token)[mine].sum() / by_token[mine].sum()
            assert (total / weight)[first].item() == pytest.approx(value.item(), rel=1e-5)
            first += 1
    with torch.no_grad():
        _, figures = trainer._loss(student, part, step)
        _, unweighted = trainer._loss(student, bare, without)
    assert figures[-1].item() == pytest.approx(unweighted[-1].item(), rel=1e-5), "options are plain log-likelihoods"
    assert figures[1].item() != pytest.approx(unweighted[1].item(), rel=1e-4)


def test_a_tokenizer_that_tells_no_places_weighs_whole_words() -> None:
    student = fresh()
    pair = next(item.pair for item in corpus(4).pairs(method(KEYS), 1, 0) if item.pair.emphasis)
    target_ids = partial(student.target_ids, end=False)
    slow = target_offsets(object(), pair.target, target_ids, False)
    fast = student.target_offsets(pair.target)
    assert len(slow) == len(fast) == len(target_ids(pair.target))
    for (start, end), (first, last) in zip(slow, fast, strict=True):
        assert start <= first <= last <= end
    told = {pair.target[start:end].strip() for start, end in slow}
    assert told == {"It", "fits", "cloud", "best."}


class Sums(Tiny):
    def forward(self, batch: Any) -> Any:
        return super().forward(batch)


class Plain(Tiny):
    def encode(self, groups: Any, end: bool = True, pack: bool = True) -> Any:
        batch = super().encode(groups, end, pack)
        return {name: value for name, value in batch.items() if name != "weights"}


def test_a_class_with_a_loss_of_its_own_weighs_no_tokens() -> None:
    student = fresh()
    own = Sums(student.model, student.tokenizer)
    assert len(Lessons(own, corpus(4), method("multitask"), 4)) == 4
    with pytest.raises(StudentError, match="Sums has a loss of its own, which weighs no tokens"):
        Lessons(own, corpus(4), method(KEYS), 4)
    found = Lessons(Plain(student.model, student.tokenizer), corpus(4), method(KEYS), 4)
    with pytest.raises(StudentError, match="Plain makes tensors of its own, which weigh no tokens"):
        Steps(found, 4, Limit(4, 0))[0]


def test_a_vocabulary_that_is_met_in_parts_is_weighed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    student = fresh()
    pair = next(item.pair for item in corpus(4).pairs(method(KEYS), 1, 0) if item.pair.emphasis)
    whole = student.loss([pair]).item()
    monkeypatch.setattr("shrinklm.students.projection.MOST", 4 * len(student.tokenizer))
    assert student.loss([pair]).item() == pytest.approx(whole, abs=1e-6)


def test_a_target_in_a_format_of_ones_own_is_not_weighed_in_silence() -> None:
    def build(view: View, example: Any, generations: Any, draw: Any) -> Pair:
        return Pair(view.prompt(example), f"because ... hence ({example.answer})", example.answer)

    mine = replace(FACTUAL, build=build, emphasis=Emphasis(thought=0.5))
    counted: Counter[tuple[str, str]] = Counter()
    assert corpus(2).pairs(Method("mine", {mine: 1.0}, mine, mine), 0, 0, counted) == []
    assert list(counted) == [
        ("factual", "its explanation is not told apart from its answer, so its tokens cannot be weighed")
    ]


INTERNALISED = "explain-then-answer:internalised=3"


def sentenced(count: int = 4) -> Corpus:
    """Questions whose explanations have as many sentences as their number says, from 1."""
    examples, texts = many(count), {}
    for place, example in enumerate(examples):
        said = " ".join(f"E.g. line {line} of it." for line in range(place + 1))
        slot = ("explanation", example.answer)
        texts[example.id] = {slot: generation(example, *slot, said)}
    return Corpus(examples, texts)


def test_an_explanation_loses_its_first_sentences_epoch_by_epoch() -> None:
    shown = sentenced()
    asked = method(INTERNALISED)
    assert (asked.explain, asked.answer.name, asked.answer.says) == (None, "factual", ("explanation", "answer"))
    assert method("multitask+counterfactual:internalised=2").explain == EXPLAIN
    left = [
        [shown.pairs(asked, index, epoch)[0].pair.target.count("of it.") for epoch in range(5)] for index in range(4)
    ]
    assert left == [[1, 1, 1, 0, 0], [2, 2, 1, 0, 0], [3, 2, 1, 0, 0], [4, 3, 2, 0, 0]]
    third = [shown.pairs(asked, 3, epoch)[0].pair.target for epoch in (0, 2, 3)]
    assert third[0] == shown.pairs(method("explain-then-answer"), 3, 0)[0].pair.target
    assert third[1] == f"E.g. line 2 of it. E.g. line 3 of it. So the answer is {shown.examples[3].answer}."
    assert third[2] == f"So the answer is {shown.examples[3].answer}."
    assert asked.answer.read(third[2]) == ""
    weighed = method("explain-then-answer:internalised=3,thought=0.5,keypoints=2")
    assert [bool(shown.pairs(weighed, 3, epoch)[0].pair.emphasis) for epoch in (0, 2, 3)] == [True, True, False]


def test_a_training_that_ends_before_the_answer_stands_alone_is_refused(tmp_path: Path) -> None:
    asked = method(INTERNALISED)
    asked.check_epochs(13, 4)
    method("multitask").check_epochs(1, 100)
    with pytest.raises(MethodError, match=r"12 examples of 4 questions are 3.0: .*examples: 16}, or internalised=2$"):
        asked.check_epochs(12, 4)
    with pytest.raises(MethodError, match=r"are 1.0: .* Write: train: {examples: 16}$"):
        asked.check_epochs(4, 4)
    log = tmp_path / "asked.log"
    path = recipe(
        tmp_path,
        teacher={"use": f"fake:log={log}"},
        generate=["explanation"],
        methods=[INTERNALISED],
        train={"examples": 8},
    )
    with pytest.raises(MethodError, match="the answer would never stand alone"):
        Run(Recipe.read(path)).generate()
    assert not log.exists()


def test_probes_give_an_explanation_as_prefixed_training_did() -> None:
    example, given = many(1)[0], Condition("Blood is red", "[counterfactual]")
    read = (f"{example.text}\n[counterfactual]", "Blood is red. So the answer is")
    assert framed(method(PREFIX), example, given) == read
    both = method("multitask+counterfactual:counterfactual=prefix")
    assert framed(both, example, given) == read
    assert framed(both, example, replace(given, tag="")) == (f"{example.text}\n[predict]", read[1])
    assert framed(both, example, Condition()) == (f"{example.text}\n[predict]", "The answer is")
    assert Context(both, []).other_tag == "[counterfactual]"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("counterfactual:counterfactual=target", "'counterfactual=target' is not counterfactual=prefix"),
        ("counterfactual:counterfactual", "'counterfactual' is not counterfactual=prefix"),
        ("multitask:internalised=2", "finds no view of 'multitask' that explains and then answers"),
        ("counterfactual:internalised=0", "'internalised=0' is not a number of epochs such as 3"),
        ("multitask:thought=0.5", "'thought=0.5' finds no view of 'multitask' that both answers and explains"),
        ("explain-then-answer:thought=0", "'thought=0' is not a weight above 0, such as thought=0.5"),
        ("salient:keypoints=2", "'keypoints=2' finds no view of 'salient' that says an explanation"),
        ("multitask:counterfactual=prefix", "no view of wrong options in 'multitask'"),
    ],
)
def test_what_these_options_do_not_take(spec: str, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        method(spec)


def test_preview_tells_what_is_read_and_what_weighs_more(capsys: pytest.CaptureFixture[str]) -> None:
    from shrinklm.cli.show.runs import preview

    name = f"{PREFIX},thought=0.5,keypoints=2"
    preview([{"method": name, **item.row()} for item in corpus(4).pairs(method(name), 1, 0)])
    said = " ".join(capsys.readouterr().out.split())
    assert "× 0.5: It fits cloud best. · × 2: cloud" in said
    assert "read, not scored: to character 41" in said
