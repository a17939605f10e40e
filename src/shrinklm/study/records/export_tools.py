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
    """File → text: `config.yaml`, `data.jsonl` (a line for each thing that was rated), and for each person
    annotated_instances.jsonl."""
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
    data = {
        _id(response): {"id": _id(response), "text": _text(study, response)}
        for response in responses
        if response.kind == "item"
    }
    files = {
        "config.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "data.jsonl": _lines(list(data.values())),
    }
    for person in participants:
        items = [response for response in responses if response.participant == person.id and response.kind == "item"]
        rows = [
            {
                "id": _id(response),
                "displayed_text": _text(study, response),
                "span_annotations": {},
                "label_annotations": {name: _label(study, response, name) for name in response.values},
                "behavioral_data": {"time_string": f"Time spent: {response.seconds:.0f}s"},
            }
            for response in items
        ]
        if rows:
            files[f"annotation_output/{person.code}/annotated_instances.jsonl"] = _lines(rows)
    return files


def label_studio(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> dict[str, str]:
    """File → text: `label_config.xml` for a project's settings, and `tasks.json` to import: a task for each thing that
    was rated."""
    codes = {person.id: person.code for person in participants}
    tasks: dict[str, dict[str, Any]] = {}
    for response in responses:
        if response.kind != "item" or response.participant not in codes:
            continue
        task = tasks.setdefault(
            _id(response), {"data": {"id": _id(response), "text": _text(study, response)}, "annotations": []}
        )
        result = [
            {
                "id": f"{codes[response.participant]}-{response.position}-{_field(name)}",
                "from_name": _field(name),
                "to_name": "text",
                "type": "choices",
                "value": {"choices": [_words(study, response, name)]},
            }
            for name in response.values
        ]
        task["annotations"].append(
            {
                "completed_by": {"email": f"{codes[response.participant]}@study.invalid"},
                "lead_time": round(response.seconds, 2),
                "result": result,
            }
        )
    parts = ["<View>", '  <Text name="text" value="$text"/>']
    for name in study.form.constructs:
        header = escape(_statement(study, name))
        parts.append(
            f'  <Header value="{header}"/>\n  <Choices name="{_field(name)}" toName="text" choice="single-radio">'
        )
        parts += [f'    <Choice value="{escape(value)}"/>' for value in _values(study, name)]
        parts.append("  </Choices>")
    files = {"label_config.xml": "\n".join([*parts, "</View>"]) + "\n"}
    return {**files, "tasks.json": json.dumps(list(tasks.values()), ensure_ascii=False, indent=1) + "\n"}


def _id(response: Response) -> str:
    return " · ".join((response.question, *response.treatment))


def _text(study: Study, response: Response) -> str:
    """Return what a page showed, as one text."""
    question = study.questions[response.question]
    lines = [*(f"{name}: {text}" for name, text in question.fields.items()), question.question]
    lines += [f"({letter(index)}) {choice}" for index, choice in enumerate(question.choices)]
    for name in response.treatment:
        side = question.said[name]
        if study.form.kind != "simulation":  # there the answer is what people guess
            lines.append(f"Answer: {side.answer}")
        lines.append(f"Explanation: {side.explanation}")
    return "\n".join(lines)


def _statement(study: Study, name: str) -> str:
    return next((statement.text for statement in study.form.statements if statement.name == name), name)


def _scheme(study: Study, name: str) -> dict[str, Any]:
    scheme: dict[str, Any] = {"name": name, "description": _statement(study, name)}
    if study.form.kind == "preference" or name == CHOICE:
        return {"annotation_type": "radio", **scheme, "labels": _values(study, name)}
    labels = study.form.scale.labels
    return {"annotation_type": "likert", **scheme, "size": len(labels), "min_label": labels[0], "max_label": labels[-1]}


def _label(study: Study, response: Response, name: str) -> dict[str, str]:
    if study.form.kind == "preference" or name == CHOICE:
        return {_words(study, response, name): _words(study, response, name)}
    return {f"scale_{response.values[name]}": str(response.values[name])}


def _values(study: Study, name: str) -> list[str]:
    if study.form.kind == "preference":
        return [ALIKE[1], ALIKE[0], ALIKE[2]]
    if name == CHOICE:
        most = max(len(question.choices) for question in study.questions.values())
        return [f"({letter(index)})" for index in range(most)]
    return list(study.form.scale.labels)


def _words(study: Study, response: Response, name: str) -> str:
    value = response.values[name]
    if study.form.kind == "preference":
        return ALIKE[value]
    return f"({letter(value - 1)})" if name == CHOICE else study.form.scale.labels[value - 1]


def _field(name: str) -> str:
    return name.replace(" ", "_")


def _lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
