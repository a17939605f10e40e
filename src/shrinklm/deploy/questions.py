"""Questions as they come, texts, mappings, DataFrames, Datasets, → Examples without an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.errors import TaskError
from ..core.types import Example
from ..tasks.columns import Choices
from ..tasks.values import options_of, text_of
from .answering import Answering

_OPTIONS = Choices(column="choices")


def examples_of(questions: Any, answering: Answering) -> list[Example]:
    """The examples of questions.

    Args:
        questions: Texts, Examples, or mappings with `question`, `choices` and the context that the student was trained
            with (such as `premise`), perhaps `id`; a DataFrame or a Dataset with such columns. Other columns are left
            alone.
        answering: Says which options and which context a question needs.

    Raises TaskError, which names the question by its number, counted from 1.
    """
    if isinstance(questions, (str, Mapping, Example)):
        raise TaskError("predict takes a list of questions. Write: predict([question])")
    return [example_of(question, answering, number) for number, question in enumerate(_each(questions), 1)]


def example_of(question: Any, answering: Answering, number: int = 1) -> Example:
    """The example of one question. Raises TaskError."""

    def where() -> str:
        return f"Question {number}"

    if isinstance(question, Example):
        _check_options(question, answering, where())
        return question
    row: Mapping[str, Any] = {"question": question} if isinstance(question, str) else question
    if not isinstance(row, Mapping):
        raise TaskError(f"{where()} is a {type(question).__name__}: expected a text, or a mapping with `question`.")
    if "question" not in row:
        raise TaskError(f"{where()} has no `question`. Found: {', '.join(map(str, row)) or 'nothing'}.")
    fields: dict[str, str] = {}
    for name, needed in answering.fields.items():
        # An empty cell shows no line above the question, as in training.
        text = text_of(row[name], where, name, empty=not needed) if row.get(name) is not None else ""
        if not text and needed:
            raise TaskError(f"{where()} has no `{name}`, which the student was trained to read beside the question.")
        fields |= {name: text} if text else {}
    given: Any = row.get("choices")
    if hasattr(given, "tolist"):  # numpy, as cells of a DataFrame are
        given = given.tolist()
    options = answering.labels
    if given is not None and given != "" and given != []:
        if answering.type == "free":
            raise TaskError(f"{where()} has `choices`, but this student answers freely. Leave them out.")
        options = tuple(options_of([given], _OPTIONS, where).texts)
    id = row.get("id")
    example = Example(
        str(number) if id is None else str(id), text_of(row["question"], where, "question"), options, "", fields
    )
    _check_options(example, answering, where())
    return example


def _check_options(example: Example, answering: Answering, where: str) -> None:
    if not example.choices and answering.type != "free":
        raise TaskError(f"{where} has no `choices`, and this student picks one of them. Add: choices=[...]")


def _each(questions: Any) -> Iterator[Any]:
    if hasattr(questions, "to_dict") and hasattr(questions, "columns"):  # a DataFrame
        yield from questions.to_dict("records")
    elif isinstance(questions, Iterable):
        yield from questions
    else:
        raise TaskError(f"predict takes a list of questions, a DataFrame or a Dataset, not {type(questions).__name__}.")
