"""A table whose rows are read on demand, each with the location that errors name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import TableError
from .printed import parsed

Row = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """What is said about a file that it may not tell itself; each None is found out."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    """Of a workbook; left out: the first."""
    part: str | None = None
    """The key of a JSON object under which the rows stand."""
    parts: tuple[str, ...] = ()
    """Keys that are tried first where there are several."""
    most_rows: int | None = None
    """More are not read; left out: see `bound`."""
    most_megabytes: float | None = None
    """A table that unpacks to more is not read."""
    block: str = ""
    """The block of a recipe in which these stand; "" where there is no recipe."""


@dataclass(frozen=True)
class Rows:
    """A table whose rows are read on demand, as often as asked for."""

    name: str
    """As errors call it."""
    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[tuple[int, Sequence[Any]]]]
    """Columns of the table → pairs of a row's number and its values, in the order asked for (None where missing)."""
    place: Callable[[int], str]
    """A row's number → its location, such as "train.csv, line 7"."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns of whole numbers that stand for names: ClassLabel features of the datasets library."""

    def values(self, wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        """Pairs of a row's number and its values. A name such as "question.stem" reaches into the column `question`."""
        routes = [self.route(name) for name in wanted]
        if not any(path for _, path in routes):
            yield from self.read(wanted)
            return
        tops = list(dict.fromkeys(column for column, _ in routes))
        slots = [(tops.index(column), path) for column, path in routes]
        for number, values in self.read(tops):
            yield number, [reach(values[slot], path) if path else values[slot] for slot, path in slots]

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Row]]:
        """Pairs of a row's location and its values by column."""
        for number, values in self.values(wanted):
            yield self.place(number), dict(zip(wanted, values, strict=True))

    def route(self, name: str) -> tuple[str, tuple[str, ...]]:
        """(the column, the keys inside it) that a name stands for; the name itself where no column fits."""
        if name in self.columns or "." not in name:
            return name, ()
        parts = name.split(".")
        for length in range(len(parts) - 1, 0, -1):
            if (column := ".".join(parts[:length])) in self.columns:
                return column, tuple(parts[length:])
        return name, ()


def reach(value: Any, path: Sequence[str]) -> Any:
    """What stands in a nested value under the keys of `path`; a number counts the items of a list; None: nothing.

    A key on a list of objects is looked up in each of them.
    """
    for depth, key in enumerate(path):
        if isinstance(value, str) and value[:1] in ("{", "["):
            value = parsed(value)
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, tuple)) and key.isdigit():
            value = value[int(key)] if int(key) < len(value) else None
        elif isinstance(value, (list, tuple)):
            return [reach(item, path[depth:]) for item in value]
        else:
            return None
    return value


def in_memory(name: str, rows: Sequence[tuple[int, Row]], place: Callable[[int], str]) -> Rows:
    """A table of rows in memory. Columns are those of all rows, as JSON objects may lack some."""
    if not rows:
        raise TableError(f"{name} is empty. A table needs at least one row.")
    columns = tuple(dict.fromkeys(column for _, row in rows for column in row))

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        return ((number, [row.get(column) for column in wanted]) for number, row in rows)

    return Rows(name, columns, read, place)


def named_twice(names: Iterable[str]) -> str | None:
    """The first name that stands twice; None where each stands once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def missing_column(name: str, column: str, columns: Sequence[str]) -> str:
    """Return the message for a table that lacks a column: it names the nearest one, and all that the table has."""
    # Reversed, so that of columns that differ in case alone the first is suggested.
    lower = {known.lower(): known for known in reversed(columns)}
    near = difflib.get_close_matches(column.lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean '{lower[near[0]]}'?" if near else ""
    # A list joined by commas takes a name that has a comma for two.
    whole = next((known for known in columns if "," in known and column in map(str.strip, known.split(","))), None)
    if whole is not None:
        hint = f" '{whole}' has a comma in it: join the names by semicolons instead, or put it in double quotes."
    known = ", ".join(f"'{known}'" if "," in known else known for known in columns)
    return f"{name} has no column '{column}'.{hint} Columns found: {known}."
