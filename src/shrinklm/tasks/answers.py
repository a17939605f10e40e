"""The one parser of answers: the option, or the free answer, that a text states.

Strict on purpose. A text states an option after "the answer is", in `\\boxed{...}`, `<answer>...</answer>` or a last
line "#### ...", or when it begins with it; merely naming one states nothing. An ambiguous answer ("bank or zoo", "(a)
zoo" where (a) is the bank), a denied one ("the answer is not zoo") and one that goes on ("zoo keeper") are None. What a
view's target states literally is read before anything is interpreted, so that every answer reads back as itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..core.types import Example, letter
from .literal import STATEMENT, begun_literally, literal_answer, literally, may_state, possible_answers
from .spelling import canonical, core, first_line, plain, unwrapped

# The joint that the methods write between explanation and answer. `STATEMENT` is wider: models word it in more ways.
_SPLIT = re.compile(r"(?:\bso,?\s+)?\bthe (?:correct |right |best )?answer is\b\s*:?\s*", re.IGNORECASE)
# What may stand between "the answer is" and the option that it states: "(b)", "most likely the zoo".
_LEAD = re.compile(
    r"(?:[\s\"'*_`:(\[{#]|(?:an?|the|option|choice|letter|most|likely|probably|definitely|clearly|certainly|simply|in|at|on"
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
    r"[\"'*_`)\]}]*(?:\s*$|\s*[.,;:!?(–—-]|\s+(?:because|since|as|it|it's|they|he|she|this|that|there|we|you|i)\b)",
    re.IGNORECASE,
)
# What may follow an option after "the answer is" besides: a clause or a note, but no further word of a noun phrase.
_GOES_ON = re.compile(
    r"[\"'*_`)\]}]*\s+(?:which|who|whose|where|when|while|if|though|although|so|but|not|rather|instead|given|due"
    r"|between|among|based|according|is|are|was|were|would|can|could|will|has|have|definitely|certainly|probably"
    r"|indeed|here|through|(?:in|for|at|on|from|with|under|by|of) (?:this|that|these|those|which|the (?:question"
    r"|given|context|case|options?|choices|above|list|following))"
    r"|(?:and|or) (?:not|it|its|they|their|he|she|this|that|there|so|thus|therefore))\b",
    re.IGNORECASE,
)
# And where it stands inside a sentence, which says more of it, or joins it to another one.
_SAYS_MORE = re.compile(r"[\"'*_`)\]}]*(?:\s*[/&]|\s+(?:and|or|to|in|at|on|by|for|with|from|through)\b)", re.IGNORECASE)
# A denial before an option, and (`_WRONG`) after it: "neither bank nor zoo", "(b) is wrong".
_NOT = re.compile(r"\b(?:not|never|neither|nor|cannot|unlike|except|without|than|instead)\b|n't\b", re.IGNORECASE)
_WRONG = re.compile(
    r"\s+(?:(?:is|are|was|would be|can|could|does|do|seems)\s+)?(?:not|never|wrong|incorrect|\w+n't)\b", re.IGNORECASE
)
# A denial reaches no further than this: "not the bank but the zoo" states the zoo.
_BREAK = re.compile(r"[,;:.!?]|\bbut\b", re.IGNORECASE)
# Options after it belong to the reason: "a place like a zoo because a bank has no lions".
_REASON = re.compile(r"\b(?:because|since|as)\b|,? which\b", re.IGNORECASE)
# A full stop after an initial or a title ends no sentence, nor does that of "No. 5".
_SENTENCE = re.compile(
    r"(?<!\b[A-Za-z])(?<!\b(?:St|Dr|Mr|Ms|Jr|Sr))(?<!\bMrs)[.!?;](?=\s|$)(?!(?:(?<=\bno\.)|(?<=\bvol\.))\s+\d)",
    re.IGNORECASE,
)
# What follows a mark inside a name: "Yahoo! Inc", "What? Me".
_NAME_GOES_ON = re.compile(r"(?:\s+[A-Z\d][\w'-]*){1,2}(?:[.!?;]|$)")
_FREE_END = re.compile(r"(?<!\bno)(?<!\bvol)\. |\. (?!\d)", re.IGNORECASE)
# Two letters, as the options after (z) are (aa), (ab) ... A bare letter counts at the start of a line alone: "a zoo".
_LETTER = re.compile(
    r"[(\[{]\s*([a-z]{1,2})\s*[)\]}]|\b(?:option|choice|letter)\s+([a-z]{1,2})(?![\w'-])", re.IGNORECASE
)
_FIRST_LETTER = re.compile(
    r"[\s\"'*_`#]*([a-z]{1,2})(?:[\"'*_`]*[.):]+(?=[\s\"'*_`]|$)|[\s\"'*_`]*$"
    r"|(?=[\"'*_`]*(?:,?\s+(?:because|since|as)\b|\s+[–—-]\s|\s+is (?:the )?(?:correct|right|best|answer)\b)))",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:the|an?)\s+(?=\S)")
_WORDS_END = re.compile(r"[,;:(]|[.!?](?=\s|$)|\b(?:because|since|as)\b")
_PUNCTUATION = re.compile(r"[\s.,;:!?\"'*_`()/&#\[\]{}–—-]*")
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
    if literal := begun_literally(match[0] if match else "", rest, choices):
        return rest[literal:]
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
    literal = literally(text, example)
    if literal is not None:
        return literal
    text = plain(unwrapped(text))
    if not example.choices:
        return _free(text, example)
    # An ambiguous statement ("") decides too: how the text begins is asked only where nothing was stated.
    options = _Options(example.choices)
    stated = _stated(text, options)
    return (options.begun(first_line(text)) if stated is None else stated) or None


def stated_option(text: str, example: Example) -> str | None:
    """The option that `text` states literally ("the answer is ..."); None when it states none, or more than one."""
    text = plain(unwrapped(text))
    states = may_state(text) and STATEMENT.search(text)
    return (_stated(text, _Options(example.choices)) or None) if states else None


def _stated(text: str, options: _Options) -> str | None:
    """The option after the last "the answer is" that names one; "" when ambiguous, None when there is none."""
    return next((option for line in _statements(text) if (option := options.stated(line)) is not None), None)


def stated_text(text: str, example: Example) -> str | None:
    """The free answer as the text words it: after "the answer is", else the first line; None when both are empty."""
    answers = possible_answers(example)
    literal = literal_answer(text, answers)
    if literal is not None:
        return literal
    text = plain(unwrapped(text))
    lines = list(_statements(text)) or [first_line(text)]
    return next((words for line in lines if (words := _clause(line, answers))), None)


def first_statement(text: str, example: Example, letters: bool = False) -> str:
    """The statement that a reply which answers first begins with, with its option's letter where those are stated."""
    head, answers = first_line(text), possible_answers(example, letters)
    match = _SPLIT.search(head)
    for start in (0, match.end() if match else 0):
        if length := begun_literally(head[:start], head[start:], answers):
            return head[: start + length]
    # "The answer is a. ... The answer is b.": the first statement counts, so all from a later one on is cut off.
    while before := split_answer(head)[0].strip():
        head = before
    # A free answer ends at its first sentence; the blank keeps "2.5" whole.
    return _FREE_END.split(split_answer(head)[1], maxsplit=1)[0]


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
        # An option of marks alone would be found in any sentence: it is read literally or not at all.
        worded = [text for text in longest_first if not _PUNCTUATION.fullmatch(text)]
        self._pattern = re.compile(_whole_words(*worded) if worded else r"(?!)")

    def stated(self, statement: str) -> str | None:
        """The option named by the text after "the answer is"; "" when ambiguous, None when there is none."""
        line, mentions = self._read(statement)
        if mentions and _LEAD.fullmatch(line, 0, mentions[0].start):
            option, end = _unless_joined(line, mentions)
            complete = option == _AMBIGUOUS or _complete(line, mentions[0], end)
            return option if complete else None
        if bare := self._without_article(line, mentions):
            return bare
        # Else the one option named before the reason begins: "is to be found at the zoo".
        end = min(
            (match.start() for pattern in (_SENTENCE, _REASON) if (match := pattern.search(line))), default=len(line)
        )
        options = {mention.option for mention in mentions if mention.end <= end and _stated_inside(line, mention)}
        return None if not options else options.pop() if len(options) == 1 else _AMBIGUOUS

    def begun(self, text: str) -> str | None:
        """The option that a line begins with and then stops or gives its reason; "" when ambiguous, else None."""
        line, mentions = self._read(text)
        if not mentions or not _LEAD.fullmatch(line, 0, mentions[0].start):
            return self._without_article(line, mentions)
        option, end = _unless_joined(line, mentions)
        # A letter is meant as an option whatever follows, unless that denies it. A word may begin any sentence.
        stops = not _WRONG.match(line, end) if mentions[0].by_letter else _STOPS.match(line, end)
        return option if stops else None

    def _without_article(self, line: str, mentions: Sequence[_Mention]) -> str | None:
        """ "the moon" for a line whose answer is "moon": the one option that fits, where the line names no other."""
        match, lead = _WORDS_END.search(line), _LEAD.match(line)
        end = match.start() if match else len(line)
        if any(mention.start < end for mention in mentions):
            return None
        words = canonical(line[lead.end() if lead else 0 : end])
        # Of "the moon" and "a moon" neither fits better.
        options = [
            option for text, named in self._by_text.items() if _ARTICLE.sub("", text) == words for option in named
        ]
        return options[0] if len(options) == 1 else None

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
        exact = [option for option in options if core(plain(option)) in text] if len(options) > 1 else options
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


def _complete(line: str, mention: _Mention, end: int) -> bool:
    """Whether an option, with those joined to it up to `end`, is all that is stated: not so in "zoo keeper"."""
    before = line[: mention.start][-1:]
    quoted = before in ("'", '"') and line[end : end + 1] == before
    return mention.by_letter or quoted or bool(_STOPS.match(line, end) or _GOES_ON.match(line, end))


def _stated_inside(line: str, mention: _Mention) -> bool:
    """Whether an option inside the sentence that follows "the answer is" is neither denied nor part of a phrase."""
    ends = _complete(line, mention, mention.end) or _SAYS_MORE.match(line, mention.end)
    return bool(ends) and not _denied(line, mention)


def _denied(line: str, mention: _Mention) -> bool:
    breaks = [match.end() for match in _BREAK.finditer(line, 0, mention.start)]
    return bool(_NOT.search(line, breaks[-1] if breaks else 0, mention.start) or _WRONG.match(line, mention.end))


def _whole_words(*texts: str) -> str:
    """A pattern for options as whole words: "no" is in neither "not" nor "no-one", "5" not in "-5" or "1.5"."""
    # The dashes stand apart: a set with one beyond Latin-1 takes five times as long to compile.
    before = {True: r"(?<![\w.,-])(?<!−)(?<!–)", False: r"(?<!\w)(?<!\w['-])(?<!\w–)"}
    bodies = (before[text[:1].isdigit()] + r"\s+".join(map(re.escape, text.split())) for text in texts)
    return rf"(?:{'|'.join(bodies)})(?!\w)(?!['-]\w)(?!–\w)(?![.,]\d)"


def _statements(text: str) -> Iterator[str]:
    """The lines that follow "the answer is", the last one first."""
    end = len(text)
    for match in reversed(list(STATEMENT.finditer(text))):
        yield first_line(text[match.end() : end])
        end = match.start()


def _free(text: str, example: Example) -> str | None:
    gold = number(example.answer)
    if gold is not None:
        value = next((value for line in _statements(text) if (value := _stated_number(line)) is not None), None)
        # A stated number goes before those of the working above it.
        value = _begun_number(first_line(text)) if value is None else value
        return None if value is None else example.answer if value == gold else f"{value.normalize():f}"
    words = stated_text(text, example)
    spelled = canonical(words or "")
    return words and next((answer for answer in possible_answers(example) if canonical(answer) == spelled), words)


def _clause(line: str, answers: Sequence[str]) -> str:
    """The first sentence without its quotes and full stop; "" when it denies one of the accepted answers."""
    ends = (
        match for match in _SENTENCE.finditer(line) if match[0] in ".;" or not _NAME_GOES_ON.match(line, match.end())
    )
    end = next(ends, None)
    words = core(line[: end.start()] if end else line)
    denial = re.match(r"(?:not|never)\b", words, re.IGNORECASE)
    if denial is None:
        return words
    # "not Rome" denies Rome alone, but "not enough information" is an answer.
    spelled, rest = canonical(words), words[denial.end() :].casefold()
    names = [canonical(answer) for answer in answers]
    denied = spelled not in names and any(re.search(_whole_words(name), rest) for name in names)
    return "" if denied else words


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
