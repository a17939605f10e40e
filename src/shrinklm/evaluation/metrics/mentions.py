"""Which options a text names, which of them it sets aside, and which one it argues for, by rules on its words.

A sentence is read clause by clause. "A zoo is not where money is kept", "rather than a zoo", "other options such as a
zoo" and "while a zoo has animals, ..." set the zoo aside; an option named in any other way is affirmed. A plural or a
hyphen does not make another option, so this reads more leniently than `explanations.named`. Sarcasm, pronouns and
paraphrased options are not recognised.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ...core.names import compiled, folded, joins_of, whole
from ...core.types import Example
from ...core.words import END, simple
from ...tasks.answers import stated_option
from .explanations import spell

BARE = frozenset({"yes", "no", "true", "false"})
"""Options that stand in any text: they count only after "the answer is"."""
_MASK = "\ue000"
"""Replaces each letter of an option while its clause is read: an option may hold a cue, such as "not knowing"."""
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|mr|mrs|ms|dr|st|vs|etc|[a-z])\Z", re.IGNORECASE)
# "such as" is left out: it opens an enumeration, which belongs to its clause.
_CUT = re.compile(
    r"[;:(),、،؛]|\s[–—-]\s|\b(?:but|however|while|whereas|although|though|because|since|(?<!such )as|so|if|when|where"
    r"|which|who|and thus|therefore)\b"
)
_CONCEDES = re.compile(r"(?:even )?(?:although|though)\b")
_OPENS = re.compile(r"\W*(?:and |but |however,? )?(?:while|whereas|unlike)\b")
# "not only", "not just": what follows is affirmed.
_MORE = r"(?!\s+(?:only|just|merely|simply|surprising))"
_AFTER = re.compile(
    rf"\bnot\b{_MORE}|\b(?:nor|neither|unlike|than|instead of|opposed to|compared (?:to|with)|other than|except|without"
    r"|differ\w* from|(?:other|remaining|alternative) (?:\w+ )?(?:options?|choices?|answers?"
    r"|alternatives|possibilities|places|locations))\b"
)
"""Cues that set aside the options that follow them in the clause."""
_AROUND = re.compile(
    rf"\b\w+n't\b{_MORE}|\bcannot\b{_MORE}"
    r"|\b(?:is|are|was|were|be|do|does|did|can|could|would|will|should|may|might|must|has|have|had)"
    rf"(?: \w+ly)? not\b{_MORE}|\b(?:never|no(?! doubt| wonder| less| other| matter)|nothing|unlikely"
    r"|less|incorrect|wrong|irrelevant|unsuitable|inappropriate|unrelated|illogical|implausible|inaccurate|impossible|unnecessary"
    r"|insufficient|lacks?|fails? to)\b"
)
"""Cues that set aside the options before them in the clause; where there are none, those after them."""
_LETTER = re.compile(r"\([a-z]\)")
_FILLER = re.compile(
    rf"[{_MASK}\s\"'“”,]"
    r"|\b(?:an?|the|or|and|both|either|any|other|options?|choices?|such as|such|like|in|on|at|of|to)\b"
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
    """Whether it is denied, conceded or contrasted."""
    best: bool = False
    """Whether it is called the best, right, only ... answer."""


def sentences(text: str) -> list[str]:
    """The sentences of a text; a full stop after an initial or "e.g." ends none."""
    return [sentence for start, end in _spans(text) if (sentence := text[start:end].strip())]


def mentions(text: str, options: Sequence[str]) -> Sequence[Mention]:
    """Every mention of an option in `text`, from left to right."""
    return _mentions(text, tuple(options))


@lru_cache(maxsize=512)  # several metrics ask about one text
def _mentions(text: str, options: tuple[str, ...]) -> tuple[Mention, ...]:
    text = folded(text)
    named = _places(text, options)
    if not named:
        return ()
    # A letter in brackets belongs to the option beside it: it must not part the clause as other brackets do.
    masked = _LETTER.sub("   ", text)
    for start, end, _ in named:
        masked = masked[:start] + _MASK * (end - start) + masked[end:]
    aside: set[int] = set()
    for start, end in _spans(masked):
        aside |= _Sentence(masked, start, end, [first for first, _, _ in named if start <= first < end]).aside()
    return tuple(Mention(option, start, start in aside, bool(_BEST.match(masked, end))) for start, end, option in named)


def supported(text: str, example: Example) -> str | None:
    """The option that a text argues for: stated as the answer, else called the best, else affirmed most often or first.

    An option that the question itself names counts only where no other is affirmed. None when the text names no option,
    or sets aside all that it names. Spelled as in the example's choices.
    """
    if not example.choices:
        return None
    stated = stated_option(text, example)
    if stated is not None:
        return stated
    affirmed = [mention for mention in mentions(text, example.choices) if not mention.aside]
    # Of several options that are called the best, the last one stands: it is the conclusion.
    counts = Counter(mention.option for mention in [mention for mention in affirmed if mention.best][-1:] or affirmed)
    question = " ".join((*example.fields.values(), example.question))
    in_question = {mention.option for mention in mentions(question, example.choices)}
    # Of options affirmed equally often the first one named stands: `Counter` keeps their order, and `max` the first.
    best = max(counts, key=lambda option: (option not in in_question, counts[option]), default=None)
    return next((choice for choice in example.choices if spell(choice) == best), None)


def _places(text: str, options: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """(start, end, `spell(option)`) of the options named in a folded text, plurals and joined words too."""
    # Most options are not there at all, and each takes time to compile.
    possible = tuple(sorted({spelling for option in options if _occurs(spelling := spell(option), text)} - {"", *BARE}))
    pattern, spellings = _pattern(possible, joins_of(text), simple(text)) if possible else (None, [])
    matches = pattern.finditer(text) if pattern else ()
    return [(match.start(), match.end(), spellings[int((match.lastgroup or "")[1:])]) for match in matches]


@lru_cache(maxsize=4096)
def _pattern(options: tuple[str, ...], joins: str, by_re: bool) -> tuple[Any, list[str]]:
    """(a pattern with a group "o0", "o1", ... for each of the spelled options; these in that order)."""
    # The longest first, since an alternation takes the first that fits: "bank account" before "bank".
    spellings = sorted(options, key=lambda text: (-len(text), text))
    groups = (f"(?P<o{index}>{whole(option, _inflected(option), joins)})" for index, option in enumerate(spellings))
    return compiled(rf"(?<!-)(?:{'|'.join(groups)})", by_re), spellings


def _occurs(option: str, text: str) -> bool:
    """Whether the letters that every form of an option has (`_inflected`) stand in a text."""
    *words, last = option.split() or [""]
    stem = last[:-3] if last.endswith("ies") else last[:-1] if last.endswith(("s", "y")) else last
    return stem in text and all(word in text for word in words)


def _inflected(option: str) -> str:
    """A pattern for an option with or without the plural of its last word, its words apart, joined or hyphenated."""
    # Of short words such as "bus" and "gas" a last s is no plural.
    body = r"[\s-]*".join(re.escape(word) for word in option.split())
    if len(option) > 3 and option.endswith("ies"):
        return body[:-3] + "(?:y|ies)"
    if len(option) > 3 and option[-1] == "y" and option[-2] not in "aeiou":
        return body[:-1] + "(?:y|ies)(?:'s)?"
    if len(option) > 3 and option[-1] == "s" and option[-2] != "s":
        return body + "?"
    return body + "(?:e?s)?(?:'s)?"


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence; one that ends in an initial or "e.g." goes on."""
    start = 0
    for match in END.finditer(text):
        # No abbreviation holds a blank, so the last word is all there is to search.
        last = max(start, text.rfind(" ", start, match.start()))
        if not _ABBREVIATION.search(text[last : match.start()]):
            yield start, match.end()
            start = match.end()
    yield start, len(text)


@dataclass(frozen=True)
class _Sentence:
    """One sentence of a masked text, and the positions at which it names options."""

    text: str
    start: int
    end: int
    named: Sequence[int]

    def aside(self) -> set[int]:
        """The positions, of those in `named`, that the sentence sets aside."""
        if not self.named:
            return set()
        clauses = self._clauses()
        inside = [[position for position in self.named if first <= position < last] for first, last in clauses]
        aside: set[int] = set()
        for index in range(len(clauses)):
            aside.update(self._by_cues(clauses, inside, index))
        self._share(clauses, inside, aside)
        return aside

    def _by_cues(self, clauses: list[tuple[int, int]], inside: list[list[int]], index: int) -> set[int]:
        """The positions that the cues of one clause set aside."""
        first, last = clauses[index]
        clause, own = self.text[first:last], inside[index]
        aside: set[int] = set()
        conceded = _CONCEDES.match(clause.lstrip())
        if conceded or (index == 0 and len(clauses) > 1 and _OPENS.match(clause)):
            aside.update(own)
        # "Zoo: it is not where ...": a heading is what the rest of the sentence is about.
        heading = self.text[last : last + 1] in (":", "-", "–") and _lists(self.text, clauses[index])
        if own and heading and _AROUND.search(self.text, last, self.end):
            aside.update(own)
        for cue in _AROUND.finditer(clause):
            # "A zoo does not hold money" denies what stands before; "It is not a zoo" has only what follows.
            before = [position for position in own if position < first + cue.start()]
            aside.update(before or [position for position in own if position > first + cue.start()])
        for cue in _AFTER.finditer(clause):
            following = [position for position in own if position > first + cue.start()]
            # "the other options (zoo, river)"
            if not following and index + 1 < len(clauses) and _lists(self.text, clauses[index + 1]):
                following = inside[index + 1]
            aside.update(following)
        return aside

    def _share(self, clauses: list[tuple[int, int]], inside: list[list[int]], aside: set[int]) -> None:
        """Set aside all of an enumeration when one end of it is: its commas make a clause of each member."""
        # "zoos, rivers and ovens are not ...": the cue follows the last member, so that the list is read from its end.
        for index in reversed(range(len(clauses) - 1)):
            joined = _JOINS.match(self.text[slice(*clauses[index + 1])].lstrip(", "))
            if _lists(self.text, clauses[index]) and joined and aside & set(inside[index + 1]):
                aside.update(inside[index])
        # "not zoos, rivers or ovens": the cue comes before the first member.
        for index in range(1, len(clauses)):
            previous = inside[index - 1]
            if _lists(self.text, clauses[index]) and inside[index] and previous and previous[-1] in aside:
                aside.update(inside[index])

    def _clauses(self) -> list[tuple[int, int]]:
        """(start, end) of each clause. A conjunction at the very beginning of the sentence parts nothing."""
        first = self.end - len(self.text[self.start : self.end].lstrip(" \"'“"))
        cuts = (match.start() for match in _CUT.finditer(self.text, first, self.end))
        return list(pairwise([self.start, *(cut for cut in cuts if cut > first), self.end]))


def _lists(text: str, clause: tuple[int, int]) -> bool:
    """Whether a clause is nothing but options."""
    return not _FILLER.sub("", text[slice(*clause)]).strip(" .!?")
