"""How a step is cut into passes and rows: nothing is lost, nothing is read twice, every loss stays what it is alone."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shrinklm.core.errors import MethodError
from shrinklm.core.types import Pair
from shrinklm.methods.builtin import PREDICT
from shrinklm.methods.spec import method
from shrinklm.students import projection
from shrinklm.students.blocks import Block, fill
from shrinklm.students.ids import TokenIds
from shrinklm.students.likeliest import option_pairs
from shrinklm.students.tokens import PairTokens
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.limit import Limit
from shrinklm.students.training.passes import Steps
from student_cases import OPTIONS, corpus, fitted, fresh, many, pairs

FAMILIES = ["tiny", "tiny:seq2seq"]


def tokens(block: Block, place: int) -> list[int]:
    """The tokens of a segment."""
    segment = block.segments[place]
    return block.whole[segment.pair][segment.start : segment.stop]


few = st.lists(st.integers(0, 2), min_size=1, max_size=6)


@given(st.lists(st.tuples(few, few), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_tree_holds_every_pair_and_no_label_twice(drawn: list[tuple[list[int], list[int]]]) -> None:
    whole = [PairTokens(prompt, [], target) for prompt, target in drawn]
    block = Block(whole)
    above: list[list[int]] = []
    for segment in block.segments:
        above.append([*([] if segment.parent < 0 else above[segment.parent]), len(above)])
    for number, pair in enumerate(whole):
        read, first = pair.whole[:-1], len(pair.prompt) - 1
        # One path holds all that is read of it; its labels stand in segments of its own.
        paths = [path for path in above if list(chain.from_iterable(tokens(block, at) for at in path)) == read]
        assert any(
            all(block.segments[at].pair == number for at in path if block.segments[at].stop > first) for path in paths
        )
    assert block.size <= sum(len(pair.whole) - 1 for pair in whole)


def test_options_share_their_question_and_the_words_before_them() -> None:
    student = fresh()
    example = many(3)[1]
    group = [Pair(PREDICT.prompt(example), PREDICT.states("stone"), "stone")]
    group += option_pairs(PREDICT.prompt(example), "The answer is", OPTIONS)
    alone = Block(student.tokenized(group[:1], True)).size
    tokens = student.tokenized(group[:1], True) + student.tokenized(group[1:], False)
    more = sum(len(pair.scored) for pair in tokens[1:])
    assert Block(tokens).size <= alone + more, "an option costs its own tokens and no question"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(40, 90))
def test_rows_hold_every_block_once_and_are_never_too_long(sizes: list[int], width: int) -> None:
    rows = fill(sizes, width)
    assert sorted(index for row in rows for index in row) == list(range(len(sizes)))
    totals = [sum(sizes[index] for index in row) for row in rows]
    assert max(totals) <= width
    assert all(one + other > width for place, one in enumerate(totals) for other in totals[place + 1 :])


def losses_by_pair(student: Any, steps: Steps) -> list[Counter[float]]:
    """For each step the losses of its pairs by view, as if each were a bag."""
    found = []
    for number in range(len(steps)):
        bag: Counter[float] = Counter()
        for part in steps[number].passes:
            with torch.no_grad():
                total, count = student(part.batch)
            for loss, view in zip(total / count, part.view, strict=True):
                bag[round(float(loss), 3) + 1000 * int(view)] += 1
        found.append(bag)
    return found


@pytest.mark.parametrize("name", ["multitask", "multitask+counterfactual", "finetune:options"])
@pytest.mark.parametrize("spec", FAMILIES)
def test_however_a_step_is_cut_its_losses_and_weights_are_the_same(spec: str, name: str) -> None:
    student = fresh(spec)
    lessons = Lessons(student, corpus(6), method(name), 12)
    ways = [Limit(8, 0), Limit(3, 0), Limit(None, 4096), Limit(None, 300), Limit(None, 1)]
    whole = [Steps(lessons, 8, way) for way in ways]
    expected = losses_by_pair(student, whole[0])
    for steps in whole[1:]:
        found = losses_by_pair(student, steps)
        for one, other in zip(found, expected, strict=True):
            a, b = sorted(one.elements()), sorted(other.elements())
            assert a == pytest.approx(b, abs=2e-3)
        for number in range(len(steps)):
            step = steps[number]
            assert (list(step.pairs), step.asks) == (list(whole[0][number].pairs), whole[0][number].asks)
            shares = sum(float(part.weight.sum()) for part in step.passes)
            assert shares == pytest.approx(sum(method(name).views.values()))
    assert len(whole[3][0].passes) > len(whole[2][0].passes)


@pytest.mark.parametrize("spec", FAMILIES)
def test_processes_share_a_step_and_count_it_once(spec: str) -> None:
    lessons = Lessons(fresh(spec), corpus(10), method("multitask"), 8)
    one = Steps(lessons, 8, Limit(None, 8192))[0]
    two = [Steps(lessons, 8, Limit(None, 8192), (rank, 2))[0] for rank in (0, 1)]
    assert all(step.passes for step in two)
    assert [list(step.pairs) for step in two] == [list(one.pairs)] * 2
    views = [view for step in two for part in step.passes for view in part.view.tolist()]
    assert sorted(views) == sorted(view for part in one.passes for view in part.view.tolist())


# A large vocabulary


@pytest.mark.parametrize("spec", FAMILIES)
def test_a_large_vocabulary_is_met_in_parts_with_the_same_loss_and_gradient(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> tuple[torch.Tensor, list[torch.Tensor]]:
        student = fresh(spec)
        loss = student.loss(pairs())
        loss.sum().backward()
        return loss, [weight.grad for weight in student.parameters() if weight.grad is not None]

    loss, gradients = run()
    widest: list[int] = []
    plain = nn.functional.cross_entropy

    def watched(logits: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        widest.append(logits.numel())
        return plain(logits, *rest, **more)

    monkeypatch.setattr(nn.functional, "cross_entropy", watched)
    monkeypatch.setattr(projection, "MOST", 3 * fresh(spec).config.vocab_size)
    again, others = run()
    torch.testing.assert_close(again, loss, atol=1e-5, rtol=0)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert max(widest) <= projection.MOST


def test_logits_that_a_model_caps_are_never_taken_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    from architectures import build, tokenizer
    from shrinklm.students.causal import CausalStudent

    student = CausalStudent(build("gemma2"), tokenizer()).eval()
    assert student.config.final_logit_softcapping
    expected = student.loss(pairs())
    monkeypatch.setattr(projection, "MOST", 1)
    torch.testing.assert_close(student.loss(pairs()), expected, atol=1e-5, rtol=0)


# Token ids


def test_a_text_is_tokenised_once_and_found_again_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKLM_CACHE", str(tmp_path))
    student = fresh()
    expected = student.tokenized(pairs(), True)
    first = TokenIds(student)
    assert first.pairs(pairs()) == expected
    first.keep()
    (file,) = (tmp_path / "tokens").iterdir()
    second = TokenIds(student)
    monkeypatch.setattr(type(student), "target_ids", None)  # nothing is tokenised any more
    monkeypatch.setattr(student, "tokenizer", student.tokenizer)
    assert second._known
    assert second.pairs(pairs()) == expected
    before = file.read_bytes()
    second.keep()
    assert file.read_bytes() == before
    file.write_bytes(before[: len(before) // 2])
    monkeypatch.undo()
    monkeypatch.setenv("SHRINKLM_CACHE", str(tmp_path))
    assert TokenIds(fresh()).pairs(pairs()) == expected, "a damaged file is made anew"


def test_two_tokenizers_never_share_their_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKLM_CACHE", str(tmp_path))
    for student in (fresh(), fresh("tiny:seq2seq")):
        ids = TokenIds(student)
        assert ids.pairs(pairs()) == student.tokenized(pairs(), True)
        ids.keep()
    assert len(list((tmp_path / "tokens").iterdir())) == 2


# Further terms of the loss


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("micro_batch", [1, 4])
@pytest.mark.parametrize("spec", FAMILIES)
def test_the_loss_over_options_is_the_cross_entropy_of_the_right_one(
    spec: str, micro_batch: int, tmp_path: Path
) -> None:
    common = {"spec": spec, "count": 4, "examples": 4, "batch": 4, "micro_batch": micro_batch, "learning_rate": 1e-9}
    fitted(tmp_path, "multitask:options=0.5", **common)
    (line,) = log(tmp_path)
    student, values = fresh(spec), []
    for example in corpus(4).examples:
        asked = option_pairs(PREDICT.prompt(example), "The answer is", example.choices)
        likelihood = torch.tensor(student.likelihood(asked))
        values.append(-float(likelihood.log_softmax(0)[example.choices.index(example.answer)]))
    if spec == "tiny":  # the other has dropout
        assert line["loss/options"] == pytest.approx(sum(values) / 4, abs=1e-3)
    parts = 0.5 * (line["loss/predict"] + line["loss/explain"] + line["loss/options"])
    assert line["loss"] == pytest.approx(parts, abs=1e-5)


def test_the_loss_over_options_teaches_which_is_likeliest(tmp_path: Path) -> None:
    common = {"count": 5, "examples": 200, "learning_rate": 3e-3, "batch": 5, "micro_batch": 5}
    fitted(tmp_path, "finetune:options", **common)
    assert log(tmp_path)[-1]["loss/options"] < 0.8 < 1.2 < log(tmp_path)[0]["loss/options"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("finetune:options=0", r"'options=0' is not understood\. Known: .*options=0\.5 \(its weight\)"),
        ("finetune:options=x", r"'options=x' is not understood\. Known: options=margin, options=rest,"),
        ("zero-shot:options", r"'options' is a term of the loss, and 'zero-shot' trains nothing"),
    ],
)
def test_a_term_of_the_loss_has_a_weight(spec: str, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        method(spec)
    assert method("multitask:alpha=0.9,options=2").losses == {"options": 2.0}


def test_a_term_that_nobody_computes_is_an_error() -> None:
    from dataclasses import replace

    from shrinklm.core.errors import UnknownName

    asked = replace(method("finetune"), losses={"option": 1.0})  # as a plug-in may state it
    with pytest.raises(UnknownName, match=r"option.*options"):
        Lessons(fresh(), corpus(4), asked, 4)
