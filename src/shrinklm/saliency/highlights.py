"""The words of a question that a person marked, and how well the words that moved a model match them.

Pure functions, no torch.

A highlight (`Example.meta["highlight"]`) is a string copied from the question, not a place in it: lower-case, blanks
changed, first or last letters lost, fragments run together. It is located by its letters. People could mark the
question only, so that words of the options count neither for nor against a marking.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from ..core.marking import Keep, Marking, best_indices, words
from ..core.types import Example
from ..stats.ranking import average_precision

EMPTY = "highlight is empty"
NOT_FOUND = "highlight is not in the question"
NOTHING = "highlight marks no content word"
EVERYTHING = "highlight marks every content word"
MISSING = "no highlight"

_SHORTEST = 3
"""Letters of a fragment: what is shorter may stand in the question by chance."""


def human_words(example: Example) -> frozenset[str] | str:
    """The content words of the question, in lower case, that a person marked; or why there is nothing to compare with.

    A word counts as marked when the highlight covers at least half of its letters. A highlight of none or of all
    content words cannot tell markings apart, so it is none. A word that stands twice is one word.
    """
    text = example.meta.get("highlight")
    if text is None:
        return MISSING
    question = [word for word in words(example) if word.part == "question" and word.content]
    # `locate_highlight` counts characters from the beginning of the question, words from that of the whole text.
    start = next((start for part, start, _ in example.parts if part == "question"), 0)
    runs = locate_highlight(str(text), example.question)
    if isinstance(runs, str):
        return runs
    covered = {start + index for run in runs for index in run}
    content = {word.text.lower() for word in question}
    # Half of its letters are enough, since copied highlights lose first or last letters.
    marked = frozenset(
        word.text.lower()
        for word in question
        if 2 * sum(index in covered for index in range(word.start, word.end)) >= word.end - word.start
    )
    if not marked:
        return NOTHING
    return EVERYTHING if marked == content else marked


def locate_highlight(highlight: str, question: str) -> list[range] | str:
    """The characters of a question that a highlight covers, one range a fragment; or a reason why there are none.

    A highlight that stands there whole is one fragment; else fragments are the longest common pieces, in any order.
    Letters and digits alone are compared, without case and accents; where there is a choice, whole words win, then the
    first position. A highlight with less than half of its letters in the question is not found.
    """
    wanted = "".join(letter for letter, _ in _letters(highlight))
    if not wanted:
        return EMPTY
    spelled = list(_letters(question))
    letters = "".join(letter for letter, _ in spelled)
    characters = [index for _, index in spelled]
    # A word begins or ends where something that is no letter stands between two letters.
    edges = {0, len(characters)}
    edges |= {i for i in range(1, len(characters)) if characters[i] - characters[i - 1] > 1}
    runs = [_best(letters, piece, edges) for piece in _pieces(wanted, letters)]
    # With less than half of its letters there, the highlight is taken to belong to another question.
    if 2 * sum(map(len, runs)) < len(wanted):
        return NOT_FOUND
    return [range(characters[run[0]], characters[run[-1]] + 1) for run in runs]


def _letters(text: str) -> Iterator[tuple[str, int]]:
    """(letter or digit, its character in `text`), without case and accents."""
    for index, character in enumerate(text):
        folded = unicodedata.normalize("NFKD", character.casefold())
        yield from ((letter, index) for letter in folded if letter.isalnum())


def _pieces(wanted: str, letters: str) -> list[str]:
    """The longest piece of `wanted` that stands in `letters`, and those of what remains on both sides of it."""
    if wanted in letters:
        return [wanted]
    # With autojunk, a highlight of 200 letters or more would lose its frequent letters, which are nearly all of them.
    match = difflib.SequenceMatcher(None, letters, wanted, autojunk=False).find_longest_match()
    if match.size < _SHORTEST:
        return []
    sides = wanted[: match.b], wanted[match.b + match.size :]
    before, after = ([] if len(side) < _SHORTEST else _pieces(side, letters) for side in sides)
    return [*before, wanted[match.b : match.b + match.size], *after]


def _best(letters: str, piece: str, edges: set[int]) -> range:
    """The range of `letters` at which `piece` stands, the one with most of its two ends at the edge of a word."""
    # `max` keeps the first of equals: the first position, where no whole word decides.
    starts = [start for start in range(len(letters) - len(piece) + 1) if letters.startswith(piece, start)]
    start = max(starts, key=lambda start: (start in edges) + (start + len(piece) in edges))
    return range(start, start + len(piece))


def highlight_scores(example: Example, marking: Marking, keep: Keep) -> dict[str, float] | None:
    """How well the kept words match the words a person marked; None where `human_words` gives a reason.

    All in 0..1, more is nearer.

    With K the kept words of the question and H the marked ones: precision = |K ∩ H| / |K|, 0 when no word of the
    question is kept; recall = |K ∩ H| / |H|; f1 = 2 |K ∩ H| / (|K| + |H|). auprc: `average_precision` of the scores of
    all content words of the question (as in ERASER, DeYoung et al., arXiv 1911.03429).
    """
    marked = human_words(example)
    if isinstance(marked, str):
        return None
    question = question_words(example)
    # People could mark the question only: kept words of the options are neither right nor wrong.
    kept = kept_words(example, marking.scores, keep) & question
    scores = word_scores(example, marking.scores)
    both = len(kept & marked)
    return {
        "precision": both / len(kept) if kept else 0.0,
        "recall": both / len(marked),
        "f1": 2 * both / (len(kept) + len(marked)),
        "auprc": average_precision([scores[word] for word in question], [word in marked for word in question]),
    }


def highlight_chance(example: Example, keep: Keep) -> dict[str, float] | None:
    """The mean of `highlight_scores` for k kept words drawn from the N different content words of question and options.

    Exact: j of the n words of the question are kept with the hypergeometric probability p(j); then j h / n of the h
    marked ones are among them. precision = (h / n) (1 − p(0)), recall = k / N, f1 = Σ p(j) 2 (j h / n) / (j + h);
    auprc: all orders are equally likely.
    """
    marked = human_words(example)
    if isinstance(marked, str):
        return None
    everything, n, h = len(content_words(example)), len(question_words(example)), len(marked)
    k = keep.count(everything)
    # p(j), hypergeometric: j of the question's n words among k drawn from all.
    p = [math.comb(n, j) * math.comb(everything - n, k - j) / math.comb(everything, k) for j in range(min(n, k) + 1)]
    return {
        "precision": h / n * (1 - p[0]),
        "recall": k / everything,
        "f1": math.fsum(p[j] * 2 * (j * h / n) / (j + h) for j in range(len(p))),
        # Equal scores: `average_precision` takes the mean over all orders of a tie.
        "auprc": average_precision([0.0] * n, [index < h for index in range(n)]),
    }


def content_words(example: Example) -> frozenset[str]:
    """The different content words of an example, in lower case."""
    return frozenset(word.text.lower() for word in words(example) if word.content)


def question_words(example: Example) -> frozenset[str]:
    """The different content words that stand in the question, in lower case."""
    return frozenset(word.text.lower() for word in words(example) if word.content and word.part == "question")


def kept_words(example: Example, scores: Sequence[float], keep: Keep) -> frozenset[str]:
    """The words that are kept, in lower case."""
    every = words(example)
    return frozenset(every[index].text.lower() for index in keep.choose(example, scores))


def word_scores(example: Example, scores: Sequence[float]) -> Mapping[str, float]:
    """The score of each different content word: where it scores highest."""
    every = words(example)
    return {every[index].text.lower(): scores[index] for index in best_indices(example, scores)}
