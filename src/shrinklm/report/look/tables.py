"""A table: one shape for HTML, Markdown, the terminal and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.spreadsheet import harmless
from .numbers import DASH

NONE = DASH
"""Stands where a number does not apply or is unknown."""


@dataclass(frozen=True)
class Column:
    """One column; `group` is the heading above its neighbours of the same group."""

    name: str
    group: str = ""
    numeric: bool = True
    title: str = ""
    """Its meaning, listed below the table; "" where the name is enough."""

    @property
    def heading(self) -> str:
        """The name, after its group's where there is one: for a table with a single line of headings."""
        return f"{self.group}: {self.name}" if self.group else self.name


@dataclass(frozen=True)
class Line:
    """One row of text. `below` holds a second, smaller line of a cell (an interval), by column."""

    cells: tuple[str, ...]
    below: Mapping[int, str] = field(default_factory=dict)
    kind: str = ""
    """baseline, diverged, separated: how it is marked. group: a heading over the lines that follow."""
    rank: int | None = None
    """The method's place, for its colour; None: no mark."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The cells on a single line: "49.2 (44.1–54.3)"."""
        return tuple(
            f"{cell} ({self.below[index]})" if index in self.below else cell for index, cell in enumerate(self.cells)
        )


@dataclass(frozen=True)
class Table:
    """A table for people, and the same as `records` with full precision for machines."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    records: tuple[Mapping[str, Any], ...] = ()

    @property
    def groups(self) -> list[tuple[str, int]]:
        """(heading, columns below it) from left to right; "" over a column that stands alone."""
        groups: list[tuple[str, int]] = []
        for column in self.columns:
            if groups and column.group and groups[-1][0] == column.group:
                groups[-1] = (column.group, groups[-1][1] + 1)
            else:
                groups.append((column.group, 1))
        return groups

    def csv(self) -> str:
        """The records as CSV; empty text when there are none."""
        if not self.records:
            return ""
        out = io.StringIO()
        # Records may lack fields that others have: the header is the union, in order of appearance.
        names = list(dict.fromkeys(name for record in self.records for name in record))
        writer = csv.DictWriter(out, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in record.items()} for record in self.records)
        return out.getvalue()


def _plain(value: Any) -> Any:
    """A value as CSV text: seven significant digits, whole numbers without a point."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.7g}"
    return harmless(value)
