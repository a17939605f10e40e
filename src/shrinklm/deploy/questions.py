"""Questions as they come, texts, mappings, DataFrames, Datasets, → Examples without an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..core.errors import TaskError
from ..core.types import Example
from ..tasks.columns import Choices
from ..tasks.values import options_of, plain, text_of
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
    return [
        example_of(question, answering, f"Question {count}", str(count))
        for count, question in enumerate(_each(questions), 1)
    ]


def example_of(question: Any, answering: Answering, place: str = "The question", id: str = "") -> Example:
    """The example of one question.

    Args:
        question: See `examples_of`; an Example keeps its options, and has the student's labels where it has none.
        answering: As there.
        place: What errors call the question.
        id: Its id where it has none.

    Raises TaskError.
    """
    if isinstance(question, Example):
        example = question if question.choices else replace(question, choices=answering.labels)
        lacking = [name for name, needed in answering.fields.items() if needed and not example.fields.get(name)]
        if lacking:
            raise _lacks(lacking[0], place)
        _check_options(example, answering, place)
        _check_characters(example, place)
        return example
    row: Mapping[str, Any] = {"question": question} if isinstance(question, str) else question
    if not isinstance(row, Mapping):
        raise TaskError(f"{place} is a {type(question).__name__}: expected a text, or a mapping with `question`.")
    if "question" not in row:
        raise TaskError(f"{place} has no `question`. Found: {', '.join(map(str, row)) or 'nothing'}.")
    fields: dict[str, str] = {}
    for name, needed in answering.fields.items():
        # An empty cell shows no line above the question, as in training.
        text = text_of(row[name], lambda: place, name, empty=not needed) if row.get(name) is not None else ""
        if not text and needed:
            raise _lacks(name, place)
        fields |= {name: text} if text else {}
    given: Any = row.get("choices")
    if hasattr(given, "tolist"):  # numpy, as cells of a DataFrame are
        given = given.tolist()
    options = answering.labels
    if given != [] and (isinstance(given, (list, tuple)) or plain(given)):
        if answering.type == "free":
            raise TaskError(f"{place} has `choices`, but this student answers freely. Leave them out.")
        options = tuple(options_of([given], _OPTIONS, lambda: place).texts)
    question = text_of(row["question"], lambda: place, "question")
    example = Example(plain(row.get("id")) or id, question, options, "", fields)
    _check_options(example, answering, place)
    _check_characters(example, place)
    return example


def _lacks(name: str, place: str) -> TaskError:
    return TaskError(f"{place} has no `{name}`, which the student was trained to read beside the question.")


def _check_options(example: Example, answering: Answering, where: str) -> None:
    if not example.choices and answering.type != "free":
        raise TaskError(f"{where} has no `choices`, and this student picks one of them. Add: choices=[...]")


def _check_characters(example: Example, where: str) -> None:
    try:
        f"{example.id}{example.text}".encode()
    except UnicodeEncodeError:
        raise TaskError(f"{where} holds half a character (a lone surrogate), which no tokenizer reads.") from None


def _each(questions: Any) -> Iterator[Any]:
    if hasattr(questions, "to_dict") and hasattr(questions, "columns"):  # a DataFrame
        # A gap in a column is NaN, NaT or NA, by its type.
        yield from questions.astype(object).where(questions.notna(), None).to_dict("records")
    elif isinstance(questions, Iterable):
        yield from questions
    else:
        raise TaskError(f"predict takes a list of questions, a DataFrame or a Dataset, not {type(questions).__name__}.")
