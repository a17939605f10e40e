"""The words of a question that a person marked, and how well the words that moved a model meet them. Pure functions, no torch.

A highlight (`Example.meta["highlight"]`) is a string copied from the question, not a place in it: lower-case, blanks changed, first or
last letters lost, fragments run together. It is found again by its letters. People could mark the question only, so that words of the
options count neither for nor against a marking.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from ..core.marking import Keep, Marking, best_places, words
from ..core.types import Example

EMPTY = "highlight is empty"
NOT_FOUND = "highlight is not in the question"
NOTHING = "highlight marks no content word"
EVERYTHING = "highlight marks every content word"
MISSING = "no highlight"

_SHORTEST = 3
"""Letters of a fragment: what is shorter stands in the question by chance."""


def human_words(example: Example) -> frozenset[str] | str:
    """The content words of the question, in lower case, that a person marked; or why there is nothing to compare with.

    A word counts as marked when the highlight covers at least half of its letters. What marks none or all of the content words tells
    no marking from another. A word that stands twice is one word.
    """
    text = example.meta.get("highlight")
    if text is None:
        return MISSING
    shown = [word for word in words(example) if word.part == "question"]
    start = next((start for part, start, _ in example.parts if part == "question"), 0)
    runs = place(str(text), example.question)
    if isinstance(runs, str):
        return runs
    covered = {start + at for run in runs for at in run}
    content = {word.text.lower() for word in shown if word.content}
    marked = frozenset(
        word.text.lower()
        for word in shown
        if word.content and 2 * sum(at in covered for at in range(word.start, word.end)) >= word.end - word.start
    )
    if not marked:
        return NOTHING
    return EVERYTHING if marked == content else marked


def place(highlight: str, question: str) -> list[range] | str:
    """Where in a question a highlight stands: one range of characters when it stands there whole, one a fragment otherwise; or a reason.

    Letters and digits alone are compared, without case and accents; where there is a choice, whole words win, then the first place.
    Fragments are the longest common pieces, in any order. Less than half of the highlight's letters found is not found.
    """
    wanted = "".join(letter for letter, _ in _letters(highlight))
    if not wanted:
        return EMPTY
    letters = list(_letters(question))
    there = "".join(letter for letter, _ in letters)
    at = [place for _, place in letters]
    edges = {0, len(at)} | {i for i in range(1, len(at)) if at[i] - at[i - 1] > 1}
    found = [_best(there, piece, edges) for piece in _pieces(wanted, there)]
    if 2 * sum(map(len, found)) < len(wanted):
        return NOT_FOUND
    return [range(at[run[0]], at[run[-1]] + 1) for run in found]


def _letters(text: str) -> Iterator[tuple[str, int]]:
    """(letter or digit, its character in `text`), without case and accents."""
    for at, character in enumerate(text):
        yield from ((letter, at) for letter in unicodedata.normalize("NFKD", character.casefold()) if letter.isalnum())


def _pieces(wanted: str, there: str) -> list[str]:
    """The longest piece of `wanted` that stands in `there`, and those of what is left on both sides of it."""
    if wanted in there:
        return [wanted]
    match = difflib.SequenceMatcher(None, there, wanted, autojunk=False).find_longest_match()
    if match.size < _SHORTEST:
        return []
    sides = wanted[: match.b], wanted[match.b + match.size :]
    left, right = ([] if len(side) < _SHORTEST else _pieces(side, there) for side in sides)
    return [*left, wanted[match.b : match.b + match.size], *right]


def _best(there: str, piece: str, edges: set[int]) -> range:
    """Where `piece` stands with most of its two ends at the edge of a word."""
    starts = [start for start in range(len(there) - len(piece) + 1) if there.startswith(piece, start)]
    start = max(starts, key=lambda start: (start in edges) + (start + len(piece) in edges))
    return range(start, start + len(piece))


def highlight(example: Example, marking: Marking, keep: Keep) -> dict[str, float] | None:
    """How the kept words meet the words a person marked; None where `human_words` gives a reason. All in 0..1, more is nearer.

    With K the kept words of the question and H the marked ones: precision = |K ∩ H| / |K|, 0 when no word of the question is kept;
    recall = |K ∩ H| / |H|; f1 = 2 |K ∩ H| / (|K| + |H|). auprc: `average_precision` of the scores of all content words of the question
    (as in ERASER, DeYoung et al., arXiv 1911.03429).
    """
    marked = human_words(example)
    if isinstance(marked, str):
        return None
    asked = question_words(example)
    kept = kept_words(example, marking.scores, keep) & asked
    scores = word_scores(example, marking.scores)
    both = len(kept & marked)
    return {
        "precision": both / len(kept) if kept else 0.0,
        "recall": both / len(marked),
        "f1": 2 * both / (len(kept) + len(marked)),
        "auprc": average_precision([scores[word] for word in asked], [word in marked for word in asked]),
    }


def highlight_chance(example: Example, keep: Keep) -> dict[str, float] | None:
    """What `highlight` gives in the mean when the k kept words are drawn from the N different content words of question and options.

    Exact: j of the n words of the question are kept with the hypergeometric probability p(j); then j h / n of the h marked ones are among
    them. precision = (h / n) (1 − p(0)), recall = k / N, f1 = Σ p(j) 2 (j h / n) / (j + h); auprc: all orders are equally likely.
    """
    marked = human_words(example)
    if isinstance(marked, str):
        return None
    everything, n, h = len(content_words(example)), len(question_words(example)), len(marked)
    k = keep.count(everything)
    p = [math.comb(n, j) * math.comb(everything - n, k - j) / math.comb(everything, k) for j in range(min(n, k) + 1)]
    return {
        "precision": h / n * (1 - p[0]),
        "recall": k / everything,
        "f1": math.fsum(p[j] * 2 * (j * h / n) / (j + h) for j in range(len(p))),
        "auprc": average_precision([0.0] * n, [place < h for place in range(n)]),
    }


def average_precision(scores: Sequence[float], relevant: Sequence[bool]) -> float:
    """Mean, over the relevant words, of the precision among the words that score at least as high: the area under precision and recall.

    Equal scores count as all their orders equally likely, in closed form (McSherry & Najork, ECIR 2008): of t equal words, r relevant,
    after c words, R relevant, the i-th is relevant with probability r / t and then has R + 1 + (i − 1)(r − 1) / (t − 1) relevant ones up to
    it. So the order of the words changes nothing, and equal scores everywhere give the chance level. Above 0, at most 1.

    Raises:
        ValueError: nothing is relevant.
    """
    if not any(relevant):
        raise ValueError("Average precision needs a relevant word; none is.")
    groups: dict[float, list[bool]] = {}
    for score, is_relevant in zip(scores, relevant, strict=True):
        groups.setdefault(score, []).append(is_relevant)
    total, before, found = 0.0, 0, 0
    for score in sorted(groups, reverse=True):
        t, r = len(groups[score]), sum(groups[score])
        step = (r - 1) / (t - 1) if t > 1 else 0.0
        total += math.fsum(r / t * (found + 1 + i * step) / (before + i + 1) for i in range(t)) if r else 0.0
        before, found = before + t, found + r
    return total / found


def content_words(example: Example) -> frozenset[str]:
    """The different content words of an example, in lower case."""
    return frozenset(word.text.lower() for word in words(example) if word.content)


def question_words(example: Example) -> frozenset[str]:
    """Those that stand in the question."""
    return frozenset(word.text.lower() for word in words(example) if word.content and word.part == "question")


def kept_words(example: Example, scores: Sequence[float], keep: Keep) -> frozenset[str]:
    """The words that are kept, in lower case."""
    shown = words(example)
    return frozenset(shown[place].text.lower() for place in keep.choose(example, scores))


def word_scores(example: Example, scores: Sequence[float]) -> Mapping[str, float]:
    """The score of each different content word: where it scores highest."""
    shown = words(example)
    return {shown[place].text.lower(): scores[place] for place in best_places(example, scores)}
