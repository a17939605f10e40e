"""The step `trace` and the methods that learn from it: the teacher's own reasoning, and an explanation for people."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shrinklm.core.errors import MethodError
from shrinklm.core.types import Completion, Example, Prompt, that_counts
from shrinklm.methods.builtin import EXPLAIN
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.view import traced
from shrinklm.run.stages.weigh import _items
from shrinklm.run.students import longest_cap
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import TeacherOptions, as_teacher
from shrinklm.teachers.fake import FakeTeacher
from shrinklm.teachers.generate import read_steps, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.recorded import RecordedTeacher
from shrinklm.teachers.refusals import CUT, LOOPS, NO_ANSWER, NO_REASONS, WRONG, assess
from shrinklm.teachers.store import Store
from student_cases import TYPES, generation, taught
from teacher_cases import BEAVER, EXAMPLES, SKATES, many, settings, step

PARAGRAPHS = "It builds dams.\n\nDams take **wood**. Is the answer a zoo? No.\n\nThe answer is wooded area."


class Says:
    """A teacher that says what it is told, one text after another."""

    name, revision = "says", "1"

    def __init__(self, *texts: str | Completion) -> None:
        self.texts, self.asked = [*texts], list[Prompt]()

    def complete(self, prompts: Any, sampling: Any) -> Any:
        for position, prompt in enumerate(prompts):
            self.asked.append(prompt)
            text = self.texts.pop(0)
            yield position, text if isinstance(text, Completion) else Completion(text, 1, 1, finished=True)


def take(tmp_path: Path, teacher: Any, examples: list[Example], **changes: Any) -> tuple[Any, Any]:
    given = (as_teacher(teacher), Prompts("choice"), Store(tmp_path / "store.db"), settings(**changes), parse_answer)
    report = run_steps(examples, [step("trace")], *given)
    return read_steps(examples, [step("trace")], *given)[0], report.steps["trace"]


def test_a_trace_is_asked_for_without_the_right_answer_and_kept_whole(tmp_path: Path) -> None:
    says = Says(PARAGRAPHS)
    known, counts = take(tmp_path, says, [BEAVER])
    assert "step by step" in says.asked[0].turns[-1].text
    assert says.asked[0].answer == ""
    kept = known["beaver"]["trace", ""]
    assert (kept.answer, kept.refusal, counts.kept) == ("wooded area", None, 1)
    assert traced(kept) == "It builds dams. Dams take wood. Is the answer a zoo? No."


def test_what_a_reasoning_model_thought_is_the_trace(tmp_path: Path) -> None:
    thinks = "<think>\nBeavers need wood.\nSo a wood it is.\n</think>\nThe answer is wooded area."
    known, _ = take(tmp_path, Says(thinks), [BEAVER])
    assert traced(known["beaver"]["trace", ""]) == "Beavers need wood. So a wood it is."
    bare = replace(known["beaver"]["trace", ""], thoughts="")
    assert traced(bare) == ""
    counted: Counter[tuple[str, str]] = Counter()
    corpus = Corpus([BEAVER], {"beaver": {("trace", ""): bare}})
    assert corpus.pairs(method("trace-then-answer"), 0, 0, counted) == []
    assert counted == {("trace", "trace gives no reasons"): 1}


def test_a_trace_that_ends_in_another_answer_is_asked_again_then_left_out_and_counted(tmp_path: Path) -> None:
    wrong = "Zoos hold animals, so it is there. The answer is zoo."
    known, counts = take(tmp_path, Says(wrong, PARAGRAPHS), [BEAVER])
    assert known["beaver"]["trace", ""].answer == "wooded area"
    assert counts.retried == 1
    (tmp_path / "other").mkdir()
    texts = [wrong, "Feet glide. The answer is skates.", wrong, wrong]
    known, counts = take(tmp_path / "other", Says(*texts), [BEAVER, SKATES])
    assert known["beaver"]["trace", ""].refusal == WRONG
    assert counts.refused == {WRONG: 1}


def test_a_question_with_another_right_answer_takes_the_same_text_as_right(tmp_path: Path) -> None:
    wrong = "Zoos hold animals, so it is there. The answer is zoo."
    take(tmp_path, Says(wrong), [BEAVER], retries=0)
    relabelled = replace(BEAVER, answer="zoo")
    known, counts = take(tmp_path, Says(), [relabelled], retries=0)
    assert (counts.asked, known["beaver"]["trace", ""].refusal) == (0, None)


@pytest.mark.parametrize(
    ("text", "finished", "refusal"),
    [
        (PARAGRAPHS, True, None),
        ("Wood? Perhaps the answer is wooded area. But then", False, CUT),
        ("It is not clear to me at all.", True, NO_ANSWER),
        ("It goes on and on about wood. " * 4 + "The answer is wooded area.", True, LOOPS),
    ],
)
def test_faults_of_a_trace(text: str, finished: bool, refusal: str | None) -> None:
    answer = parse_answer(text, BEAVER)
    prompt = Prompt((), BEAVER, "trace", "")
    assert assess(prompt, Completion(text, finished=finished), answer=answer)[1] == refusal


def test_free_answers_are_right_in_any_accepted_form(tmp_path: Path) -> None:
    free = Example("f", "How many legs has a dog?", (), "Four", meta={"answers": ["4"]})
    known, _ = take(tmp_path, Says("Two in front, two behind. The answer is 4."), [free], retries=0)
    assert known["f"]["trace", ""].refusal is None


def test_two_channels_say_different_things() -> None:
    example = TYPES["choice"]
    corpus = Corpus([example], {example.id: taught(example)})
    two, one = method("trace+explanation"), method("trace-then-answer")
    found = {item.view.name: item.pair for item in corpus.pairs(two, 0, 0)}
    reasons = f"One thing fits. Then {example.answer} does too."
    assert found["trace"].target == f"{reasons} So the answer is {example.answer}."
    assert found["trace"].prompt.endswith("\n[trace]")
    assert found["explain"].target == taught(example)["explanation", example.answer].text
    assert two.needs == ("trace", "explanation")
    assert (two.answer.name, two.explain, one.explain) == ("trace", EXPLAIN, one.answer)
    assert one.answer.read(found["trace"].target) == reasons
    short: Any = SimpleNamespace(positions=512)
    student: Any = SimpleNamespace(positions=float("inf"))
    assert [longest_cap(one, each) for each in (short, student)] == [384, 1024]
    assert longest_cap(method("multitask"), student) == 256
    said = method("trace+explanation:internalised=2,thought=0.5,revised")
    assert [item.pair.target.count(".") for item in corpus.pairs(said, 0, 1)] == [2, 1]
    assert said.answer.source == "trace"
    refused = {**taught(example), ("trace", ""): generation(example, "trace", "x", "x", WRONG)}
    items = Corpus([example], {example.id: refused}).pairs(two, 0, 0)
    assert [item.view.name for item in items] == ["explain"], "the example still teaches its explanation"
    with pytest.raises(MethodError, match="a trace is the teacher's own and ends in the right answer"):
        method("trace+explanation:teacher-labels")


def test_several_traces_take_turns_and_wrong_ones_wait(tmp_path: Path) -> None:
    given = (
        FakeTeacher("", TeacherOptions()),
        Prompts("choice"),
        Store(tmp_path / "store.db"),
        settings(retries=0),
        parse_answer,
    )
    examples, asked = [*EXAMPLES, *many(4)], [replace(step("trace"), samples=4)]
    run_steps(examples, asked, *given)
    known, _ = read_steps(examples, asked, *given)
    corpus = Corpus(examples, known)
    turns = 0
    for index, example in enumerate(examples):
        slot = known[example.id]["trace", ""]
        right = [text for text in slot.texts if text.refusal is None]
        assert {text.answer for text in right} <= {example.answer}
        shown = {corpus.in_epoch(index, epoch)["trace", ""].text for epoch in range(4)}
        assert not right or shown == {text.text for text in right}
        turns = max(turns, len(shown))
    assert turns > 1
    assert any(text.refusal == WRONG for slots in known.values() for text in slots["trace", ""].texts)


def test_recorded_reasoning_may_state_no_answer(tmp_path: Path) -> None:
    rows = [
        {"id": "beaver", "why": ["It builds dams.\n\nThose take wood.", "The answer is zoo.", PARAGRAPHS]},
        {"id": "skates", "why": ["They glide. The answer is sandals."]},
    ]
    (tmp_path / "t.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    teacher = RecordedTeacher("t.jsonl", TeacherOptions(root=tmp_path, columns={"trace": "why"}))
    known, counts = take(tmp_path, teacher, [BEAVER, SKATES])
    assert (counts.kept, counts.refused) == (2, {WRONG: 2})
    corpus = Corpus([BEAVER, SKATES], known)
    shown = {traced(corpus.in_epoch(0, epoch)["trace", ""]) for epoch in range(2)}
    assert shown == {"It builds dams. Those take wood.", "It builds dams. Dams take wood. Is the answer a zoo? No."}


@pytest.mark.parametrize(
    "bare",
    [
        "The answer is wooded area.",
        "The answer is (c). So the answer is wooded area.",
        "Wooded area. The answer is (c).",
    ],
)
def test_a_trace_without_reasons_is_asked_for_again(tmp_path: Path, bare: str) -> None:
    says = Says(bare, PARAGRAPHS)
    known, counts = take(tmp_path, says, [BEAVER], retries=1)
    assert (len(says.asked), counts.retried) == (2, 1)
    assert traced(known["beaver"]["trace", ""]) == "It builds dams. Dams take wood. Is the answer a zoo? No."
    prompt = Prompt((), BEAVER, "trace", "")
    said = Completion(bare, finished=True)
    assert assess(prompt, said, answer="wooded area")[1] == NO_REASONS
    assert assess(prompt, said, answer="wooded area", recorded=True)[1] is None
    # What a reasoning model thought are its reasons.
    assert assess(prompt, replace(said, thoughts="Dams take wood."), answer="wooded area")[1] is None


@pytest.mark.parametrize("texts", [["", "b"], ["a", ""], ["", "a", "", "b"]])
def test_of_several_traces_those_with_reasons_take_turns(texts: list[str]) -> None:
    examples, known = many(4), {}
    for example in examples:
        samples = [
            replace(generation(example, "trace", example.answer, f"{why} The answer is {example.answer}."), key=f"{n}")
            for n, why in enumerate(f"It is so by {text}." if text else "" for text in texts)
        ]
        known[example.id] = {("trace", ""): that_counts(samples)}
    corpus, asked = Corpus(examples, known), method("trace-then-answer")
    reasons = {f"It is so by {text}." for text in texts if text}
    assert corpus.usable(asked) == [0, 1, 2, 3]
    for index in range(4):
        shown = [corpus.pairs(asked, index, epoch) for epoch in range(4)]
        assert {item.pair.target.partition(" So the")[0] for items in shown for item in items} == reasons
        assert all(shown)
    items = list(_items("trace", examples, known))
    assert [len(item.texts) for item in items] == ([2] * 4 if len(reasons) == 2 else [])
