"""The figures by which the samples of a question are weighed: by a student before it is trained, by a classifier that
tells writers apart, or by what the texts claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...core.errors import MethodError
from ...core.types import Example, Generation, Pair, digest
from ...methods.builtin import ASK_WHY
from ...methods.view import Generations, traced
from ...methods.weighing import Figures, diversity
from ...tasks.base import split_answer
from ...teachers.steps import STEPS
from .agreement import agreement, writer

if TYPE_CHECKING:
    from ...students.base import BaseStudent


_LEAST = 10
"""Pairs that a classifier needs: two in each of its five folds."""
_SUREST = 5.0
"""Bound of the log-odds that a classifier is taken at its word for, in nats: 148 to 1. Far from both means two normal
distributions claim more than the texts that were learned from, some dozens or hundreds, can show."""
_LEARNED = 1250
"""Pairs that a classifier learns from, four fifths of them at a time: more cost the square, and tell little more."""


@dataclass(frozen=True)
class Item:
    """The usable samples of one (question, kind, answer): two or more."""

    example: Example
    kind: str
    answer: str
    """That they argue for; "" for the teacher's own."""
    texts: tuple[Generation, ...]
    known: Generations
    """All generations for the question."""


@dataclass(frozen=True)
class Source:
    """Where the figures of a rule come from."""

    read: Callable[[Sequence[Item], Any], Sequence[Figures]]
    """(items, the student before training) → the figures of each sample, one item after another."""
    asks: bool = True
    """Whether it asks the student; None stands for that otherwise."""
    version: int = 1
    """Another one gives other figures for the same texts."""
    together: bool = False
    """Whether it reads all items at once."""
    least: int = 1
    """How many items it needs."""

    def figures(self, items: Sequence[Item], student: BaseStudent | None) -> list[list[Figures]]:
        """The figures of each sample of each item."""
        left: Iterator[Figures] = iter(self.read(items, student))
        return [list(islice(left, len(item.texts))) for item in items]


def explaining(item: Item, text: Generation) -> Pair:
    """A text behind its question, as a student that knows no tag is asked for one."""
    example = item.example
    if STEPS[item.kind].about == "wrong":
        return Pair(f'{example.text}\nExplain the choice "{item.answer}" in one sentence:', text.text)
    return Pair(ASK_WHY.prompt(example), _reasons(item, text))


def _reasons(item: Item, text: Generation) -> str:
    """The words of a text without the answer that it ends in."""
    words = {"label": split_answer(text.text)[0].strip(), "trace": traced(text)}.get(item.kind)
    return words or text.text


def _told(items: Sequence[Item], student: BaseStudent) -> Sequence[Figures]:
    from ...students.told import told

    found = told(student, [explaining(item, text) for item in items for text in item.texts])
    return [dict.fromkeys(("tokens", "surprisal", "rank")) if one is None else asdict(one) for one in found]


def _reached(items: Sequence[Item], student: BaseStudent) -> Sequence[Figures]:
    from ...students.reached import reached

    # A recorded trace may state no answer: it is about the right one.
    asked = [
        (item.example, _reasons(item, text), text.answer or item.example.answer)
        for item in items
        for text in item.texts
    ]
    apart = [each for item in items for each in diversity([_reasons(item, text) for text in item.texts])]
    return [
        {"reaches": None if one is None else one.reaches, "gain": None if one is None else one.gain, "diversity": each}
        for one, each in zip(reached(student, asked), apart, strict=True)
    ]


def _taken(items: Sequence[Item], student: None) -> Sequence[Figures]:
    """The log-odds that a text is the trusted teacher's, by a classifier that learned from other questions."""
    from ...models.ngrams import ngram_rows
    from ...stats.discrimination import FOLDS, judged, log_odds

    names = sorted({item.example.id for item in items}, key=lambda name: digest("fold", name))
    fold_of = {name: place % FOLDS for place, name in enumerate(names)}
    pairs, firsts, start = {}, [], 0
    for item, trusted in zip(items, _trusted(items), strict=True):
        firsts += trusted
        first, further = ([start + place for place, is_first in enumerate(trusted) if is_first is kind]
                          for kind in (True, False))  # fmt: skip
        if first and further:
            # One of each, so that both kinds are learned as often and from the same questions.
            lot = int(digest("further", item.example.id, item.answer), 16)
            pairs[lot, start] = (first[0], further[lot % len(further)])
        start += len(item.texts)
    folds = [fold_of[item.example.id] for item in items for _ in item.texts]
    # A fold is judged by what others taught.
    if len(pairs) < _LEAST or len({folds[first] for first, _ in pairs.values()}) < 2:
        raise MethodError(
            "'weigh=discriminator' tells the first teacher's texts from others of the same question: "
            f"{len(pairs)} stand beside another one, and at least {_LEAST} are needed, of two questions or more. "
            "Take it out of `methods`."
        )
    rows = ngram_rows([text.text for item in items for text in item.texts])
    scores = judged(rows, [pairs[key] for key in sorted(pairs)][:_LEARNED], folds)
    return [{"taken": min(_SUREST, max(-_SUREST, float(odds)))} for odds in log_odds(scores, firsts)]


def _trusted(items: Sequence[Item]) -> Iterator[list[bool]]:
    """For each item, whether each text is of the teacher that took the step first.

    Where one teacher wrote all, its first text is the trusted one: further ones are drawn at a temperature.
    """
    firsts = [item.known[item.kind, item.answer].texts[0] for item in items]
    # The first of a question may be another's, where the first teacher was not asked about it.
    trusted = Counter(map(writer, firsts)).most_common(1)[0][0]
    alone = all(writer(text) == trusted for item in items for text in item.texts)
    for item, first in zip(items, firsts, strict=True):
        yield [text.key == first.key if alone else writer(text) == trusted for text in item.texts]


def _agreement(items: Sequence[Item], student: None) -> Sequence[Figures]:
    about = ((item.example, item.kind, item.answer, item.texts, item.known) for item in items)
    return [figures for each in about for figures in agreement(*each)]


SOURCES: Mapping[str, Source] = {
    "told": Source(_told),
    "reached": Source(_reached, version=2),
    "taken": Source(_taken, asks=False, version=2, together=True, least=_LEAST),
    "agreement": Source(_agreement, asks=False, version=2),
}
"""Every source by its name, which `methods.weighing.Rule.reads` says."""
