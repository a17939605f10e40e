"""The people and items that the form's rules leave out of the analysis. The rules stand before there are ratings."""

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
    """Position of the single item page; None: the whole person."""


def failed(response: Response) -> bool:
    """Whether a check was not answered as it asks: in every statement, or in a simulation in the choice."""
    if response.wanted is None:
        return False
    # A check of a simulation says which option to choose; what else it asks for is free.
    answers = [response.values[CHOICE]] if CHOICE in response.values else list(response.values.values())
    return any(value != response.wanted for value in answers)


def excluded(study: Study, participants: Sequence[Participant], responses: Iterable[Response]) -> list[Exclusion]:
    """Every reason for everybody; one person may have several.

    People without an answer are in none: they have nothing to leave out.
    """
    rules = study.form.exclusions
    exclusions: list[Exclusion] = []
    by_person: dict[int, list[Response]] = {}
    for response in responses:
        by_person.setdefault(response.participant, []).append(response)
    for person in participants:
        items = [response for response in by_person.get(person.id, ()) if response.kind == "item"]
        if not items:
            continue
        misses = sum(failed(response) for response in by_person[person.id] if response.kind == "check")
        # The median: one long pause, or one slip, does not decide about a person.
        seconds = median(response.seconds for response in items)
        values = [value for response in items for value in response.values.values()]

        def note(reason: str, detail: str, position: int | None = None, person: Participant = person) -> None:
            exclusions.append(Exclusion(person.id, person.code, reason, detail, position))

        if rules.failed_checks is not None and misses >= rules.failed_checks:
            note("checks", f"{misses} failed")
        if rules.faster_than is not None and seconds < rules.faster_than:
            note("fast", f"median {seconds:.1f} s an item")
        if rules.same_answer and len(values) > 1 and len(set(values)) == 1:
            note("same", f"{values[0]} every time")
        if rules.unfinished and person.finished_at is None:
            note("unfinished", f"{len(items)} items answered")
        if rules.item_faster_than is not None:
            for response in items:
                if response.seconds < rules.item_faster_than:
                    note("item", f"{response.seconds:.1f} s", response.position)
    return exclusions


def kept(responses: Iterable[Response], exclusions: Iterable[Exclusion]) -> list[Response]:
    """Return the responses that no exclusion leaves out."""
    exclusions = list(exclusions)
    whole = {exclusion.participant for exclusion in exclusions if exclusion.position is None}
    single = {(exclusion.participant, exclusion.position) for exclusion in exclusions}
    return [
        response
        for response in responses
        if response.participant not in whole and (response.participant, response.position) not in single
    ]
