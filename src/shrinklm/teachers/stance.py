"""Whether a text argues against the answer that its prompt asked for, by what it says itself.

It does where it states, praises or picks another option, where it denies its own, and, asked about a wrong option,
where it never names that and answers the question with the right one. Sarcasm and paraphrases are not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..core.sentences import sentences
from ..core.types import Example, letter
from ..core.words import words
from ..tasks.answers import parse_answer, stated_option
from ..tasks.literal import STATEMENT
from ..tasks.spelling import canonical, plain

_BE = r"(?:is|are|was|were|would be)"
_FIT = (
    r"(?:correct|right|best|suitable|appropriate|fitting|logical|plausible|valid|good|accurate|likely|reasonable|proper"
    r"|relevant|sensible)"
)
_ASSERTS = re.compile(
    r"\b(?:(?:(?:correct|right|best|better|actual|true|most (?:suitable|appropriate|likely|logical))"
    r" (?:answer|choice|option)|answer)(?: to the question| here)?"
    r" (?:is|was|would be|should be|must be)(?: actually| indeed| therefore| clearly)?"
    r"|\bi(?:'d|'ll| would| will)? (?:choose|pick|select|go with|opt for|vote for|answer with))[\s:]*",
    re.IGNORECASE,
)
# One of them stands in all that asserts an answer; none has an "i", of which `re` knows a dotless spelling.
_ASSERTING = ("answer", "cho", "opt", "ck", "select", "go w", "vote")
_DENIES = re.compile(
    rf"\s(?:{_BE}(?: not|n't)(?: necessarily| really| actually| typically| usually| generally| entirely)?(?: an?| the)?"
    rf"(?: most| very| particularly)? {_FIT}(?:,? (?:or|and) \w+)?"
    r"(?: (?:one|answer|choice|option|fit|location|place)s?\b|(?=\s*[.,;]| for this| to this| in this| here))"
    rf"|{_BE} (?:incorrect|wrong|inappropriate|unsuitable|irrelevant|illogical|inaccurate|implausible)\b"
    r"|do(?:es)?(?: not|n't)(?: really| actually| directly| quite| logically)?"
    r" (?:fit|align|match|make (?:any )?sense|apply|answer the question|correspond))",
    re.IGNORECASE,
)
_DENIES_OUTRIGHT = re.compile(rf"{_BE} (?:incorrect|wrong)\b|(?:not|n't)(?: the)? (?:correct|right)\b", re.IGNORECASE)
_PRAISES = re.compile(
    rf"\s(?:(?:{_BE}|seems to be|has to be|must be|should be)(?: clearly| actually| indeed| therefore| definitely)?"
    rf" (?:(?:an?|the)(?: most| much| only)? (?:{_FIT}|better|more \w+) (?:answer|choice|option)\b"
    r"|the (?!wrong|worst|last|incorrect|least|other|first|second|third)\w+ (?:answer|choice|option)\b|the answer\b"
    r"|(?:correct|right|better|best)(?=\s*(?:[.,;!]|\Z)|\s(?:than|here|because|since)\b))"
    r"|makes? (?:the most|more) sense\b|fits? (?:better|best)\b)",
    re.IGNORECASE,
)
# Of another option than the gold one a text may grant that it is "a good choice".
_PREFERS = re.compile(r"\b(?:the|better|best|more|correct|right)\b", re.IGNORECASE)
_THIS = re.compile(
    r"\b(?:this|that|the|the given|the chosen|the selected|the provided) (?:answer|choice|option)\Z", re.IGNORECASE
)
_STATES_NOT = re.compile(
    r"\b(?:answer|option|choice) (?:is not|isn't|isn’t|cannot be|can't be|was not)\b", re.IGNORECASE
)
_NO = re.compile(r"\b(?:not|no|never)\b|n't\b")
_NONE_FITS = re.compile(
    rf"\bnone of the (?:\w+ )?(?:choices|options|answers)\b[^.]{{0,30}}\b(?:fit|align|match|apply|make sense|{_FIT})",
    re.IGNORECASE,
)
# Said of somebody else's answer, or of another question: "you might think the answer is zoo".
_SUPPOSED = re.compile(
    r"\b(?:if|unless|whether|(?:might|may|could|would|can) (?:\w+ )?(?:think|say|assume|guess|believe|argue|seem)"
    r"|(?:people|some|many|others|students?) (?:\w+ )?(?:think|say|assume|guess|believe|answer)|(?:you|we) thought"
    r"|seems? (?:like|as if|that)|at first|tempt\w+|chance)\b[^.!?]*\Z",
    re.IGNORECASE,
)
# "While a zoo is the best choice for animals, ...": granted, with nothing between.
_GRANTED = re.compile(r"\b(?:while|although|though|not)\b[^.!?,;]*\Z", re.IGNORECASE)
# "Where is one not likely to ...?" asks for what does not fit; "a shark that is not alive" does not.
_NEGATED = re.compile(
    r"\b(?:what|which|where|who|whom|whose|when|why|how)\b(?:(?!\b(?:that|who|whom|which|if|when|because|while)\b)"
    r"[^,;.?!])*?(?:\b(?:not|never|cannot|unlikely|least|except|avoid|hardly|rarely|worst|improbable|impossible"
    r"|lacks?|unsuitable|inappropriate|wrong|false|incorrect)\b|n't\b)"
    r"|(?:\b(?:not|never|cannot|hardly|rarely|unlikely|except)\b|n't\b)[^,;.?!]{0,30}\b(?:what|where|whom?|which)\W*\Z",
    re.IGNORECASE,
)
# "B, because ...", "(b) is right": a letter that stands for the answer, not one that counts reasons.
_BEGINS_WITH_LETTER = re.compile(
    r"\W*(?:option\s+|choice\s+)?[(\[{]?[A-Za-z][)\]}]*(?:[.,:;!]*\s*\Z|,|\s+(?:because|since|as|is|fits|makes)\b)",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"\W*(?:(?:so|thus|hence|therefore|and|then)\b[, ]*)?(?:the )?(?:(?:final|correct|right|best) )*"
    r"(?:answer|option|choice)(?: (?:is|would be|must be|should be)|\s*:)\s*:?\s*(.+)",
    re.IGNORECASE | re.DOTALL,
)
COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an the is are was were be been do does did to of in on at for and or not with by as from that this it its"
        " what which where who whom whose when why how would could should can will may might if you your he his she her"
        " they their one someone people person likely find found have has had get got some any there more most other"
        " into than but so something things thing place because",
    )
)
"""Words that say little of a question."""


def argues_elsewhere(text: str, example: Example, answer: str, counterfactual: bool) -> bool:
    """Whether a text argues against `answer`, or for another option than it.

    Args:
        text: The text, with the letters of the options as shown.
        example: The question.
        answer: The option that the text must support; "" or a question without options: False.
        counterfactual: The option is a wrong one.
    """
    # Only named options can be told from each other by their words; a free answer may be phrased in many ways.
    if not example.choices or not answer:
        return False
    # One spelling of apostrophes and quotes, in which options are found however a model typesets them.
    lowered = plain(text).lower()
    options = sorted({plain(choice).lower() for choice in example.choices}, key=len, reverse=True)
    wanted, gold = plain(answer).lower(), plain(example.answer).lower()
    if _states_another(text, lowered, options, example, answer) or _denies(lowered, options, example, wanted):
        return True
    # "A zoo is a good choice, but ..." grants something; only of the gold option it is praise enough.
    for match in _PRAISES.finditer(lowered):
        named = _at_end(lowered[: match.start()], options)
        praised = (counterfactual and named == gold) or (named not in (None, wanted) and _PREFERS.search(match[0]))
        before = lowered[: match.start()]
        if praised and not (_SUPPOSED.search(before) or _GRANTED.search(before)):
            return True
    # Asked to argue for a wrong option, a model may reject them all, or answer the question all the same.
    return counterfactual and (bool(_NONE_FITS.search(lowered)) or _answers_with_gold(lowered, example, wanted))


def states_only(text: str, example: Example) -> bool:
    """Whether a sentence does nothing but state an answer: "So the answer is (b) zoo"."""
    match = _STATEMENT.fullmatch(text.strip())
    if match is None:
        return False
    said = re.sub(r"\A[(\[]?([a-z])[)\]:.]+\s*(?=\S)", "", canonical(match[1]))
    return bool(re.fullmatch(r"[(\[]?[a-z][)\]]?", said)) or said in {
        canonical(choice) for choice in (*example.choices, example.answer)
    }


def _states_another(text: str, lowered: str, options: Sequence[str], example: Example, answer: str) -> bool:
    wanted = plain(answer).lower()
    letters = {letter(index): plain(choice).lower() for index, choice in enumerate(example.choices)}
    for match in _ASSERTS.finditer(lowered) if any(part in lowered for part in _ASSERTING) else ():
        stated = _at_start(lowered[match.end() :], options, letters)
        supposed = _SUPPOSED.search(lowered, 0, match.start()) or re.match(r"[^.!?]* if\b", lowered[match.end() :])
        if stated is not None and stated != wanted and not supposed:
            return True
    parts = sentences(text)
    for part in parts:
        stated = stated_option(part, example)
        if stated is None or canonical(stated) == canonical(answer):
            continue
        statement = STATEMENT.search(part)
        before = part[: statement.start()] if statement else ""
        supposed = _SUPPOSED.search(before) or re.search(r"\bif\b", part[len(before) :])
        # "The answer is not A: ocean" denies the ocean, whatever its letter.
        if not (supposed or _STATES_NOT.search(part)):
            return True
    begun = parse_answer(parts[0], example) if parts and _BEGINS_WITH_LETTER.match(parts[0]) else None
    # "(b) zoo. Lions live there."
    if begun is None and parts and re.match(r"\W*\(?[a-z][).:]", lowered):
        option = _at_start(re.sub(r"\A\W*\(?([a-z])[).:]+\s*", r"", lowered), options, {})
        end = lowered.find(option) + len(option) if option else 0
        begun = option if option and re.match(r"[\"'*]*\s*(?:[.,;!]|\Z|because\b|since\b)", lowered[end:]) else None
    return begun is not None and canonical(begun) != canonical(answer)


def _denies(lowered: str, options: Sequence[str], example: Example, wanted: str) -> bool:
    question = " ".join((*example.fields.values(), example.question))
    for match in _DENIES.finditer(lowered):
        # "This choice" is the option named last, within about two sentences; with none there, the one asked for.
        before = lowered[: match.start()]
        this = bool(_THIS.search(before))
        # Where the question asks for what is not likely, "a zoo is not a likely place" supports the zoo.
        if not (this and _DENIES_OUTRIGHT.search(match[0])) and _NEGATED.search(question):
            continue
        if _at_end(before, options) == wanted or (this and _last_named(before[-160:], options) in (wanted, None)):
            return True
    return False


def _answers_with_gold(lowered: str, example: Example, wanted: str) -> bool:
    """Whether a text never names the wrong option, and one sentence says what the question asks with the gold one."""
    right = words(example.answer)
    own = {word for word in words(wanted) if word not in COMMON} - set(right)
    said = words(lowered)
    # By the first letters: "melting" speaks of "melted".
    if not own or any(other.startswith(word[:4]) for word in own for other in said):
        return False
    asked = {word for word in words(example.question) if word not in COMMON} - set(right)
    return any(
        " ".join(right) in " ".join(found := words(sentence))
        and not _NO.search(sentence)
        and len(asked.intersection(found)) >= max(2, 0.6 * len(asked))
        for sentence in sentences(lowered)
    )


def _at_start(text: str, options: Sequence[str], letters: dict[str, str]) -> str | None:
    """The option that `text` starts with; `options` are longest first, so "tree house" is not "tree"."""
    bare = r"[\"'*]*([b-z])(?=[.,;!?)\"'*]|\s*\Z)[\"'*]*"
    named = re.match(r"[\"'*]*\(([a-z])\)[\s:]*", text) or re.match(bare, text)
    if named and named[1] in letters:
        return letters[named[1]]
    text = text[named.end() :] if named else text
    for start in (text.lstrip("\"'*"), re.sub(r"\A[\"'*]*(?:an?|the) [\"'*]*", "", text)):
        # An option may begin with an article itself.
        for option in options:
            if start.startswith(option) and not start[len(option) : len(option) + 1].isalnum():
                return option
    return None


def _last_named(text: str, options: Sequence[str]) -> str | None:
    """The option named last in `text`, which "this choice" refers to; "" for a letter without its option's words."""
    mentions = [(match.end(), "") for match in re.finditer(r"\([a-z]\)", text)]
    mentions += [(text.rfind(option) + len(option), option) for option in reversed(options) if option in text]
    return max(mentions)[1] if mentions else None


def _at_end(text: str, options: Sequence[str]) -> str | None:
    """The option that `text` ends with; `options` are longest first."""
    text = text.rstrip(" \"'*)")
    for option in options:
        if text.endswith(option) and not text[: -len(option)][-1:].isalnum():
            return option
    return None
