"""Option letters inside texts: moved along when the options stand in another order, and told from other letters.

"Option A", "(b)", "choice c)", "B is wrong", "A, C and E do not fit" and "options B to D" name options. "A bank",
"vitamin C", "plan B", "Franklin D. Roosevelt" and an enumeration of the text's own do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from ..core.types import Example, letter

_Kind = Literal["option", "other", "unclear"]

_OPEN, _CLOSE = r"[(\[{\"'“‘*_`]*", r"[)\]}\"'”’*_`]*"
_CALLED = r"\b(?:(?:answer )?(?:options?|choices?|alternatives?|answers?)(?: letter)?|answer is letter)"
_BE = (
    r"(?:is|are|was|were|be|being|(?:is|are|was|were)n't|(?:must|would|should|could|can|cannot|can't) (?:only )?be)"
    r"(?: not| clearly| therefore| probably| actually| only| letter)*"
)
_MARKS = r"\s*(?:[,;:.!?)\]]|\Z)"
_AUXILIARY = (
    r"(?:is|are|was|were|would|could|can|should|does|did|has|had)(?:n't|not)?|cannot|can't|won't|and|or|nor|because"
    r"|since|but|not|which|instead"
)
_VERB = (
    r"fit|make|describe|refer|mean|suggest|involve|represent|offer|provide|align|remain|stand|come|give|lack|fail|lead"
    r"|relate|differ|cover|work|hold|need|say|state|name|show|contradict|ignore|look|contain|apply|include|concern|seem"
    r"|appear"
)
# An option that is called by its letter is followed by a mark, a verb or a conjunction; an article by a noun.
_GOES_ON = re.compile(
    rf"{_CLOSE}(?:{_MARKS}|\s+[-–—(]\s?|\s+(?:{_AUXILIARY}|{_VERB}|may|might|must|will|do|have|as|who|while|whereas|rather|over|only"
    r"|alone|above|below|here|best|better|both|all|also|[a-z]+(?:s|ly))(?![\w-]))",
    re.IGNORECASE,
)
_AFTER_A = re.compile(
    rf"{_CLOSE}(?:{_MARKS}|\s+[-–—]\s|\s+(?!means|can\b)(?:{_AUXILIARY}|(?:{_VERB})s|implies|matches|goes)(?![\w-]))",
    re.IGNORECASE,
)
_AFTER_CALL = re.compile(rf"{_CALLED}\s*{_OPEN}\Z", re.IGNORECASE)
_AFTER_STATEMENT = re.compile(rf"(?:{_CALLED}|\b(?:it|this|that))(?: {_BE}|'s(?: not)?)?\s*:?\s*{_OPEN}\Z", re.I)
# What may stand right before an option that is called by nothing but its letter.
_AFTER_LEAD = re.compile(
    rf"(?:^|[.!?:;,–—-]\s*|\b(?:{_BE}|and|or|nor|both|either|neither|only|not|so|thus|hence|therefore|that|because|since"
    r"|but|while|whereas|although|though|than|unlike|except|besides|between|among|over|of|as|like|for|with|against|however"
    r"|if|remaining|others?|leav(?:es|ing)|eliminat\w+|exclud\w+|discard\w*|reject\w*|dismiss\w*|rul\w+ out|pick\w*"
    r"|choos\w+|chose|select\w*|prefer\w*|consider\w*|compar\w+|describes|correct|wrong|incorrect|right|best|making"
    rf"|(?-i:(?<![A-Z] )to))\s+){_OPEN}\Z",
    re.IGNORECASE,
)
# Things that have letters of their own, and an article before one: "vitamin C", "an A".
_AFTER_THING = re.compile(
    r"\b(?:vitamins?|hepatitis|plan|types?|grades?|class|points?|sections?|appendix|exhibit|groups?|parts?|phase|level"
    r"|stage|teams?|blocks?|rows?|columns?|gates?|platform|terminal|building|rooms?|lines?|routes?|keys?|notes?|mode"
    r"|variants?|strains?|influenza|blood|sizes?|cups?|battery|drive|usb|generation|series|sides?|tiers?|chapters?"
    rf"|persons?|players?|variables?|party|company|products?|brand|model|letters?|from|an?|the"
    rf"|(?-i:[A-Z]) to)\s+{_OPEN}\Z",
    re.IGNORECASE,
)
_AFTER_INITIAL = re.compile(r"\b[A-Z]\.\s*\Z")
_AFTER_NAME = re.compile(r"(?:(?<![.!?:])(?<!\A)\s[A-Z][a-z]+\s+|\A[A-Z][a-z]+\s+)\Z")
_JOINT = re.compile(rf"{_CLOSE}\s*(?:,\s*(?:and|or|nor)?|and|or|nor|&|/)\s*{_OPEN}", re.IGNORECASE)
_MARK = re.compile(r"[)\]}]|[.:](?=\s)|\s+[-–—](?=\s)")
_TO_WORDS = re.compile(r"[)\]}.:]*(?:\s*[-–—:])?\s*[\"'“‘*(]*((?:an?|the)\s+)?", re.IGNORECASE)
_CLAUSE = re.compile(r"\W{1,3}\w+[^.!?]*?\s\w")
_BY_PLACE = re.compile(
    r"\bthe (?:first|second|third|fourth|fifth|last)(?: two| three)? (?:answer )?(?:option|choice|alternative)s?\b"
    r"(?! (?:for|of|to|when|in|among)\b)|\b(?:option|choice|answer|alternative)s? (?:number |no\. ?|#)?\d\b",
    re.IGNORECASE,
)
_OF_OPTIONS = re.compile(r"\b(?:options?|choices?|answers?|alternatives?)\b[^.!?]*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class _Letter:
    """A letter that may name an option, where it stands in a text."""

    start: int
    index: int
    """Of the option in its source row."""
    kind: _Kind
    words: int | None
    """The index, among the shown choices, of the option whose words follow its mark; None without a mark or words."""


def moved(text: str, example: Example) -> str | None:
    """A text about the options in the order of their source row, with the letters of the order in which they are shown.

    A letter before an option's words follows the words; one that stands alone follows the order of the source row.
    None: it cannot be told whether some letter names an option, the option that it names is not shown, or options are
    named by their places ("the second choice").
    """
    if not example.choices:
        return text
    order = example.order or tuple(range(len(example.choices)))
    by_source = {source: index for index, source in enumerate(order)}
    reordered = any(source != index for source, index in by_source.items())
    if reordered:
        text = _expanded(text, max(order) + 1)
    letters = _letters(text, example.choices, max(order) + 1)
    # In the order of the source only a letter that does not belong to the words behind it is wrong.
    if reordered and (_BY_PLACE.search(text) or any(item.kind == "unclear" for item in letters)):
        return None
    pieces, end = [], 0
    for item in letters:
        if item.kind != "option":
            continue
        index = by_source.get(item.index) if item.words is None else item.words
        if index is None:  # the letter of an empty cell, which is no option
            return None
        name = letter(index)
        pieces += [text[end : item.start], name.upper() if text[item.start].isupper() else name]
        end = item.start + 1
    return "".join([*pieces, text[end:]])


def tied_to_order(example: Example) -> bool:
    """Whether the options mean something in their own order alone.

    So they do where one of them points at others ("Both A and B", "All of the above"), where they carry letters
    ("A. bank"), and where the question calls one by its letter.
    """
    points = _points(len(example.choices))
    if any(points.fullmatch(" ".join(choice.split())) for choice in example.choices):
        return True
    own = [re.match(r"\W*([A-Za-z])(?:[).:\]]|\s+[-–—])\s*\S", choice) for choice in example.choices]
    names = [match[1].lower() for match in own if match]
    if len(names) > 1 and names == [letter(index) for index in range(len(example.choices))]:
        return True
    question = " ".join((*example.fields.values(), example.question))
    return bool(re.search(r"\b(?:[Oo]ption|[Cc]hoice)s? (?:\([A-Ea-e]\)|[A-E]\b)", question))


@lru_cache
def _points(count: int) -> re.Pattern[str]:
    """A pattern for an option of `count` that points at others, or is nothing but a letter."""
    last = letter(min(max(count, 8), 26) - 1)
    one = rf"(?:(?:option|choice|answer)s?\s+)?\(?[A-{last.upper()}a-{last}]\)?(?!\w)"
    one = rf"(?:{one}|(?:option|choice|answer|number|no\.)s?\s+\d|\(\d\))"
    several = rf"(?:{one}|(?:both|neither|either)\s+\d)(?:\s*(?:,|&|/|\+|,?\s*\b(?:and|or|nor)\b)\s*(?:{one}|\d\b))*"
    number = r"(?:all|none|both|neither|either|any|some|most|more than one|at least one|only one|two|three|one|each)"
    noun = r"(?:options?|choices?|answers?|alternatives?|ones?|statements?|possibilities|two|three|four)"
    where = r"(?:above|below|previous|preceding|following|given|listed|remaining|other|others|foregoing|mentioned)"
    tail = r"(?:\s+(?:only|alone|all|both|are|is|correct|right|true|false|wrong|apply|applies|possible|fits?))*"
    return re.compile(
        r"\W*(?:"
        rf"(?:(?:both|either|neither|only|all|all but|all except|just|everything but|any but)\s+)?{several}{tail}"
        rf"|{number}\s+of\s+(?:these|those|them|the\s+{where}|the\s+{noun}|{where})(?:\s+{where}|\s+{noun})*"
        rf"(?:\s+(?:but|except)\s+{several})?{tail}"
        rf"|(?:{number}|no)\s+(?:the\s+|other\s+)?(?:{where}|{noun}){tail}"
        rf"|(?:all|none|both|neither|either){tail}"
        rf"|(?:the\s+)?(?:above|first|last)(?:\s+{noun})+{tail}"
        rf"|(?:the\s+)?(?:(?:correct\s+)?answer\s+is\s+)?not\s+(?:listed|given|mentioned)(?:\s+{where}|\s+here)?"
        r")\W*",
        re.IGNORECASE,
    )


def _expanded(text: str, count: int) -> str:
    """`text` with "options B to D" and "(b-d)" as lists: the letters of a range do not stay beside each other."""

    def listed(match: re.Match[str]) -> str:
        first, last = match[2], match[3]
        if first.isupper() != last.isupper() or not ord(first) < ord(last):
            return match[0]
        return match[1] + ", ".join(map(chr, range(ord(first), ord(last) + 1)))

    return _ranges(letter(min(count, 26) - 1)).sub(listed, text)


@lru_cache
def _ranges(last: str) -> re.Pattern[str]:
    one = rf"([A-{last.upper()}a-{last}])"
    return re.compile(rf"((?:{_CALLED}(?: are)?\s+\(?|[(\[]))(?-i:{one}\s*(?:[-–]|to|through)\s*{one}(?![\w'’]))", re.I)


@lru_cache
def _candidates(last: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w.°+#@&-])(?<!\w['’])[A-{last.upper()}a-{last}](?![\w°+#@^])(?!['’]\w)(?!\s*=)(?![-–]\w)(?!\.\w)"
    )


@lru_cache
def _lists(last: str) -> re.Pattern[str]:
    """A pattern for "(A and C)", "(b, c, e)"."""
    one = rf"[A-{last.upper()}a-{last}]"
    return re.compile(rf"[(\[]\s*{one}(?:\s*(?:,|/|&|,?\s*(?:and|or))\s*{one})+\s*[)\]]")


def _letters(text: str, choices: Sequence[str], count: int) -> list[_Letter]:
    """Every single letter of a text that could name one of `count` options, from left to right."""
    # The longest first, so that "tree house" is not taken for "tree".
    options = sorted(enumerate(choices), key=lambda item: -len(item[1]))
    last = letter(min(count, 26) - 1)
    in_lists = {place for match in _lists(last).finditer(text) for place in range(*match.span())}
    letters: list[_Letter] = []
    for match in _candidates(last).finditer(text):
        start, index = match.start(), ord(match[0].lower()) - ord("a")
        words = _words_after(text, start, options)
        joined = bool(letters) and bool(_JOINT.fullmatch(text, letters[-1].start + 1, start))
        before = letters[-1].kind if letters else None
        kind = "option" if start in in_lists else _kind(text, start, before, joined, words is not None)
        letters.append(_Letter(start, index, kind, words))
    return _without_enumeration(text, letters)


def _words_after(text: str, start: int, options: Sequence[tuple[int, str]]) -> int | None:
    """The option, by its index, whose words follow the letter at `start` and its mark: "(b) zoo", "B: the zoo"."""
    mark = _MARK.match(text, start + 1)
    # A full stop is a mark at the beginning of a sentence: "B. a zoo", not "It is B. A zoo ...".
    if mark is None or (mark[0] == "." and not re.search(r"(?:\A|[.!?:;])\s*\Z", text[max(0, start - 5) : start])):
        return None
    words = _TO_WORDS.match(text, start + 1)
    ends = [words.end(), words.end(0) - len(words[1] or "")] if words else []
    # An option may begin with an article itself.
    return next((index for index, choice in options for end in ends if _begins(text[end:], choice)), None)


def _begins(text: str, words: str) -> bool:
    return text[: len(words)].lower() == words.lower() and not text[len(words) : len(words) + 1].isalnum()


def _kind(text: str, start: int, previous: _Kind | None, joined: bool, at_words: bool) -> _Kind:
    """Whether the letter at `start` names an option.

    Args:
        text: The text.
        start: The letter's place.
        previous: The kind of the letter before it.
        joined: Whether "and" or a comma joins that one to it.
        at_words: Whether a mark and an option's words follow it.
    """
    before, after = text[max(0, start - 60) : start], text[start + 1 : start + 60]
    upper, goes_on = text[start].isupper(), bool(_GOES_ON.match(after))
    if before[-1:] in ("(", "[", "{") and after[:1] in (")", "]", "}"):
        return "option"
    called = bool(_AFTER_CALL.search(before))
    if text[start] in "aA" and not (upper and called) and not (_AFTER_A.match(after) and (called or upper or after)):
        return "other"  # an article
    if joined and previous is not None:
        return previous
    # "b) zoo" has no bracket before it, "(vitamin b)" has.
    marked = after[:1] == ")" and before.count("(") <= before.count(")")
    if called or (marked and re.search(r"(?:\A|[\s:;,.])\Z", before)) or at_words:
        return "option"
    lead = bool(_AFTER_LEAD.search(before))
    if _AFTER_THING.search(before) or (_AFTER_NAME.search(before) and not lead) or re.match(r"\.\s+[a-z]", after):
        return "other"  # "vitamin C", "Franklin D. Roosevelt", "E. coli"
    if previous != "option" and _AFTER_INITIAL.search(before):
        return "other"  # "J. B. Smith"
    if goes_on and (upper or after.strip()) and _AFTER_STATEMENT.search(before):
        return "option"
    if lead:
        if upper:
            return "option" if goes_on else "unclear"
        return "option" if after.strip() and _AFTER_A.match(after) else "other"
    return "unclear" if upper and goes_on else "other"


def _without_enumeration(text: str, letters: list[_Letter]) -> list[_Letter]:
    """The letters with an enumeration of the text's own marked as such: "(a) it is cheap, (b) it lasts"."""
    marked = [item for item in letters if item.kind == "option" and _MARK.match(text, item.start + 1)]
    listed = len(marked) > 1 and [item.index for item in marked] == list(range(len(marked)))
    if not listed or _OF_OPTIONS.search(text, 0, marked[0].start):
        return letters
    if any(item.words is not None or not _begins_clause(text, item.start + 1) for item in marked):
        return letters
    return [replace(item, kind="other") if item in marked else item for item in letters]


def _begins_clause(text: str, start: int) -> bool:
    return bool(_CLAUSE.match(text, start)) and not _GOES_ON.match(text, start + 1)
