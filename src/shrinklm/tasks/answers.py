"""The one parser of answers: the option, or the free answer, that a text states.

Strict on purpose. A text states an option after "the answer is", or when it begins with it; merely naming one states
nothing. An ambiguous answer ("bank or zoo", "(a) zoo" where (a) is the bank) and a denied one ("the answer is not zoo")
are None.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..core.types import Example, letter

# The joint that the methods write between explanation and answer. `_STATEMENT` is wider: models word it in more ways.
_SPLIT = re.compile(r"(?:\bso,?\s+)?\bthe (?:correct |right |best )?answer is\b\s*:?\s*", re.IGNORECASE)
_STATEMENT = re.compile(
    r"\bthe (?:(?:final|correct|right|best|most likely) )*(?:answer|option|choice)"
    r" (?:is|would be|must be|should be)\b\s*:?"
    r"|^\W*(?:(?:final|correct) )?answer\s*:",
    re.IGNORECASE | re.MULTILINE,
)
# What may stand between "the answer is" and the option that it states: "(b)", "most likely the zoo".
_LEAD = re.compile(
    r"(?:[\s\"'*_`:(]|(?:an?|the|option|choice|letter|most|likely|probably|definitely|clearly|certainly|simply|in|at|on"
    r"|to)\b)*",
    re.IGNORECASE,
)
# What joins two options to one ambiguous statement: "zoo or bank", "(a) zoo" where (a) is the bank.
_JOINED = re.compile(
    r"[\s\"'*_`,:/&()-]*(?:\b(?:or|and|either|both|maybe|perhaps|possibly|also|an?|the|option|choice)\b[\s\"',/()]*)*",
    re.IGNORECASE,
)
# What may follow an option that a text begins with: "zoo, because", "yes it is", but not "a bank holiday".
_STOPS = re.compile(
    r"[\"'*_`)\]]*(?:\s*$|\s*[.,;:!?(–—-]|\s+(?:because|since|as|it|it's|they|he|she|this|that|there|we|you|i)\b)",
    re.IGNORECASE,
)
# A denial before an option, and (`_WRONG`) after it: "neither bank nor zoo", "(b) is wrong".
_NOT = re.compile(r"\b(?:not|never|neither|nor|cannot|unlike|except|without|than|instead)\b|n't\b", re.IGNORECASE)
_WRONG = re.compile(
    r"\s+(?:(?:is|are|was|would be|can|could|does|do|seems)\s+)?(?:not|never|wrong|incorrect|\w+n't)\b", re.IGNORECASE
)
# A denial reaches no further than this: "not the bank but the zoo" states the zoo.
_BREAK = re.compile(r"[,;:.!?]|\bbut\b", re.IGNORECASE)
# Options after it belong to the reason: "a place like a zoo because a bank has no lions".
_REASON = re.compile(r"\b(?:because|since|as)\b|,? which\b", re.IGNORECASE)
# A full stop after an initial or a title ends no sentence.
_SENTENCE = re.compile(r"(?<!\b[A-Za-z])(?<!\b(?:St|Dr|Mr|Ms|Jr|Sr))(?<!\bMrs)[.!?;](?=\s|$)", re.IGNORECASE)
# Two letters, as the options after (z) are (aa), (ab) ... A bare letter counts at the start of a line alone: "a zoo".
_LETTER = re.compile(r"\(\s*([a-z]{1,2})\s*\)|\b(?:option|choice|letter)\s+([a-z]{1,2})(?![\w'-])", re.IGNORECASE)
_FIRST_LETTER = re.compile(r"[\s\"'*_`]*([a-z]{1,2})(?:[\"'*_`]*[.):](?=[\s\"'*_`]|$)|[\s\"'*_`]*$)", re.IGNORECASE)
# Whole or not at all: "1.2.3" and "12,34" are no numbers, and no part of them is one.
_NUMBER = re.compile(r"(?<![\w.,])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?<=\d)(?![.,]?\d)")
_AMBIGUOUS = ""
"""Stands for more than one option, where None stands for no statement: None lets another reading be tried."""


def split_answer(text: str) -> tuple[str, str]:
    """(the text before the last "the answer is", the text after it); without one: ("", text)."""
    matches = list(_SPLIT.finditer(text))
    return (text[: matches[-1].start()], text[matches[-1].end() :]) if matches else ("", text)


def after_answer(text: str, choices: Sequence[str] = ()) -> str:
    """The text after the first sentence that states an answer; without "the answer is", after the first sentence."""
    match = _SPLIT.search(text)
    rest = text[match.end() :] if match else text
    named = [choice for choice in choices if rest.casefold().startswith(choice.casefold())]
    # The sentence ends after the choice, which may hold a full stop itself ("St. Paul").
    if named:
        rest = rest[len(max(named, key=len)) :]
    end = _SENTENCE.match(rest) or _SENTENCE.search(rest)
    return rest[end.end() :] if end else ""


def parse_answer(text: str, example: Example) -> str | None:
    """The answer that `text` states: one of the choices, or a free answer; None when it states none or more than one.

    The last statement counts. A free answer equal to the gold one but for case, punctuation or the notation of its
    number is returned in the gold one's spelling.
    """
    text = _plain(text)
    if not example.choices:
        return _free(text, example)
    # An ambiguous statement ("") decides too: how the text begins is asked only where nothing was stated.
    options = _Options(example.choices)
    stated = _stated(text, options)
    return (options.begun(_first_line(text)) if stated is None else stated) or None


def stated_option(text: str, example: Example) -> str | None:
    """The option that `text` states literally ("the answer is ..."); None when it states none, or more than one."""
    text = _plain(text)
    return (_stated(text, _Options(example.choices)) or None) if _STATEMENT.search(text) else None


def _stated(text: str, options: _Options) -> str | None:
    """The option after the last "the answer is" that names one; "" when ambiguous, None when there is none."""
    return next((option for line in _statements(text) if (option := options.stated(line)) is not None), None)


def stated_text(text: str, example: Example) -> str | None:
    """The free answer as the text words it: after "the answer is", else the first line; None when both are empty."""
    text = _plain(text)
    lines = list(_statements(text)) or [_first_line(text)]
    return next((words for line in lines if (words := _clause(line))), None)


def canonical(text: str) -> str:
    """The text without case, quotes, surrounding punctuation and doubled blanks: equal for spellings of one answer."""
    return _core(_plain(" ".join(text.split()))).casefold()


def number(text: str) -> Decimal | None:
    """The number that `text` is, such as "1,250" or "-3.5"; None when it is anything else."""
    match = _NUMBER.fullmatch(text.strip())
    return _decimal(match[0]) if match and match[0] else None


@dataclass(frozen=True)
class _Mention:
    start: int
    end: int
    option: str
    by_letter: bool = False


class _Options:
    """The distinct choices of one question, and their mentions in a line."""

    def __init__(self, choices: Sequence[str]) -> None:
        self._by_letter = {letter(index): choice for index, choice in enumerate(choices)}
        self._by_text: dict[str, list[str]] = {}
        for choice in dict.fromkeys(choices):
            self._by_text.setdefault(canonical(choice), []).append(choice)
        # Of "know" and "not know why" a pattern takes the alternative that comes first.
        longest_first = sorted(self._by_text, key=len, reverse=True)
        self._pattern = re.compile("|".join(_whole_words(text) for text in longest_first))

    def stated(self, statement: str) -> str | None:
        """The option named by the text after "the answer is"; "" when ambiguous, None when there is none."""
        line, mentions = self._read(statement)
        if mentions and _LEAD.fullmatch(line, 0, mentions[0].start):
            return _unless_joined(line, mentions)[0]
        # Else the one option named before the reason begins: "is to be found at the zoo".
        end = min(
            (match.start() for pattern in (_SENTENCE, _REASON) if (match := pattern.search(line))), default=len(line)
        )
        options = {mention.option for mention in mentions if mention.end <= end and not _denied(line, mention)}
        return None if not options else options.pop() if len(options) == 1 else _AMBIGUOUS

    def begun(self, text: str) -> str | None:
        """The option that a line begins with and then stops or gives its reason; "" when ambiguous, else None."""
        line, mentions = self._read(text)
        if not mentions or not _LEAD.fullmatch(line, 0, mentions[0].start):
            return None
        option, end = _unless_joined(line, mentions)
        # A letter is meant as an option whatever follows, unless that denies it. A word may begin any sentence.
        stops = not _WRONG.match(line, end) if mentions[0].by_letter else _STOPS.match(line, end)
        return option if stops else None

    def _read(self, text: str) -> tuple[str, list[_Mention]]:
        """(the line without case, its mentions of options in their order)."""
        line = text.casefold()
        mentions = [
            _Mention(match.start(), match.end(), self._spelled(match[0], text))
            for match in self._pattern.finditer(line)
        ]
        letters = list(_LETTER.finditer(line))
        if first := _FIRST_LETTER.match(line):
            letters.append(first)
        for match in letters:
            option = self._by_letter.get(next(group for group in match.groups() if group))
            # An option's own text may look like a letter, such as "(a)"; its text counts.
            inside = any(mention.start < match.end() and match.start() < mention.end for mention in mentions)
            if option is not None and not inside:
                mentions.append(_Mention(match.start(), match.end(), option, by_letter=True))
        return line, sorted(mentions, key=lambda mention: mention.start)

    def _spelled(self, words: str, text: str) -> str:
        """The choice that the matched words name; where two differ in case alone, the one spelled as in `text`."""
        options = self._by_text[words]
        exact = [option for option in options if _core(_plain(option)) in text] if len(options) > 1 else options
        return exact[0] if len(exact) == 1 else _AMBIGUOUS


def _unless_joined(line: str, mentions: Sequence[_Mention]) -> tuple[str, int]:
    """(the option mentioned first, its end); "" when another one is joined to it, as in "bank or zoo"."""
    first, end = mentions[0], mentions[0].end
    for mention in mentions[1:]:
        if not _JOINED.fullmatch(line, end, mention.start):
            break
        if mention.option != first.option:
            return _AMBIGUOUS, mention.end
        end = mention.end
    return first.option, end


def _denied(line: str, mention: _Mention) -> bool:
    breaks = [match.end() for match in _BREAK.finditer(line, 0, mention.start)]
    return bool(_NOT.search(line, breaks[-1] if breaks else 0, mention.start) or _WRONG.match(line, mention.end))


def _whole_words(text: str) -> str:
    """A pattern for the option as whole words: "no" is in neither "not" nor "no-one", "5" not in "-5" or "1.5"."""
    body = r"\s+".join(re.escape(word) for word in text.split())
    before = r"(?<![\w.,−-])" if text[:1].isdigit() else r"(?<!\w)(?<!\w['-])"
    return rf"{before}{body}(?!\w)(?!['-]\w)(?![.,]\d)"


def _statements(text: str) -> Iterator[str]:
    """The lines that follow "the answer is", the last one first."""
    end = len(text)
    for match in reversed(list(_STATEMENT.finditer(text))):
        yield _first_line(text[match.end() : end])
        end = match.start()


def _free(text: str, example: Example) -> str | None:
    gold = number(example.answer)
    if gold is not None:
        value = next((value for line in _statements(text) if (value := _stated_number(line)) is not None), None)
        # A stated number goes before those of the working above it.
        value = _begun_number(_first_line(text)) if value is None else value
        return None if value is None else example.answer if value == gold else f"{value.normalize():f}"
    words = stated_text(text, example)
    accepted = (example.answer, *map(str, example.meta.get("answers") or ()))
    return words and next((answer for answer in accepted if canonical(answer) == canonical(words)), words)


def _clause(line: str) -> str:
    """The first sentence without its quotes and full stop; "" when it begins with a denial."""
    match = _SENTENCE.search(line)
    words = _core(line[: match.start()] if match else line)
    return "" if re.match(r"(?:not|never)\b", words, re.IGNORECASE) else words


def _stated_number(line: str) -> Decimal | None:
    """The number of a sentence: what follows its last "=", else the first one unless it is joined to another."""
    sentence = re.split(r"[.!?;](?=\s|$)", line, maxsplit=1)[0]
    sentence = sentence.rpartition("=")[2]
    matches = [match for match in _NUMBER.finditer(sentence) if match[0]]
    if not matches or _NOT.search(sentence, 0, matches[0].start()):
        return None
    # "3 or 4", "2 x 3": no single number is stated.
    joined = len(matches) > 1 and re.fullmatch(
        r"\W*(?:or|and|to|[x×])?\W*", sentence[matches[0].end() : matches[1].start()], re.IGNORECASE
    )
    return None if joined and _decimal(matches[0][0]) != _decimal(matches[1][0]) else _decimal(matches[0][0])


def _begun_number(line: str) -> Decimal | None:
    """The number of a line without "the answer is": the one it begins with, ends its sum with, or names alone."""
    # "Lena gives away 5 of 12 marbles" names two numbers and answers with neither.
    values = {_decimal(match[0]) for match in _NUMBER.finditer(line) if match[0]}
    if "=" in line or len(values) == 1 or re.match(r"\W*\d", line):
        return _stated_number(line)
    return None


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", "").replace("−", "-"))


def _plain(text: str) -> str:
    """One spelling of quotes, dashes and letters; line breaks stay."""
    return unicodedata.normalize("NFKC", text).translate(
        {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2011: "-"}
    )


def _core(text: str) -> str:
    """`text` without surrounding quotes, emphasis, brackets and full stops; of nothing else, itself."""
    text = text.strip()
    core = text.strip("\"'*_` \t").rstrip(".,;:!?\"'*_` \t")
    if core.startswith("(") and core.endswith(")"):
        core = core[1:-1].strip()
    return core or text


def _first_line(text: str) -> str:
    return next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
