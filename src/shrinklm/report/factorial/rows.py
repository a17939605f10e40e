"""A file of measurements → rows with a number and the level of each factor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import TableError
from ...core.tables import missing_column, read_file

_NONE = {"", "na", "n/a", "nan", "null", "none", "-"}
"""The ways in which tables write that there is no value."""
_RESERVED = {"row", "place", "value", "n", "mean", "sd", "columns"}
"""Keys that stand beside the factors in the JSON."""


@dataclass(frozen=True)
class Measured:
    """One row of the file."""

    row: int
    """Number of the row, the header not counted, from 1."""
    location: str
    """Where it stands, as errors name it: "runs.csv, line 7"."""
    value: float | None
    """None: the file has no value there."""
    levels: Mapping[str, str]
    """Factor → level."""
    columns: Mapping[str, Any]
    """The row's other columns, such as a seed, to know it by."""

    def json(self) -> dict[str, Any]:
        """As the JSON of a comparison names it."""
        return {
            "row": self.row,
            "place": self.location,
            "value": self.value,
            **self.levels,
            "columns": dict(self.columns),
        }

    def named(self) -> str:
        """ "runs.csv, line 7 (60.52; model CF, seed 0)"."""
        short = {name: text for name, cell in self.columns.items() if 0 < len(text := str(cell).strip()) <= 24}
        known = [*self.levels.items(), *list(short.items())[:3]]
        value = "no value" if self.value is None else f"{self.value:g}"
        return f"{self.location} ({value}; {', '.join(f'{name} {text}' for name, text in known)})"


def read(path: Path, value: str, factors: Sequence[str]) -> list[Measured]:
    """Read a table (CSV, TSV, JSONL, JSON, Parquet): from each row a number and the levels of the factors.

    Args:
        path: of the file.
        value: the column of numbers; empty, NA and NaN mean that there is none.
        factors: the columns whose values make the cells.

    Raises:
        TableError: no such file or column, a value that is no finite number, or a row without a level.
    """
    _check(value, factors)
    if not path.is_file():
        raise TableError(
            f"No file at {path}. Name a table with a row for each run: "
            "shrinklm compare runs.csv --value ... --factors ..."
        )
    table = read_file(path, path.name)
    for name in (value, *factors):
        if name not in table.columns:
            raise TableError(missing_column(path.name, name, table.columns))
    rows = []
    for row_number, (location, row) in enumerate(table.records(table.columns), 1):
        levels = {name: _level(row[name], name, location) for name in factors}
        # Kept beside the levels: a seed or a run's name tells which row an outlier is.
        others = {name: cell for name, cell in row.items() if name != value and name not in levels}
        rows.append(Measured(row_number, location, _number(row[value], value, location), levels, others))
    return rows


def _check(value: str, factors: Sequence[str]) -> None:
    if not factors:
        raise TableError("No factor is named. Write the columns that tell the runs apart: --factors model,model_size")
    twice = [name for name in factors if list(factors).count(name) > 1 or name == value]
    if twice:
        raise TableError(
            f"'{twice[0]}' is asked for twice. --value names the numbers, --factors other columns, each once."
        )
    taken = sorted(_RESERVED & set(factors))
    if taken:
        raise TableError(
            f"A factor cannot be called '{taken[0]}': the result uses that name itself. Rename the column."
        )


def _level(cell: Any, name: str, location: str) -> str:
    level = "" if cell is None else str(cell).strip()
    if not level:
        raise TableError(
            f"{location}: no {name}. Every row needs a level of every factor; fill it in, or take the row out."
        )
    return level


def _number(cell: Any, name: str, location: str) -> float | None:
    text = "" if cell is None else str(cell).strip()
    if text.lower() in _NONE:
        return None
    try:
        number = float(text)
    except ValueError:
        comma = " Write decimals with a point." if text.replace(",", "", 1).lstrip("-").isdigit() else ""
        raise TableError(
            f"{location}: {name} is '{text}', which is no number.{comma} For a run without a value leave it empty."
        ) from None
    if math.isinf(number):
        raise TableError(f"{location}: {name} is infinite. For a run without a value leave it empty.")
    return None if math.isnan(number) else number
