"""`task.where` of a recipe: rows that are kept or left out by the values of a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import TaskError
from ..core.tables import Rows, missing_column
from .values import plain


@dataclass(frozen=True)
class Condition:
    """One column and the values by which rows stay."""

    column: str
    values: frozenset[str]
    keep: bool
    """Whether rows with one of the values are kept; else those are left out."""

    def __call__(self, value: Any) -> bool:
        """Whether a row with this value is kept."""
        return (plain(value).casefold() in self.values) is self.keep


def conditions(where: Mapping[str, Any], rows: Rows) -> tuple[Condition, ...]:
    """The conditions of `task.where` for a table.

    Raises TaskError: a column that is not there, or a value that is no condition.
    """
    found = []
    for column, said in where.items():
        name = str(column)
        if name not in rows.columns and not rows.route(name)[1]:
            raise TaskError(f"task.where: {missing_column(rows.name, name, rows.columns)}")
        keep = not isinstance(said, Mapping)
        if isinstance(said, Mapping):
            if list(said) != ["not"]:
                raise TaskError(
                    f"task.where.{name}: {dict(said)} is no condition. Write the value that is kept, a list of them, "
                    f'or {{not: VALUE}}, such as where: {{{name}: {{not: "-"}}}}.'
                )
            said = said["not"]
        values = said if isinstance(said, (list, tuple)) else [said]
        if not values or any(isinstance(value, (Mapping, list, tuple)) for value in values):
            raise TaskError(f"task.where.{name}: {said!r} is no value and no list of values.")
        found.append(Condition(name, frozenset(plain(value).casefold() for value in values), keep))
    return tuple(found)


class Filter:
    """Leaves rows out, and counts them by their column and value."""

    def __init__(self, conditions: Sequence[Condition], position: Callable[[str], int]) -> None:
        self._checks = [(condition, position(condition.column)) for condition in conditions]
        self.left_out: Counter[str] = Counter()
        """"column: value" → rows."""

    def keeps(self, values: Sequence[Any]) -> bool:
        """Whether a row stays."""
        for condition, place in self._checks:
            if not condition(values[place]):
                self.left_out[f"{condition.column}: {plain(values[place]) or 'empty'}"] += 1
                return False
        return True
