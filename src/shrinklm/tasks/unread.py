"""Why no answer could be read in a reply: the cap cut it, it names something not offered, or it states nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..core.types import Example, letter
from ..core.words import END, words
from .literal import STATEMENT
from .spelling import canonical, first_line, plain, unwrapped

CUT = "cut at the cap"
OTHER = "names something not offered"
NOTHING = "states nothing"
UNREAD = (CUT, OTHER, NOTHING)
"""The reasons, in the order in which they are asked. A free answer can name nothing that is not offered."""

_DENIES = re.compile(r"\b(?:not|never|neither|nor|none|nothing|cannot|unknown|unclear|unsure)\b|n't\b", re.IGNORECASE)
_LETTERS = re.compile(
    r"[(\[{]\s*([a-z]{1,2})\s*[)\]}]|\b(?:option|choice|letter)\s+([a-z]{1,2})(?![\w'-])|^([a-z])[.):]"
)
_LONGER = 1
"""Words by which an answer without "the answer is" may be longer than the longest option, such as an article."""


def why_unread(text: str, example: Example, answers_first: bool = False, finished: bool = True) -> str:
    """The reason, one of `UNREAD`, for which no answer could be read in `text`.

    Args:
        text: A reply in which the task's parser read no answer.
        example: The question.
        answers_first: The reply should begin with its answer, so that a few words alone are one.
        finished: Whether it ended by itself.
    """
    text = plain(unwrapped(text)).strip()
    statements = list(STATEMENT.finditer(text))
    last = text[statements[-1].end() :].strip() if statements else text
    if not finished and _open(last, example, bool(statements), answers_first):
        return CUT
    if not example.choices:
        return NOTHING
    said = [text[match.end() :] for match in statements] or ([text] if answers_first else [])
    longest = max(len(words(option)) for option in example.choices) + _LONGER
    for line in map(first_line, said):
        sentence = END.split(line, maxsplit=1)[0]
        short = statements or len(words(sentence)) <= longest
        if short and words(sentence) and not _undecided(sentence, example.choices):
            return OTHER
    return NOTHING


def _open(last: str, example: Example, stated: bool, answers_first: bool) -> bool:
    """Whether a reply that was cut might have gone on to an answer."""
    # The beginning of an option, as "St. P" of "St. Paul".
    if any(canonical(option).startswith(canonical(last)) for option in example.choices):
        return True
    # Behind "the answer is" its sentence has to state it, and so has the first one of a reply that answers first.
    if (stated or answers_first) and END.search(last):
        return False
    longest = max(map(len, example.choices), default=0)
    return not example.choices or not stated or len(last) <= longest


def _undecided(line: str, options: Sequence[str]) -> bool:
    """Whether a line denies, or names several options, by their words or letters: then it states none of them."""
    folded = line.casefold()
    named = {option for option in options if _names(folded, option)}
    for match in _LETTERS.finditer(folded):
        found = next(group for group in match.groups() if group)
        named |= {option for index, option in enumerate(options) if letter(index) == found}
    return len(named) > 1 or bool(_DENIES.search(folded))


def _names(folded: str, option: str) -> bool:
    spelled = canonical(option)
    return bool(spelled) and bool(re.search(rf"(?<!\w){re.escape(spelled)}(?!\w)", folded))
