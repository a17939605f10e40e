"""Completions cleaned: the text of a reply without thoughts, labels, markup, pleasantries and what follows it."""

from __future__ import annotations

import re

from .endings import ended
from .replies import pared
from .thoughts import split

_LABEL = re.compile(
    r"[#*_\s]*(?:(?:the|a|my) )?(?:(?:better|improved|revised|new|final) )?"
    r"(?:explanation|revision|critique|reason|reasoning|rationale)[*_]*\s*:[*_]*\s*",
    re.IGNORECASE,
)
# A base model goes on with the pattern of the few-shot examples. "Question:" and "Choices:" are cut off wherever they
# stand; the other words are common in prose, and only count at the start of a line.
_RUN_ON = re.compile(
    r"\s*(?:^|(?<=\s))[*_#]*(?:(?:Question|Choices|Answer choices)\s*\d*[*_]*:"
    r"|(?<=\n)(?:Answer|Explanation|Critique|Revision|Revised explanation|User|Assistant|Human|System|Premise"
    r"|Hypothesis|Passage)[*_]*:)"
)
_BREAK = re.compile(r"[ \t]*\n[ \t]*\n\s*")
_LIST = re.compile(r"\n\s*(?:[-*•–]|\d+[.)]|\(?[a-z]\))\s")
_STATED = re.compile(r"\banswer is\b[^\n]*?(?:[.!?](?=\s|\Z)|\n|\Z)", re.IGNORECASE)
_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("`", "`"))


def clean(text: str, kind: str) -> tuple[str, bool]:
    """Return (the text as it will be used, whether it goes on to the end of the completion).

    Thoughts, labels ("Explanation:"), markup, wrapping quotes, pleasantries ("Sure! Here is an
    explanation:"), further paragraphs and a next question that the model went on to write are removed.
    """
    # Stripped before it is cut to its first paragraph, or a completion that starts with a line break would be empty.
    reply = _spoken(text)
    if kind == "trace":
        return _plain(_own(reply)), True  # all of it, with every answer that is weighed on the way
    if kind == "label":
        # The sentence that states the answer may stand in a later paragraph, so it is not cut at the first.
        match = _STATED.search(reply)
        body = reply[: match.end()] if match else _own(reply)
        return _plain(body), match is None and body == reply
    body = _LABEL.sub("", reply, count=1) if _LABEL.match(reply) else reply
    body = _own(body).strip()
    paragraphs = _BREAK.split(body)
    while len(paragraphs) > 1 and (
        paragraphs[0].startswith("#")
        or (paragraphs[0].endswith(":") and len(paragraphs[0]) < 80)
        or not pared(paragraphs[0])
    ):
        # "Here is a better explanation:" is not the explanation; a longer lead says something itself.
        paragraphs.pop(0)
    paragraph = paragraphs[0]
    bullet = _LIST.search(paragraph)
    if bullet:
        lead = paragraph[: bullet.start()].rstrip()
        # A list after a whole sentence adds detail; one in the middle of a sentence is a part of it.
        if ended(lead) or lead.endswith(":"):
            paragraph = paragraph[: bullet.start()]
    used = pared(paragraph)
    return _plain(_LABEL.sub("", used, count=1) if _LABEL.match(used) else used), reply.endswith(used)


def goes_on(text: str) -> bool:
    """Whether a completion goes on with the pattern of its prompt: another question, another label."""
    return bool(_RUN_ON.search(_spoken(text)))


def _spoken(text: str) -> str:
    """A completion without its thoughts."""
    return split(text)[1].strip()


def _own(text: str) -> str:
    """The text before a next question that the model went on to write, or all of it."""
    match = _RUN_ON.search(text) if ":" in text else None
    return text[: match.start()] if match else text


def _plain(text: str) -> str:
    """One line without markup or wrapping quotes."""
    line = " ".join(text.split()).lstrip("#*->• ").replace("**", "").replace("__", "").replace("`", "")
    if line.count("*") == 1:
        line = line.replace("*", "")
    for opening, closing in _QUOTES:
        inner = line[1:-1]
        wrapped = len(line) > 2 and line[0] == opening and line[-1] == closing
        if wrapped and opening not in inner and closing not in inner:
            line = inner.strip()
    return line
