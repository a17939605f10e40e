"""Tokens and dollars of a question, before it is asked."""

from __future__ import annotations

import pytest

from shrinklm.core.types import Turn
from shrinklm.students.tiny import build_tokenizer
from shrinklm.teachers.costs import dollars, expected_tokens, expected_tokens_of, most_tokens
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import STEPS
from teacher_cases import BEAVER

TEXTS = [
    "",
    "a",
    "Ünïcödé wörds",
    "Бобёр строит плотину.",
    "海狸在哪里筑坝？",
    "مرحبا بالعالم",
    "🦫" * 5,
    "x" * 400,
    "\n\n \t",
]


def test_dollars_are_a_million_tokens_each_way() -> None:
    assert dollars(1_000_000, 0, {"input": 3, "output": 15}) == 3
    assert dollars(2_000, 400, {"input": 3, "output": 15}) == pytest.approx(0.012)
    assert dollars(5, 7, {"output": 1}) == pytest.approx(7e-6)


@pytest.mark.parametrize("text", TEXTS)
def test_no_tokenizer_makes_more_of_a_text_than_the_bound(text: str) -> None:
    turn = Turn("user", text)
    tokens = len(build_tokenizer(600)(text)["input_ids"])  # bytes and a few words: about the most that there is
    assert tokens <= most_tokens([turn]) - 256
    assert expected_tokens_of(text) <= expected_tokens([turn]) <= most_tokens([turn])


def test_the_estimate_of_the_packages_prompts() -> None:
    # SmolLM2's tokenizer makes 371 to 656 tokens of the texts of these prompts.
    turns = Prompts("choice").prompt(STEPS["explanation"], BEAVER, "wooded area", {}).turns
    text = "\n".join(turn.text for turn in turns)
    assert len(text) / 4.5 < expected_tokens(turns) - 5 * len(turns) < len(text) / 3.5
    assert expected_tokens(turns[:1]) < expected_tokens(turns)
