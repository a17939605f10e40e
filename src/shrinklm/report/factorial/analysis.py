"""Cells, spread, analysis of variance and Tukey's test of one table; with and without the outliers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TableError
from ...stats import Anova, Levene, Shapiro, Tukey, anova, levene, outliers, shapiro, tukey
from .rows import Measured

Levels = Mapping[str, str]

_MAX_CELLS = 500
"""More cells than this come from a column of ids, not from a factor."""
_MIN_RESIDUALS, _MAX_RESIDUALS = 3, 5000
"""Numbers of residuals between which Shapiro and Wilk's test is fitted (Royston 1995)."""

_SPREAD_ROWS = 3
"""Rows of a cell from which on its spread can be compared: two always lie equally far from their median."""


@dataclass(frozen=True)
class Cell:
    """The runs that share a level of every factor."""

    levels: Levels
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """The number of runs."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """The mean; None when the cell is empty."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation; None for fewer than two runs."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None


@dataclass(frozen=True)
class Factorial:
    """The analysis of one table."""

    value: str
    levels: Mapping[str, tuple[str, ...]]
    """Factor → its levels, in order of appearance."""
    rows: tuple[Measured, ...]
    """The rows that count."""
    outliers: tuple[Measured, ...]
    """Rows outside the fences of their cell, whether they count or not."""
    removed: tuple[Measured, ...]
    """The outliers that do not count."""
    unmeasured: tuple[Measured, ...]
    """Rows without a value."""
    cells: tuple[Cell, ...]
    """Every combination of levels, the empty ones too."""
    levene: Levene | None
    """Test of equal spread over the cells of three rows or more; None where there are not two of them."""
    shapiro: Shapiro | None
    """Test of normal residuals; None when there are too few, too many, or all are equal."""
    anova: Anova
    tukey: tuple[tuple[Levels, Tukey], ...]
    """(levels of the other factors, a pair of levels of the first factor at these)."""
    notes: tuple[str, ...]
    """What could not be tested, and why, in sentences."""
    everything: Factorial | None
    """The analysis of all rows, where outliers were removed."""

    @property
    def first(self) -> str:
        """The factor whose levels are compared pair by pair."""
        return next(iter(self.levels))

    @property
    def n(self) -> int:
        """The number of rows that count."""
        return len(self.rows)

    @property
    def no_spread(self) -> str:
        """Why spreads were not compared; empty where they were."""
        if self.levene is not None:
            return ""
        many = "only one cell has" if max(cell.n for cell in self.cells) >= _SPREAD_ROWS else "no cell has"
        return f"{many} more than two rows (seeds), and two always lie equally far from their median"

    @property
    def without_spread(self) -> int:
        """How many cells with rows are left out of the comparison of spreads, as they have fewer than three."""
        return sum(0 < cell.n < _SPREAD_ROWS for cell in self.cells)

    @property
    def residuals(self) -> NDArray[np.float64]:
        """Each row's value minus the mean of its cell, [n]."""
        return self.anova.residuals


def analyze(rows: Sequence[Measured], value: str, drop_outliers: bool = False) -> Factorial:
    """Analyse a table of runs over its factors.

    Type-II analysis of variance with all interactions, Levene's test over the cells, and Tukey's test of the first
    factor within the levels of the others.

    Args:
        rows: as `read` gives them; the order of their levels is the order of the factors.
        value: what the numbers are called.
        drop_outliers: leave out what lies more than 1.5 interquartile ranges outside the quartiles of its cell; the
            result then holds the analysis of all rows too.

    Raises:
        TableError: no row with a value, a factor of one level, or no cell with more than one value.
    """
    measured = [row for row in rows if row.value is not None]
    if not measured:
        raise TableError(f"No row has a value in '{value}', so there is nothing to compare.")
    _check(measured)
    outside = _outside(measured)
    whole = _analysis(measured, value, outside, [], [row for row in rows if row.value is None])
    if not drop_outliers or not outside:
        return whole
    # By identity: two rows of the file may hold the same values.
    removed = {id(row) for row in outside}
    # Quartiles lie inside their fences, so no cell is emptied: what was checked above holds for the rest too.
    kept = [row for row in measured if id(row) not in removed]
    return dataclasses.replace(_analysis(kept, value, outside, outside, list(whole.unmeasured)), everything=whole)


def _analysis(
    rows: list[Measured], value: str, outside: list[Measured], removed: list[Measured], unmeasured: list[Measured]
) -> Factorial:
    """The analysis of the rows that count; the other lists are handed on as they are."""
    levels = _levels(rows)
    by_levels = _cells(rows)
    # Empty combinations stay: a reader should see that they were not run.
    cells = tuple(
        Cell(dict(zip(levels, chosen, strict=True)), tuple(row.value or 0.0 for row in by_levels.get(chosen, ())))
        for chosen in product(*levels.values())
    )
    spread = {str(index): cell.values for index, cell in enumerate(cells) if cell.n >= _SPREAD_ROWS}
    # `or 0.0` is for the type alone: rows without a value were taken out before.
    table = anova([row.value or 0.0 for row in rows], {name: [row.levels[name] for row in rows] for name in levels})
    # Royston's approximation of the p value holds for 3 to 5,000 values.
    testable = _MIN_RESIDUALS <= len(rows) <= _MAX_RESIDUALS and table.residual > 0
    pairs, skipped = _pairs(levels, cells)
    return Factorial(
        value=value,
        levels=levels,
        rows=tuple(rows),
        outliers=tuple(outside),
        removed=tuple(removed),
        unmeasured=tuple(unmeasured),
        cells=cells,
        levene=levene(spread) if len(spread) > 1 else None,
        shapiro=shapiro(table.residuals) if testable else None,
        anova=table,
        tukey=pairs,
        notes=(*_notes(cells, table), *skipped),
        everything=None,
    )


def _levels(rows: Sequence[Measured]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dict.fromkeys(row.levels[name] for row in rows)) for name in rows[0].levels}


def _check(rows: Sequence[Measured]) -> None:
    """Raise TableError unless each factor has several levels, not too many, and some cell has more than one row."""
    levels = _levels(rows)
    for name, known in levels.items():
        if len(known) < 2:
            raise TableError(
                f"Factor '{name}' has one level ('{known[0]}') in every row with a value ({len(rows)}), "
                "so nothing can be compared. Leave it out of --factors, or add rows of another level."
            )
    over = " × ".join(levels)
    if len(_cells(rows)) == len(rows):
        raise TableError(
            f"Every cell of {over} has one row, so there is no spread within cells to compare against. "
            "Add runs (other seeds), or name fewer factors."
        )
    # Of all combinations, not of those with rows: the empty ones are listed and drawn too.
    cells, widest = math.prod(map(len, levels.values())), max(levels, key=lambda name: len(levels[name]))
    if cells > _MAX_CELLS:
        many = f"{len(levels[widest]):,}"
        raise TableError(
            f"{over} makes {cells:,} cells; at most {_MAX_CELLS:,} are compared. "
            f"Is '{widest}', of {many} levels, a factor?"
        )


def _cells(rows: Sequence[Measured]) -> dict[tuple[str, ...], list[Measured]]:
    """The rows of each combination of levels that has any."""
    cells: dict[tuple[str, ...], list[Measured]] = {}
    for row in rows:
        cells.setdefault(tuple(row.levels.values()), []).append(row)
    return cells


def _outside(rows: Sequence[Measured]) -> list[Measured]:
    """The rows outside the fences of their cell, in the file's order."""
    outside = {
        id(cell[index])
        for cell in _cells(rows).values()
        for index in outliers([row.value or 0.0 for row in cell]).indices
    }
    return [row for row in rows if id(row) in outside]


def _pairs(
    levels: Mapping[str, tuple[str, ...]], cells: Sequence[Cell]
) -> tuple[tuple[tuple[Levels, Tukey], ...], list[str]]:
    """The pairs of the first factor within each combination of the others, and notes on what cannot be tested."""
    first, *others = levels
    compared: list[tuple[Levels, Tukey]] = []
    notes = []
    for chosen in product(*(levels[name] for name in others)):
        within = dict(zip(others, chosen, strict=True))
        groups = {
            cell.levels[first]: cell.values
            for cell in cells
            if cell.n and all(cell.levels[name] == level for name, level in within.items())
        }
        # Tukey's test pools the spread within groups, so one of them needs two values.
        if len(groups) > 1 and any(len(values) > 1 for values in groups.values()):
            compared += [(within, pair) for pair in tukey(groups)]
        else:
            why = "only one level has rows" if len(groups) < 2 else "every cell has one row"
            notes.append(f"No pairs of {first} are compared at {levels_text(within)}: {why}.")
    return tuple(compared), notes


def _notes(cells: Sequence[Cell], table: Anova) -> list[str]:
    notes = []
    empty = [levels_text(cell.levels) for cell in cells if not cell.n]
    if empty:
        notes.append(f"Empty cells: {'; '.join(empty)}. Interactions are tested on what the other cells can show.")
    single = [levels_text(cell.levels) for cell in cells if cell.n == 1]
    if single:
        notes.append(f"Cells of one row, which say nothing of spread: {'; '.join(single)}.")
    for term in table.terms:
        if not term.df1:
            notes.append(f"{term.term} cannot be tested: no cells at hand tell it from the other terms.")
    if table.residual == 0:
        notes.append("All rows of a cell are equal, so any difference between cells counts as certain.")
    return notes


def levels_text(levels: Levels) -> str:
    """ "model CF, model_size base"."""
    return ", ".join(f"{name} {level}" for name, level in levels.items())
