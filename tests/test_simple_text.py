"""Texts of simple characters, which are matched by `re`: the same words, names and ends as by Unicode's properties."""

from __future__ import annotations

import random

import pytest

from shrinklm.core import names, sentences
from shrinklm.core import words as core_words
from shrinklm.evaluation.metrics import mentions
from shrinklm.teachers.replies import explains_nothing

PARTS = [
    "bank",
    "Bank's",
    "e.g.",
    "J.",
    "3.5",
    "12.",
    "zoo-keeper",
    "zoo",
    "bus",
    "buses",
    "cities",
    "city",
    "(b)",
    "_x",
]
PARTS += [
    "it’s",
    "“zoo”",
    "—",
    "…",
    "end.",
    "end.)",
    "why?!",
    "\t",
    "\n",
    "\x1c",
    "é",
    "银行",
    "-",
    "a--b",
    "²",
    "",
    "İ",
]


def texts() -> list[str]:
    rng = random.Random(0)
    return [rng.choice(["", " ", " "]).join(rng.choices(PARTS[: rng.choice([19, 31])], k=12)) for _ in range(400)]


def every_figure() -> list[object]:
    options = ("bank", "zoo", "city", "bus", "zoo keeper", "é", "银行")
    return [
        (
            core_words.words(text),
            core_words.pieces(text),
            sentences.sentence_spans(text),
            names.found(names.folded(text), options),
            mentions.mentions(text, options),
        )
        for text in texts()
    ]


def test_simple_texts_are_read_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(core_words.simple(text) for text in texts()) > 50
    fast = every_figure()
    mentions._mentions.cache_clear()
    for module in (core_words, names, mentions, sentences):
        monkeypatch.setattr(module, "simple", lambda text: False)
    assert fast == every_figure()
    mentions._mentions.cache_clear()


@pytest.mark.parametrize(
    "text", ["I’M SORRY, but I can’t help with that.", "ı can't help with that.", "SORRY, I can't help."]
)
def test_a_reply_that_declines_is_seen_in_any_case(text: str) -> None:
    from shrinklm.core.types import Example

    example = Example("1", "Where is money kept?", ("bank", "zoo"), "bank")
    assert explains_nothing(text, example) == "the teacher declines"
