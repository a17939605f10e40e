"""Spellings of a text that are one and the same to a parser of answers: quotes, hyphens, blanks, markup."""

from __future__ import annotations

import re
import unicodedata

# Answers in the markup that models are trained to put around them.
_BOXED = re.compile(
    r"(?<!\bnot )(?<!\bnot \$)\\boxed\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\{)?([^{}]*)\}{0,2}"
    r"|<answer>(.*?)(?:</answer>|$)",
    re.I | re.S,
)
_HASHES = re.compile(r"^\s*####(?!#)\s*(\S.*)\Z", re.MULTILINE)


def canonical(text: str) -> str:
    """The text without case, quotes, surrounding punctuation and doubled blanks: equal for spellings of one answer."""
    return core(plain(" ".join(text.split()))).casefold()


def unwrapped(text: str) -> str:
    """`text` with the answer of a box, a tag or a last line "####" on a line of its own after "Answer:"."""
    if "\\boxed{" not in text and "<answer>" not in text and "####" not in text:
        return text
    text = _BOXED.sub(lambda match: f"\nAnswer: {(match[1] or match[2] or '').strip()}\n", text)
    return _HASHES.sub(r"Answer: \1", text.rstrip())


def plain(text: str) -> str:
    """One spelling of quotes, hyphens and letters; line breaks stay."""
    if text.isascii():
        return text
    # NFKC makes U+2010 of U+2011, so both are mapped after it.
    return unicodedata.normalize("NFKC", text).translate(
        {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2010: "-", 0x2011: "-", 0x2012: "-"}
    )


def squashed(text: str) -> str:
    """`text` with one blank between its words."""
    return " ".join(text.split())


def core(text: str) -> str:
    """`text` without surrounding quotes, emphasis, brackets and full stops; of nothing else, itself."""
    text = text.strip()
    inner = text.strip("\"'*_` \t").rstrip(".,;:!?\"'*_` \t")
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1].strip()
    return inner or text


def first_line(text: str) -> str:
    """The first line that is not empty, with one blank between its words."""
    return next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
