"""Requests to /v1/answer: the body as JSON → questions; answers → JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.errors import TaskError
from ...core.types import Example
from ...teachers.serving.chat import Refusal
from ..questions import example_of
from .limits import Limits
from .words import has_gradients
from .worker import Reply, Wish

if TYPE_CHECKING:
    from ..answering import Answering
    from ..student import By, TrainedStudent

_HOW = ("explain", "by", "words")
"""Fields that say how all questions of a request are answered."""


class Asked(NamedTuple):
    """What a request asks."""

    examples: list[Example]
    wish: Wish
    several: bool
    """Whether it asks a list of questions, and gets a list of answers."""


def parse(raw: bytes) -> dict[str, Any]:
    """The object in a request's body. Raises Refusal."""
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except RecursionError:
        raise Refusal(400, "The body is nested too deeply.", "invalid_json") from None
    except ValueError as error:
        raise Refusal(400, f"The body is no JSON: {error}.", "invalid_json") from None
    if not isinstance(body, dict):
        raise Refusal(400, f"The body must be a JSON object, not {kind_of(body)}.", "invalid_body")
    return body


def read(body: Mapping[str, Any], student: TrainedStudent, limits: Limits, by: By | None = None) -> Asked:
    """The questions in a request's body; `by`: the one way in which answers are read. Raises Refusal."""
    answering = student.answering
    known = _fields(answering)
    if "questions" in body:
        _only(body, ("questions", *_HOW), "Beside 'questions'")
        rows, several = body["questions"], True
        if not isinstance(rows, list) or not rows:
            found = "an empty one" if rows == [] else _shown(rows)
            raise invalid(f"'questions' must be a list with at least one question, not {found}.", "questions")
        if len(rows) > limits.questions:
            raise invalid(
                f"'questions' has {len(rows):,} questions; this server takes {limits.questions:,} a request.",
                "questions",
                413,
            )
    else:
        _only(body, (*known, *_HOW), "In a request")
        rows, several = [{name: value for name, value in body.items() if name not in _HOW}], False
    examples = []
    for number, row in enumerate(rows, 1):
        where = f"Question {number}: " if several else ""
        row = {"question": row} if isinstance(row, str) else row
        if not isinstance(row, dict):
            raise invalid(f"{where}expected a text or an object, found {kind_of(row)}.", "questions")
        _only(row, known, f"{where}in a question")
        examples.append(example(row, answering, limits, where, number))
    return Asked(examples, _wish(body, student, by), several)


def example(row: Mapping[str, Any], answering: Answering, limits: Limits, where: str = "", number: int = 1) -> Example:
    """One question of a request. Raises Refusal."""
    if row.get("question") is None:
        raise invalid(f"{where}'question' is missing.", "question")
    texts = [("question", row["question"])]
    # Context that not every question has may be left empty.
    texts += [
        (name, row[name])
        for name, needed in answering.fields.items()
        if row.get(name) is not None and (needed or row[name] != "")
    ]
    options = row.get("choices")
    if options is not None and not isinstance(options, list):
        raise invalid(f"{where}'choices' must be a list of texts, not {_shown(options)}.", "choices")
    options = options or []
    if len(options) > limits.options:
        raise invalid(f"{where}'choices' has {len(options):,} options; this server takes {limits.options}.", "choices")
    texts += [("choices", option) for option in options]
    for name, text in texts:
        _check_text(name, text, where)
    size = sum(len(text) for _, text in texts)
    if size > limits.characters:
        raise invalid(
            f"{where}the question has {size:,} characters with its context and options; "
            f"this server takes {limits.characters:,}.",
            "question",
            413,
        )
    id = row.get("id")
    if isinstance(id, bool) or not isinstance(id, str | int | None) or len(str(id)) > 200:
        raise invalid(f"{where}'id' must be a text or a whole number, not {_shown(id)}.", "id")
    if isinstance(id, str):
        _check_text("id", id, where)
    try:
        return example_of(row, answering, f"Question {number}" if where else "The question", str(number))
    except TaskError as error:
        raise invalid(str(error), None) from None


def answered(reply: Reply) -> dict[str, Any]:
    """A reply as JSON."""
    answer = reply.answer
    return {
        "id": answer.id,
        "answer": answer.answer,
        "explanation": answer.explanation,
        "explanation_cut": answer.explanation_cut,
        "probabilities": dict(answer.probabilities),
        "confidence": answer.confidence,
        "supported": answer.supported,
        "why": answer.why,
        "escalated": answer.by == "teacher",
        "raw": answer.raw,
        "words": reply.words and reply.words.to_json(),
        "cell": answer.cell,
    }


def invalid(message: str, param: str | None, status: int = 400) -> Refusal:
    """A value that is not taken."""
    return Refusal(status, message, "invalid_value" if status == 400 else "too_large", param)


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return kinds.get(type(value), "an object")


def flag(body: Mapping[str, Any], name: str, default: bool) -> bool:
    """A field that is true or false. Raises Refusal."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"'{name}' must be true or false, not {_shown(value)}.", name)
    return value


def _wish(body: Mapping[str, Any], student: TrainedStudent, only: By | None) -> Wish:
    by = body.get("by")
    if by not in (None, "text", "likelihood"):
        raise invalid(f'\'by\' must be "text" or "likelihood", not {_shown(by)}.', "by")
    if only and by not in (None, only):
        raise invalid(f"'by' must be {_shown(only)}: the threshold of this cascade was picked for it.", "by")
    words = flag(body, "words", False)
    if words and not has_gradients(student):
        raise invalid("'words' cannot be told here: this student gives no gradients.", "words")
    return Wish(flag(body, "explain", True), by or only or "text", words)


def _fields(answering: Answering) -> tuple[str, ...]:
    return ("question", "choices", "id", *answering.fields)


def _only(row: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in row:
        if name not in known:
            raise Refusal(
                400,
                f"{where} there is no field {_shown(name)}. Known: {', '.join(known)}.",
                "unknown_field",
                name[:100],
            )


def _check_text(name: str, text: Any, where: str) -> None:
    if not isinstance(text, str):
        raise invalid(f"{where}'{name}' must be {_KINDS.get(name, 'a text')}; found {_shown(text)}.", name)
    if not text.strip():
        raise invalid(f"{where}'{name}' has an empty text.", name)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(f"{where}'{name}' holds half a character (a lone surrogate).", name) from None


_KINDS = {"choices": "a list of texts"}


def _shown(value: Any) -> str:
    if isinstance(value, str | bool | int | float) or value is None:
        text = json.dumps(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    return kind_of(value)


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
