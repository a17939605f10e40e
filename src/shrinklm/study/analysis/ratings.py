"""A table of people's ratings, one row for each explanation that one person rated, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import TableError
from ...core.tables import missing_column, read_file
from ...core.types import Score

Array = NDArray[np.float64]

QUALITY = "Quality"
"""The mean of the constructs."""
ITEMS = ("item", "item_id", "example_id", "question_id", "rationale_id", "explanation_id", "id")
"""Columns that are taken for the question when none is named."""
_MOST = 30
"""Conditions: more than this is a column of ids."""
_NONE = {"", "na", "n/a", "nan", "null", "none", "-"}


@dataclass(frozen=True)
class Ratings:
    """Ratings as columns, all of them [n]."""

    file: str
    condition: str
    """Name of the column that says what was rated: the model, the method."""
    rater: str
    """Name of the column that says who rated."""
    item: str | None
    """Name of the column that says which question it was about; None: not known."""
    constructs: tuple[str, ...]
    scale: tuple[float, float]
    levels: tuple[str, ...]
    """The conditions, the reference first, the rest as they appear."""
    places: tuple[str, ...]
    """Where each row stands, such as "ratings.csv, line 7"."""
    conditions: tuple[str, ...]
    raters: tuple[str, ...]
    items: tuple[str, ...] | None
    values: Mapping[str, Array]
    """Construct → ratings; NaN = not rated."""
    controls: Mapping[str, Array | tuple[str | None, ...]]
    """Control → numbers (NaN = missing) or text (None = missing)."""

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.places)

    @property
    def yes_no(self) -> bool:
        """Whether every answer is yes or no (1 or 0), so that a mean is a share."""
        return self.scale == (0, 1) and all(np.isin(column[~np.isnan(column)], (0, 1)).all() for column in
                                            self.values.values())  # fmt: skip

    @property
    def reference(self) -> str:
        """The condition that the others are compared with."""
        return self.levels[0]

    @property
    def measures(self) -> dict[str, Array]:
        """The constructs, and of several also their mean; a row that lacks one has no mean."""
        if len(self.constructs) == 1:
            return dict(self.values)
        return {**self.values, QUALITY: np.mean(list(self.values.values()), axis=0)}

    @property
    def rated(self) -> tuple[str, ...] | None:
        """What each row is a rating of: the question and the condition; None where questions are not known."""
        if self.items is None:
            return None
        return tuple(f"{item} · {condition}" for item, condition in zip(self.items, self.conditions, strict=True))

    @property
    def explained(self) -> bool:
        """Whether explanations can have a level of their own in a model: there are more of them than questions, and
        several people rated some, so that what an explanation is worth can be told from what a question is and from
        chance."""
        if self.items is None or self.rated is None:
            return False
        return len(set(self.items)) < len(set(self.rated)) < self.n

    def by_condition(self, values: Array) -> dict[str, Array]:
        """Condition → its values that are not NaN, in the order of `levels`."""
        labels = np.asarray(self.conditions, dtype=object)
        return {level: values[(labels == level) & ~np.isnan(values)] for level in self.levels}

    def scores(self) -> list[Score]:
        """Each rating as a Score: the condition is the run, and the rater is named."""
        items = self.items or self.places
        return [
            Score(self.conditions[row], items[row], construct, float(value), self.raters[row])
            for construct, column in self.values.items()
            for row, value in enumerate(column)
            if not math.isnan(value)
        ]


def read_ratings(
    path: Path,
    condition: str,
    rater: str,
    constructs: Sequence[str],
    controls: Sequence[str] = (),
    reference: str | None = None,
    item: str | None = None,
    scale: tuple[float, float] = (1, 5),
) -> Ratings:
    """Read a table of ratings (CSV, TSV, JSONL, JSON, Parquet).

    Args:
        path: of the file.
        condition: column of what was rated.
        rater: column of who rated.
        constructs: columns of ratings. Empty, NA and NaN mean not rated.
        controls: further columns for the regressions: numbers, else taken as categories.
        reference: the condition to compare the others with; None: the first in the file.
        item: column of the question; None: the first of `ITEMS` that the file has.
        scale: lowest and highest rating.

    Raises:
        TableError: no such file or column, a rating that is no number or not on the scale, a row without condition or
            rater, an unknown reference, or fewer than two conditions.
    """
    if not path.is_file():
        raise TableError(f"No file at {path}. Name a table with a row for each rating.")
    _check_names(condition, rater, constructs, controls)
    table = read_file(path, path.name)
    for name in (condition, rater, *constructs, *controls, *([item] if item else [])):
        if name not in table.columns:
            raise TableError(missing_column(path.name, name, table.columns))
    taken = {condition, rater, *constructs, *controls}
    item = item or next((name for name in ITEMS if name in table.columns and name not in taken), None)
    wanted = [condition, rater, *constructs, *controls, *([item] if item else [])]
    rows = list(table.records(list(dict.fromkeys(wanted))))
    return ratings_of(path.name, rows, condition, rater, constructs, controls, reference, item, scale)


def ratings_of(
    name: str,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    condition: str,
    rater: str,
    constructs: Sequence[str],
    controls: Sequence[str] = (),
    reference: str | None = None,
    item: str | None = None,
    scale: tuple[float, float] = (1, 5),
) -> Ratings:
    """The same from rows at hand: (where it stands, column → cell).

    Raises TableError as `read_ratings` does, but for missing columns.
    """
    return Ratings(
        file=name,
        condition=condition,
        rater=rater,
        item=item,
        constructs=tuple(constructs),
        scale=scale,
        levels=_levels(name, condition, [_label(row[condition], condition, place) for place, row in rows], reference),
        places=tuple(place for place, _ in rows),
        conditions=tuple(_label(row[condition], condition, place) for place, row in rows),
        raters=tuple(_label(row[rater], rater, place) for place, row in rows),
        items=tuple(_label(row[item], item, place) for place, row in rows) if item else None,
        values={name: np.array([_rating(row[name], name, place, scale) for place, row in rows]) for name in constructs},
        controls={name: _control([row[name] for _, row in rows]) for name in controls},
    )


def parse_scale(text: str) -> tuple[float, float]:
    """Parse a scale: "1-5" is (1, 5). Raises TableError for anything else."""
    low, _, high = text.partition("-")
    try:
        scale = float(low), float(high)
    except ValueError:
        scale = (0.0, 0.0)
    if not scale[0] < scale[1]:
        raise TableError(f"The scale is '{text}'. Write the lowest and the highest rating: --scale 1-5")
    return scale


def _check_names(condition: str, rater: str, constructs: Sequence[str], controls: Sequence[str]) -> None:
    if not constructs:
        raise TableError("No construct is named. Write the columns of ratings: --constructs Plausibility,Completeness")
    if QUALITY in constructs and len(constructs) > 1:
        raise TableError(
            f"'{QUALITY}' is what the mean of the constructs is called. Rename the column, or analyse it alone."
        )
    names = [condition, rater, *constructs, *controls]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TableError(
            f"'{twice}' is asked for twice. Condition, rater, constructs and controls are different columns, each "
            "named once."
        )


def _levels(name: str, column: str, labels: Sequence[str], reference: str | None) -> tuple[str, ...]:
    known = list(dict.fromkeys(labels))
    if len(known) < 2:
        raise TableError(
            f"{name} has one {column} only ('{known[0]}'): nothing to compare. Name another column with --condition."
        )
    if len(known) > _MOST:
        raise TableError(
            f"{name}: '{column}' has {len(known):,} values in {len(labels):,} rows: an id, not a condition. Name "
            "another."
        )
    if reference is None:
        return tuple(known)
    if reference not in known:
        raise TableError(f"{name} has no {column} '{reference}' to compare with. Found: {', '.join(known)}.")
    return (reference, *(level for level in known if level != reference))


def _blank(cell: Any) -> bool:
    return cell is None or str(cell).strip().lower() in _NONE


def _label(cell: Any, name: str, place: str) -> str:
    text = "" if cell is None else str(cell).strip()
    if not text:
        raise TableError(f"{place}: no {name}. Every row needs one; fill it in, or take the row out.")
    return text


def _rating(cell: Any, name: str, place: str, scale: tuple[float, float]) -> float:
    if _blank(cell):
        return math.nan
    text = str(cell).strip()
    try:
        value = float(text)
    except ValueError:
        raise TableError(
            f"{place}: {name} is '{text}', which is no number. For a rating that was not given leave it empty."
        ) from None
    if not scale[0] <= value <= scale[1]:
        between = f"{scale[0]:g}-{scale[1]:g}"
        raise TableError(
            f"{place}: {name} is {text}, outside the scale {between}. Correct it, or name the scale, such as: "
            "--scale 1-7"
        )
    return value


def _control(cells: Sequence[Any]) -> Array | tuple[str | None, ...]:
    """Numbers where every cell that is there is one, else text.

    Only an empty cell is missing in text: "None" may be an answer.
    """
    try:
        numbers = np.array([math.nan if _blank(cell) else float(cell) for cell in cells])
    except (TypeError, ValueError):
        return tuple(str(cell).strip() or None if cell is not None else None for cell in cells)
    return np.where(np.isinf(numbers), math.nan, numbers)
