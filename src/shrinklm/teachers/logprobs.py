"""Log-probabilities in a chat completion, and those of a question's options where the reply names its answer.

The shape is that of OpenAI's chat completions (`choices[0].logprobs.content`), which llama.cpp, vLLM and SGLang share.
A reply is free text that ends in an answer. Its tokens are walked from the one with which the answer begins: an
alternative that begins one option and no other tells that option's log p; while several options share their
beginning ("a saw", "a hammer"), the walk goes on along the reply's own tokens and adds their log p.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..core.logprobs import OptionLogprobs, Token
from ..core.types import letter
from ..tasks.literal import STATEMENT
from ..tasks.spelling import squashed

NONE = "no logprobs"
"""How a text's provenance says that the server gave none."""
LOGPROBS = re.compile(r"log[ _-]?prob", re.IGNORECASE)
"""How an error names them."""
_UNLIKELY = -9999.0
"""What OpenAI and vLLM write for "not told": a token that is not among the likeliest."""
_ALTERNATIVES = 20
"""Of one token, at most: what OpenAI gives at most."""
_WALKED = 16
"""Tokens of an answer that are looked at, at most."""
_LONGEST = 200
"""Bytes of a token, at most; longer ones are no tokens."""
_OPENERS = " \t\r\n\"'“”‘’«*_`([{<:$-–—"
_CALLED = rf"[{re.escape(_OPENERS)}]*(?:(?:option|choice|answer|letter)\b[{re.escape(_OPENERS)}]*)?"
_ARTICLE = r"(?:(?:an?|the)\s+)?"
_MARKED = re.compile(r"\\boxed\{(?:\\text\w*\{)?|<answer>|^####", re.IGNORECASE | re.MULTILINE)
_BLANKS = str.maketrans({"Ġ": " ", "Ċ": "\n", "▁": " "})
"""Marks of blanks in vocabularies, which some servers send as they are."""


def read_tokens(logprobs: Any) -> tuple[Token, ...]:
    """The tokens in a choice's `logprobs`; () where it holds none. What is malformed is left out, whatever it is."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    tokens = []
    for item in content if isinstance(content, list) else ():
        raw = _raw(item)
        if raw is None:  # what follows could not be put in its place
            return ()
        top = item.get("top_logprobs")
        listed = ((_raw(each), _value(each)) for each in (top[:_ALTERNATIVES] if isinstance(top, list) else ()))
        known = tuple((raw, value) for raw, value in listed if raw is not None and value is not None)
        tokens.append(Token(raw, _value(item), known))
    return tuple(tokens)


def of_options(tokens: Sequence[Token], text: str, choices: Sequence[str], answer: str | None) -> OptionLogprobs | None:
    """The log p of each option where a reply names its answer; None where that place is not found.

    Args:
        tokens: Of the whole completion, thoughts included.
        text: The reply, without thoughts.
        choices: The options, as the prompt shows them.
        answer: The one that was read in the reply.
    """
    if not tokens or answer is None or answer not in choices:
        return None
    whole = b"".join(token.raw for token in tokens)
    spelled = whole.decode("utf-8", "surrogateescape")
    for begin, names in _places(text, choices, answer):
        place = _found(spelled, text, begin)
        if place is not None:
            at = len(spelled[:place].encode("utf-8", "surrogateescape"))
            return _walk(tokens, at, names)
    return None


def _places(text: str, choices: Sequence[str], answer: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(where an answer begins, option → how it is named there), the likeliest place first."""
    words = {choice: choice for choice in choices}
    letters = {choice: letter(index) for index, choice in reversed(list(enumerate(choices)))}
    starts = [match.end() for pattern in (STATEMENT, _MARKED) for match in pattern.finditer(text)]
    for start in [*sorted(starts, reverse=True), 0]:
        for names, article in ((words, ""), (words, _ARTICLE), (letters, "")):
            name = r"\s+".join(map(re.escape, names[answer].lstrip(_OPENERS).split()))
            match = re.compile(rf"{_CALLED}{article}({name})(?!\w)", re.IGNORECASE).match(text, start)
            if match and name:
                yield match.start(1), names


def _found(spelled: str, text: str, begin: int) -> int | None:
    """Where the character at `begin` of a reply stands in what its tokens spell; None where they spell another text."""
    whole, rest = text.strip(), text[begin:].rstrip()
    at = spelled.find(whole) if whole else -1
    if at >= 0:
        return at + begin - (len(text) - len(text.lstrip()))
    # A character before the answer may be spelled in another way.
    at = spelled.rfind(rest)
    return at if at >= 0 else None


def _walk(tokens: Sequence[Token], at: int, names: Mapping[str, str]) -> OptionLogprobs:
    """The log p of options from the token on that holds the byte at `at`."""
    first, end = 0, len(tokens[0].raw)
    while end <= at:
        first += 1
        end += len(tokens[first].raw)
    before = tokens[first].raw[: at - (end - len(tokens[first].raw))]
    begun = {option: _spelled(name.encode("utf-8", "replace")) for option, name in names.items()}
    told: dict[str, list[float]] = {option: [] for option in names}
    path, said, walked = 0.0, b"", []
    for token in tokens[first : first + _WALKED]:
        walked.append(token)
        listed: dict[bytes, float] = {}
        for raw, value in (*token.top, *([(token.raw, token.logprob)] if token.logprob is not None else [])):
            listed[raw] = max(value, listed.get(raw, -math.inf))
        for raw, value in listed.items():
            fitting = _fitting(said + (raw if said else raw.removeprefix(before)), begun)
            if len(fitting) == 1:
                told[fitting[0]].append(path + value)
        said += token.raw if said else token.raw.removeprefix(before)
        left = _fitting(said, begun)
        if len(left) < 2 or token.logprob is None:
            break
        begun = {option: begun[option] for option in left}
        path += token.logprob
    return OptionLogprobs({option: _sum(values) for option, values in told.items()}, tuple(walked))


def _fitting(said: bytes, begun: Mapping[str, bytes]) -> list[str]:
    """The options that an answer which begins like this may name."""
    spelled = _spelled(said)
    growing = [option for option, name in begun.items() if name.startswith(spelled)]
    if growing:
        return growing
    named = [option for option, name in begun.items() if name and spelled.startswith(name) and _ends(spelled, name)]
    return sorted(named, key=lambda option: -len(begun[option]))[:1]


def _ends(spelled: bytes, name: bytes) -> bool:
    """Whether a name that stands at the beginning ends with a word's end."""
    after = spelled[len(name) :].decode("utf-8", "replace")
    return not (after[:1].isalnum() or after[:1] in "_\ufffd")


def _spelled(raw: bytes) -> bytes:
    """Bytes without the marks before an answer, in one case, with one blank between words."""
    text = raw.decode("utf-8", "surrogateescape")
    # A blank at the end may be the one before the next word.
    end = " " if text[-1:].isspace() else ""
    text = squashed(text.lstrip(_OPENERS)).casefold()
    return (text + end if text else "").encode("utf-8", "surrogateescape")


def _sum(values: Collection[float]) -> float | None:
    """log Σ p, of several tokens that begin the same option: " A" and "A"."""
    if not values:
        return None
    most = max(values)
    return min(0.0, most + math.log(sum(math.exp(value - most) for value in values)))


def _raw(item: Any) -> bytes | None:
    """The bytes of a token: those that the server states, or else its text."""
    if not isinstance(item, dict):
        return None
    text, listed = item.get("token"), item.get("bytes")
    if isinstance(listed, list) and len(listed) <= _LONGEST:
        try:
            return bytes(listed)
        except (TypeError, ValueError):
            pass  # no bytes: the text is taken
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    return text.translate(_BLANKS).encode("utf-8", "replace")


def _value(item: Any) -> float | None:
    """A token's log p; None where it is none, or stands for "not told"."""
    value = item.get("logprob") if isinstance(item, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _UNLIKELY < value < 1e-3:
        return None
    return min(float(value), 0.0)
