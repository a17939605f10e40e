"""The reasons for which a completion is refused. Pure text in, text and a fixed reason out.

A text is refused only where it shows the fault itself: an explanation that is merely weak is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

from ..core.sentences import sentence_spans, sentences
from ..core.types import Completion, Example, Prompt
from ..core.words import pieces, words
from ..tasks.reasoning import reasoning
from ..tasks.spelling import canonical
from .cleaning import clean, goes_on
from .endings import cut_off, ended, whole_sentences
from .replies import ASKS, DECLINES, ITSELF, explains_nothing
from .stance import COMMON, argues_elsewhere, states_only

EMPTY = "empty"
CUT = "cut at the token cap"
LOOPS = "repeats itself"
ECHOES = "repeats the prompt"
CONTRADICTS = "contradicts the answer"
ELSEWHERE = "the counterfactual explains another answer"
LONG = "too long"
NO_ANSWER = "no answer"
WRONG = "ends in another answer"
NO_REASONS = "gives no reasons"

RETRIED = frozenset(
    {EMPTY, CUT, LOOPS, ECHOES, CONTRADICTS, ELSEWHERE, DECLINES, ITSELF, ASKS, LONG, NO_ANSWER, WRONG, NO_REASONS}
)
"""Reasons worth a retry with a new seed; any other, such as a prompt that does not fit, comes from the teacher."""


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
        recorded: The text comes from a table: it is trimmed to whole sentences where it was cut. Unless the recording
            says so (`completion.finished`), its words tell whether it was.
        hidden: Texts of the prompt that the completion must not repeat: instructions, few-shot examples, the critique.
        quoted: A text that it may repeat although `hidden` holds it: a critique quotes the explanation, and so may a
            revision.
        answer: For `label` and `trace`, the answer that the task's parser read.
    """
    kind, example = prompt.kind, prompt.example
    if completion.refusal:
        # What was said is kept beside the teacher's own reason, for people to read.
        return clean(completion.text, kind)[0], completion.refusal
    text, to_the_end = clean(completion.text, kind)
    own = kind in ("label", "trace")
    argues = not own and kind != "critique"  # a critique is there to disagree
    # Before anything is trimmed: the last sentence is the one that states an answer.
    elsewhere = argues and argues_elsewhere(text, example, prompt.answer, kind == "counterfactual")
    cut = False
    if recorded and text and not own:
        text, cut = _trimmed(text, completion.finished, example)
    said = words(text)
    # "Yes." may be a label, but two words explain nothing.
    if len(said) < (1 if own else 3):
        # A completion of nothing but a next question is not empty: the model went on with the prompt's pattern.
        return text, ECHOES if not said and goes_on(completion.text) else EMPTY
    # A label is used for its answer: once that can be read, a fault in the reasons around it costs nothing.
    if kind == "label" and answer is not None:
        return text, None
    # Whoever recorded reasoning without an answer has chosen it, or has not: nothing here can tell.
    if kind == "trace" and (answer is not None or recorded):
        return text, _trace_fault(text, said, completion, example, recorded)
    # Of these all that counts is whether an answer can be read.
    if not own and (nothing := explains_nothing(text, example)):
        return text, nothing
    # A live teacher says whether the cap cut it, unless more than the text we keep was written.
    unfinished = to_the_end and completion.finished is False
    if cut or (not recorded and not ended(text) and (text.endswith(":") or unfinished)):
        return text, CUT
    if elsewhere:
        return text, ELSEWHERE if kind == "counterfactual" else CONTRADICTS
    if _echoes(text, said, prompt, hidden, quoted):
        return text, ECHOES
    if _loops(text, said):
        return text, LOOPS
    return text, NO_ANSWER if own else None


def refused_alone(example: Example, kind: str, answer: str, text: str) -> str | None:
    """The reason for which a stored text would be refused by its words alone, without its prompt; else None."""
    return assess(Prompt((), example, kind, answer), Completion(text, finished=True))[1]


def too_long(text: str, max_words: int | None) -> bool:
    """Whether a text has more words than a step allows. Not part of `assess`: the cap may change between two runs."""
    return max_words is not None and len(pieces(text)) > max_words


def _trimmed(text: str, finished: bool | None, example: Example) -> tuple[str, bool]:
    """(a recorded text without what was cut off, whether nothing whole is left of it)."""
    if ended(text):
        return text, False
    # "Fish swim. The answer is C": the reason before the statement is whole, however short.
    spans = sentence_spans(text)
    whole = text[: spans[-1][1]] if spans else ""
    if states_only(text[len(whole) :], example):
        return whole, False
    if finished:
        return text, False
    # Who ends the other sentences with a full stop would have ended the last one, too.
    kept = whole_sentences(text)
    return kept or text, not kept and (finished is False or cut_off(text))


def _trace_fault(text: str, said: list[str], completion: Completion, example: Example, recorded: bool) -> str | None:
    # An answer that is weighed on the way may be read of a text that never came to one.
    if completion.finished is False:
        return CUT
    if _loops(text, said):
        return LOOPS
    # A live teacher can be asked again; a recording says what it says.
    return NO_REASONS if not recorded and _bare(reasoning(text, completion.thoughts), example) else None


def _bare(reasons: str, example: Example) -> bool:
    """Whether nothing is said before the answer, or the answer alone."""
    said = canonical(reasons)
    return not said or states_only(reasons, example) or said in map(canonical, (*example.choices, example.answer))


def _loops(text: str, said: list[str]) -> bool:
    """Whether a text repeats itself: a run of words at once, a sentence anywhere, or too few different 4-grams."""
    grams = list(zip(said, said[1:], said[2:], said[3:], strict=False))
    different = len(set(grams))
    if different == len(grams):
        return False
    # Whatever is allowed once, but a single word, holds a 4-gram: only distances of equal ones are worth a look.
    at: dict[tuple[str, ...], list[int]] = {}
    for place, gram in enumerate(grams):
        at.setdefault(gram, []).append(place)
    sizes = {1} | {later - place for places in at.values() for place, later in combinations(places, 2)}
    for size in sorted(size for size in sizes if size <= len(said) // 2):
        # One word may stand three times in a row ("very, very, very"), a phrase twice, half a sentence only once.
        allowed = size * (3 if size == 1 else 2 if size < 8 else 1)
        run = 0
        for before, after in zip(said, said[size:], strict=False):
            run = run + 1 if before == after else 0
            if run >= allowed:
                return True
    # Short sentences ("It does not.") recur in good style. So do single 4-grams: they only tell against a text of 20
    # words or more of whose 4-grams more than three in ten are repetitions.
    parts = [tuple(words(sentence)) for sentence in sentences(text)]
    long = [part for part in parts if len(part) >= 4]
    return len(set(long)) < len(long) or (len(said) >= 20 and different < 0.7 * len(grams))


def _echoes(text: str, said: list[str], prompt: Prompt, hidden: Iterable[str], quoted: str) -> bool:
    """Whether a text is made of the question's words, or repeats twelve words in a row of a hidden text."""
    question = words(prompt.example.text)
    if len(said) <= len(question) + 4:  # a longer text says more than the question does
        grams = set(zip(question, question[1:], question[2:], strict=False))
        # A word is the question's where three in a row are: single words of it stand in every good explanation.
        covered = [False] * len(said)
        for i, gram in enumerate(zip(said, said[1:], said[2:], strict=False)):
            if gram in grams:
                covered[i : i + 3] = [True] * 3
        if covered.count(False) < 3 and sum(covered) > 4 and not _restates(text, said, prompt):
            return True
    if not hidden:
        return False
    size = 12 if len(said) < 2 * len(text.split()) else 24  # of characters, where a script has no blanks
    shingles = _shingles(" ".join(said), size) - _shingles(quoted, size)
    return any(shingles & _shingles(other, size) for other in hidden)


def _restates(text: str, said: list[str], prompt: Prompt) -> bool:
    """Whether a text says the question over as a statement that answers it: "You find a heel on a boot."."""
    example = prompt.example
    asked = words(" ".join((*example.fields.values(), example.question)))
    own = words(prompt.answer)
    others = [words(choice) for choice in example.choices if choice != prompt.answer]
    if text.rstrip("\"'”’) ").endswith("?") or any(
        _within(other, said) and not _within(other, [*asked, *own]) for other in others
    ):
        return False
    # An answer in other words is one too: "A garage is a type of structure.".
    new = set(said) - set(asked) - COMMON
    return (_within(own, said) and not _within(own, asked)) or any(len(word) > 3 for word in new)


def _within(part: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether words stand in a row in others."""
    return bool(part) and any(part == whole[at : at + len(part)] for at in range(len(whole) - len(part) + 1))


@lru_cache(maxsize=512)
def _shingles(text: str, size: int) -> frozenset[tuple[str, ...]]:
    """Every `size` words in a row. Cached: the instructions and few-shot examples are the same for every completion."""
    said = words(text)
    return frozenset(zip(*(said[start:] for start in range(size)), strict=False))
