"""Whether ways to attribute agree on the words that moved a model. Loads torch when a model is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..core.marking import Marking, mark, words
from ..core.types import Example, Tick
from .completeness import warn_of_missed
from .highlights import word_scores

if TYPE_CHECKING:
    from ..methods.view import View
    from ..students.base import BaseStudent

_COMMON: Mapping[str, Any] = {"norm": "l2", "pieces": "max", "steps": 32}
"""Settings that all ways share, whatever the recipe's own attribution uses: tables of two runs then compare."""
WAYS: Mapping[str, Mapping[str, Any]] = {
    "gradient l2": {**_COMMON, "method": "gradient", "norm": "l2"},
    "gradient l1": {**_COMMON, "method": "gradient", "norm": "l1"},
    **{
        name: {**_COMMON, "method": name}
        for name in ("input_x_gradient", "integrated_gradients", "occlusion", "attention")
    },
}
"""The ways to attribute that are compared with each other, by their name in tables: fields of `AttributionSettings`."""


def mark_all_ways(
    model: BaseStudent, examples: Sequence[Example], view: View, batch: int, tick: Tick | None = None
) -> dict[str, dict[str, Marking]]:
    """The markings of the same examples by each of `WAYS`: {way: {example id: marking}}. Raises StudentError.

    In float32, in which integrated gradients add up, also for a model that answers in bfloat16.
    """
    from .attribution import AttributionSettings, Question, attribute

    # Questions of like length share a batch, so that little of it is padding.
    order = sorted(examples, key=lambda example: len(example.text))
    markings: dict[str, dict[str, Marking]] = {}
    with _in_float32(model):
        for way, fields in WAYS.items():
            settings = AttributionSettings(**fields)
            markings[way] = {}
            for start in range(0, len(order), batch):
                chunk = order[start : start + batch]
                questions = [
                    Question(view.prompt(each), view.named(each, each.answer), words(each), view.lead) for each in chunk
                ]
                for example, attribution in zip(chunk, attribute(model, questions, settings), strict=True):
                    markings[way][example.id] = mark(example, attribution.scores, example.answer, attribution.figures)
            if tick:
                tick("compare", len(markings), len(WAYS), way)
    warn_of_missed(marking.figures for marked in markings.values() for marking in marked.values())
    return markings


@contextmanager
def _in_float32(model: BaseStudent) -> Iterator[None]:
    """All numbers of a model in float32; afterwards, and after an error, each as it was."""

    def tensors() -> dict[str, Any]:
        return dict(chain(model.named_parameters(), model.named_buffers()))

    # Each by itself: a model in bfloat16 keeps some, such as the frequencies of rotary positions, in float32.
    before = {name: tensor.dtype for name, tensor in tensors().items()}
    model.float()
    try:
        yield
    finally:
        for name, tensor in tensors().items():
            if tensor.dtype != before[name]:
                tensor.data = tensor.data.to(before[name])


def spearman(example: Example, a: Marking, b: Marking) -> float | None:
    """Spearman's rank correlation of two markings over the different content words (ties share ranks), −1..1.

    None when it does not exist: fewer than two words, or one marking scores all of them alike.
    """
    from scipy.stats import spearmanr

    first, second = word_scores(example, a.scores), word_scores(example, b.scores)
    # A marking of equal scores ranks nothing, and its correlation would be 0 / 0.
    if min(len(set(first.values())), len(set(second.values()))) < 2:
        return None
    return float(spearmanr([first[word] for word in first], [second[word] for word in first]).statistic)


def agreement_table(
    examples: Iterable[Example], markings: Mapping[str, Mapping[str, Marking]]
) -> dict[str, Any] | None:
    """Mean `spearman` of each pair of markings, over the examples that all have; None when there is no such example."""
    shared = [example for example in examples if all(example.id in marked for marked in markings.values())]
    if not shared or not markings:
        return None
    table = [[_mean_spearman(shared, first, second) for second in markings.values()] for first in markings.values()]
    return {"n": len(shared), "names": list(markings), "spearman": table}


def _mean_spearman(
    examples: Sequence[Example], first: Mapping[str, Marking], second: Mapping[str, Marking]
) -> float | None:
    """The mean over the examples where `spearman` exists; None where it never does."""
    values = [spearman(example, first[example.id], second[example.id]) for example in examples]
    existing = [value for value in values if value is not None]
    return math.fsum(existing) / len(existing) if existing else None
