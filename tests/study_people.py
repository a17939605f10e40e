"""Made-up people who take part in a study: known effects, a level of their own, some who do not attend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import insert

from shrinklm.study.design.folder import Study
from shrinklm.study.design.form import CHOICE
from shrinklm.study.records import schema as tables
from shrinklm.study.records.database import Records
from shrinklm.study.records.people import Participant, Response

START = datetime(2026, 3, 2, 9, 0)


def answered(
    study: Study,
    people: int | None = None,
    effects: Mapping[str, float] | None = None,
    careless: int = 0,
    hasty: int = 0,
    leaving: int = 0,
    seed: int = 0,
) -> tuple[list[Participant], list[Response]]:
    """(participants, responses) of people in the first seats.

    Args:
        study: what they are asked.
        people: how many; None: all seats.
        effects: condition → points above the rest.
        careless: the first so many fail their checks.
        hasty: the next so many take a second an item.
        leaving: the next so many stop half way.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    effects = effects or {}
    quality = {
        (q, c): rng.normal(0, 0.2) + effects.get(c, 0.0) for q in study.questions for c in study.design.conditions
    }
    participants, responses = [], []
    for number in range(study.people if people is None else people):
        level = rng.normal(0, 0.5)
        pages = study.booklet(number)
        leaves = careless + hasty <= number < careless + hasty + leaving
        begun = START + timedelta(minutes=7 * number)
        now = begun
        for position, page in enumerate(pages[: len(pages) // 2] if leaves else pages):
            seconds = 1.0 if careless <= number < careless + hasty else float(rng.gamma(6, 5))
            now += timedelta(seconds=seconds)
            if page.wanted is not None:
                steps = 2 if study.form.kind == "preference" else study.design.steps
                value = page.wanted % steps + 1 if number < careless else page.wanted
                values = dict.fromkeys(study.form.constructs, value)
            else:
                values = _values(study, page.question, page.treatment, quality, level, rng)
            responses.append(
                Response(
                    number + 1,
                    position,
                    page.kind,
                    page.question,
                    page.treatment,
                    page.wanted,
                    values,
                    None,
                    seconds,
                    0,
                    now,
                )
            )
        end = None if leaves else now
        about = {"age": ("25 to 34", "35 to 44")[number % 2]}
        participants.append(
            Participant(
                id=number + 1,
                code=f"P{number:03d}-TEST",
                seat=number,
                source="direct",
                external=None,
                consented_at=begun,
                seen_at=now,
                finished_at=end,
                stage="items" if leaves else "done",
                about=about,
                opened=None,
                opened_at=None,
            )
        )
    return participants, responses


def _values(
    study: Study,
    question: str,
    treatment: tuple[str, ...],
    quality: Mapping[tuple[str, str], float],
    level: float,
    rng: np.random.Generator,
) -> dict[str, int]:
    if study.form.kind == "preference":
        gap = quality[question, treatment[0]] - quality[question, treatment[1]]
        return {
            name: 0 if abs(x := gap + rng.normal(0, 0.6)) < 0.15 else 1 if x > 0 else 2
            for name in study.form.constructs
        }
    found = {
        name: int(np.clip(round(3.2 + level + quality[question, treatment[0]] + rng.normal(0, 0.7)), 1, 5))
        for name in study.form.constructs
        if name != CHOICE
    }
    if study.form.kind == "simulation":
        asked = study.questions[question]
        right = rng.random() < 0.5 + 0.3 * quality[question, treatment[0]]
        at = asked.choices.index(str(asked.said[treatment[0]].answer))
        found = {CHOICE: (at if right else int(rng.integers(len(asked.choices)))) + 1, **found}
    return found


def stored(records: Records, participants: Sequence[Participant], responses: Sequence[Response]) -> None:
    """Puts made-up people into a study's database, as if they had come."""
    with records.engine.begin() as c:
        for person in participants:
            link = records.key.hash("link", records.link(person))
            c.execute(insert(tables.participant).values({**asdict(person), "link": link, "consent": "as shipped"}))
            c.execute(insert(tables.seat).values(number=person.seat, participant=person.id))
        for one in responses:
            c.execute(insert(tables.response).values({**asdict(one), "treatment": list(one.treatment)}))
