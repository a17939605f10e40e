"""An item page as fields to show and to read: what is asked, and what a form sent back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.types import letter
from ..design.booklets import Page, Question
from ..design.folder import Study
from ..design.form import CHOICE
from ..records.people import Participant

SHORT, LONG = 200, 2000
"""Most characters of a short answer and of a remark."""


@dataclass(frozen=True)
class Ask:
    """One question that must be answered by choosing."""

    field: str
    name: str
    """The construct."""
    text: str
    """ "": the interface's own words."""
    values: tuple[int, ...]
    kind: str
    """choice, scale or preference."""


@dataclass(frozen=True)
class Side:
    """One side of a page."""

    answer: str | None
    explanation: str


@dataclass(frozen=True)
class Sheet:
    """What a page shows and asks."""

    page: Page
    question: Question
    options: tuple[tuple[str, str], ...]
    """(letter, text)."""
    sides: tuple[Side, ...]
    asks: tuple[Ask, ...]
    check: str | None
    """Of a check: what to choose; "" of a preference, whose words are the interface's."""


def sheet_of(study: Study, person: Participant, page: Page) -> Sheet:
    """Return a page of a person's booklet as it is shown."""
    form, question = study.form, study.questions[page.question]
    statements = list(enumerate(form.statements))
    if form.shuffle_statements:
        random.Random(f"{study.design.seed} {person.id}").shuffle(statements)
    steps = tuple(range(1, len(form.scale.labels) + 1))
    compared = form.kind == "preference"
    values, kind = ((1, 0, 2), "preference") if compared else (steps, "scale")
    # Fields are numbered in the form's order, which shuffling leaves as it is.
    asks = [Ask(f"s{index}", entry.name, entry.text, values, kind) for index, entry in statements]
    if form.kind == "simulation":
        asks.insert(0, Ask("choice", CHOICE, "", tuple(range(1, len(question.choices) + 1)), "choice"))
    sides = tuple(Side(question.said[name].answer, question.said[name].explanation) for name in page.treatment)
    options = tuple((letter(index), text) for index, text in enumerate(question.choices))
    return Sheet(page, question, options, sides, tuple(asks), _wanted(study, page, question))


def _wanted(study: Study, page: Page, question: Question) -> str | None:
    if page.wanted is None:
        return None
    if study.form.kind == "simulation":
        return question.choices[page.wanted - 1]
    return study.form.scale.labels[page.wanted - 1] if study.form.kind == "rating" else ""


def read(sheet: Sheet, sent: Mapping[str, str]) -> tuple[dict[str, int], str | None, tuple[str, ...]]:
    """Return the values by construct, the remark, and the fields that are missing or hold no step."""
    values, missing = {}, []
    for ask in sheet.asks:
        choice = sent.get(ask.field, "")
        if choice in {str(value) for value in ask.values}:
            values[ask.name] = int(choice)
        else:
            missing.append(ask.field)
    return values, sent.get("remark", "").strip()[:LONG] or None, tuple(missing)


def filled(sheet: Sheet, values: Mapping[str, int], remark: str | None) -> dict[str, str]:
    """Return the fields of a form that was answered before."""
    fields = {ask.field: str(values[ask.name]) for ask in sheet.asks if ask.name in values}
    return fields | ({"remark": remark} if remark else {})
