"""What a model makes of a question without the words that moved it, and whether ways to attribute agree. Loads torch when called."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.marking import Keep, Marking, mark, words
from ..core.types import Example, Tick
from .highlights import kept_words, word_scores

if TYPE_CHECKING:
    from ..methods.view import View
    from ..students.base import BaseStudent

WAYS: dict[str, dict[str, Any]] = {
    "gradient l2": {"method": "gradient", "norm": "l2"},
    "gradient l1": {"method": "gradient", "norm": "l1"},
    **{name: {"method": name} for name in ("input_x_gradient", "integrated_gradients", "occlusion", "attention")},
}
"""The ways to attribute that are compared with each other, by their name in tables."""


def erasure(
    model: BaseStudent,
    examples: Iterable[Example],
    markings: Mapping[str, Marking],
    keep: Keep,
    view: View,
    batch: int = 16,
    known: dict[tuple[str, str], float] | None = None,
    tick: Tick | None = None,
) -> dict[str, dict[str, float]]:
    """What the kept words do to the gold answer, by example id. With F = log p of the answer, in nats of any sign:

    comprehensiveness = F(x) − F(x without the kept words): more when they mattered.
    sufficiency = F(x) − F(x with the kept words alone): less when they are enough.

    After ERASER (DeYoung et al., arXiv 1911.03429, which takes probabilities of the predicted label). A word goes, or stays, everywhere it
    stands; prompt words, choice letters and punctuation always stay.

    Args:
        model: that is asked.
        examples: of which those with a marking are measured.
        markings: by example id.
        keep: which words of a marking are kept.
        view: how the model is asked.
        batch: questions at a time.
        known: F by (prompt, answer), read and added to: markings of the same examples share F(x).
        tick: progress.

    Raises:
        StudentError: a question does not fit the model.
    """
    known = {} if known is None else known
    asked: dict[str, tuple[tuple[str, str], ...]] = {}
    for example in examples:
        if example.id in markings:
            texts = (example.text, *erased(example, kept_words(example, markings[example.id].scores, keep)))
            asked[example.id] = tuple((_prompt(example, text, view), example.answer) for text in texts)
    _measure(
        model, [pair for pairs in asked.values() for pair in pairs if pair not in known], view.lead, batch, known, tick
    )
    found = {}
    for id_, (whole, without, alone) in asked.items():
        found[id_] = {"comprehensiveness": known[whole] - known[without], "sufficiency": known[whole] - known[alone]}
    return found


def erased(example: Example, kept: Collection[str]) -> tuple[str, str]:
    """(the text without the kept words, the text with no other words); `kept` in lower case. A word goes with the blank before it."""
    return _cut(example, kept, True), _cut(example, kept, False)


def _cut(example: Example, kept: Collection[str], inside: bool) -> str:
    text, pieces, at = example.text, [], 0
    for word in words(example):
        if (word.text.lower() in kept) is inside:
            pieces.append(text[at : word.start].removesuffix(" "))
            at = word.end
    return "".join([*pieces, text[at:]])


def _prompt(example: Example, text: str, view: View) -> str:
    """What `view` shows, with another text of the example."""
    return text + view.prompt(example).removeprefix(example.text)


def _measure(
    model: BaseStudent,
    pairs: Sequence[tuple[str, str]],
    lead: str,
    batch: int,
    known: dict[tuple[str, str], float],
    tick: Tick | None,
) -> None:
    from .attribution import Question, log_probability

    waiting = sorted(set(pairs), key=lambda pair: (len(pair[0]), pair))
    for start in range(0, len(waiting), batch):
        some = waiting[start : start + batch]
        questions = [Question(prompt, answer, (), lead) for prompt, answer in some]
        known.update(zip(some, log_probability(model, questions), strict=True))
        if tick:
            tick("erase", start + len(some), len(waiting), "")


def compare(
    model: BaseStudent, examples: Sequence[Example], view: View, batch: int = 16, tick: Tick | None = None
) -> dict[str, dict[str, Marking]]:
    """The markings of the same examples by each of `WAYS`: {way: {example id: marking}}. Raises StudentError.

    In float32, in which integrated gradients add up, also for a model that answers in bfloat16.
    """
    from .attribution import AttributionSettings, Question, attribute

    before = next(model.parameters()).dtype
    model.float()
    order = sorted(examples, key=lambda example: len(example.text))
    found: dict[str, dict[str, Marking]] = {}
    for way, settings in WAYS.items():
        found[way] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            questions = [Question(view.prompt(example), example.answer, words(example), view.lead) for example in some]
            for example, got in zip(some, attribute(model, questions, AttributionSettings(**settings)), strict=True):
                found[way][example.id] = mark(example, got.scores, example.answer, got.figures)
        if tick:
            tick("compare", len(found), len(WAYS), way)
    model.to(before)
    return found


def spearman(example: Example, a: Marking, b: Marking) -> float | None:
    """Spearman's rank correlation of two markings over the different content words (ties share ranks), −1..1.

    None when it does not exist: fewer than two words, or one marking scores all of them alike.
    """
    from scipy.stats import spearmanr

    first, second = word_scores(example, a.scores), word_scores(example, b.scores)
    if min(len(set(first.values())), len(set(second.values()))) < 2:
        return None
    return float(spearmanr([first[word] for word in first], [second[word] for word in first]).statistic)


def agreement(examples: Iterable[Example], markings: Mapping[str, Mapping[str, Marking]]) -> dict[str, Any] | None:
    """Mean `spearman` of each pair of markings, over the examples that all have; None when no example is."""
    shared = [example for example in examples if all(example.id in found for found in markings.values())]
    if not shared or not markings:
        return None
    table = []
    for first in markings.values():
        pairs = [
            [spearman(example, first[example.id], second[example.id]) for example in shared]
            for second in markings.values()
        ]
        known = [[value for value in row if value is not None] for row in pairs]
        table.append([math.fsum(row) / len(row) if row else None for row in known])
    return {"n": len(shared), "names": list(markings), "spearman": table}
