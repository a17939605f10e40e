"""Who sees what: booklets of items in which conditions, questions and places are balanced.

A round of booklets shows every question in every treatment once. Its questions, in an order drawn from the seed, are
laid out in blocks of as many as a person sees; a block is shown to as many people as there are treatments, which rotate
over its questions like a Latin square. Over the places within a booklet the treatments run in the rows of a Williams
square, so that each stands in each place equally often and follows each other one equally often. Round after round is
drawn anew. Whole blocks of people are balanced to within one rating of each question in each treatment; so is any
number of people where what one sees divides the questions, and otherwise to within two, while a block lies across two
rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from ...core.errors import StudyError

PageKind = Literal["practice", "check", "item"]
UNEXPLAINED = " (no explanation)"
"""After a condition's name in a forward simulation: its answer is to be guessed from the question alone, as the
baseline."""


@dataclass(frozen=True)
class Shown:
    """What one condition said about one question."""

    answer: str | None
    explanation: str
    """ "": none is shown."""
    right: bool


@dataclass(frozen=True)
class Question:
    """One question of the pool."""

    id: str
    question: str
    choices: tuple[str, ...]
    answer: str
    """The gold answer, which people are not shown."""
    fields: Mapping[str, str]
    """Context shown above the question."""
    stratum: str
    """ "right": all conditions are; "wrong": all answer alike, and wrong; "differ": their answers differ."""
    said: Mapping[str, Shown]
    """Condition → what it said."""


@dataclass(frozen=True)
class Page:
    """One item page of a booklet."""

    kind: PageKind
    question: str
    """Id of the question; of a check, of the one around the line that says what to choose: none of the person's items,
    where there are others."""
    treatment: tuple[str, ...]
    """The condition, or of a preference the two, the left one first."""
    wanted: int | None = None
    """Of a check: the step to choose, from 1 (of a preference 1 left, 2 right; of a simulation the option)."""


@dataclass(frozen=True)
class Design:
    """What `shrinklm study create` decided. Booklets follow from it alone."""

    kind: str
    conditions: tuple[str, ...]
    questions: tuple[str, ...]
    """Ids."""
    practice: tuple[str, ...]
    per_person: int
    raters_per_item: int
    checks: int
    """Attention checks a person."""
    steps: int
    """Of the scale."""
    seed: int

    @property
    def treatments(self) -> tuple[tuple[str, ...], ...]:
        """What an item can be shown in: the conditions, or of a preference all their pairs."""
        if self.kind == "preference":
            return tuple(combinations(self.conditions, 2))
        return tuple((condition,) for condition in self.conditions)

    @property
    def round(self) -> float:
        """Booklets that show every question in every treatment once."""
        return len(self.questions) * len(self.treatments) / self.per_person

    @property
    def people(self) -> int:
        """Booklets after which every question has been rated in every treatment `raters_per_item` times."""
        blocks = -(-len(self.questions) * self.raters_per_item // self.per_person)
        return blocks * len(self.treatments)

    def check(self) -> None:
        """Raises StudyError when the numbers do not fit together."""
        treatments = len(self.treatments)
        what = "pairs of conditions" if self.kind == "preference" else "conditions"
        if (self.kind == "preference" and len(self.conditions) < 2) or not treatments:
            raise StudyError("A study compares conditions; name two or more: --conditions A,B")
        if self.per_person % treatments:
            near = max(treatments, self.per_person // treatments * treatments)
            raise StudyError(
                f"{self.per_person} items a person cannot be shared out evenly over {treatments} {what}. Write --per-person {near} or "
                f"{near + treatments}."
            )
        if self.per_person > len(self.questions):
            raise StudyError(
                f"A person would see {self.per_person} items, and no question twice, but there are {len(self.questions)} questions. "
                f"Write --questions {self.per_person} or more, or fewer items a person."
            )
        if len(set(self.questions) | set(self.practice)) < len(self.questions) + len(self.practice):
            raise StudyError("A question stands twice in design.json. Make the study anew with: shrinklm study create")

    def booklet(self, number: int) -> tuple[Page, ...]:
        """What the person in seat `number` (from 0) sees, page by page: practice, then items with checks among them.

        The same number gives the same pages on every machine.
        """
        treatments = self.treatments
        block, turn = divmod(number, len(treatments))
        questions = self._block(block)
        rng = np.random.default_rng([self.seed, 2, block])
        offset = rng.permutation(np.tile(np.arange(len(treatments)), len(questions) // len(treatments)))
        given = {question: (int(offset[at]) + turn) % len(treatments) for at, question in enumerate(questions)}
        rng = np.random.default_rng([self.seed, 3, number])
        waiting = {t: [q for q in questions if given[q] == t] for t in range(len(treatments))}
        for group in waiting.values():
            rng.shuffle(group)
        rows = williams(len(treatments))
        pages = []
        for chunk in range(self.per_person // len(treatments)):
            # Over the people of a block the rows are all different ones: a Latin square of places as well.
            for t in rows[(turn + block + chunk) % len(treatments) + _half(len(rows), len(treatments), block + chunk)]:
                pages.append(Page("item", waiting[t].pop(), self._sides(treatments[t], block, chunk)))
        practice = []
        for at, question in enumerate(self.practice):
            treatment = treatments[(number + at) % len(treatments)]
            practice.append(Page("practice", question, self._sides(treatment, number, at)))
        others = [question for question in self.questions if question not in given]
        rng.shuffle(others)
        return (*practice, *self._checked(pages, others, rng))

    def _block(self, block: int) -> list[str]:
        """Questions of a block: the next `per_person` of one shuffled round after another, none twice in a block."""
        size, n = self.per_person, len(self.questions)
        first, last = divmod(block * size, n)[0], (block * size + size - 1) // n
        if first == last:
            return self._order(first)[block * size - first * n :][:size]
        tail = self._order(first)[block * size - first * n :]
        return tail + self._order(last)[: size - len(tail)]

    def _order(self, round_: int) -> list[str]:
        """The questions of a round, shuffled; those that would meet themselves in the block across its beginning come
        later."""
        n = len(self.questions)
        order = [self.questions[at] for at in np.random.default_rng([self.seed, 1, round_]).permutation(n)]
        over = -(round_ * n) % self.per_person
        if over == 0:
            return order
        tail = set(self._order(round_ - 1)[n - (self.per_person - over) :])
        fresh = [q for q in order if q not in tail][:over]
        return fresh + [q for q in order if q not in set(fresh)]

    def _sides(self, treatment: tuple[str, ...], block: int, turn: int) -> tuple[str, ...]:
        """Of a pair, who stands left: drawn for the block, and then by turns, so that neither side tells anything."""
        if len(treatment) < 2:
            return treatment
        rng = np.random.default_rng(
            [self.seed, 4, block, self.conditions.index(treatment[0]), self.conditions.index(treatment[1])]
        )
        return treatment if (int(rng.integers(2)) + turn) % 2 else treatment[::-1]

    def _checked(self, pages: list[Page], others: list[str], rng: np.random.Generator) -> list[Page]:
        """The items with the checks spread among them, never first, about other questions or, when none is left, the
        one just answered."""
        found = list(pages)
        steps = 2 if self.kind == "preference" else self.steps
        for at in range(self.checks):
            low, high = (at * len(pages) // self.checks) + 1, (at + 1) * len(pages) // self.checks
            place = int(rng.integers(low, max(low, high) + 1)) + at
            near = pages[place - at - 1]
            about = others[at] if at < len(others) else near.question
            found.insert(place, Page("check", about, near.treatment, int(rng.integers(1, steps + 1))))
        return found


def williams(n: int) -> list[list[int]]:
    """Rows of a Williams square of n treatments (Williams 1949): each treatment in each place equally often, each after
    each other equally often. n rows for an even n, 2n for an odd one, of which the first n are a Latin square, and so
    are the last.
    """
    first = [0]
    for step in range(1, n):
        first.append((first[-1] + (step if step % 2 else -step)) % n)
    rows = [[(value + shift) % n for value in first] for shift in range(n)]
    return rows if n % 2 == 0 else rows + [row[::-1] for row in rows]


def _half(rows: int, n: int, at: int) -> int:
    """Where the half of an odd square begins that the block takes."""
    return n if rows > n and at % 2 else 0


def places(booklets: Sequence[tuple[Page, ...]]) -> dict[tuple[str, tuple[str, ...]], int]:
    """(question, treatment, sides put aside) → how many booklets show it as an item."""
    counts: dict[tuple[str, tuple[str, ...]], int] = {}
    for booklet in booklets:
        for page in booklet:
            if page.kind == "item":
                key = (page.question, tuple(sorted(page.treatment)))
                counts[key] = counts.get(key, 0) + 1
    return counts
