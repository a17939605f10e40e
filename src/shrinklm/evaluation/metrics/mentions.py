"""Which options a text names, which of them it sets aside, and which one it argues for. By words alone: no model, no meaning.

A sentence is read clause by clause. "A zoo is not where money is kept", "rather than a zoo", "other options such as a zoo" and "while a
zoo has animals, ..." set the zoo aside; an option named in any other way is affirmed. A plural or a hyphen does not make another option,
so this reads more leniently than `explanations.named`. Sarcasm, pronouns and options in other words are beyond it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ...core.types import Example
from ...tasks.answers import stated_option
from .explanations import spell

_BARE = frozenset({"yes", "no", "true", "false"})
"""Options that stand in any text: they count only after "the answer is"."""
_MASK = "\ue000"  # stands for an option while its clause is read: "not knowing" may be one
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|mr|mrs|ms|dr|st|vs|etc|[a-z])\Z", re.IGNORECASE)
_CUT = re.compile(
    r"[;:(),]|\s[–—-]\s|\b(?:but|however|while|whereas|although|though|because|since|(?<!such )as|so|if|when|where|which|who"
    r"|and thus|therefore)\b"
)
_CONCEDES = re.compile(r"(?:even )?(?:although|though)\b")
_OPENS = re.compile(r"\W*(?:and |but |however,? )?(?:while|whereas|unlike)\b")
_MORE = r"(?!\s+(?:only|just|merely|simply|surprising))"
_AFTER = re.compile(
    rf"\bnot\b{_MORE}|\b(?:nor|neither|unlike|than|instead of|opposed to|compared (?:to|with)|other than|except|without|differ\w* from"
    r"|(?:other|remaining|alternative) (?:\w+ )?(?:options?|choices?|answers?|alternatives|possibilities|places|locations))\b"
)
"""What sets aside the options that follow it in the clause."""
_AROUND = re.compile(
    rf"\b\w+n't\b{_MORE}|\bcannot\b{_MORE}|\b(?:is|are|was|were|be|do|does|did|can|could|would|will|should|may|might|must|has|have|had)"
    rf"(?: \w+ly)? not\b{_MORE}|\b(?:never|no(?! doubt| wonder| less| other| matter)|nothing|unlikely|less|incorrect|wrong"
    r"|irrelevant|unsuitable|inappropriate|unrelated|illogical|implausible|inaccurate|impossible|unnecessary|insufficient|lacks?"
    r"|fails? to)\b"
)
"""What sets aside the options before it in the clause; where there is none, those after it."""
_LETTER = re.compile(r"\([a-z]\)")
_FILLER = re.compile(
    rf"[{_MASK}\s\"'“”,]|\b(?:an?|the|or|and|both|either|any|other|options?|choices?|such as|such|like|in|on|at|of|to)\b"
)
_BEST = re.compile(
    r"[\s\"'”]*(?:is|are|was|were|would be|seems? to be)(?: \w+ly)? the (?:best|most \w+|correct|right|only|ideal)"
    r" (?:\w+ )?(?:answer|choice|option|place|location|one)"
)
_JOINS = re.compile(rf"[\s\"'“”]*(?:and |or |nor )?(?:an? |the )?{_MASK}")


@dataclass(frozen=True)
class Mention:
    """An option where a text names it."""

    option: str
    """As `spell` writes it."""
    start: int
    """Of its characters in the case-folded text."""
    aside: bool
    """Denied, conceded or named as what the answer is not."""
    best: bool = False
    """Called the best, right, only ... answer."""


def sentences(text: str) -> list[str]:
    """The sentences of a text; a full stop after an initial or "e.g." ends none."""
    found, start = [], 0
    for match in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : match.start()]):
            found.append(text[start : match.end()])
            start = match.end()
    return [kept for sentence in [*found, text[start:]] if (kept := sentence.strip())]


def mentions(text: str, options: Sequence[str]) -> Sequence[Mention]:
    """Where `text` names the options, and which of these it sets aside, from left to right."""
    return _mentions(text, tuple(options))


@lru_cache(maxsize=512)  # several metrics ask about one text
def _mentions(text: str, options: tuple[str, ...]) -> tuple[Mention, ...]:
    folded = text.casefold().replace("’", "'")
    named = _places(folded, options)
    if not named:
        return ()
    masked = _LETTER.sub("   ", folded)
    for start, end, _ in named:
        masked = masked[:start] + _MASK * (end - start) + masked[end:]
    aside: set[int] = set()
    for start, end in _spans(masked):
        aside |= _set_aside(masked, start, end, [place for place, _, _ in named if start <= place < end])
    return tuple(Mention(option, start, start in aside, bool(_BEST.match(masked, end))) for start, end, option in named)


def supported(text: str, example: Example) -> str | None:
    """The option that a text argues for: stated as the answer, else called the best one, else affirmed most often (or earlier).

    An option that the question names itself counts only where no other is affirmed. None when the text names none, or sets aside all
    that it names. As the example's choices are written.
    """
    if not example.choices:
        return None
    stated = stated_option(text, example)
    if stated is not None:
        return stated
    named = [mention for mention in mentions(text, example.choices) if not mention.aside]
    counts = Counter(mention.option for mention in [mention for mention in named if mention.best][-1:] or named)
    asked = {
        mention.option for mention in mentions(" ".join((*example.fields.values(), example.question)), example.choices)
    }
    best = max(counts, key=lambda option: (option not in asked, counts[option]), default=None)
    return next((choice for choice in example.choices if spell(choice) == best), None)


def _places(folded: str, options: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """(start, end, `spell(option)`) of the options named in a folded text, plurals and joined words too, from left to right."""
    pattern, known = _pattern(options)
    found = pattern.finditer(folded) if pattern else ()
    return [(match.start(), match.end(), known[int((match.lastgroup or "")[1:])]) for match in found]


@lru_cache(maxsize=4096)
def _pattern(options: tuple[str, ...]) -> tuple[re.Pattern[str] | None, list[str]]:
    known = sorted({spell(option) for option in options} - {"", *_BARE}, key=lambda option: (-len(option), option))
    words = "|".join(f"(?P<o{place}>{_inflected(option)})" for place, option in enumerate(known))
    return re.compile(rf"(?<![\w-])(?:{words})(?!-?\w)") if known else None, known


def _inflected(option: str) -> str:
    """A pattern for an option with or without the plural of its last word, its words apart, joined or hyphenated."""
    body = r"[\s-]*".join(re.escape(word) for word in option.split())
    if len(option) > 3 and option.endswith("ies"):
        return body[:-3] + "(?:y|ies)"
    if len(option) > 3 and option[-1] == "y" and option[-2] not in "aeiou":
        return body[:-1] + "(?:y|ies)(?:'s)?"
    if len(option) > 3 and option[-1] == "s" and option[-2] != "s":
        return body + "?"
    return body + "(?:e?s)?(?:'s)?"


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence."""
    start = 0
    for match in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : match.start()]):
            yield start, match.end()
            start = match.end()
    yield start, len(text)


def _set_aside(text: str, start: int, end: int, named: Sequence[int]) -> set[int]:
    """The places, of those named in one sentence, that it sets aside."""
    if not named:
        return set()
    clauses = _clauses(text, start, end)
    found: set[int] = set()
    inside = [[place for place in named if a <= place < b] for a, b in clauses]
    for at, (a, b) in enumerate(clauses):
        clause = text[a:b]
        if _CONCEDES.match(clause.lstrip()) or (at == 0 and len(clauses) > 1 and _OPENS.match(clause)):
            found.update(inside[at])
        if inside[at] and text[b : b + 1] in (":", "-", "–") and _lists(text, (a, b)) and _AROUND.search(text, b, end):
            found.update(inside[at])  # "Zoo: it is not where ..."
        for cue in _AROUND.finditer(clause):
            before = [place for place in inside[at] if place < a + cue.start()]
            found.update(before or [place for place in inside[at] if place > a + cue.start()])
        for cue in _AFTER.finditer(clause):
            following = [place for place in inside[at] if place > a + cue.start()]
            if (
                not following and at + 1 < len(clauses) and _lists(text, clauses[at + 1])
            ):  # "the other options (zoo, river)"
                following = inside[at + 1]
            found.update(following)
    for at in reversed(
        range(len(clauses) - 1)
    ):  # "zoos, rivers and ovens are not ...": a list shares what its last member is told
        if (
            _lists(text, clauses[at])
            and _JOINS.match(text[slice(*clauses[at + 1])].lstrip(", "))
            and found & set(inside[at + 1])
        ):
            found.update(inside[at])
    for at in range(1, len(clauses)):  # "not zoos, rivers or ovens"
        if _lists(text, clauses[at]) and inside[at] and inside[at - 1] and inside[at - 1][-1] in found:
            found.update(inside[at])
    return found


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    first = end - len(text[start:end].lstrip(" \"'“"))
    edges = [start, *(match.start() for match in _CUT.finditer(text, first, end) if match.start() > first), end]
    return list(pairwise(edges))


def _lists(text: str, clause: tuple[int, int]) -> bool:
    """Whether a clause is nothing but options."""
    return not _FILLER.sub("", text[slice(*clause)]).strip(" .!?")
