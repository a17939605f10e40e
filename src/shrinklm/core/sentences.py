"""The sentences of a text, in any script."""

from __future__ import annotations

import re

import regex

from .words import SENTENCE_END, simple

_SENTENCE_END = regex.compile(SENTENCE_END, regex.V1)
# The same for a text of `simple` characters.
_SIMPLE_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s|\Z)")
# Full stops that end no sentence: of abbreviations, initials ("J.") and numbered lists ("1.").
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|mr|mrs|ms|dr|st|vs|etc|no|[a-z]|\d+))\.\Z", re.IGNORECASE)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each complete sentence; an abbreviation or an initial ends none."""
    pattern = _SIMPLE_END if simple(text) else _SENTENCE_END
    ends = [match.end() for match in pattern.finditer(text) if not _abbreviated(text, match.end())]
    return list(zip([0, *ends], ends, strict=False))


def _abbreviated(text: str, end: int) -> bool:
    """Whether the full stop before `end` belongs to an abbreviation, an initial or a number."""
    # None of these holds a blank, so the last word is all there is to search.
    last = text[text.rfind(" ", 0, end) + 1 : end].rstrip("\"'”’)]")
    return last.endswith(".") and _ABBREVIATION.search(last) is not None


def sentences(text: str) -> list[str]:
    """The sentences of a text; what follows the last full stop is one too."""
    spans = sentence_spans(text)
    rest = text[spans[-1][1] :] if spans else text
    return [part for part in [*(text[start:end].strip() for start, end in spans), rest.strip()] if part]
