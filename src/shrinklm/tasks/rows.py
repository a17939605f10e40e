"""The rows of a table → examples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any

from ..core.errors import TaskError
from ..core.tables import Rows
from ..core.types import Example, Split, digest, digests
from .columns import Columns
from .gold import gold_answers
from .order import later
from .values import OptionTable, filled, options_by_column, options_of, plain, samples_of, stripped, text_of

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
        self._options = OptionTable()
        self._answers: list[Any] = []
        self._ids: list[str] = []
        self._meta: list[dict[str, Any]] = []

    def extend(self, rows: Sequence[tuple[int, Sequence[Any]]]) -> None:
        """Takes in rows, each its number and its values. Raises TaskError with the place of a cell that is not what it
        should be."""
        numbers, values = zip(*rows, strict=True)
        if not self._add_columns(numbers, list(zip(*values, strict=True))):
            for number, row in rows:
                self._add(number, row)

    def _add_columns(self, numbers: Sequence[int], columns: Sequence[Sequence[Any]]) -> bool:
        """Takes in rows column by column, in a fraction of the time, where all cells are texts; else takes in none."""
        if self._has_meta or self._names or len(self._question) != 1:
            return False
        questions = filled(columns[self._question[0][1]])
        options = options_by_column([columns[place] for place in self._choices], self.columns.choices, len(numbers))
        ids = filled(columns[self._id]) if self._id is not None else []
        context = [stripped(columns[place]) for *_, place in self._context]
        if questions is None or options is None or ids is None or None in context:
            return False
        self.numbers.extend(numbers)
        self._questions.extend(questions)
        self._options.extend(options)
        self._ids.extend(ids)
        if self._answer is not None:
            # A text that is one of the options is held in memory once.
            answers = zip(columns[self._answer], options, strict=True)
            self._answers.extend(shown[shown.index(answer)] if answer in shown else answer for answer, shown in answers)
        names = [name for name, *_ in self._context]
        fields = (dict(zip(names, texts, strict=True)) for texts in zip(*filter(None, context), strict=True))
        self._fields.extend(fields if names else repeat(_NOTHING, len(numbers)))
        self._meta.extend(repeat(_NOTHING, len(numbers)))
        return True

    def _add(self, number: int, values: Sequence[Any]) -> None:
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

    def examples(self, split: Split) -> list[Example]:
        """The examples of the rows. Raises TaskError: an answer that cannot be read, or an id that stands twice."""

        def where(row: int) -> str:
            return self.rows.place(self.numbers[row])

        golds = gold_answers(where, self._answers, self._options, self.columns)
        self._answers.clear()
        ids = self._ids if self._id is not None else self._made_ids(split)
        if len(set(ids)) < len(ids):
            self._refuse_twins(ids, where)
        # An empty cell shows no line above the question. In the id it stays: stored generations are keyed by it.
        fields = [
            shown if all(shown.values()) else {name: text for name, text in shown.items() if text}
            for shown in self._fields
        ]
        for row, answers in golds.more.items():
            self._meta[row] = {**self._meta[row], "answers": list(answers)}
        texts, orders = self._options.texts, self._options.orders
        if self.seed is None:
            return list(map(Example, ids, self._questions, texts, golds.texts, fields, self._meta, orders))
        return later(ids, self._questions, golds.texts, fields, texts, self._meta, orders, self.seed)

    def _made_ids(self, split: Split) -> list[str]:
        """An id for each row, made of its question, its context and its options."""
        # Not of the row's number: a row added above must not rename all rows below, whose generations would then be
        # generated again.
        ids = list(map(digests(split), self._questions, self._fields, self._options.texts))
        if len(set(ids)) < len(ids):
            twins: Counter[str] = Counter()
            for index, made in enumerate(ids):
                twins[made] += 1
                if twins[made] > 1:
                    ids[index] = digest(made, twins[made])
        return ids

    def _refuse_twins(self, ids: Sequence[str], where: Callable[[int], str]) -> None:
        first: dict[str, int] = {}
        for index, id in enumerate(ids):
            if first.setdefault(id, index) != index:
                raise TaskError(
                    f"{where(index)}, column '{self.columns.id}': the id '{id}' stands already in "
                    f"{where(first[id])}. "
                    "Ids are unique; leave `id` out of task.columns to have ids made from the questions."
                )

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
