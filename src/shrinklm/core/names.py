"""Names as whole words of a text in any script, as patterns of the `regex` library.

Scripts without blanks between words show no border of a word: there a name is found wherever it stands. Korean writes
particles and the copula behind a noun, Arabic and Hebrew their articles and short prepositions before one; these
belong to no name. A name of one character is found inside longer words of a script without blanks, too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import regex

from .words import LETTER, UNSPACED

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
_BORDERLESS = regex.compile(UNSPACED, regex.V1)


def folded(text: str) -> str:
    """A text without case, and with one spelling of composed marks, full-width forms and apostrophes (NFKC)."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def whole(name: str, body: str = "") -> str:
    """A pattern (V1) that finds a folded name as a whole word; `body`: a pattern for its inflected forms."""
    first, last = name[:1], name[-1:]
    # A hyphen joins words: "bank" is no whole word of "bank-note".
    before, after = rf"(?<!{_JOINS})(?<!{_JOINS}-)", rf"(?!-?{_JOINS})"
    if _BORDERLESS.match(first):
        before = ""
    for script, clitics in _CLITICS.items():
        if regex.match(rf"\p{{{script}}}", first, regex.V1):
            before = rf"(?<=(?<!{_JOINS}){clitics})"
    if _BORDERLESS.match(regex.sub(r"\p{M}+\Z", "", name, flags=regex.V1)[-1:]):
        after = r"(?!\p{M})"  # a name ends in no half of a character
    elif _HANGUL.match(last):
        after = rf"(?={_PARTICLES}(?!{_JOINS}))"
    return f"{before}(?:{body or _BLANKS.join(map(regex.escape, name.split()))}){after}"


@lru_cache(maxsize=4096)
def finder(names: Sequence[str]) -> Any:
    """A compiled pattern for any of the folded names, the longest first; its match spans the name alone.

    None where all are blank.
    """
    # An alternation takes the first alternative that fits: "bank account" before "bank".
    spelled = sorted({" ".join(name.split()) for name in names} - {""}, key=lambda text: (-len(text), text))
    return regex.compile("|".join(map(whole, spelled)), regex.V1) if spelled else None
