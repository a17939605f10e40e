"""Who and what is left out of the analysis, by the rules that the form named before there were ratings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ..design.folder import Study
from ..design.form import CHOICE
from .people import Participant, Response

REASONS: Mapping[str, str] = {
    "checks": "failed attention checks",
    "fast": "was too fast",
    "same": "gave the same answer throughout",
    "unfinished": "did not finish",
    "item": "answered a single item too fast",
}
"""Reason → in words. All but the last leave the whole person out."""


@dataclass(frozen=True)
class Exclusion:
    """One reason for which a person, or one item of a person, is left out."""

    participant: int
    code: str
    reason: str
    """A key of `REASONS`."""
    detail: str
    position: int | None = None
    """Of the single item page; None: the whole person."""


def failed(response: Response) -> bool:
    """Whether a check was not answered as it asks: in every statement, or in a simulation in the choice."""
    if response.wanted is None:
        return False
    asked = [response.values[CHOICE]] if CHOICE in response.values else list(response.values.values())
    return any(value != response.wanted for value in asked)


def excluded(study: Study, participants: Sequence[Participant], responses: Iterable[Response]) -> list[Exclusion]:
    """Every reason for everybody; one person may have several. People without an answer are in none: they have nothing to leave out."""
    rules, found = study.form.exclusions, []
    given: dict[int, list[Response]] = {}
    for response in responses:
        given.setdefault(response.participant, []).append(response)
    for person in participants:
        items = [one for one in given.get(person.id, ()) if one.kind == "item"]
        if not items:
            continue
        misses = sum(failed(one) for one in given[person.id] if one.kind == "check")
        seconds = median(one.seconds for one in items)
        values = [value for one in items for value in one.values.values()]

        def note(reason: str, detail: str, position: int | None = None, person: Participant = person) -> None:
            found.append(Exclusion(person.id, person.code, reason, detail, position))

        if rules.failed_checks is not None and misses >= rules.failed_checks:
            note("checks", f"{misses} failed")
        if rules.faster_than is not None and seconds < rules.faster_than:
            note("fast", f"median {seconds:.1f} s an item")
        if rules.same_answer and len(values) > 1 and len(set(values)) == 1:
            note("same", f"{values[0]} every time")
        if rules.unfinished and person.finished_at is None:
            note("unfinished", f"{len(items)} items answered")
        if rules.item_faster_than is not None:
            for one in items:
                if one.seconds < rules.item_faster_than:
                    note("item", f"{one.seconds:.1f} s", one.position)
    return found


def kept(responses: Iterable[Response], exclusions: Iterable[Exclusion]) -> list[Response]:
    """The responses that no exclusion takes away."""
    whole = {one.participant for one in exclusions if one.position is None}
    single = {(one.participant, one.position) for one in exclusions}
    return [one for one in responses if one.participant not in whole and (one.participant, one.position) not in single]
