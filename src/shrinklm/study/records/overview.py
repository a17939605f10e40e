"""The progress of a study: people, ratings by cell, failed checks, and, for those who ask, the means so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

import numpy as np

from ..design.folder import Study
from ..design.form import CHOICE
from .exclude import REASONS, excluded, failed, kept
from .export import SIMULATED, ratings
from .people import Participant, Response


@dataclass(frozen=True)
class Cells:
    """The ratings of one treatment."""

    name: str
    counts: tuple[int, ...]
    """Of each question, in the design's order."""
    kept: int
    """Those that the form's exclusions would leave."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts)

    @property
    def least(self) -> int:
        """Of the question that has fewest."""
        return min(self.counts)

    @property
    def most(self) -> int:
        """Of the question that has most."""
        return max(self.counts)


@dataclass(frozen=True)
class Person:
    """One participant, for the list."""

    code: str
    source: str
    where: str
    """The page that the person has come to, in words."""
    items: int
    minutes: float | None
    failed: int
    state: str
    """finished, underway or dropped."""
    broken: tuple[str, ...]
    """The rules, in words, for which the person would be left out."""


@dataclass(frozen=True)
class Overview:
    """The numbers of the researcher's page."""

    welcomed: int
    """Browsers that opened the first page."""
    seats: int
    free: int
    """Seats that the next people are given: never taken, or of those who dropped."""
    started: int
    finished: int
    underway: int
    dropped: int
    where: Mapping[str, int]
    """Page that those who dropped had come to → people."""
    minutes: tuple[float, float, float] | None
    """Quartiles, of those who finished."""
    seconds: float | None
    """An item, the median."""
    cells: tuple[Cells, ...]
    filled: Mapping[int, int]
    """Ratings of a (question, treatment) → how many have so many."""
    wanted: int
    checks: Mapping[int, int]
    """Failed checks → people who met one."""
    left_out: Mapping[str, int]
    """Rule, in words → people, or single items. One person may break several rules."""
    without: int
    """People who would be left out altogether."""
    people: tuple[Person, ...]


@dataclass(frozen=True)
class Mean:
    """One condition's mean of one construct so far."""

    condition: str
    construct: str
    value: float
    half: float | None
    """Of its 95 % interval, people taken as clusters; None for fewer than two people."""
    n: int


def overview_of(
    study: Study, participants: Sequence[Participant], responses: Sequence[Response], welcomed: int, now: datetime
) -> Overview:
    """Return the progress of a study at a time (UTC)."""
    by_person: dict[int, list[Response]] = {}
    for response in responses:
        by_person.setdefault(response.participant, []).append(response)
    late = now - timedelta(minutes=study.form.recruiting.timeout)
    exclusions = excluded(study, participants, responses)
    broken: dict[int, list[str]] = {}
    for exclusion in exclusions:
        if exclusion.position is None:
            broken.setdefault(exclusion.participant, []).append(REASONS[exclusion.reason])
    people = tuple(
        _person(study, person, by_person.get(person.id, ()), late, broken.get(person.id, ())) for person in participants
    )
    states = Counter(person.state for person in people)
    minutes = [person.minutes for person in participants if person.minutes is not None]
    low, middle, high = np.quantile(minutes, [0.25, 0.5, 0.75]) if minutes else (0, 0, 0)
    items = [response for response in responses if response.kind == "item"]
    cells = _cells(study, items, kept(items, exclusions))
    # A seat is taken with the first answer.
    held = {
        person.seat
        for person, entry in zip(participants, people, strict=True)
        if entry.state != "dropped" and by_person.get(person.id)
    }
    misses = [
        sum(map(failed, answers))
        for answers in by_person.values()
        if any(response.kind == "check" for response in answers)
    ]
    return Overview(
        welcomed=welcomed,
        seats=study.people,
        # A seat beyond the number, held since before the number was lowered, is none of them.
        free=study.people - len(held & set(range(study.people))),
        started=len(people),
        finished=states["finished"],
        underway=states["underway"],
        dropped=states["dropped"],
        where=dict(Counter(person.where for person in people if person.state == "dropped").most_common()),
        minutes=(float(low), float(middle), float(high)) if minutes else None,
        seconds=median(response.seconds for response in items) if items else None,
        cells=cells,
        filled=dict(sorted(Counter(count for cell in cells for count in cell.counts).items())),
        wanted=study.design.raters_per_item,
        checks=dict(sorted(Counter(misses).items())),
        left_out=dict(Counter(REASONS[exclusion.reason] for exclusion in exclusions)),
        without=len(broken),
        people=people,
    )


def means(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> list[Mean]:
    """Return the mean of each condition so far, nobody left out.

    Of a preference it is the share of its pairs that the condition wins, ties counting half.
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in ratings(study, participants, responses):
        for construct in study.form.constructs:
            if study.form.kind == "preference":
                preferred = row[construct]
                for side in ("left", "right"):
                    points = 0.5 if preferred == "alike" else float(preferred == row[side])
                    values.setdefault((row[side], construct), {}).setdefault(row["CASE"], []).append(points)
            else:
                name = SIMULATED if construct == CHOICE else construct
                values.setdefault((row["model"], name), {}).setdefault(row["CASE"], []).append(float(row[name]))
    order = {name: index for index, name in enumerate(study.design.conditions)}
    return [_mean(*key, by_person) for key, by_person in sorted(values.items(), key=lambda entry: order[entry[0][0]])]


def _mean(condition: str, construct: str, by_person: Mapping[str, Sequence[float]]) -> Mean:
    from scipy.stats import t

    n, people = sum(map(len, by_person.values())), len(by_person)
    mean = sum(map(sum, by_person.values())) / n
    # A person's ratings go together: their sums about the mean are what varies from person to person.
    spread = sum((sum(values) - len(values) * mean) ** 2 for values in by_person.values())
    half = float(t.ppf(0.975, people - 1)) * (spread * people / (people - 1)) ** 0.5 / n if people > 1 else None
    return Mean(condition, construct, mean, half, n)


def _cells(study: Study, items: Sequence[Response], usable: Sequence[Response]) -> tuple[Cells, ...]:
    # Of a preference, either of the two may stand left: the sides are put aside.
    counts = Counter((response.question, frozenset(response.treatment)) for response in items)
    usable_counts = Counter(frozenset(response.treatment) for response in usable)
    return tuple(
        Cells(
            " and ".join(treatment),
            tuple(counts[question, frozenset(treatment)] for question in study.design.questions),
            usable_counts[frozenset(treatment)],
        )
        for treatment in study.design.treatments
    )


def _person(
    study: Study, person: Participant, answers: Sequence[Response], late: datetime, broken: Sequence[str]
) -> Person:
    state = "finished" if person.finished_at else "underway" if person.seen_at >= late else "dropped"
    items = sum(response.kind == "item" for response in answers)
    where, misses = _where(study, person, answers), sum(map(failed, answers))
    return Person(person.code, person.source, where, items, person.minutes, misses, state, tuple(broken))


def _where(study: Study, person: Participant, answers: Sequence[Response]) -> str:
    if person.stage in ("instructions", "done"):
        return {"instructions": "Instructions", "done": "End"}[person.stage]
    if person.stage == "about":
        return "Questions about the person"
    pages = study.booklet(person.seat)
    answered = {response.position for response in answers}
    position = next((index for index in range(len(pages)) if index not in answered), len(pages) - 1)
    if pages[position].kind == "practice":
        return "Practice"
    return f"Item {sum(page.kind != 'practice' for page in pages[: position + 1])}"
