"""A cap on explanations cuts no answer, and what could not be read is told apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shrinklm.core.types import Example, Pair, Prediction, Reply
from shrinklm.evaluation.ask import EvaluateSettings, Evaluation, predict
from shrinklm.evaluation.metrics.base import Condition
from shrinklm.evaluation.probes import conditional_answers
from shrinklm.methods.builtin import EXPLAIN, FACTUAL, JUSTIFY, PREDICT
from shrinklm.methods.view import Draw, Generations, Method, View
from shrinklm.students.base import BaseStudent
from shrinklm.students.tiny import Tiny
from shrinklm.tasks.answers import parse_answer
from shrinklm.tasks.unread import CUT, NOTHING, OTHER, why_unread

PLACES = ("bank", "St. Paul", "zoo keeper")
WHY = "Well, one would look for it there. People, big and small, go when they want just this on any day, so they say"


class Places:
    name, type = "places", "choice"

    def parse(self, text: str, example: Example) -> str | None:
        return parse_answer(text, example)


class Scripted:
    """A student whose tokens are words, and which knows every answer: it goes on wherever its reply has got to."""

    premise_in_target = False

    def __init__(self) -> None:
        self.passes: list[int] = []

    def replies(
        self, prompts: Sequence[str], max_tokens: int, batch: int = 32, begun: Sequence[str] = ()
    ) -> list[Reply]:
        self.passes.append(len(prompts))
        words = begun or [""] * len(prompts)
        return [self._reply(prompt, start, max_tokens) for prompt, start in zip(prompts, words, strict=True)]

    def _reply(self, prompt: str, begun: str, cap: int) -> Reply:
        place = next(place for place in PLACES if f"not {place}" not in prompt)
        forms = {
            "[factual]": (f"{WHY}.", f" So the answer is {place}."),
            "[paragraphs]": (WHY, f"\n\nTherefore: {place}!"),
            "[justify]": (f"The answer is {place}. {WHY}.", ""),
            "[explain]": (f"{WHY}.", ""),
            "[predict]": (f"The answer is {place}.", ""),
        }
        explanation, answer = forms[prompt.splitlines()[-1]]
        whole = explanation + answer
        lead = answer.removesuffix(f"{place}.").removesuffix(f"{place}!").rstrip()
        rest = whole.removeprefix(begun) if whole.startswith(begun) else answer.removeprefix(lead)
        assert not begun or begun.endswith(lead), "closed in the format of the view"
        tokens = re.findall(r"\s*\S+", rest)
        return Reply("".join(tokens[:cap]).strip(), len(tokens) <= cap)

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        return [float(len(pair.target)) for pair in pairs]

    def token_count(self, text: str) -> int | None:
        return len(text.split())


class Plain(Scripted):
    """The same, but it can only answer, as the student of somebody's own may: its prompt ends in the words begun."""

    replies = None  # type: ignore[assignment]

    def answer(self, prompts: Sequence[str], max_tokens: int, batch: int = 32, tick: object = None) -> list[str]:
        self.passes.append(len(prompts))
        split = [re.split(r"(?<=\])(?: |$)", prompt, maxsplit=1) for prompt in prompts]
        return [self._reply(prompt, begun, max_tokens).text for prompt, begun in split]


def _in_paragraphs(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    text = generations[("explanation", example.answer)].text
    return Pair(view.prompt(example), f"{text}\n\nTherefore: {example.answer}!", example.answer)


PARAGRAPHS = replace(FACTUAL, name="paragraphs", build=_in_paragraphs, lead="Therefore:")


def _questions(choices: Sequence[str] = PLACES) -> list[Example]:
    others = [[f"not {other}" for other in PLACES if other != place] for place in PLACES]
    return [
        Example(f"q{index}", f"Where is it, {', '.join(told)}?", tuple(choices), place)
        for index, (place, told) in enumerate(zip(PLACES, others, strict=True))
    ]


def _asked(student: Scripted, method: Method, cap: int, folder: Path, examples: Sequence[Example] = ()):
    settings = EvaluateSettings(cap, 4, None)
    evaluation = Evaluation(student, Places(), method, "cell", settings)  # type: ignore[arg-type]
    return predict(evaluation, examples or _questions(), folder / f"part{cap}")[0]


def _explains_first(view: View) -> Method:
    return Method("own", {view: 1.0}, view, view)


@pytest.mark.parametrize("view", [FACTUAL, replace(FACTUAL, source="revision"), PARAGRAPHS])
@pytest.mark.parametrize("kind", [Scripted, Plain])
def test_a_cap_cuts_explanations_and_no_answer(kind: type[Scripted], view: View, tmp_path: Path) -> None:
    whole = len(WHY.split())
    for cap in range(1, whole + 9):
        student = kind()
        predictions = _asked(student, _explains_first(view), cap, tmp_path)
        assert [prediction.answer for prediction in predictions] == list(PLACES), cap
        # The budget of the first pass is that of explanation and answer together.
        total = cap + 2 + 12
        written = str(predictions[0].explanation).rstrip(".")
        assert predictions[0].explanation_cut == (total <= whole)
        assert WHY.startswith(written)
        assert (written == WHY) == (total >= whole)


@pytest.mark.parametrize("kind", [Scripted, Plain])
def test_one_further_pass_for_those_that_were_cut(kind: type[Scripted], tmp_path: Path) -> None:
    student = kind()
    evaluation = Evaluation(student, Places(), _explains_first(FACTUAL), "cell", EvaluateSettings(40, 4, None))
    evaluation.ask(_questions(), 3, 55)
    assert student.passes == [3]
    # Only the longest reply is cut: "zoo keeper" and "St. Paul" are a word longer than "bank".
    student.passes.clear()
    row = evaluation.ask(_questions(), 3, len(f"{WHY} So the answer is bank".split()))
    assert student.passes == [3, 2]
    assert [Prediction(**prediction).answer for prediction in row["predictions"]] == list(PLACES)
    assert not any(Prediction(**prediction).explanation_cut for prediction in row["predictions"])


@pytest.mark.parametrize("answering", [PREDICT, JUSTIFY])
def test_an_explanation_behind_or_beside_the_answer_is_marked_where_it_was_cut(answering: View, tmp_path: Path) -> None:
    method = Method("own", {answering: 1.0}, answering, EXPLAIN if answering == PREDICT else answering)
    for cap, cut in ((4, True), (40, False)):
        predictions = _asked(Scripted(), method, cap, tmp_path)
        assert [prediction.answer for prediction in predictions] == list(PLACES)
        assert [prediction.explanation_cut for prediction in predictions] == [cut] * 3


def test_free_answers_have_a_budget_of_their_own(tmp_path: Path) -> None:
    examples = _questions(())
    for cap in range(4, 30):
        predictions = _asked(Scripted(), _explains_first(FACTUAL), cap, tmp_path, examples)
        assert [prediction.answer for prediction in predictions] == list(PLACES), cap


@pytest.mark.parametrize("ref", ["", "seq2seq"])
def test_a_student_goes_on_after_words_that_stand_already(ref: str) -> None:
    student = _wordy(ref)
    prompts = ["Question: where?\n[factual]", "Question: what is it that they do there?\n[factual]", "Why?"]
    whole = student.answer(prompts, 16)
    assert len({word for text in whole for word in text.split()}) > 10, "words enough to tell places apart"
    for counts in ((1, 1, 1), (2, 9, 5), (0, 4, 12)):
        begun = [" ".join(text.split()[:count]) for text, count in zip(whole, counts, strict=True)]
        said = student.replies(prompts, 4, begun=begun)
        assert said == [_goes_on(student, prompt, words, 4) for prompt, words in zip(prompts, begun, strict=True)]


def _goes_on(student: BaseStudent, prompt: str, begun: str, cap: int) -> Reply:
    """Greedy decoding without a cache, one question at a time."""
    read, written = student.prompt_ids(prompt), student.target_ids(begun, end=False)
    known = len(written)
    for _ in range(cap):
        if student.premise_in_target:
            decoded = torch.tensor([[student.config.decoder_start_token_id, *written]])
            logits = student.model(input_ids=torch.tensor([read]), decoder_input_ids=decoded).logits
        else:
            logits = student.model(input_ids=torch.tensor([read + written])).logits
        written = [*written, int(logits[0, -1].argmax())]
    return Reply(student.tokenizer.decode(written[known:], skip_special_tokens=True).strip(), finished=False)


@pytest.mark.parametrize("ref", ["", "seq2seq"])
def test_a_reply_says_whether_it_ended_by_itself(ref: str) -> None:
    student = _wordy(ref, ends=True)
    prompts = [f"Question: where is number {number}?\n[factual]" for number in range(6)]
    long = student.replies(prompts, 60)
    assert any(reply.finished for reply in long)
    for reply, again in zip(long, student.replies(prompts, 3), strict=True):
        # The end itself is a token.
        assert again.finished == (reply.finished and len(reply.text.split()) < 3)


def test_probes_read_free_answers_behind_an_explanation() -> None:
    for ref in ("", "seq2seq"):
        asks = [(example, Condition(WHY)) for example in _questions(())]
        assert None not in conditional_answers(_wordy(ref), Places(), _explains_first(FACTUAL), asks, 4)


def _wordy(ref: str, ends: bool = False) -> BaseStudent:
    """A student of random weights that writes whole words, so that its text and its tokens are the same thing."""
    torch.manual_seed(3)
    student = Tiny.open(ref)
    names = student.tokenizer.convert_ids_to_tokens(range(len(student.tokenizer)))
    words = [index for index, name in enumerate(names) if re.fullmatch(r"Ġ[a-z]{4,}", name)]
    kept = [*words, *([student.tokenizer.eos_token_id] if ends else [])]
    with torch.no_grad():
        for name, weight in student.model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1.0 if ends else 0.2)
            if "lm_head" in name or "embed_tokens" in name or "shared" in name:
                silent = torch.ones(len(weight), dtype=torch.bool)
                silent[kept] = False
                weight[silent] = 0
                weight[student.tokenizer.eos_token_id] *= 2
    return student.eval()


OPTIONS = Example("q", "Where is money?", ("bank", "St. Paul", "zoo keeper"), "bank")
FREE = Example("q", "Who is it?", (), "Anna")


@pytest.mark.parametrize(
    ("text", "first", "finished", "reason"),
    [
        ("The answer is ban", True, False, CUT),
        ("The answer is", True, False, CUT),
        ("The answer is St. Pa", True, False, CUT),
        ("Because money is kept in a safe", False, False, CUT),
        ("", True, False, CUT),
        ("The answer is school.", True, True, OTHER),
        ("The answer is zoo.", True, True, OTHER),
        ("The answer is zebra. Because", True, False, OTHER),
        ("The answer is (f).", True, True, OTHER),
        ("So the answer is a place where nobody has ever been or wants", False, False, OTHER),
        ("A school.", True, True, OTHER),
        ("\\boxed{school}", False, True, OTHER),
        ("", True, True, NOTHING),
        ("Because money is safe there.", False, True, NOTHING),
        ("A school.", False, True, NOTHING),
        ("The answer is bank or zoo keeper.", True, True, NOTHING),
        ("The answer is (a) zoo keeper.", True, True, NOTHING),
        ("The answer is not bank.", True, True, NOTHING),
        ("The answer is", True, True, NOTHING),
        ("I do not know what to say about it.", True, True, NOTHING),
        ("Well, money is a thing that people have wanted for long.", True, False, NOTHING),
    ],
)
def test_why_no_answer_could_be_read(text: str, first: bool, finished: bool, reason: str) -> None:
    assert why_unread(text, OPTIONS, first, finished) == reason


@pytest.mark.parametrize(("text", "finished", "reason"), [("The answer is", False, CUT), ("", True, NOTHING)])
def test_a_free_answer_names_nothing_that_is_not_offered(text: str, finished: bool, reason: str) -> None:
    assert why_unread(text, FREE, True, finished) == reason
