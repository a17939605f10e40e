"""A chat message → the question in it: as training prompts lay it out, or in the way people write options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...core.types import letter

if TYPE_CHECKING:
    from ...methods.view import View
    from ..answering import Answering

# Each is linear in the length of the text: messages come from anybody.
_LINE = re.compile(r"^[ \t]*[(\[]?([A-Za-z]{1,2}|\d{1,2})[)\].:][ \t]+(\S.*)$", re.MULTILINE)
"""A line that is an option: "(a) ...", "A. ...", "1) ..."."""
_INLINE = re.compile(r"(?<!\S)\(([A-Za-z]{1,2})\)\s")
"""An option's letter inside a line: "(a) ..."."""
_HEADER = re.compile(r"(?:answer )?(?:choices|options) ?:?", re.IGNORECASE)
"""The line above options, or the words before them."""
_ASKS = re.compile(r"(?:the )?answer(?: is)? ?:?", re.IGNORECASE)
"""The line below options."""
_QUESTION = re.compile(r"question\s*:\s*", re.IGNORECASE)
_LAID_OUT = "\nChoices: (a) "
"""Before the first option in `Example.text`."""


def read_message(text: str, answering: Answering) -> tuple[dict[str, Any], View]:
    """(the question as `questions.example_of` takes it, the view that replies) of a message.

    The last line of a training prompt names the view; without it the view that answers replies. The options are those
    of the layout of `Example.text`, lettered lines, or "(a) ... (b) ..." at the end; a first line "Question:" and a
    last line "Answer:" are no part of the question.
    """
    text, view = _view(text.strip(), answering)
    row: dict[str, Any] = {}
    text, context = _context(_without_last(text, _ASKS), answering.fields)
    row |= context
    head = _QUESTION.match(text)
    question = text[head.end() :] if head else text
    options: list[str] = []
    if answering.type != "free":
        question, options = _options(question)
    row["question"] = question.strip()
    # Where the options never change, letters may stand for anything; those of the student are shown to it.
    if options and (not answering.labels or set(options) == set(answering.labels)):
        row["choices"] = options
    return row, view


def _view(text: str, answering: Answering) -> tuple[str, View]:
    for view in (answering.answer, answering.explain):
        if view is not None and text.endswith(f"\n{view.last_line}"):
            return text.removesuffix(f"\n{view.last_line}"), view
    return text, answering.answer


def _context(text: str, fields: Mapping[str, bool]) -> tuple[str, dict[str, str]]:
    """(the rest, the context) of a message that begins with lines such as "Premise: ..."."""
    heads = {f"{name.replace('_', ' ').capitalize()}:": name for name in fields}
    if not heads:
        return text, {}
    ends = "|".join(map(re.escape, (*heads, "Question:")))
    # Without the word that begins the question, nothing but the end of its line ends the context.
    value = rf".*?(?=\n(?:{ends})|\Z)" if "\nQuestion:" in text else r"[^\n]*"
    line = re.compile(rf"({'|'.join(map(re.escape, heads))})[ \t]*({value})\n?", re.DOTALL)
    found: dict[str, str] = {}
    while match := line.match(text):
        name = heads[match[1]]
        if name in found:
            break
        found[name] = match[2].strip()
        text = text[match.end() :]
    return text, found


def _options(text: str) -> tuple[str, list[str]]:
    """(the question without its options, the options)."""
    start = text.rfind(_LAID_OUT)
    if start < 0 and (lines := _option_lines(text)):
        before = _without_last(text[: lines[0].start()].rstrip(), _HEADER)
        after = text[lines[-1].end() :].strip()
        return f"{before}\n{after}" if after else before, [match[2].strip() for match in lines]
    marks = [mark for mark in _INLINE.finditer(text) if mark.start() > start]
    kept = _lettered(marks, first=start >= 0)
    if len(kept) < 2:
        return text, []
    ends = [*(mark.start() for mark in kept[1:]), len(text)]
    options = [text[mark.end() : end].strip() for mark, end in zip(kept, ends, strict=True)]
    return _without_last(text[: kept[0].start()].rstrip(), _HEADER), options


def _option_lines(text: str) -> list[re.Match[str]]:
    """The lines a, b, c ... or 1, 2, 3 ... that follow each other; the last such sequence of two or more.

    The last one, since a question may enumerate something itself.
    """
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for line in _LINE.finditer(text):
        name = line[1].lower()
        follows = run and not text[run[-1].end() : line.start()].strip()
        numbered = run and run[0][1] == "1"
        if follows and name == (str(len(run) + 1) if numbered else letter(len(run))):
            run.append(line)
        else:
            run = [line] if name in ("a", "1") else []
        if len(run) >= 2:
            best = run
    return best


def _lettered(marks: Sequence[re.Match[str]], first: bool) -> list[re.Match[str]]:
    """The marks (a), (b), (c) ... from the first (a), or from the last one that a (b) follows."""
    names = [mark[1].lower() for mark in marks]
    last_b = len(names) - 1 - names[::-1].index("b") if "b" in names else 0
    starts = [index for index, name in enumerate(names[:last_b]) if name == "a"]
    if not starts:
        return []
    kept: list[re.Match[str]] = []
    for mark in marks[starts[0 if first else -1] :]:
        if mark[1].lower() == letter(len(kept)):
            kept.append(mark)
    return kept


def _without_last(text: str, line: re.Pattern[str]) -> str:
    """A text without its last line, where that is such a line."""
    before, _, last = text.rpartition("\n")
    return before.rstrip() if line.fullmatch(last.strip()) else text
