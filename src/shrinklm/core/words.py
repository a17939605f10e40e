"""The words of a text in any script, by the properties of Unicode (the `regex` library).

Where a script writes blanks between words, a word is a run of letters, digits and marks, joined by single hyphens and
apostrophes. Where it does not (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan ...), each character with its
marks counts as a word, and a run of katakana as one, as in the default word boundaries of Unicode (UAX 29). Those need
no dictionary, so that the same text has the same words on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise, zip_longest

import regex

_FLAGS = regex.V1  # in which sets can be subtracted
# The signs of length and voice are shared between scripts, so that they belong to none.
_KATAKANA = r"[\p{Katakana}ーｰﾞﾟ]"
# Line break "SA" are the scripts of South-East Asia without blanks between words.
UNSPACED = rf"[[\p{{Han}}\p{{Hiragana}}\p{{Bopomofo}}\p{{Yi}}\p{{Tibetan}}\p{{LB=SA}}〆{_KATAKANA}]&&\w--\p{{M}}]"
"""A pattern for a letter of a script that writes none, without the marks behind it."""
_UNIT = rf"(?:{_KATAKANA}\p{{M}}*)+|{UNSPACED}\p{{M}}*"
LETTER = rf"[[\w\p{{N}}]--_--{UNSPACED}]"
"""A pattern for a letter, digit or mark of a script that writes blanks between words."""
_RUN = rf"(?!\p{{M}}){LETTER}+"
_WORD = regex.compile(rf"{_UNIT}|{_RUN}(?:['’-]{_RUN})*", _FLAGS)
# To these characters the patterns below mean the same and are matched, and compiled, several times as fast.
_SIMPLE = re.compile(r"[\t-\r -~–—“”‘’]*")
_SIMPLE_PIECE = re.compile(r"\S+")
_SIMPLE_WORD = re.compile(r"[A-Za-z0-9]+(?:['’-][A-Za-z0-9]+)*")
# The separators of files are blanks to `str.split`, but not to Unicode.
_BLANK = r"\s\x1c-\x1f"
_MARKS = rf"[^\w{_BLANK}]*"
# Punctuation belongs to the piece before it, as it does between blanks; an opening bracket to the one behind it.
_PIECE = regex.compile(
    rf"{_MARKS}(?:{_UNIT}){_MARKS}?(?=\p{{Ps}}|\p{{Pi}}|[\w{_BLANK}]|\Z)|[[^{_BLANK}]--{UNSPACED}]+", _FLAGS
)
SENTENCE_END = rf"(?:[.!?…]+[\"'”’)\]]*(?=\s|\Z|{UNSPACED})|[\p{{STerm}}--[.!?…]]+[\p{{Pe}}\p{{Pf}}\"']*)"
"""A pattern (V1) for the end of a sentence: a mark before a blank, or one of a script that writes no blank after it."""
END = regex.compile(rf"{SENTENCE_END}|\n", _FLAGS)
"""The end of a sentence or of a line."""
# Latin punctuation, and the quotes and dashes beside it, a tokenizer of Latin text tells apart itself.
_APART = regex.compile(rf"{_UNIT}|[\p{{P}}--[\u0000-\u036f\u2000-\u206f]]", _FLAGS)
_LETTERS, _LATIN = (regex.compile(rf"\p{{{script}}}", _FLAGS) for script in ("L", "Latin"))
_FIRST, _LAST = (regex.compile(rf"{before}({UNSPACED})", _FLAGS) for before in (r"[^\w]*", r"(?r)\p{M}*[^\w]*"))


def simple(text: str) -> bool:
    """Whether a text has only ASCII characters, dashes and quotes: to `re` its words and blanks are as to Unicode.

    `re` takes no combining mark for a part of a word, which makes no difference where there is none.
    """
    return _SIMPLE.fullmatch(text) is not None


def words(text: str) -> list[str]:
    """The words of a text without case and punctuation; full-width forms and composed marks in one spelling (NFKC)."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    if simple(folded):
        return _SIMPLE_WORD.findall(folded)
    return [match[0] for match in _WORD.finditer(folded)]


def word_spans(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """(start, end) of each word between two characters of a text."""
    return (match.span() for match in _WORD.finditer(text, start, len(text) if end is None else end))


def piece_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word with its punctuation: what stands between blanks, or one of the words inside it."""
    return [match.span() for match in (_SIMPLE_PIECE if simple(text) else _PIECE).finditer(text)]


def pieces(text: str) -> list[str]:
    """The words of a text with their punctuation; with blanks between words, the same as `text.split()`."""
    return [text[start:end] for start, end in piece_spans(text)]


def joined(parts: Iterable[str]) -> str:
    """Pieces as a text: a blank between two, but none where both sides are written without."""
    parts = list(parts)
    blanks = ["" if _LAST.search(left) and _FIRST.match(right) else " " for left, right in pairwise(parts)]
    return "".join(chain.from_iterable(zip_longest(parts, blanks, fillvalue="")))


def spaced(text: str) -> str:
    """A text with blanks around the words of scripts without them, and around punctuation of no Latin text."""
    return str(_APART.sub(r" \g<0> ", text))


def latin(text: str) -> bool:
    """Whether at least half of a text's letters are Latin, so that rules for English words can say something of it."""
    return 2 * len(_LATIN.findall(text)) >= len(_LETTERS.findall(text))
