"""Which method to take: accuracy against what was measured of the explanations, and the front between them.

A method is on the front when no other one is at least as good in both and better in one, by the means over the same
questions (`alignment`). Whether a difference along the front is more than chance is another question, which
Holm-adjusted paired tests answer over all differences that are stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ....stats import Comparison, holm
from ...measures import Measure, measure_of
from ...rated import QUALITY
from ...results import Results, Row, apart, compare_rows

AXES = (QUALITY, "cf_gain", "las", "supports_predicted")
"""Measures that may represent the explanations: the first that was scored decides, the others stand beside it."""
PANELS = 3
"""Measures of `AXES` that are shown at most."""


@dataclass(frozen=True)
class Step:
    """From one method of the front to its neighbour that explains better: the differences in both measures."""

    accurate: Row
    explaining: Row
    answers: Comparison | None
    """explaining - accurate; None where they share no question."""
    explanations: Comparison | None
    """The same; None also where the measure has no value for single questions."""
    separated: tuple[bool, bool]
    """Whether each of the two is more than chance."""


@dataclass(frozen=True)
class Decision:
    """The methods to decide between, and their differences."""

    axes: tuple[Measure, ...]
    """The measures of explanations that were scored; the first decides."""
    rows: tuple[Row, ...]
    """Trained students that were scored on both sides, the most accurate first."""
    silent: tuple[Row, ...]
    """Trained students that explain nothing, whose explanations were not measured, or too few of them to be ranked."""
    front: tuple[Row, ...]
    """The most accurate first."""
    steps: tuple[Step, ...]

    @property
    def axis(self) -> Measure:
        """The measure that represents the explanations."""
        return self.axes[0]

    @property
    def behind(self) -> list[Row]:
        """The rows that are not on the front."""
        return [row for row in self.rows if row not in self.front]


def decide(results: Results) -> Decision | None:
    """The decision that the results allow; None when no explanation was measured or no answer was scored."""
    primary = results.primary
    trained = [row for row in results.trained if primary in row.estimates]
    axes = tuple(measure_of(key) for key in AXES if any(row.ranked(key) for row in trained))[:PANELS]
    if primary is None or not axes:
        return None
    key = axes[0].key
    # Of equally accurate methods the one that explains better comes first, so that the front runs one way.
    rows = sorted(
        (row for row in trained if row.ranked(key)), key=lambda row: (-_value(row, primary), -_value(row, key))
    )
    silent = tuple(row for row in trained if not row.ranked(key))
    best = front(rows, primary, key)
    return Decision(axes, tuple(rows), silent, tuple(best), tuple(_steps(results, best, key)))


def front(rows: Sequence[Row], first: str, second: str) -> list[Row]:
    """The rows that no other one beats by being at least as good in both metrics and better in one.

    Sorted by the first metric, best first.
    """
    # Equal points do not beat each other: both stay.
    points = [
        (row, _value(row, first), _value(row, second))
        for row in rows
        if first in row.estimates and second in row.estimates
    ]
    unbeaten = [
        (row, x, y) for row, x, y in points if not any(u >= x and v >= y and (u > x or v > y) for _, u, v in points)
    ]
    return [row for row, _, _ in sorted(unbeaten, key=lambda point: (-point[1], -point[2]))]


def _value(row: Row, key: str) -> float:
    return row.estimates[key].value


def _steps(results: Results, rows: Sequence[Row], key: str) -> list[Step]:
    primary = results.primary or ""
    pairs = [
        (
            accurate,
            explaining,
            compare_rows(explaining, accurate, results.rows, primary),
            compare_rows(explaining, accurate, results.rows, key),
        )
        for accurate, explaining in pairwise(rows)
    ]
    # One family: the sentences state the differences of both sides along the whole front.
    tested = [test for _, _, *both in pairs for test in both if isinstance(test, Comparison)]
    adjusted = iter(holm([test.p for test in tested]))
    # In the order of `tested`: a comparison that is missing took no p value.
    return [
        Step(
            accurate,
            explaining,
            answers,
            explanations,
            (answers is not None and apart(answers, next(adjusted)),
             explanations is not None and apart(explanations, next(adjusted))),
        )
        for accurate, explaining, answers, explanations in pairs
    ]  # fmt: skip
