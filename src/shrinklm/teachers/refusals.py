"""Completions cleaned, and the reasons for which one is refused. Pure text in, text and a fixed reason out.

A text is refused only where it shows the fault itself: an explanation that is merely weak is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..core.types import Completion, Example, Prompt, letter

EMPTY = "empty"
CUT = "cut at the token cap"
LOOPS = "repeats itself"
ECHOES = "repeats the prompt"
CONTRADICTS = "contradicts the answer"
ELSEWHERE = "the counterfactual explains another answer"
LONG = "too long"
NO_ANSWER = "no answer"

RETRIED = frozenset({EMPTY, CUT, LOOPS, ECHOES, CONTRADICTS, ELSEWHERE, LONG, NO_ANSWER})
"""Reasons worth a retry with a new seed; any other, such as a prompt that does not fit, comes from the teacher."""

# Reasoning that the token cap ended has no closing tag: then all of it goes, and the text is empty.
_THOUGHT = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_LABEL = re.compile(
    r"[#*_\s]*(?:(?:the|a|my) )?(?:(?:better|improved|revised|new|final) )?"
    r"(?:explanation|revision|critique|reason|reasoning|rationale)[*_]*\s*:[*_]*\s*",
    re.IGNORECASE,
)
# A base model goes on with the pattern of the few-shot examples. "Question:" and "Choices:" are cut off wherever they
# stand; the other words are common in prose, and only count at the start of a line.
_RUN_ON = re.compile(
    r"\s*(?:^|(?<=\s))[*_#]*(?:(?:Question|Choices|Answer choices)\s*\d*[*_]*:"
    r"|(?<=\n)(?:Answer|Explanation|Critique|Revision|Revised explanation|User|Assistant|Human|System|Premise"
    r"|Hypothesis|Passage)[*_]*:)"
)
_BREAK = re.compile(r"[ \t]*\n[ \t]*\n\s*")
_LIST = re.compile(r"\n\s*(?:[-*•–]|\d+[.)]|\(?[a-z]\))\s")
_ENDS = re.compile(r"[.!?…][\"'”’)\]*_]*\Z")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|\Z)")
# Full stops that end no sentence: of abbreviations, initials ("J.") and numbered lists ("1.").
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|mr|mrs|ms|dr|st|vs|etc|no|[a-z]|\d+))\.\Z", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_STATED = re.compile(r"\banswer is\b[^\n]*?(?:[.!?](?=\s|\Z)|\n|\Z)", re.IGNORECASE)
_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("`", "`"))


def clean(text: str, kind: str) -> tuple[str, bool]:
    """Return (the text as it will be used, whether it goes on to the end of the completion).

    Reasoning in <think> tags, labels ("Explanation:"), markup, wrapping quotes, further paragraphs and a next question
    that the model went on to write are removed.
    """
    # Stripped before it is cut to its first paragraph, or a completion that starts with a line break would be empty.
    reply = _THOUGHT.sub("", text, count=1).strip()
    if kind == "label":
        # The sentence that states the answer may stand in a later paragraph, so it is not cut at the first.
        match = _STATED.search(reply)
        body = reply[: match.end()] if match else _before(_RUN_ON, reply)
        return _plain(body), match is None and body == reply
    body = _LABEL.sub("", reply, count=1) if _LABEL.match(reply) else reply
    body = _before(_RUN_ON, body).strip()
    paragraphs = _BREAK.split(body)
    while len(paragraphs) > 1 and (
        paragraphs[0].startswith("#") or (paragraphs[0].endswith(":") and len(paragraphs[0]) < 80)
    ):
        # "Here is a better explanation:" is not the explanation; a longer lead says something itself.
        paragraphs.pop(0)
    paragraph = paragraphs[0]
    bullet = _LIST.search(paragraph)
    if bullet:
        lead = paragraph[: bullet.start()].rstrip()
        # A list after a whole sentence adds detail; one in the middle of a sentence is a part of it.
        if _ENDS.search(lead) or lead.endswith(":"):
            paragraph = paragraph[: bullet.start()]
    return _plain(paragraph), reply.endswith(paragraph)


def assess(
    prompt: Prompt,
    completion: Completion,
    *,
    recorded: bool = False,
    hidden: Sequence[str] = (),
    quoted: str = "",
    answer: str | None = None,
) -> tuple[str, str | None]:
    """Return (the cleaned text, the reason for which it is refused or None).

    Args:
        prompt: The prompt.
        completion: Its completion.
        recorded: The text comes from a table, where only its end tells whether a token cap cut it; it is then trimmed
            to whole sentences.
        hidden: Texts of the prompt that the completion must not repeat: instructions, few-shot examples, the critique.
        quoted: A text that it may repeat although `hidden` holds it: a critique quotes the explanation, and so may a
            revision.
        answer: For `label`, the answer that the task's parser read.
    """
    kind, example = prompt.kind, prompt.example
    if completion.refusal:
        # What was said is kept beside the teacher's own reason, for people to read.
        return clean(completion.text, kind)[0], completion.refusal
    text, to_the_end = clean(completion.text, kind)
    ended = bool(_ENDS.search(text))
    if recorded and text and not ended and kind != "label":
        text = whole_sentences(text) or text
        ended = bool(_ENDS.search(text))
    words = _words(text)
    # "Yes." may be a label, but two words explain nothing.
    if len(words) < (1 if kind == "label" else 3):
        # A completion of nothing but a next question is not empty: the model went on with the prompt's pattern.
        return text, ECHOES if not words and _words(_THOUGHT.sub("", completion.text, count=1)) else EMPTY
    # A label is used for its answer: once that can be read, a fault in the reasons around it costs nothing.
    if kind == "label" and answer is not None:
        return text, None
    # A live teacher says whether the cap cut it, unless more than the text we keep was written.
    if not ended and (recorded or text.endswith(":") or (to_the_end and not completion.finished)):
        return text, CUT
    if _echoes(words, example, hidden, quoted):
        return text, ECHOES
    if _loops(text, words):
        return text, LOOPS
    if kind == "label":
        return text, NO_ANSWER
    # A critique is there to disagree.
    return text, None if kind == "critique" else _disagrees(prompt, text, recorded)


def too_long(text: str, max_words: int | None) -> bool:
    """Whether a text has more words than a step allows. Not part of `assess`: the cap may change between two runs."""
    return max_words is not None and len(text.split()) > max_words


def ended(text: str) -> bool:
    """Whether a text ends where a sentence ends."""
    return bool(_ENDS.search(text))


def whole_sentences(text: str, least: int = 5) -> str:
    """The text up to its last complete sentence; "" when no sentence of `least` words is complete."""
    ends = [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        if not _ABBREVIATION.search(text[: match.end()].rstrip("\"'”’)]"))
    ]
    # One sentence must be long enough to be an explanation: "Yes. It is because the" leaves no such one.
    kept = text[: ends[-1]] if ends else ""
    starts = [0, *ends]
    return kept if any(len(_words(text[a:b])) >= least for a, b in zip(starts, ends, strict=False)) else ""


def _before(pattern: re.Pattern[str], text: str) -> str:
    """The text before the first match, or all of it."""
    match = pattern.search(text)
    return text[: match.start()] if match else text


def _plain(text: str) -> str:
    """One line without markup or wrapping quotes."""
    line = " ".join(text.split()).lstrip("#*->• ").replace("**", "").replace("__", "").replace("`", "")
    if line.count("*") == 1:
        line = line.replace("*", "")
    for opening, closing in _QUOTES:
        inner = line[1:-1]
        wrapped = len(line) > 2 and line[0] == opening and line[-1] == closing
        if wrapped and opening not in inner and closing not in inner:
            line = inner.strip()
    return line


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _loops(text: str, words: list[str]) -> bool:
    """Whether a text repeats itself: a run of words at once, a sentence anywhere, or too few different 4-grams."""
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    if len(set(grams)) == len(grams):
        return False
    for size in range(1, len(words) // 2 + 1):
        # One word may stand three times in a row ("very, very, very"), a phrase twice, half a sentence only once.
        allowed = size * (3 if size == 1 else 2 if size < 8 else 1)
        run = 0
        for before, after in zip(words, words[size:], strict=False):
            run = run + 1 if before == after else 0
            if run >= allowed:
                return True
    # Short sentences ("It does not.") recur in good style. So do single 4-grams: they only tell against a text of 20
    # words or more of whose 4-grams more than three in ten are repetitions.
    sentences = [tuple(_words(sentence)) for sentence in _SENTENCE_END.split(text)]
    long = [sentence for sentence in sentences if len(sentence) >= 4]
    return len(set(long)) < len(long) or (len(words) >= 20 and len(set(grams)) < 0.7 * len(grams))


def _echoes(words: list[str], example: Example, hidden: Iterable[str], quoted: str) -> bool:
    """Whether a text is made of the question's words, or repeats twelve words in a row of a hidden text."""
    question = _words(example.text)
    if len(words) <= len(question) + 4:  # a longer text says more than the question does
        grams = set(zip(question, question[1:], question[2:], strict=False))
        # A word is the question's where three in a row are: single words of it stand in every good explanation.
        covered = [False] * len(words)
        for i, gram in enumerate(zip(words, words[1:], words[2:], strict=False)):
            if gram in grams:
                covered[i : i + 3] = [True] * 3
        if covered.count(False) < 3 and sum(covered) > 4:
            return True
    if not hidden:
        return False
    shingles = _shingles(" ".join(words)) - _shingles(quoted)
    return any(shingles & _shingles(text) for text in hidden)


@lru_cache(maxsize=512)
def _shingles(text: str, size: int = 12) -> frozenset[tuple[str, ...]]:
    """Every `size` words in a row. Cached: the instructions and few-shot examples are the same for every completion."""
    words = _words(text)
    return frozenset(zip(*(words[start:] for start in range(size)), strict=False))


_BE = r"(?:is|are|was|would be)"
_FIT = (
    r"(?:correct|right|best|suitable|appropriate|fitting|logical|plausible|valid|good|accurate|likely|reasonable|proper"
    r"|relevant|sensible)"
)
_ASSERTS = re.compile(
    r"\b(?:(?:(?:correct|right|best|better|actual|true|most (?:suitable|appropriate|likely|logical))"
    r" (?:answer|choice|option)|answer)(?: to the question| here)?"
    r" (?:is|was|would be|should be|must be)(?: actually| indeed| therefore| clearly)?)[\s:]*",
    re.IGNORECASE,
)
_DENIES = re.compile(
    rf"\s(?:{_BE}(?: not|n't)(?: necessarily| really| actually| typically| usually| generally| entirely)?(?: an?| the)?"
    rf"(?: most| very| particularly)? {_FIT}(?:,? (?:or|and) \w+)?"
    r"(?: (?:one|answer|choice|option|fit|location|place)s?\b|(?=\s*[.,;]| for this| to this| in this| here))"
    rf"|{_BE} (?:incorrect|wrong|inappropriate|unsuitable|irrelevant|illogical|inaccurate|implausible)\b"
    r"|do(?:es)?(?: not|n't)(?: really| actually| directly| quite| logically)?"
    r" (?:fit|align|match|make (?:any )?sense|apply|answer the question|correspond))",
    re.IGNORECASE,
)
_PRAISES = re.compile(
    rf"\s(?:{_BE}|seems to be)(?: clearly| actually| indeed| therefore)? (?:an?|the)(?: most| much)?"
    rf" (?:{_FIT}|better|more \w+) (?:answer|choice|option)\b",
    re.IGNORECASE,
)
_THIS = re.compile(
    r"\b(?:this|that|the|the given|the chosen|the selected|the provided) (?:answer|choice|option)\Z", re.IGNORECASE
)
_NONE_FITS = re.compile(
    rf"\bnone of the (?:\w+ )?(?:choices|options|answers)\b[^.]{{0,30}}\b(?:fit|align|match|apply|make sense|{_FIT})",
    re.IGNORECASE,
)


def _disagrees(prompt: Prompt, text: str, recorded: bool) -> str | None:
    """Return the reason when a text argues against the answer that its prompt asked for."""
    example, answer = prompt.example, prompt.answer
    # Only named options can be told from each other by their words; a free answer may be phrased in many ways.
    if not example.choices or not answer:
        return None
    reason = ELSEWHERE if prompt.kind == "counterfactual" else CONTRADICTS
    # One form of apostrophe, so that "isn’t" matches and options are found however a model typesets them.
    lowered = text.lower().replace("’", "'")
    options = sorted({choice.lower().replace("’", "'") for choice in example.choices}, key=len, reverse=True)
    wanted, gold = answer.lower().replace("’", "'"), example.answer.lower().replace("’", "'")
    # The letters of a recording may be those of another order of the options.
    letters = {} if recorded else {letter(index): choice.lower() for index, choice in enumerate(example.choices)}
    for match in _ASSERTS.finditer(lowered):
        stated = _at_start(lowered[match.end() :], options, letters)
        if stated is not None and stated != wanted:
            return reason
    for match in _DENIES.finditer(lowered):
        # "This choice" is the option named last, within about two sentences; with none there, the one asked for.
        before = lowered[: match.start()]
        if _at_end(before, options) == wanted or (
            _THIS.search(before) and _last_named(before[-160:], options) in (wanted, None)
        ):
            return reason
    # Asked to argue for a wrong option, a model may praise the right one all the same, or reject them all.
    if prompt.kind == "counterfactual":
        if any(_at_end(lowered[: match.start()], options) == gold for match in _PRAISES.finditer(lowered)):
            return reason
        if _NONE_FITS.search(lowered):
            return reason
    return None


def _at_start(text: str, options: Sequence[str], letters: dict[str, str]) -> str | None:
    """The option that `text` starts with; `options` are longest first, so "tree house" is not "tree"."""
    named = re.match(r"[\"'“‘*]*\(([a-z])\)[\s:]*", text)
    if named and named[1] in letters:
        return letters[named[1]]
    text = text[named.end() :] if named else text
    for start in (
        text.lstrip("\"'“‘*"),
        re.sub(r"\A[\"'“‘*]*(?:an?|the) [\"'“‘*]*", "", text),
    ):  # an option may begin with an article itself
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
    text = text.rstrip(" \"'”’*)")
    for option in options:
        if text.endswith(option) and not text[: -len(option)][-1:].isalnum():
            return option
    return None
