"""Booklets of items, balanced over conditions, questions and positions: what each person sees.

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
    """The answer and the explanation of one condition to one question."""

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
    """The gold answer, which people do not see."""
    fields: Mapping[str, str]
    """Context shown above the question."""
    stratum: str
    """ "right": all conditions are; "wrong": all answer alike, and wrong; "differ": their answers differ."""
    said: Mapping[str, Shown]
    """Condition → its answer and explanation."""


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
    """The design that `shrinklm study create` decided. Booklets follow from it alone."""

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
        """Raise StudyError when the numbers do not fit together."""
        treatments = len(self.treatments)
        what = "pairs of conditions" if self.kind == "preference" else "conditions"
        if (self.kind == "preference" and len(self.conditions) < 2) or not treatments:
            raise StudyError("A study compares conditions; name two or more: --conditions A,B")
        if self.per_person % treatments:
            near = max(treatments, self.per_person // treatments * treatments)
            raise StudyError(
                f"{self.per_person} items a person cannot be shared out evenly over {treatments} {what}. "
                f"Write --per-person {near} or {near + treatments}."
            )
        if self.per_person > len(self.questions):
            raise StudyError(
                f"A person would see {self.per_person} items, and no question twice, but there are "
                f"{len(self.questions)} questions. Write --questions {self.per_person} or more, or fewer items a "
                "person."
            )
        if len(set(self.questions) | set(self.practice)) < len(self.questions) + len(self.practice):
            raise StudyError("A question stands twice in design.json. Make the study anew with: shrinklm study create")

    def booklet(self, number: int) -> tuple[Page, ...]:
        """Return the pages of seat `number` (from 0): practice, then items with attention checks among them.

        The same number gives the same pages on every machine.
        """
        treatments = self.treatments
        block, turn = divmod(number, len(treatments))
        questions = self._block(block)
        # Streams of random numbers by purpose, [seed, 1..4, ...]: a booklet never depends on which others were made.
        rng = np.random.default_rng([self.seed, 2, block])
        offset = rng.permutation(np.tile(np.arange(len(treatments)), len(questions) // len(treatments)))
        # The next person of the block sees each question in the next treatment: a Latin square.
        treatment_of = {
            question: (int(offset[index]) + turn) % len(treatments) for index, question in enumerate(questions)
        }
        rng = np.random.default_rng([self.seed, 3, number])
        waiting = {t: [q for q in questions if treatment_of[q] == t] for t in range(len(treatments))}
        for group in waiting.values():
            rng.shuffle(group)
        rows = williams(len(treatments))
        pages = []
        for chunk in range(self.per_person // len(treatments)):
            # Over the people of a block the rows are all different ones: a Latin square of positions as well.
            for t in rows[(turn + block + chunk) % len(treatments) + _half(len(rows), len(treatments), block + chunk)]:
                pages.append(Page("item", waiting[t].pop(), self._sides(treatments[t], block, chunk)))
        practice = []
        for index, question in enumerate(self.practice):
            treatment = treatments[(number + index) % len(treatments)]
            practice.append(Page("practice", question, self._sides(treatment, number, index)))
        others = [question for question in self.questions if question not in treatment_of]
        rng.shuffle(others)
        return (*practice, *self._checked(pages, others, rng))

    def _block(self, block: int) -> list[str]:
        """Return the next `per_person` questions of one shuffled round after another, none twice in a block."""
        size, n = self.per_person, len(self.questions)
        first, last = divmod(block * size, n)[0], (block * size + size - 1) // n
        if first == last:
            return self._order(first)[block * size - first * n :][:size]
        tail = self._order(first)[block * size - first * n :]
        return tail + self._order(last)[: size - len(tail)]

    def _order(self, round_: int) -> list[str]:
        """Return the questions of a round, shuffled, so that a block across its beginning holds none twice."""
        n = len(self.questions)
        order = [self.questions[index] for index in np.random.default_rng([self.seed, 1, round_]).permutation(n)]
        over = -(round_ * n) % self.per_person
        if over == 0:
            return order
        tail = set(self._order(round_ - 1)[n - (self.per_person - over) :])
        fresh = [q for q in order if q not in tail][:over]
        return fresh + [q for q in order if q not in set(fresh)]

    def _sides(self, treatment: tuple[str, ...], block: int, turn: int) -> tuple[str, ...]:
        """Return a pair as it stands on the page: drawn for the block, then by turns, so that a side tells nothing."""
        if len(treatment) < 2:
            return treatment
        rng = np.random.default_rng(
            [self.seed, 4, block, self.conditions.index(treatment[0]), self.conditions.index(treatment[1])]
        )
        return treatment if (int(rng.integers(2)) + turn) % 2 else treatment[::-1]

    def _checked(self, pages: list[Page], others: list[str], rng: np.random.Generator) -> list[Page]:
        """Return the items with checks spread among them, never first.

        A check is about another question or, when none is left, the one just answered.
        """
        checked = list(pages)
        steps = 2 if self.kind == "preference" else self.steps
        for index in range(self.checks):
            low, high = (index * len(pages) // self.checks) + 1, (index + 1) * len(pages) // self.checks
            position = int(rng.integers(low, max(low, high) + 1)) + index  # the checks before it move it on
            before = pages[position - index - 1]
            about = others[index] if index < len(others) else before.question
            checked.insert(position, Page("check", about, before.treatment, int(rng.integers(1, steps + 1))))
        return checked


def williams(n: int) -> list[list[int]]:
    """Return the rows of a Williams square of n treatments (Williams 1949).

    Each treatment is in each position equally often, and after each other one equally often. There are n rows for an
    even n, 2n for an odd one, of which the first n are a Latin square, and so are the last.
    """
    first = [0]
    for step in range(1, n):
        first.append((first[-1] + (step if step % 2 else -step)) % n)
    rows = [[(value + shift) % n for value in first] for shift in range(n)]
    return rows if n % 2 == 0 else rows + [row[::-1] for row in rows]


def _half(rows: int, n: int, turn: int) -> int:
    """Return the row at which the half of an odd square begins that takes its turn."""
    return n if rows > n and turn % 2 else 0


def places(booklets: Sequence[tuple[Page, ...]]) -> dict[tuple[str, tuple[str, ...]], int]:
    """Return (question, treatment, whatever the sides) → number of booklets that show it as an item."""
    counts: dict[tuple[str, tuple[str, ...]], int] = {}
    for booklet in booklets:
        for page in booklet:
            if page.kind == "item":
                key = (page.question, tuple(sorted(page.treatment)))
                counts[key] = counts.get(key, 0) + 1
    return counts
