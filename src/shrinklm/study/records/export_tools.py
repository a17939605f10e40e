"""The ratings as two annotation tools keep theirs, with what each needs to open them: Potato and Label Studio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import yaml

from ...core.types import letter
from ..design.folder import Study
from ..design.form import CHOICE
from .people import Participant, Response

ALIKE = ("no difference", "left", "right")


def potato(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> dict[str, str]:
    """File → text: `config.yaml`, `data.jsonl` (a line for each thing that was rated), and for each person annotated_instances.jsonl."""
    config = {
        "annotation_task_name": study.form.title,
        "task_dir": ".",
        "output_annotation_dir": "annotation_output",
        "output_annotation_format": "jsonl",
        "data_files": ["data.jsonl"],
        "item_properties": {"id_key": "id", "text_key": "text"},
        "user_config": {"allow_all_users": True, "users": []},
        "annotation_schemes": [_scheme(study, name) for name in study.form.constructs],
    }
    items = {_id(one): {"id": _id(one), "text": _text(study, one)} for one in responses if one.kind == "item"}
    files = {
        "config.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "data.jsonl": _lines(list(items.values())),
    }
    for person in participants:
        own = [one for one in responses if one.participant == person.id and one.kind == "item"]
        rows = [
            {
                "id": _id(one), "displayed_text": _text(study, one), "span_annotations": {},
                "label_annotations": {name: _label(study, one, name) for name in one.values},
                "behavioral_data": {"time_string": f"Time spent: {one.seconds:.0f}s"},
            }
            for one in own
        ]  # fmt: skip
        if rows:
            files[f"annotation_output/{person.code}/annotated_instances.jsonl"] = _lines(rows)
    return files


def label_studio(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> dict[str, str]:
    """File → text: `label_config.xml` for a project's settings, and `tasks.json` to import: a task for each thing that was rated."""
    codes = {person.id: person.code for person in participants}
    tasks: dict[str, dict[str, Any]] = {}
    for one in responses:
        if one.kind != "item" or one.participant not in codes:
            continue
        task = tasks.setdefault(_id(one), {"data": {"id": _id(one), "text": _text(study, one)}, "annotations": []})
        result = [
            {
                "id": f"{codes[one.participant]}-{one.position}-{_field(name)}", "from_name": _field(name), "to_name": "text",
                "type": "choices", "value": {"choices": [_words(study, one, name)]},
            }
            for name in one.values
        ]  # fmt: skip
        task["annotations"].append(
            {
                "completed_by": {"email": f"{codes[one.participant]}@study.invalid"},
                "lead_time": round(one.seconds, 2),
                "result": result,
            }
        )
    parts = ["<View>", '  <Text name="text" value="$text"/>']
    for name in study.form.constructs:
        asked = next((one.text for one in study.form.statements if one.name == name), name)
        parts.append(
            f'  <Header value="{escape(asked)}"/>\n  <Choices name="{_field(name)}" toName="text" choice="single-radio">'
        )
        parts += [f'    <Choice value="{escape(value)}"/>' for value in _values(study, name)]
        parts.append("  </Choices>")
    files = {"label_config.xml": "\n".join([*parts, "</View>"]) + "\n"}
    return {**files, "tasks.json": json.dumps(list(tasks.values()), ensure_ascii=False, indent=1) + "\n"}


def _id(one: Response) -> str:
    return " · ".join((one.question, *one.treatment))


def _text(study: Study, one: Response) -> str:
    """What was shown, as one text."""
    question = study.questions[one.question]
    lines = [*(f"{name}: {text}" for name, text in question.fields.items()), question.question]
    lines += [f"({letter(at)}) {choice}" for at, choice in enumerate(question.choices)]
    for name in one.treatment:
        said = question.said[name]
        lines += ([] if study.form.kind == "simulation" else [f"Answer: {said.answer}"]) + [
            f"Explanation: {said.explanation}"
        ]
    return "\n".join(lines)


def _scheme(study: Study, name: str) -> dict[str, Any]:
    asked = next((one.text for one in study.form.statements if one.name == name), name)
    scheme: dict[str, Any] = {"name": name, "description": asked}
    if study.form.kind == "preference" or name == CHOICE:
        return {"annotation_type": "radio", **scheme, "labels": _values(study, name)}
    labels = study.form.scale.labels
    return {"annotation_type": "likert", **scheme, "size": len(labels), "min_label": labels[0], "max_label": labels[-1]}


def _label(study: Study, one: Response, name: str) -> dict[str, str]:
    if study.form.kind == "preference" or name == CHOICE:
        return {_words(study, one, name): _words(study, one, name)}
    return {f"scale_{one.values[name]}": str(one.values[name])}


def _values(study: Study, name: str) -> list[str]:
    if study.form.kind == "preference":
        return [ALIKE[1], ALIKE[0], ALIKE[2]]
    if name == CHOICE:
        return [f"({letter(at)})" for at in range(max(len(one.choices) for one in study.questions.values()))]
    return list(study.form.scale.labels)


def _words(study: Study, one: Response, name: str) -> str:
    value = one.values[name]
    if study.form.kind == "preference":
        return ALIKE[value]
    return f"({letter(value - 1)})" if name == CHOICE else study.form.scale.labels[value - 1]


def _field(name: str) -> str:
    return name.replace(" ", "_")


def _lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
