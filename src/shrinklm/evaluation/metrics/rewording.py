"""The changes that probes make to explanations: cut, perturbed, with names exchanged, or paraphrased."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.names import replaced, spelled
from ...core.words import joined, piece_spans, pieces
from .base import Context

_TRIES = 100
"""Draws for a word that differs; then the old one stays."""
_EITHER = """
because / given that | therefore / thus | however / yet | although / though | such as / like
for example / for instance | in order to / so as to | because of / owing to | due to / on account of
often / frequently | usually / normally | typically / generally | many / a lot of | several / a number of
big / large | small / little | person / individual | people / persons | place / location | places / locations
start / begin | starts / begins | started / began | buy / purchase | buying / purchasing | needs / requires
need / require | needed / required | choice / option | choices / options | correct / right | vital / essential
suitable / fitting | difficult / hard | easy / simple | quickly / rapidly | get / obtain | getting / obtaining
help / assist | helps / assists | provide / offer | provides / offers | contain / hold | contains / holds
common / usual | is not / isn't | are not / aren't | was not / wasn't | does not / doesn't | do not / don't
did not / didn't | cannot / can't | would not / wouldn't | could not / couldn't | should not / shouldn't
it is / it's | they are / they're
"""
_ONE_WAY = {
    "since": "as",
    "commonly": "usually",
    "individuals": "persons",
    "crucial": "essential",
    "appropriate": "suitable",
}
_PAIRS = dict(pair.strip().split(" / ") for line in _EITHER.strip().splitlines() for pair in line.split("|"))
# Those four mean more than one thing, so that their partner would often be wrong.
_BACK = {second: first for first, second in _PAIRS.items() if second not in ("like", "little", "yet", "hold")}
_OTHER: dict[str, str] = {**_ONE_WAY, **_PAIRS, **_BACK}


def cut(text: str, share: int) -> str:
    """The first `share` per cent of the words, rounded up."""
    spans = piece_spans(text)
    kept = spans[: -(-len(spans) * share // 100)]
    return " ".join(text[: kept[-1][1]].split()) if kept else ""


def perturbed(text: str, example_id: str, context: Context, about: str) -> str:
    """`text` with half of its words, at seeded positions, replaced by words of other questions' explanations."""
    words, draw = pieces(text), context.draw("perturbed", about, example_id)
    # Rounded up, so that an explanation of one word is perturbed too.
    for position in draw.sample(range(len(words)), -(-len(words) // 2)):
        old = words[position]
        candidates = (draw.choice(context.words) for _ in range(_TRIES))
        words[position] = next(
            (word for owner, word in candidates if owner != example_id and word.casefold() != old.casefold()), old
        )
    return joined(words)


def exchanged(text: str, first: str, second: str) -> str:
    """`text` with the names of two options exchanged, wherever they stand as whole words."""
    # One pass for both names: exchanged one after the other, the second pass would undo the first.
    swap = {spelled(first): second, spelled(second): first}
    return replaced(text, (first, second), lambda name: swap[name])


def paraphrased(text: str, keep: Sequence[str] = ()) -> str:
    """`text` with each word of a fixed table of function words and common synonyms replaced by its partner.

    Options in `keep` stay as they are.
    """
    kept = {option.casefold() for option in keep if option.strip()}
    # Options stand in the alternation, so that the longest match wins: of the option "small town" nothing changes.
    words = "|".join(re.escape(word) for word in sorted(kept | _OTHER.keys(), key=len, reverse=True))

    def partner(match: re.Match[str]) -> str:
        old = match[0]
        if old.casefold() in kept:
            return old
        new = _OTHER[old.casefold()]
        return new[0].upper() + new[1:] if old[0].isupper() else new

    return re.sub(rf"(?<![\w'-])(?:{words})(?![\w'-])", partner, text, flags=re.IGNORECASE)
