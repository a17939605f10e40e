"""The records as tables that other tools read: a row for each explanation that one person rated.

Ratings have the columns of the published study's file (arXiv 2504.16056), so that `shrinklm study analyze` and the
authors' own scripts read them as they are, and further ones after those.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import StudyError
from ...core.spreadsheet import csv_text
from ..design.folder import Study
from ..design.form import CHOICE
from .exclude import failed
from .people import Participant, Response

Rows = list[dict[str, Any]]
SIMULATED = "Simulated"
"""1 where a person's guess is the model's answer."""


def ratings(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> Rows:
    """Return the ratings, without practice and checks.

    Columns: CASE (the person's code), rationale (E01 ... by order), the constructs, rationale_id and item (the
    question), model (the condition), rationale_length (characters), the demographics, seconds, order (position among
    the items, from 1), stratum, answer_right, revisions, remark, source. A simulation has Choice (the option in words),
    Simulated (1: it is the model's answer) and given (that answer). A preference has left and right (conditions) in the
    place of model; each construct holds the condition preferred, or "alike".
    """
    people = {person.id: person for person in participants}
    orders = _orders(responses)
    return [
        _rating(study, people[response.participant], response, orders[response.participant, response.position])
        for response in responses
        if response.kind == "item" and response.participant in people
    ]


def _rating(study: Study, person: Participant, response: Response, order: int) -> dict[str, Any]:
    question = study.questions[response.question]
    sides = [question.said[name] for name in response.treatment]
    row: dict[str, Any] = {"CASE": person.code, "rationale": f"E{order:02d}"}
    # The columns of the published file come first and in its order; further ones follow.
    if study.form.kind == "preference":
        left, right = response.treatment
        row |= {name: {0: "alike", 1: left, 2: right}[value] for name, value in sorted(response.values.items())}
        row |= {"rationale_id": response.question, "left": left, "right": right}
        row |= {"left_length": len(sides[0].explanation), "right_length": len(sides[1].explanation)}
    else:
        row |= _values(study, response)
        row |= {
            "rationale_id": response.question,
            "model": response.treatment[0],
            "rationale_length": len(sides[0].explanation),
        }
    row |= _about(study, person)
    row |= {"item": response.question, "seconds": round(response.seconds, 2), "order": order}
    row |= {"stratum": question.stratum, "answer_right": int(all(side.right for side in sides))}
    return row | {"revisions": response.revisions, "remark": response.remark or "", "source": person.source}


def checks(participants: Sequence[Participant], responses: Sequence[Response]) -> Rows:
    """Return the answers to attention checks."""
    codes = {person.id: person.code for person in participants}
    return [
        {
            "CASE": codes[response.participant],
            "page": response.position + 1,
            "wanted": response.wanted,
            "given": " ".join(str(value) for value in response.values.values()),
            "passed": int(not failed(response)),
            "seconds": round(response.seconds, 2),
        }
        for response in responses
        if response.kind == "check" and response.participant in codes
    ]


def people(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> Rows:
    """Return the people, with the demographics that they chose to tell."""
    items = Counter(response.participant for response in responses if response.kind == "item")
    rows = []
    for person in participants:
        end = person.finished_at
        row: dict[str, Any] = {"CASE": person.code, "source": person.source, "seat": person.seat, "stage": person.stage}
        row |= {"items": items[person.id], "consented_at": f"{person.consented_at:%Y-%m-%d %H:%M:%S}"}
        row |= {"finished_at": f"{end:%Y-%m-%d %H:%M:%S}" if end else ""}
        row |= {"minutes": None if person.minutes is None else round(person.minutes, 1)}
        if study.form.recruiting.keep_id:
            row |= {"external_id": person.external or ""}
        rows.append(row | _about(study, person))
    return rows


def parquet_bytes(rows: Rows) -> bytes:
    """The rows as Parquet, texts as they were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def _values(study: Study, response: Response) -> dict[str, Any]:
    values: Mapping[str, Any] = response.values
    if study.form.kind != "simulation":
        return dict(sorted(values.items()))
    question = study.questions[response.question]
    answer = question.said[response.treatment[0]].answer
    guess = question.choices[response.values[CHOICE] - 1]
    rest = {name: value for name, value in sorted(values.items()) if name != CHOICE}
    return {CHOICE: guess, SIMULATED: int(guess == answer), "given": answer, **rest}


def _about(study: Study, person: Participant) -> dict[str, str]:
    """Return every demographic that is asked for; declined ones are empty."""
    return {entry.name: (person.about or {}).get(entry.name, "") for entry in study.form.demographics}


def _orders(responses: Sequence[Response]) -> dict[tuple[int, int], int]:
    """Return (person, page) → position among the person's items, from 1."""
    orders: dict[tuple[int, int], int] = {}
    counts: dict[int, int] = {}
    for response in sorted(responses, key=lambda response: (response.participant, response.position)):
        if response.kind == "item":
            counts[response.participant] = counts.get(response.participant, 0) + 1
            orders[response.participant, response.position] = counts[response.participant]
    return orders


def files(
    study: Study, participants: Sequence[Participant], responses: Sequence[Response], kinds: Sequence[str]
) -> dict[str, bytes]:
    """Return file → contents, for each of csv, parquet, potato and label-studio that is asked for.

    Raises StudyError when nobody has answered.
    """
    from . import export_tools

    tables = {
        "ratings": ratings(study, participants, responses),
        "checks": checks(participants, responses),
        "people": people(study, participants, responses),
    }
    if not tables["ratings"]:
        raise StudyError(f"Nobody has answered an item of {study.home} yet: there is nothing to take out.")
    contents: dict[str, bytes] = {}
    for kind in kinds:
        if kind == "csv":
            contents |= {f"{name}.csv": csv_text(rows).encode() for name, rows in tables.items() if rows}
        elif kind == "parquet":
            contents |= {f"{name}.parquet": parquet_bytes(rows) for name, rows in tables.items() if rows}
        else:
            make = {"potato": export_tools.potato, "label-studio": export_tools.label_studio}[kind]
            texts = make(study, participants, responses)
            contents |= {f"{kind}/{name}": text.encode() for name, text in texts.items()}
    return contents
