"""Where a study stands: who came, how far, how the cells fill, who failed checks, and, for those who look, the means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

import numpy as np

from ..design.folder import Study
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
    """What the person has come to, in words."""
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
    """What those who dropped had come to → people."""
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


def overview(
    study: Study, participants: Sequence[Participant], responses: Sequence[Response], welcomed: int, now: datetime
) -> Overview:
    """The state of a study at a time (UTC)."""
    own: dict[int, list[Response]] = {}
    for one in responses:
        own.setdefault(one.participant, []).append(one)
    late = now - timedelta(minutes=study.form.recruiting.timeout)
    out = excluded(study, participants, responses)
    broken: dict[int, list[str]] = {}
    for rule in out:
        if rule.position is None:
            broken.setdefault(rule.participant, []).append(REASONS[rule.reason])
    people = tuple(
        _person(study, person, own.get(person.id, ()), late, broken.get(person.id, ())) for person in participants
    )
    states = Counter(person.state for person in people)
    ended = [person.minutes for person in participants if person.minutes is not None]
    low, middle, high = np.quantile(ended, [0.25, 0.5, 0.75]) if ended else (0, 0, 0)
    items = [one for one in responses if one.kind == "item"]
    cells = _cells(study, items, kept(items, out))
    held = {person.seat for person, found in zip(participants, people, strict=True) if found.state != "dropped"}
    met = [sum(map(failed, mine)) for mine in own.values() if any(one.kind == "check" for one in mine)]
    return Overview(
        welcomed=welcomed,
        seats=study.people,
        free=study.people - len(held & set(range(study.people))),
        started=len(people),
        finished=states["finished"],
        underway=states["underway"],
        dropped=states["dropped"],
        where=dict(Counter(person.where for person in people if person.state == "dropped").most_common()),
        minutes=(float(low), float(middle), float(high)) if ended else None,
        seconds=median(one.seconds for one in items) if items else None,
        cells=cells,
        filled=dict(sorted(Counter(count for each in cells for count in each.counts).items())),
        wanted=study.design.raters_per_item,
        checks=dict(sorted(Counter(met).items())),
        left_out=dict(Counter(REASONS[rule.reason] for rule in out)),
        without=len(broken),
        people=people,
    )


def means(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> list[Mean]:
    """What each condition was given so far, nobody left out; of a preference the share of its pairs that it wins, ties counting half."""
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in ratings(study, participants, responses):
        for construct in study.form.constructs:
            if study.form.kind == "preference":
                given = row[construct]
                for side in ("left", "right"):
                    points = 0.5 if given == "alike" else float(given == row[side])
                    values.setdefault((row[side], construct), {}).setdefault(row["CASE"], []).append(points)
            else:
                name = SIMULATED if construct == "Choice" else construct
                values.setdefault((row["model"], name), {}).setdefault(row["CASE"], []).append(float(row[name]))
    order = {name: at for at, name in enumerate(study.design.conditions)}
    return [_mean(*key, by) for key, by in sorted(values.items(), key=lambda entry: order[entry[0][0]])]


def _mean(condition: str, construct: str, by: Mapping[str, Sequence[float]]) -> Mean:
    from scipy.stats import t

    n, people = sum(map(len, by.values())), len(by)
    mean = sum(map(sum, by.values())) / n
    # A person's ratings go together: their sums about the mean are what varies from person to person.
    spread = sum((sum(given) - len(given) * mean) ** 2 for given in by.values())
    half = float(t.ppf(0.975, people - 1)) * (spread * people / (people - 1)) ** 0.5 / n if people > 1 else None
    return Mean(condition, construct, mean, half, n)


def _cells(study: Study, items: Sequence[Response], left: Sequence[Response]) -> tuple[Cells, ...]:
    counts = Counter((one.question, frozenset(one.treatment)) for one in items)
    usable = Counter(frozenset(one.treatment) for one in left)
    return tuple(
        Cells(
            " and ".join(one), tuple(counts[q, frozenset(one)] for q in study.design.questions), usable[frozenset(one)]
        )
        for one in study.design.treatments
    )


def _person(
    study: Study, person: Participant, own: Sequence[Response], late: datetime, broken: Sequence[str]
) -> Person:
    state = "finished" if person.finished_at else "underway" if person.seen_at >= late else "dropped"
    items = sum(one.kind == "item" for one in own)
    where, misses = _where(study, person, own), sum(map(failed, own))
    return Person(person.code, person.source, where, items, person.minutes, misses, state, tuple(broken))


def _where(study: Study, person: Participant, own: Sequence[Response]) -> str:
    if person.stage in ("instructions", "done"):
        return {"instructions": "Instructions", "done": "End"}[person.stage]
    if person.stage == "about":
        return "Questions about the person"
    pages = study.booklet(person.seat)
    answered = {one.position for one in own}
    position = next((at for at in range(len(pages)) if at not in answered), len(pages) - 1)
    if pages[position].kind == "practice":
        return "Practice"
    return f"Item {sum(page.kind != 'practice' for page in pages[: position + 1])}"
