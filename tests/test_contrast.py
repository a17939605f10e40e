"""Texts that a teacher on this machine holds against another answer while it writes (SCOTT, arXiv 2305.01879)."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from shrinklm.core.errors import TeacherError
from shrinklm.core.types import Example, Pair, Prompt, Sampling, ask_key
from shrinklm.models.exact import make_decoder
from shrinklm.models.rows import Row, contrast, waiting
from shrinklm.run.blocks import StepBlock
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import TeacherOptions, as_teacher
from shrinklm.teachers.contrast import NO_OTHER
from shrinklm.teachers.fake import FakeTeacher
from shrinklm.teachers.generate import read_steps, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import STEPS, StepRequest
from shrinklm.teachers.store import Store
from shrinklm.teachers.transformers import TransformersTeacher
from student_cases import fresh
from teacher_cases import BEAVER, EXAMPLES, KETTLE, asking, settings, step, tiny_model

STEP = STEPS["explanation"]


@pytest.fixture(scope="module", params=["causal", "seq2seq"])
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp(request.param), seq2seq=request.param == "seq2seq")


def teacher(folder: Path, batch: int = 4) -> TransformersTeacher:
    made = TransformersTeacher(str(folder), TeacherOptions(batch=batch))
    made.dtype = "float32"
    return made


def held(text: str, other: str) -> Prompt:
    return replace(asking(text), against=asking(other).turns)


def by_hand(made: TransformersTeacher, prompt: Prompt, steps: int) -> list[int]:
    """The tokens of SCOTT's greedy contrast, with plausibility, a forward pass of each prompt for each token."""
    model = made.decoder.model.double()
    told = [made.tokens(prompt), made.read(prompt.against, None)]
    said: list[int] = []
    for _ in range(steps):
        log_p = []
        for read in told:
            if made.seq2seq:
                start = model.config.decoder_start_token_id
                inputs = {"input_ids": torch.tensor([read]), "decoder_input_ids": torch.tensor([[start, *said]])}
            else:
                inputs = {"input_ids": torch.tensor([read + said])}
            with torch.no_grad():
                log_p.append(model(**inputs).logits[0, -1].log_softmax(-1))
        best: tuple[float, int] = (-math.inf, -1)
        for token, (own, other) in enumerate(zip(*(each.tolist() for each in log_p), strict=True)):
            if own >= max(log_p[0].tolist()) + math.log(0.1) and own + (own - other) > best[0]:
                best = own + (own - other), token
        if best[1] in made.decoder.ends:
            break
        said.append(best[1])
    model.float()
    return said


def test_the_next_token_grows_most_among_the_plausible() -> None:
    own = torch.tensor([[0.5, 0.3, 0.16, 0.04]]).log()
    other = torch.tensor([[0.7, 0.1, 0.1, 0.1]]).log()
    scores = contrast(own, other)[0]
    # 0.04 is below a tenth of 0.5: not plausible, whatever its growth.
    assert scores[3] == -torch.inf
    expected = [2 * math.log(p) - math.log(q) for p, q in ((0.5, 0.7), (0.3, 0.1), (0.16, 0.1))]
    assert scores[:3].tolist() == pytest.approx(expected, abs=1e-6)
    assert int(scores.argmax()) == 1


def test_texts_are_those_of_the_formula_whatever_the_batch(folder: Path) -> None:
    prompts = [
        held("Why is a beaver fond of wood?", "Why is a beaver fond of water?"),
        held("Why?", "What is it that a very old and tired beaver might build out of wood and mud in a river?"),
        held("Who builds a dam here?", "Who builds a dam there?"),
    ]
    made = teacher(folder)
    expected = [made.decoder.text(by_hand(made, prompt, 5)) for prompt in prompts]
    plain = dict(made.complete([replace(prompt, against=()) for prompt in prompts], Sampling(max_tokens=5)))
    assert [plain[place].text for place in range(3)] != expected
    for batch in (1, 3, 8):
        found = dict(teacher(folder, batch).complete(prompts, Sampling(max_tokens=5)))
        assert [found[place].text for place in range(3)] == expected, batch
    first = found[0]
    assert first.tokens_in == len(made.tokens(prompts[0])) + len(made.read(prompts[0].against, None))


def test_a_row_and_the_one_it_is_held_against_come_together() -> None:
    rows = [Row([1], 4, against=Row([2], 4)), Row([3], 4), Row([4], 4, against=Row([5], 4))]
    source = waiting(rows)
    assert [[row.prompt[0] for row in source(count)] for count in (1, 3, 1, 2, 2)] == [[], [1, 2, 3], [], [4, 5], []]


def test_what_a_text_is_held_against() -> None:
    assert STEP.against(BEAVER, "wooded area", "empty") == ""
    assert STEP.against(BEAVER, "wooded area", "wrong") in ("body of water", "zoo")
    assert STEP.against(BEAVER, "zoo", "wrong") == "wooded area"
    free = Example("free", "How many?", (), "5")
    assert STEP.against(free, "5", "wrong") is None
    prompt = asking("Why?")
    keys = {ask_key("t", "1", each, Sampling()) for each in (prompt, held("Why?", "Who?"), held("Why?", "How?"))}
    assert len(keys) == 3


class Contrasting(FakeTeacher):
    """Writes texts, and notes the prompts."""

    contrasts = True

    def complete(self, prompts: Any, sampling: Sampling) -> Any:
        self.seen = [*getattr(self, "seen", []), *prompts]
        return super().complete(prompts, sampling)


def arguments(tmp_path: Path, made: Any) -> tuple[Any, ...]:
    return made, Prompts("choice"), Store(tmp_path / "store.db"), settings(), parse_answer


def test_a_step_asks_with_the_other_answer_and_keeps_its_texts_apart(tmp_path: Path) -> None:
    made = Contrasting("", TeacherOptions())
    given = arguments(tmp_path, made)
    free = Example("free", "How many legs has a dog?", (), "4")
    asked = [replace(step("explanation"), contrast="wrong"), replace(step("counterfactual"), contrast="wrong")]
    report = run_steps([KETTLE, free], asked, *given)
    gold, *wrong = made.seen
    assert [prompt.against[:-1] == prompt.turns[:-1] for prompt in made.seen] == [True] * 3
    assert "Answer: kettle" in gold.turns[-1].text
    assert "Answer: drawer" in gold.against[-1].text or "Answer: lamp" in gold.against[-1].text
    assert all("Answer: kettle" in prompt.against[-1].text for prompt in wrong)
    assert report.steps["explanation"].refused == {NO_OTHER: 1}
    known, _ = read_steps([KETTLE], asked, *given)
    turns = json.loads(known["kettle"]["explanation", "kettle"].prompt)
    assert turns[-1] == {"role": "against", "text": gold.against[-1].text}
    plain = run_steps([KETTLE], [step("explanation")], *given)
    assert plain.steps["explanation"].asked == 1, "not the text that was held against another answer"
    again = run_steps([KETTLE], asked, *given)
    assert [again.steps[name].asked for name in ("explanation", "counterfactual")] == [0, 0]


def test_a_model_that_writes_one_text_at_a_time_holds_none_against_another(folder: Path) -> None:
    made = teacher(folder)
    prompt = held("Why?", "Who?")
    expected = made.decoder.text(by_hand(made, prompt, 6))
    model, tokenizer = made.decoder.model, made.tokenizer
    made.decoder = make_decoder("generate", model, tokenizer)
    assert dict(made.complete([prompt], Sampling(max_tokens=6)))[0].text == expected
    made.decoder = make_decoder("alone", model, tokenizer)
    with pytest.raises(TeacherError, match="continued one prompt at a time here, and a contrast needs two"):
        list(made.complete([prompt], Sampling(max_tokens=6)))


def test_a_teacher_that_cannot_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    class Plain:
        name, revision, asked = "plain", "1", 0

        def complete(self, prompts: Any, sampling: Any) -> Any:
            self.asked += 1
            return iter(())

    plain = Plain()
    given = arguments(tmp_path, as_teacher(plain))
    asked = [step("counterfactual"), replace(step("explanation"), contrast="empty")]
    with pytest.raises(TeacherError, match=r"`explanation: \{contrast: empty\}` needs .* 'plain' does not tell"):
        run_steps(EXAMPLES, asked, *given)
    assert plain.asked == 0
    with pytest.raises(TeacherError, match="It is for: explanation, counterfactual"):
        run_steps(EXAMPLES, [StepRequest("label", 1, None, None, contrast="empty")], *given)
    with pytest.raises(ValueError, match="`contrast` of 'critique': its prompt states no answer alone"):
        StepBlock(name="critique", contrast="wrong")


def test_a_contrast_finds_what_is_said_of_this_answer_alone() -> None:
    student = fresh()
    learned = [
        Pair(f"Answer: {answer}", said, "") for answer in ("red", "blue") for said in ("fine.", "fine.", f"{answer}.")
    ]
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        student.loss(learned).mean().backward()
        optimizer.step()
    decoder = make_decoder("shared", student.model, student.tokenizer)

    def said(answer: str, other: str) -> str:
        read, against = student.prompt_ids(f"Answer: {answer}"), student.prompt_ids(f"Answer: {other}")
        [row] = decoder.stream([Row(read, 4, against=Row(against, 4) if other else None)])
        return decoder.text(row.said.tokens).strip()

    assert [said("red", ""), said("blue", "")] == ["fine.", "fine."]
    assert [said("red", "blue"), said("blue", "red")] == ["red.", "blue."]
