"""Rows of a table whose questions are to be answered: no answer is needed, and a bad row stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import TaskError
from ..core.tables import Rows
from ..core.types import Example
from .columns import Choices, Columns
from .rows import RowReader
from .values import plain

AskedRow = tuple[str, Example | str]
"""(where in the table the row stands, its example or what is wrong with it)."""
_OF_ANSWERS = ("answer", "answer_from", "explanation", "highlight", "where")
"""Keys of `task.columns` that say what is known of a question beside the question itself."""


def question_columns(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`task.columns` without the columns that hold answers."""
    return {**{key: value for key, value in spec.items() if key not in _OF_ANSWERS}, "answer": None}


def plain_columns(kind: str, context: Mapping[str, Any] | Sequence[str]) -> list[dict[str, Any]]:
    """The columns of a table that calls its columns as this package does: with options first, where
    each question brings its own."""
    names = _list(context)
    form = {"question": "question", "answer": None, "id": "id", **({"context": names} if names else {})}
    without = {key: value for key, value in form.items() if key != "id"}
    options = [] if kind != "choice" else [{**each, "choices": "choices"} for each in (form, without)]
    return [*options, form, without]


def called(form: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Columns in which those of `named`, by key or by the name of a context, have other names."""
    context = form.get("context") or ()
    names = dict(context) if isinstance(context, Mapping) else {name: name for name in _list(context)}
    others = {key: column for key, column in named.items() if key not in names}
    shown = {name: named.get(name, column) for name, column in names.items()}
    return {**form, **others, **({"context": shown} if shown else {})}


def _list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def asked_rows(rows: Rows, spec: Mapping[str, Any], kind: str) -> Iterator[AskedRow]:
    """The rows of a table, their options in the order of the table.

    Args:
        rows: The table.
        spec: `question_columns`; its `id` may be missing from the table.
        kind: choice, nli, yesno or free.

    Raises TaskError for a table without the columns, or one that cannot be read further.
    """
    if spec.get("id") and spec["id"] not in rows.columns and not rows.route(str(spec["id"]))[1]:
        spec = {key: value for key, value in spec.items() if key != "id"}
    columns = Columns.resolve(spec, rows, kind, unlabelled=True)
    position = {column: index for index, column in enumerate(columns.needed)}.__getitem__
    seen = 0
    for number, values in rows.values(columns.needed):
        seen += 1
        # One row alone: its fault is its own, and an id that stands twice is no fault here.
        yield rows.place(number).removeprefix(f"{rows.name}, "), _read(rows, columns, position, number, values, seen)
    if not seen:
        raise TaskError(f"{rows.name} is empty. A table needs at least one row.")


def _read(
    rows: Rows, columns: Columns, position: Callable[[str], int], number: int, values: Sequence[Any], count: int
) -> Example | str:
    # An empty cell is as in a table without the column: whoever is asked may know the options.
    if columns.choices.column and not plain(values[position(columns.choices.column)]):
        columns = replace(columns, choices=Choices())
    if columns.id and not plain(values[position(columns.id)]):
        columns = replace(columns, id=None)
    reader = RowReader(rows, columns, position, None)
    try:
        reader.extend([(number, values)])
        [example] = reader.examples("test")
    except TaskError as error:
        return str(error)
    # Where the table has no ids, a row's number is easier to find than a digest of its question.
    return example if columns.id else Example(str(count), example.question, example.choices, "", example.fields)
