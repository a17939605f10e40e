"""Where a text and its sentences end, in any script, and whether a text was cut off."""

from __future__ import annotations

import re

import regex

from ..core.sentences import sentence_spans
from ..core.words import words

_V1 = regex.V1
# Searched from the end (?r): a text is long, and the mark is its last.
_ENDS = regex.compile(r"(?r)[\p{STerm}…་།][\p{Pe}\p{Pf}\"'*_]*\Z", _V1)
# Scripts that write no full stop: a text in them never ends where a sentence ends.
_NO_STOP = regex.compile(r"[\p{Thai}\p{Lao}]", _V1)
_LETTER = regex.compile(r"\p{L}", _V1)
_HANGS = re.compile(
    r"(?:[,:;(\[{/&+=–—-]|\b(?:an?|the|and|or|but|nor|because|although|whereas|unless|than|my|your|our|their|its|every"
    r"|into|e\.g|i\.e|(?:because|that|which|so|if|when|while|where|but|as|since) (?:they|he|she|we|it|there"
    r"|these|those)"
    r"|(?:because|since|which|who) (?:is|are|was|were|has|have|had|can|could|will|would|may|might|must)"
    r"|because(?: of)?))[\"'“‘*_\s]*\Z",
    re.IGNORECASE,
)
CAP_WORDS, CAP_WORDS_ALONE = 20, 32
"""Words from which on a token cap explains that a text does not end in a full stop: 20 words are about 27 tokens.

More are needed where the writer sets no full stop at all."""


def ended(text: str) -> bool:
    """Whether a text ends where a sentence ends."""
    return bool(_ENDS.search(text))


def cut_off(text: str) -> bool:
    """Whether the words of a text that does not end in a full stop show that it was cut.

    They do where they stop inside a clause ("because the"), a bracket or a quotation, and where there are so many of
    them that a token cap explains the missing end. A short note without a full stop ("people keep money in a bank") is
    whole, and so is a text in a script that has none.
    """
    if _HANGS.search(text) or text.count("(") > text.count(")") or text.count("“") > text.count("”"):
        return True
    if 2 * len(_NO_STOP.findall(text)) > len(_LETTER.findall(text)):
        return False
    return text.count('"') % 2 == 1 or len(words(text)) >= (CAP_WORDS if sentence_spans(text) else CAP_WORDS_ALONE)


def whole_sentences(text: str, least: int = 5) -> str:
    """The text up to its last complete sentence; "" when no sentence of `least` words is complete."""
    spans = sentence_spans(text)
    # One sentence must be long enough to be an explanation: "Yes. It is because the" leaves no such one.
    return text[: spans[-1][1]] if any(len(words(text[start:end])) >= least for start, end in spans) else ""
