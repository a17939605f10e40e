"""Cells, spread, analysis of variance and Tukey's test of one table; with and without the outliers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TableError
from ...stats import Anova, Levene, Shapiro, Tukey, anova, levene, outliers, shapiro, tukey
from .table import Measured

Levels = Mapping[str, str]

_MOST = 500
"""Cells: more than this is a column of ids, not a factor."""


@dataclass(frozen=True)
class Cell:
    """The runs that share a level of every factor."""

    levels: Levels
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """None of none."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def sd(self) -> float | None:
        """Of the sample; None of fewer than two."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None


@dataclass(frozen=True)
class Factorial:
    """What was found over the factors."""

    value: str
    levels: Mapping[str, tuple[str, ...]]
    """Factor → its levels, in order of appearance."""
    rows: tuple[Measured, ...]
    """The rows that count."""
    outliers: tuple[Measured, ...]
    """Rows outside the fences of their cell, whether they count or not."""
    removed: tuple[Measured, ...]
    """Those of them that do not count."""
    unmeasured: tuple[Measured, ...]
    """Rows without a value."""
    cells: tuple[Cell, ...]
    """Every combination of levels, the empty ones too."""
    levene: Levene
    """Over the cells."""
    shapiro: Shapiro | None
    """Of the residuals; None when there are too few, or all are equal."""
    anova: Anova
    tukey: tuple[tuple[Levels, Tukey], ...]
    """(levels of the other factors, a pair of levels of the first)."""
    notes: tuple[str, ...]
    """What the table could not show."""
    everything: Factorial | None
    """The same with the outliers in, where some were removed."""

    @property
    def first(self) -> str:
        """The factor whose levels are compared pair by pair."""
        return next(iter(self.levels))

    @property
    def n(self) -> int:
        """Rows that count."""
        return len(self.rows)

    @property
    def residuals(self) -> NDArray[np.float64]:
        """[n] each row's value minus the mean of its cell."""
        return self.anova.residuals

    @property
    def paragraph(self) -> str:
        """What was tested, on how many, and what it shows."""
        from .words import paragraph

        return paragraph(self)

    def json(self) -> dict[str, Any]:
        """Everything but the rows that count; what does not exist (such as the deviation of one run) is null."""
        found = {
            "value": self.value,
            "factors": list(self.levels),
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "n": self.n,
            "outliers": [row.json() for row in self.outliers],
            "removed": [row.json() for row in self.removed],
            "unmeasured": [row.json() for row in self.unmeasured],
            "cells": [{**cell.levels, "n": cell.n, "mean": cell.mean, "sd": cell.sd} for cell in self.cells],
            "levene": dataclasses.asdict(self.levene),
            "shapiro": dataclasses.asdict(self.shapiro) if self.shapiro else None,
            "anova": [dataclasses.asdict(term) for term in self.anova.terms],
            "residual": {"sum_of_squares": self.anova.residual, "df": self.anova.df},
            "tukey": [{"within": dict(within), **dataclasses.asdict(pair)} for within, pair in self.tukey],
            "notes": list(self.notes),
            "paragraph": self.paragraph,
        }
        if self.everything is not None:
            found["with_outliers"] = self.everything.json()
        finite: dict[str, Any] = _finite(found)
        return finite


def analyse(rows: Sequence[Measured], value: str, drop_outliers: bool = False) -> Factorial:
    """Type-II analysis of variance with all interactions, Levene over the cells, Tukey of the first factor within the levels of the others.

    Args:
        rows: as `read` gives them; the order of their levels is the order of the factors.
        value: what the numbers are called.
        drop_outliers: leave out what lies more than 1.5 interquartile ranges outside the quartiles of its cell; the result then holds
            the analysis of all rows too.

    Raises:
        TableError: no row with a value, a factor of one level, or no cell with more than one value.
    """
    measured = [row for row in rows if row.value is not None]
    if not measured:
        raise TableError(f"No row has a value in '{value}', so there is nothing to compare.")
    _testable(measured)
    outside = _outside(measured)
    whole = _found(measured, value, outside, [], [row for row in rows if row.value is None])
    if not drop_outliers or not outside:
        return whole
    gone = {id(row) for row in outside}
    kept = [row for row in measured if id(row) not in gone]
    return dataclasses.replace(_found(kept, value, outside, outside, list(whole.unmeasured)), everything=whole)


def _found(
    rows: list[Measured], value: str, outside: list[Measured], removed: list[Measured], unmeasured: list[Measured]
) -> Factorial:
    levels = _levels(rows)
    inside = _cells(rows)
    cells = tuple(
        Cell(dict(zip(levels, chosen, strict=True)), tuple(row.value or 0.0 for row in inside.get(chosen, ())))
        for chosen in product(*levels.values())
    )
    filled = [cell for cell in cells if cell.n]
    spread = levene({str(place): cell.values for place, cell in enumerate(filled)})
    table = anova([row.value or 0.0 for row in rows], {name: [row.levels[name] for row in rows] for name in levels})
    pairs, skipped = _pairs(levels, cells)
    normal = shapiro(table.residuals) if 3 <= len(rows) <= 5000 and table.residual > 0 else None
    notes = (*_notes(cells, table), *skipped)
    return Factorial(
        value,
        levels,
        tuple(rows),
        tuple(outside),
        tuple(removed),
        tuple(unmeasured),
        cells,
        spread,
        normal,
        table,
        pairs,
        notes,
        None,
    )


def _levels(rows: Sequence[Measured]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dict.fromkeys(row.levels[name] for row in rows)) for name in rows[0].levels}


def _testable(rows: Sequence[Measured]) -> None:
    """Factors of at least two levels, not too many, and some cell with more than one row."""
    levels = _levels(rows)
    for name, known in levels.items():
        if len(known) < 2:
            raise TableError(
                f"Factor '{name}' has one level ('{known[0]}') in every row with a value ({len(rows)}), so nothing can be compared. "
                "Leave it out of --factors, or add rows of another level."
            )
    over = " × ".join(levels)
    if len(_cells(rows)) == len(rows):
        raise TableError(
            f"Every cell of {over} has one row, so there is no spread within cells to compare against. "
            "Add runs (other seeds), or name fewer factors."
        )
    cells, widest = math.prod(map(len, levels.values())), max(levels, key=lambda name: len(levels[name]))
    if cells > _MOST:
        many = f"{len(levels[widest]):,}"
        raise TableError(
            f"{over} makes {cells:,} cells; at most {_MOST:,} are compared. Is '{widest}', of {many} levels, a factor?"
        )


def _cells(rows: Sequence[Measured]) -> dict[tuple[str, ...], list[Measured]]:
    """The rows of each combination of levels that has any."""
    found: dict[tuple[str, ...], list[Measured]] = {}
    for row in rows:
        found.setdefault(tuple(row.levels.values()), []).append(row)
    return found


def _outside(rows: Sequence[Measured]) -> list[Measured]:
    """The rows outside the fences of their cell, in the file's order."""
    gone = {
        id(cell[place])
        for cell in _cells(rows).values()
        for place in outliers([row.value or 0.0 for row in cell]).places
    }
    return [row for row in rows if id(row) in gone]


def _pairs(
    levels: Mapping[str, tuple[str, ...]], cells: Sequence[Cell]
) -> tuple[tuple[tuple[Levels, Tukey], ...], list[str]]:
    first, *others = levels
    found: list[tuple[Levels, Tukey]] = []
    notes = []
    for chosen in product(*(levels[name] for name in others)):
        within = dict(zip(others, chosen, strict=True))
        groups = {
            cell.levels[first]: cell.values
            for cell in cells
            if cell.n and all(cell.levels[name] == level for name, level in within.items())
        }
        if len(groups) > 1 and any(len(values) > 1 for values in groups.values()):
            found += [(within, pair) for pair in tukey(groups)]
        else:
            why = "only one level has rows" if len(groups) < 2 else "every cell has one row"
            notes.append(f"No pairs of {first} are compared at {spoken(within)}: {why}.")
    return tuple(found), notes


def _notes(cells: Sequence[Cell], table: Anova) -> list[str]:
    notes = []
    empty = [spoken(cell.levels) for cell in cells if not cell.n]
    if empty:
        notes.append(f"Empty cells: {'; '.join(empty)}. Interactions are tested on what the other cells can show.")
    single = [spoken(cell.levels) for cell in cells if cell.n == 1]
    if single:
        notes.append(f"Cells of one row, which say nothing of spread: {'; '.join(single)}.")
    for term in table.terms:
        if not term.df1:
            notes.append(f"{term.term} cannot be tested: no cells at hand tell it from the other terms.")
    if table.residual == 0:
        notes.append("All rows of a cell are equal, so any difference between cells counts as certain.")
    return notes


def spoken(levels: Levels) -> str:
    """ "model CF, model_size base"."""
    return ", ".join(f"{name} {level}" for name, level in levels.items())


def _finite(found: Any) -> Any:
    """The same without NaN and infinity, which JSON cannot say."""
    if isinstance(found, dict):
        return {name: _finite(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
