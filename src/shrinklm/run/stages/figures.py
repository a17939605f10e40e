"""The figures by which the samples of a question are weighed: what a student makes of them before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ...core.types import Example, Generation, Pair
from ...methods.builtin import ASK_WHY
from ...methods.view import Generations
from ...methods.weighing import Figures
from ...tasks.base import split_answer
from ...teachers.steps import STEPS

if TYPE_CHECKING:
    from ...students.base import BaseStudent


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

    read: Callable[[Sequence[Item], BaseStudent], Sequence[Figures]]
    """(items, the student before training) → the figures of each sample, one item after another."""
    version: int = 1
    """Another one gives other figures for the same texts."""

    def figures(self, items: Sequence[Item], student: BaseStudent) -> list[list[Figures]]:
        """The figures of each sample of each item."""
        left: Iterator[Figures] = iter(self.read(items, student))
        return [list(islice(left, len(item.texts))) for item in items]


def explaining(item: Item, text: Generation) -> Pair:
    """A text behind its question, as a student that knows no tag is asked for one."""
    example = item.example
    if STEPS[item.kind].about == "wrong":
        return Pair(f'{example.text}\nExplain the choice "{item.answer}" in one sentence:', text.text)
    words = split_answer(text.text)[0].strip() if item.kind == "label" else ""
    return Pair(ASK_WHY.prompt(example), words or text.text)


def _told(items: Sequence[Item], student: BaseStudent) -> Sequence[Figures]:
    from ...students.told import told

    found = told(student, [explaining(item, text) for item in items for text in item.texts])
    return [dict.fromkeys(("tokens", "surprisal", "rank")) if one is None else asdict(one) for one in found]


SOURCES: Mapping[str, Source] = {"told": Source(_told)}
"""Every source by its name, which `methods.weighing.Rule.reads` says."""
