"""The records as tables that other tools read: a row for each explanation that one person rated.

Ratings have the columns of the published study's file (arXiv 2504.16056), so that `shrinklm study analyze` and the authors' own scripts
read them as they are, and further ones after those.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import StudyError
from ..design.folder import Study
from ..design.form import CHOICE
from .exclude import failed
from .people import Participant, Response

Rows = list[dict[str, Any]]
SIMULATED = "Simulated"
"""1 where a person's guess is the model's answer."""


def ratings(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> Rows:
    """The ratings without practice and checks.

    Columns: CASE (the person's code), rationale (E01 ... by place), the constructs, rationale_id and item (the question), model (the
    condition), rationale_length (characters), the demographics, seconds, order (place among the items, from 1), stratum, answer_right,
    revisions, remark, source. A simulation has Choice (the option in words), Simulated (1: it is the model's answer) and given (that
    answer). A preference has left and right (conditions) in the place of model; each construct holds the condition preferred, or "alike".
    """
    people = {person.id: person for person in participants}
    places = _places(responses)
    found = []
    for one in responses:
        person = people.get(one.participant)
        if one.kind != "item" or person is None:
            continue
        question = study.questions[one.question]
        shown = [question.said[name] for name in one.treatment]
        order = places[one.participant, one.position]
        row: dict[str, Any] = {"CASE": person.code, "rationale": f"E{order:02d}"}
        if study.form.kind == "preference":
            left, right = one.treatment
            row |= {name: {0: "alike", 1: left, 2: right}[value] for name, value in sorted(one.values.items())}
            row |= {"rationale_id": one.question, "left": left, "right": right}
            row |= {"left_length": len(shown[0].explanation), "right_length": len(shown[1].explanation)}
        else:
            row |= _values(study, one)
            row |= {
                "rationale_id": one.question,
                "model": one.treatment[0],
                "rationale_length": len(shown[0].explanation),
            }
        row |= _about(study, person)
        row |= {"item": one.question, "seconds": round(one.seconds, 2), "order": order, "stratum": question.stratum}
        row |= {"answer_right": int(all(side.right for side in shown)), "revisions": one.revisions}
        row |= {"remark": one.remark or "", "source": person.source}
        found.append(row)
    return found


def checks(participants: Sequence[Participant], responses: Sequence[Response]) -> Rows:
    """What was chosen where an item said itself what to choose."""
    codes = {person.id: person.code for person in participants}
    return [
        {
            "CASE": codes[one.participant], "page": one.position + 1, "wanted": one.wanted,
            "given": " ".join(str(value) for value in one.values.values()), "passed": int(not failed(one)),
            "seconds": round(one.seconds, 2),
        }
        for one in responses
        if one.kind == "check" and one.participant in codes
    ]  # fmt: skip


def people(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> Rows:
    """Who took part, with what they chose to tell."""
    items = Counter(one.participant for one in responses if one.kind == "item")
    found = []
    for person in participants:
        end = person.finished_at
        row: dict[str, Any] = {"CASE": person.code, "source": person.source, "seat": person.seat, "stage": person.stage}
        row |= {"items": items[person.id], "consented_at": f"{person.consented_at:%Y-%m-%d %H:%M:%S}"}
        row |= {"finished_at": f"{end:%Y-%m-%d %H:%M:%S}" if end else ""}
        row |= {"minutes": None if person.minutes is None else round(person.minutes, 1)}
        if study.form.recruiting.keep_id:
            row |= {"external_id": person.external or ""}
        found.append(row | _about(study, person))
    return found


def csv_text(rows: Rows) -> str:
    """The rows as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows([{name: _safe(value) for name, value in row.items()} for row in rows])
    return out.getvalue()


def parquet_bytes(rows: Rows) -> bytes:
    """The rows as Parquet, texts as they were written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def _values(study: Study, one: Response) -> dict[str, Any]:
    values: Mapping[str, Any] = one.values
    if study.form.kind != "simulation":
        return dict(sorted(values.items()))
    question = study.questions[one.question]
    given = question.said[one.treatment[0]].answer
    guess = question.choices[one.values[CHOICE] - 1]
    rest = {name: value for name, value in sorted(values.items()) if name != CHOICE}
    return {CHOICE: guess, SIMULATED: int(guess == given), "given": given, **rest}


def _about(study: Study, person: Participant) -> dict[str, str]:
    """Every demographic that is asked for; declined ones are empty."""
    return {one.name: (person.about or {}).get(one.name, "") for one in study.form.demographics}


def _places(responses: Sequence[Response]) -> dict[tuple[int, int], int]:
    """(person, page) → place among the person's items, from 1."""
    found: dict[tuple[int, int], int] = {}
    counts: dict[int, int] = {}
    for one in sorted(responses, key=lambda one: (one.participant, one.position)):
        if one.kind == "item":
            counts[one.participant] = counts.get(one.participant, 0) + 1
            found[one.participant, one.position] = counts[one.participant]
    return found


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def files(
    study: Study, participants: Sequence[Participant], responses: Sequence[Response], kinds: Sequence[str]
) -> dict[str, bytes]:
    """File → contents, for each of csv, parquet, potato and label-studio that is asked for. Raises StudyError when nobody has answered."""
    from . import export_tools

    tables = {
        "ratings": ratings(study, participants, responses),
        "checks": checks(participants, responses),
        "people": people(study, participants, responses),
    }
    if not tables["ratings"]:
        raise StudyError(f"Nobody has answered an item of {study.home} yet: there is nothing to take out.")
    found: dict[str, bytes] = {}
    for kind in kinds:
        if kind == "csv":
            found |= {f"{name}.csv": csv_text(rows).encode() for name, rows in tables.items() if rows}
        elif kind == "parquet":
            found |= {f"{name}.parquet": parquet_bytes(rows) for name, rows in tables.items() if rows}
        else:
            make = {"potato": export_tools.potato, "label-studio": export_tools.label_studio}[kind]
            found |= {f"{kind}/{name}": text.encode() for name, text in make(study, participants, responses).items()}
    return found
