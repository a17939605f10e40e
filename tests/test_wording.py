"""Hedges, copying, repetition and readability on texts built to have a known answer."""

from __future__ import annotations

import pytest

from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.metrics.wording import copies, hedges, readability, repetition, syllables

POND = Example(
    "p",
    "What would a duck need to swim on a frozen pond?",
    ("heat", "boots"),
    "heat",
    {"story": "The pond froze last night."},
)


def said(text: str | None) -> Prediction:
    return Prediction("run", "p", "heat", text, "")


def test_hedges_are_counted() -> None:
    assert hedges(POND, said("It may well be warm, and usually it seems to help.")) == 3
    assert hedges(POND, said("It is warm. It helps. On May 5 it melted.")) == 0
    assert hedges(POND, said(None)) is None
    assert hedges(POND, said("")) == 0


def test_a_copy_of_the_question_is_a_copy() -> None:
    assert copies(POND, said("What would a duck need to swim on a frozen pond")) == 1
    assert copies(POND, said("The pond froze last night!")) == 1  # the context, too
    assert copies(POND, said("Heat melts ice, and then birds can paddle.")) == 0
    half = copies(POND, said("What would a duck need? Warm feet and patience"))
    assert half == pytest.approx(5 / 9)
    assert copies(POND, said("heat")) == 0  # an option is no part of the question
    assert copies(POND, said("frozen pond")) == 1
    assert copies(POND, said("")) is None
    assert copies(POND, said(None)) is None


def test_repetition_rises_with_every_turn_of_the_circle() -> None:
    once = "Heat melts the ice."
    assert repetition(POND, said(once)) == 0
    assert repetition(POND, said(f"{once} {once}")) == pytest.approx(2 / 6)
    assert repetition(POND, said(f"{once} " * 20)) > 0.9
    assert repetition(POND, said("ice ice")) == 0
    assert repetition(POND, said("...")) is None


def test_readability_is_flesch_s() -> None:
    found = readability(POND, said("The cat sat on the mat."))
    assert found["reading_ease"] == pytest.approx(206.835 - 1.015 * 6 - 84.6)  # the example of the formula: 116.145
    assert found["grade"] == pytest.approx(0.39 * 6 + 11.8 - 15.59)
    hard = readability(
        POND, said("Institutional accountability necessitates considerable administrative sophistication.")
    )
    assert hard["reading_ease"] < 0 < hard["grade"]
    assert hard["grade"] > found["grade"]
    assert readability(POND, said("")) is None


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("cat", 1),
        ("make", 1),
        ("makes", 1),
        ("table", 2),
        ("wanted", 2),
        ("jumped", 1),
        ("horses", 2),
        ("the", 1),
        ("seen", 1),
    ],
)
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count
