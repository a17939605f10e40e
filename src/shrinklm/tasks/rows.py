"""The rows of a table → examples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ..core.errors import TaskError
from ..core.tables import Rows
from ..core.types import Example, Split, digest
from .columns import Columns
from .order import later
from .values import Options, gold_answers, options_of, plain, samples_of, text_of

_NOTHING: dict[str, Any] = {}
"""Shared by all examples without context or meta; nobody writes into an example."""


class RowReader:
    """Collects rows, then makes an example of each.

    Args:
        rows: the table.
        columns: which of its columns holds what.
        position: a column's place among the values of a row.
        seed: shuffles the options; None leaves them in their order.
    """

    def __init__(self, rows: Rows, columns: Columns, position: Callable[[str], int], seed: int | None) -> None:
        self.rows, self.columns, self.seed = rows, columns, seed
        choices = columns.choices
        self._question = [(column, position(column)) for column in columns.question]
        self._context = [(name, column, position(column)) for name, column in columns.context.items()]
        self._choices = [position(column) for column in ([choices.column] if choices.column else choices.columns)]
        self._answer = position(columns.answer) if columns.answer else None
        self._id = position(columns.id) if columns.id else None
        self._explanation = [(column, position(column)) for column in columns.explanation]
        self._highlight = position(columns.highlight) if columns.highlight else None
        self._has_meta = bool(columns.explanation or columns.highlight or columns.ask)
        # Where the recipe says how numbers count, the file's own names for them do not.
        self._names = rows.labels.get(columns.answer or "", ()) if columns.answer_from is None else ()
        self._names = () if all(name.isdigit() for name in self._names) else self._names
        self.numbers = array("q")
        self._questions: list[str] = []
        self._fields: list[dict[str, str]] = []
        self._options: list[Options] = []
        self._answers: list[Any] = []
        self._ids: list[str] = []
        self._meta: list[dict[str, Any]] = []

    def add(self, number: int, values: Sequence[Any]) -> None:
        """Takes in a row. Raises TaskError with its place for a cell that is not what it should be."""
        where = partial(self.rows.place, number)
        columns = self.columns
        options = options_of([values[place] for place in self._choices], columns.choices, where)
        if columns.ask:
            question = columns.ask
        elif len(self._question) == 1:
            ((column, place),) = self._question
            question = text_of(values[place], where, column)
        else:
            question = " ".join(text_of(values[place], where, column) for column, place in self._question)
        self.numbers.append(number)
        self._options.append(options)
        if self._answer is not None:
            answer = values[self._answer]
            self._answers.append(self._named(answer, where) if self._names else answer)
        self._questions.append(question)
        self._fields.append(
            {name: text_of(values[place], where, column, empty=True) for name, column, place in self._context}
            if self._context
            else _NOTHING
        )
        if self._id is not None:
            self._ids.append(text_of(values[self._id], where, str(columns.id)))
        self._meta.append(self._about(values, where) if self._has_meta else _NOTHING)

    def examples(self, split: Split) -> Iterator[Example]:
        """The examples of the rows. Raises TaskError: an answer that cannot be read, or an id that stands twice."""

        def where(row: int) -> str:
            return self.rows.place(self.numbers[row])

        golds = gold_answers(where, self._answers, self._options, self.columns)
        self._answers.clear()
        seen: dict[str, int] = {}
        twins: Counter[str] = Counter()
        for index, gold in enumerate(golds):
            question, fields, option, meta = (
                self._questions[index],
                self._fields[index],
                self._options[index],
                self._meta[index],
            )
            if self._id is not None:
                identity = self._ids[index]
            else:
                # Made from the question and not from the row number: a row added above must not rename all rows below,
                # whose generations would then be generated again.
                identity = digest(split, question, fields, option.texts)
                twins[identity] += 1
                identity = identity if twins[identity] == 1 else digest(identity, twins[identity])
            if (first := seen.setdefault(identity, index)) != index:
                raise TaskError(
                    f"{where(index)}, column '{self.columns.id}': the id '{identity}' stands already in "
                    f"{where(first)}. "
                    "Ids are unique; leave `id` out of task.columns to have ids made from the questions."
                )
            if gold.more:
                meta = {**meta, "answers": list(gold.more)}
            # An empty cell shows no line above the question. In the id it stays: stored generations are keyed by it.
            filled = {name: text for name, text in fields.items() if text} if fields else fields
            if self.seed is None:
                yield Example(identity, question, option.texts, gold.text, filled, meta, option.order)
            else:
                yield later(identity, question, gold.text, filled, option.texts, meta, option.order, self.seed)

    def _named(self, value: Any, where: Callable[[], str]) -> Any:
        """An answer with its name for its number, where the file has names; -1 is a hidden one."""
        if isinstance(value, bool):
            return value
        text = plain(value)
        if not text.removeprefix("-").isdecimal() or text in self._names:
            return value
        number = int(text)
        if number < 0:
            return None
        if number >= len(self._names):
            raise TaskError(
                f"{where()}, column '{self.columns.answer}': the answer {text} has no name; the file names 0 to "
                f"{len(self._names) - 1}: {', '.join(self._names)}."
            )
        return self._names[number]

    def _about(self, values: Sequence[Any], where: Callable[[], str]) -> dict[str, Any]:
        meta: dict[str, Any] = {}
        for column, place in self._explanation:
            if texts := samples_of(values[place], where, column):
                meta["explanation"] = texts[0]
                if len(texts) > 1:
                    meta["explanations"] = texts
                break
        if self._highlight is not None:
            text = text_of(values[self._highlight], where, str(self.columns.highlight), empty=True)
            if text:
                meta["highlight"] = text
        if self.columns.ask:
            meta["same_question"] = True
        return meta or _NOTHING
