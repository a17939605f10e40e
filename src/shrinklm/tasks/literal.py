"""Answers that a text states to the letter, as the targets of the views do.

They are read before anything is interpreted, so that every answer reads back as itself, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..core.types import Example, letter
from .spelling import squashed

STATEMENT = re.compile(
    r"\bthe (?:(?:final|correct|right|best|most likely) )*(?:answer|option|choice)"
    r" (?:is|would be|must be|should be)\b\s*:?"
    r"|^\W*(?:(?:final|correct) )?answer\s*:",
    re.IGNORECASE | re.MULTILINE,
)
"""The words before a stated answer. Wider than those that the methods write: models word it in more ways."""


def may_state(text: str) -> bool:
    """Whether a text, spelled by `plain`, has letters that each `STATEMENT` needs: a look before it is searched."""
    # Without an "i": that of `re` has a dotless spelling in any case, which `lower` leaves.
    folded = text.lower()
    return "answer" in folded or "opt" in folded or "cho" in folded


def possible_answers(example: Example, letters: bool = False) -> tuple[str, ...]:
    """The options, or the accepted free answers; `letters`: the options with their letters too."""
    known = example.choices or (example.answer, *map(str, example.meta.get("answers") or ()))
    return tuple(dict.fromkeys((*known, *lettered(example.choices).values()) if letters else known))


def lettered(choices: Sequence[str]) -> dict[str, str]:
    """Each different option → it with the letter that is shown before it, of the first where it is repeated."""
    return {choice: f"({letter(choices.index(choice))}) {choice}" for choice in dict.fromkeys(choices)}


def begun_literally(lead: str, rest: str, answers: Sequence[str]) -> int:
    """The length of the longest answer that `rest` begins with to the letter, with its full stop; 0 for none."""
    colon = lead.rstrip().endswith(":")
    # ":)" loses its colon to the lead "The answer is".
    spelled = [*answers, *(answer[1:].lstrip() for answer in answers if colon and answer.startswith(":"))]
    return max((len(answer) + 1 for answer in spelled if f"{rest} ".startswith(f"{answer}. ")), default=0)


def literal_answer(text: str, answers: Sequence[str]) -> str | None:
    """The answer that is, to the letter, all that follows a statement's words, or all of the text; else None."""
    # Later statements are shorter: an answer may itself hold "the answer is".
    matches = STATEMENT.finditer(text)
    tails = [(text[match.end() :], match[0].endswith(":")) for match in matches] + [(text, False)]
    longest = max(map(len, answers)) + 1
    rests = [
        f"{colon}{rest}"
        for tail, said in tails
        if len(rest := squashed(tail)) <= longest
        # ":)" loses its colon to "The answer is".
        for colon in ((": ", ":", "") if said else ("",))
    ]
    # A target ends its sentence: of "zoo" and "zoo." it states the one without its own full stop.
    for end in (".", ""):
        for rest in rests:
            matching = [answer for answer in answers if squashed(answer) + end == rest]
            if len(matching) == 1:
                return matching[0]
    return None


def literally(text: str, example: Example) -> str | None:
    """`literal_answer` of the answers to a question, where an option may have its letter before it: "(b) bank"."""
    named = {name: option for option, name in lettered(example.choices).items()}
    named |= {answer: answer for answer in possible_answers(example)}
    found = literal_answer(text, list(named))
    return None if found is None else named[found]
