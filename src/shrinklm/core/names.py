"""Names as whole words of a text in any script, as patterns of the `regex` library.

Scripts without blanks between words show no border of a word: there a name is found wherever it stands. Korean writes
particles and the copula behind a noun, Arabic and Hebrew their articles and short prepositions before one; these
belong to no name. A name of one character is found inside longer words of a script without blanks, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import regex

from .words import LETTER, UNSPACED, simple

# After a noun; each may follow another, as in "은행에서는", and the copula closes ("은행입니다").
_PARTICLES = (
    r"(?:들|은|는|이|가|을|를|의|에|에게|에서|께|께서|한테|으?로|으?로서|으?로써|와|과|이?랑|하고|도|만|까지|부터|조차|마저|밖에|뿐|처럼|같이|보다|마다"
    r"|이?나|이?든지?|이?야|이?라도|이?라고|이?라는|이?란|커녕|대로|만큼|치고|씩)*(?:(?:이|입|였|인|일|임|예요|다)\p{Hangul}{0,4})?"
)
_CLITICS = {
    "Arabic": r"[وف]?(?:[بك]?ال|لل|[بلك])?",
    "Hebrew": r"[ושמכלבה]{0,3}",
}
_BLANKS = r"\s+"
_JOINS = rf"[{LETTER}_]"
_HANGUL = regex.compile(r"\p{Hangul}", regex.V1)
_SCRIPTS = {script: regex.compile(rf"\p{{{script}}}", regex.V1) for script in _CLITICS}
_BORDERLESS = regex.compile(UNSPACED, regex.V1)


def folded(text: str) -> str:
    """A text without case, and with one spelling of composed marks, full-width forms and apostrophes (NFKC)."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def whole(name: str, body: str = "", joins: str = r"\w", hyphen: bool = True) -> str:
    """A pattern (V1) that finds a folded name as a whole word.

    Args:
        name: Its first and last character tell how its script parts words.
        body: A pattern for its inflected forms; left out: the name alone.
        joins: What continues a word: see `joins_of`.
        hyphen: Whether a hyphen joins words: "bank" is then no whole word of "bank-note".
    """
    first, last = name[:1], regex.sub(r"\p{M}+\Z", "", name)[-1:]
    before, after = (
        (rf"(?<!{joins})(?<!{joins}-)", rf"(?!-?{joins})") if hyphen else (rf"(?<!{joins})", rf"(?!{joins})")
    )
    if _BORDERLESS.match(first):
        before = ""
    for script, clitics in _CLITICS.items():
        if _SCRIPTS[script].match(first):
            before = rf"(?<=(?<!{joins}){clitics})"
    if _BORDERLESS.match(last):
        after = r"(?!\p{M})"  # a name ends in no half of a character
    elif _HANGUL.match(last):
        after = rf"(?={_PARTICLES}(?!{joins}))"
    return f"{before}(?:{body or _BLANKS.join(map(regex.escape, name.split()))}){after}"


def joins_of(text: str) -> str:
    """A pattern for what continues a word in a text: beside a script without blanks, its letters do not."""
    # The plain class compiles ten times as fast, and each question has a pattern of its own.
    return _JOINS if not simple(text) and _BORDERLESS.search(text) else r"\w"


def compiled(pattern: str, by_re: bool) -> Any:
    """A pattern of `whole` names, compiled.

    Args:
        pattern: The pattern.
        by_re: Whether the texts are `simple`: to such `re` reads a pattern of ASCII alike, and compiles it ten times as
            fast.
    """
    return re.compile(pattern) if by_re and pattern.isascii() else regex.compile(pattern, regex.V1)


def found(text: str, names: Sequence[str]) -> list[str]:
    """The folded names that stand in a folded text, each where it stands, the longest at any place."""
    # Most names are not there at all, and each takes time to compile.
    possible = tuple(name for name in names if all(word in text for word in name.split()))
    pattern = _finder(possible, joins_of(text), simple(text)) if possible else None
    return [" ".join(match[0].split()) for match in pattern.finditer(text)] if pattern else []


@lru_cache(maxsize=4096)
def _finder(names: tuple[str, ...], joins: str, by_re: bool) -> Any:
    """A compiled pattern for any of the names; None where all are blank."""
    # An alternation takes the first alternative that fits: "bank account" before "bank".
    ordered = sorted({" ".join(name.split()) for name in names} - {""}, key=lambda text: (-len(text), text))
    return compiled("|".join(whole(name, "", joins) for name in ordered), by_re) if ordered else None


def replaced(text: str, names: Sequence[str], by: Callable[[str], str], also: str = "") -> str:
    """`text` with `by(spelling)` for each name that stands in it as a whole word, in any case.

    `by` gets the name as `spelled` writes it, or what `also`, a further pattern, found.
    """
    longest_first = sorted((unicodedata.normalize("NFKC", name) for name in names if name.strip()), key=len)[::-1]
    joins = joins_of(text)
    patterns = [whole(name, "", joins, hyphen=False) for name in longest_first] + ([also] if also else [])
    pattern = regex.compile("|".join(patterns), regex.V1 | regex.IGNORECASE)
    # Full-width digits and marks that stand apart are another spelling of a name; else the text stays as it is.
    normal = unicodedata.normalize("NFKC", text)
    source = normal if len(pattern.findall(normal)) > len(pattern.findall(text)) else text
    return str(pattern.sub(lambda match: by(spelled(match[0])), source)) if patterns else text


def spelled(name: str) -> str:
    """The spelling that identifies a name: folded, with single blanks."""
    return " ".join(folded(name).split())
