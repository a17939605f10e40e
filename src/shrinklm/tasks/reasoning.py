"""The reasons in a text that ends in an answer."""

from __future__ import annotations

from .answers import split_answer


def reasoning(text: str, thoughts: str = "") -> str:
    """The reasoning of a trace on one line, without the sentence that states its answer; "" where there is none.

    It is what a reasoning model thought before it answered, where that was kept, else its own words.
    """
    words = thoughts
    if not words.strip():
        before, after = split_answer(text)
        # Where nothing is stated, all of it is reasoning.
        words = after if (before, after) == ("", text) else before
    return " ".join(words.split())
