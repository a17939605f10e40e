"""The thoughts of a reasoning model told apart from its answer, by the marks that models write around them.

Thoughts are kept beside the answer and are never a part of it: a stop, a refusal or a rating is about the answer.
"""

from __future__ import annotations

import re

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|scratchpad)"
# (opening, closing): in angle or square brackets, and the special tokens of models that have their own. The opening may
# stand in the prompt's template, so that only the closing is written.
_MARKS = (
    (rf"<{_NAMES}>", rf"</{_NAMES}>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    (r"<\|channel>thought", r"<channel\|>"),
    (r"Here is my thought process:", r"Here is my response:"),
)
_OPENING = re.compile("|".join(opening for opening, _ in _MARKS), re.IGNORECASE)
_CLOSING = re.compile("|".join(closing for _, closing in _MARKS), re.IGNORECASE)
# The channels of gpt-oss: <|channel|>NAME<|message|>TEXT<|end|>. Some servers drop the tokens and leave the names.
_CHANNEL = re.compile(
    r"(?:<\|start\|>\s*\w+\s*)?<\|channel\|>\s*(\w+)[^<]*<\|message\|>(.*?)"
    r"(?=<\|end\|>|<\|start\|>|<\|return\|>|<\|call\|>|<\|channel\|>|\Z)",
    re.DOTALL,
)
# Both words, since "analysis" alone may be the first word of an answer.
_BARE_CHANNELS = re.compile(r"\A\s*analysis(.*?)assistant\s*final(.*)\Z", re.DOTALL)
_FINAL = re.compile(r"<\|channel\|>\s*final[^<]*<\|message\|>")
_WRAPPERS = re.compile(
    r"\A\s*(?:<(answer|response|output|solution)>|<\|begin_of_solution\|>|<\|START_RESPONSE\|>)\s*(.*?)\s*"
    r"(?:</\1>|<\|end_of_solution\|>|<\|END_RESPONSE\|>)?\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
_MARKED = re.compile(
    "|".join([*(mark for marks in _MARKS for mark in marks), r"<\|channel\|>", r"\A\s*analysis"]), re.IGNORECASE
)
_END_TOKENS = re.compile(r"(?:\s*(?:<\|[A-Za-z_]+\|>|</s>|<eos>|<end_of_turn>|<｜end▁of▁sentence｜>))+\s*\Z")


def split(text: str) -> tuple[str, str]:
    """Return (thoughts, answer). A text without marks is all answer; one whose thoughts do not end is all thoughts.

    End tokens that a server left behind the answer are removed, and tags that wrap an answer after thoughts.
    """
    # Most texts have no marks, and several rules ask for the answer of each.
    found = _channels(text) or _tags(text) if _MARKED.search(text) else None
    if found is None:
        return "", _END_TOKENS.sub("", text)
    thoughts, answer = found
    answer = _END_TOKENS.sub("", answer)
    wrapped = _WRAPPERS.match(answer)
    return thoughts.strip(), wrapped[2] if wrapped else answer


def begin_of_answer(text: str) -> int | None:
    """The index where the answer begins in a text that may still be growing; None while its thoughts go on."""
    if "<|channel|>" in text:
        final = _FINAL.search(text)
        return final.end() if final else None
    at = 0
    while True:
        opening = _OPENING.match(text, _skip_space(text, at))
        if opening is None:
            # What stands before a closing mark alone are thoughts too: their opening stands in the prompt.
            closing = None if _OPENING.search(text, at) else _CLOSING.search(text, at)
            return at if closing is None else closing.end()
        closing = _CLOSING.search(text, opening.end())
        if closing is None:
            return None
        at = closing.end()


def _channels(text: str) -> tuple[str, str] | None:
    found = [(match[1].lower(), match[2]) for match in _CHANNEL.finditer(text)]
    if found:
        answers = [part for name, part in found if name == "final"]
        return "\n".join(part.strip() for name, part in found if name != "final"), answers[-1] if answers else ""
    bare = _BARE_CHANNELS.match(text)
    return (bare[1], bare[2]) if bare else None


def _tags(text: str) -> tuple[str, str] | None:
    thoughts: list[str] = []
    rest = text
    while closing := _CLOSING.search(rest):
        opening = _OPENING.search(rest, 0, closing.start())
        before, thought = (rest[: opening.start()], opening.end()) if opening else ("", 0)
        thoughts.append(rest[thought : closing.start()].strip())
        rest = before + rest[closing.end() :]
    # Only at the beginning: further on, the word in brackets may be a part of the answer.
    opening = _OPENING.match(rest, _skip_space(rest, 0))
    if opening:
        thoughts.append(rest[opening.end() :])
        rest = ""
    return ("\n".join(filter(None, thoughts)), rest) if thoughts else None


def _skip_space(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip())
