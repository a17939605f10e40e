"""Which method to take: accuracy against what was measured of the explanations, the front between them, and what lies along it.

A method is on the front when no other one is at least as good in both and better in one, by the means. Whether a difference along the
front is more than chance is another question, and the words answer it: Holm-adjusted over all differences that they tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...stats import Comparison, Estimate, holm, paired
from ..look.tables import NONE, Column, Line, Table
from ..look.words import NO_DIFFERENCE, count, listing
from ..measures import Group, Measure, measure, ordered
from ..rated import QUALITY
from ..results import ALPHA, Results, Row

AXES = (QUALITY, "cf_gain", "las", "supports_predicted")
"""What may stand for the explanations: the first that was measured decides, the others are shown beside it."""
PANELS = 3
TITLE = "Which one to take"


@dataclass(frozen=True)
class Step:
    """From one method of the front to its neighbour that explains better: what is gained, what is lost."""

    accurate: Row
    explaining: Row
    answers: Comparison
    """explaining - accurate."""
    explanations: Comparison | None
    """The same; None where the measure has no value for single questions."""
    shown: tuple[bool, bool]
    """Whether each of the two is more than chance."""


@dataclass(frozen=True)
class Decision:
    """What there is to decide from."""

    axes: tuple[Measure, ...]
    """What was measured of the explanations; the first decides."""
    rows: tuple[Row, ...]
    """Trained students that were scored on both sides, the most accurate first."""
    silent: tuple[Row, ...]
    """Trained students that explain nothing, or whose explanations were not measured."""
    front: tuple[Row, ...]
    """The most accurate first."""
    steps: tuple[Step, ...]

    @property
    def axis(self) -> Measure:
        """What stands for the explanations."""
        return self.axes[0]


def decide(results: Results) -> Decision | None:
    """The decision that the results allow; None when nothing was measured of the explanations or no answer was scored."""
    primary = results.primary
    trained = [row for row in results.trained if primary in row.estimates]
    axes = tuple(measure(key) for key in AXES if any(key in row.estimates for row in trained))[:PANELS]
    if primary is None or not axes:
        return None
    key = axes[0].key
    rows = sorted(
        (row for row in trained if key in row.estimates), key=lambda row: (-_at(row, primary), -_at(row, key))
    )
    silent = tuple(row for row in trained if key not in row.estimates)
    found = front(rows, primary, key)
    return Decision(axes, tuple(rows), silent, tuple(found), tuple(_steps(found, primary, key)))


def front(rows: Sequence[Row], first: str, second: str) -> list[Row]:
    """The rows that no other one beats: at least as good in both figures, better in one. Sorted by the first figure, best first."""
    points = [
        (row, _at(row, first), _at(row, second)) for row in rows if first in row.estimates and second in row.estimates
    ]
    kept = [
        (row, x, y) for row, x, y in points if not any(u >= x and v >= y and (u > x or v > y) for _, u, v in points)
    ]
    return [row for row, x, _ in sorted(kept, key=lambda point: (-point[1], -point[2]))]


def _at(row: Row, key: str) -> float:
    return row.estimates[key].value


def _steps(rows: Sequence[Row], primary: str, key: str) -> list[Step]:
    pairs = [
        (one, other, paired(other.matrix(primary), one.matrix(primary)), _paired(other, one, key))
        for one, other in pairwise(rows)
    ]
    tested = [found for _, _, answers, explanations in pairs for found in (answers, explanations) if found is not None]
    adjusted = iter(holm([found.p for found in tested]))
    steps = []
    for one, other, answers, explanations in pairs:
        shown = tuple(found is not None and _separated(found, next(adjusted)) for found in (answers, explanations))
        steps.append(Step(one, other, answers, explanations, (shown[0], shown[1])))
    return steps


def _paired(first: Row, second: Row, key: str) -> Comparison | None:
    a, b = first.matrix(key), second.matrix(key)
    if not a.size or not b.size or not (~np.isnan(a).all(axis=0) & ~np.isnan(b).all(axis=0)).any():
        return None
    return paired(a, b)


def _separated(found: Comparison, adjusted: float) -> bool:
    return adjusted < ALPHA and found.low * found.high > 0


def sentences(results: Results, decision: Decision) -> list[tuple[str, str]]:
    """The decision in words, as (heading, text)."""
    answers, axis = measure(results.primary or "accuracy"), decision.axis
    best, clearest = decision.front[0], decision.front[-1]
    found = []
    if best is clearest:
        others = [row for row in decision.rows if row is not best]
        what = f" No other method has a higher {_word(answers)} or a higher {_word(axis)}." if others else ""
        found.append(("Take", f"{results.label(best)}: {_both(best, answers, axis)}.{what}"))
    else:
        found.append(("If right answers count most", f"{results.label(best)}: {_both(best, answers, axis)}."))
        found += [
            ("Between them", f"{results.label(row)}: {_both(row, answers, axis)}.") for row in decision.front[1:-1]
        ]
        found.append(("If explanations count most", f"{results.label(clearest)}: {_both(clearest, answers, axis)}."))
    found += [("What the change costs", _exchange(results, step, answers, axis)) for step in decision.steps]
    behind = [row for row in decision.rows if row not in decision.front]
    if behind:
        told = "; ".join(f"{results.label(row)} ({_value(row, answers)} and {_value(row, axis)})" for row in behind)
        found.append(("Behind the front", f"{told}. Another method is at least as good in both, by the means."))
    for other in decision.axes[1:]:
        names = [results.label(row) for row in front(decision.rows, answers.key, other.key)]
        if names:
            found.append((f"The front by “{_word(other)}”", f"{listing(names)}."))
    if decision.silent:
        told = "; ".join(f"{results.label(row)} ({_word(answers)} {_value(row, answers)})" for row in decision.silent)
        whose = "its explanations" if len(decision.silent) == 1 else "their explanations"
        found.append(
            (f"Without {_word(axis)}", f"{told}. It was not measured there, and nothing can be said about {whose}.")
        )
    return found


def _word(one: Measure) -> str:
    """A measure's name inside a sentence."""
    return one.name if one.name[:2].isupper() else one.name[0].lower() + one.name[1:]


def _value(row: Row, one: Measure) -> str:
    unit = (" %" if one.unit == "%" else " points") if one.share else ""
    return f"{one.show(_at(row, one.key))}{unit}"


def _both(row: Row, answers: Measure, axis: Measure) -> str:
    told = []
    for one in (answers, axis):
        found = row.estimates[one.key]
        told.append(f"{_word(one)} {_value(row, one)} ({one.between(found.low, found.high)})")
    return listing(told)


def _exchange(results: Results, step: Step, answers: Measure, axis: Measure) -> str:
    told = []
    for one, found, shown in zip((axis, answers), (step.explanations, step.answers), reversed(step.shown), strict=True):
        if found is not None:
            unit = " points" if one.share else ""
            text = f"{one.signed(found.difference)}{unit} in {_word(one)} ({one.signed(found.low)} to {one.signed(found.high)})"
            apart = found.low * found.high > 0
            told.append(
                text
                if shown
                else f"{text}, {'not shown once adjusted for all of these comparisons' if apart else NO_DIFFERENCE}"
            )
    return f"From {results.label(step.accurate)} to {results.label(step.explaining)}: {'; '.join(told)}."


def raters(results: Results) -> str:
    """Who rated, in words; "" when nobody did."""
    names = sorted({name for row in results.rows for cell in row.cells for name in cell.raters})
    if not names:
        return ""
    return f"Rated by {listing(names)}." if len(names) <= 4 else f"Rated by {count(len(names))} raters."


def table(results: Results) -> Table:
    """Every measure that was scored, one row each, by group; one column a method, with the interval below."""
    rows = [row for row in results.rows if row.estimates]
    lines, records = [], []
    group: Group | None = None
    for one in ordered({key for row in rows for key in row.estimates}):
        if one.group != group:
            group = one.group
            lines.append(
                Line((f"{group.name}{f': {group.note}' if group.note else ''}", *("",) * len(rows)), kind="group")
            )
        found = [row.estimates.get(one.key) for row in rows]
        unit = f", {one.unit}" if one.share else ""
        arrow = {"higher": " ↑", "lower": " ↓"}.get(one.better, "")
        cells = (
            f"{one.name}{unit}{arrow}",
            *(NONE if estimate is None else one.show(estimate.value) for estimate in found),
        )
        below = {
            at: one.between(estimate.low, estimate.high) for at, estimate in enumerate(found, 1) if estimate is not None
        }
        lines.append(Line(cells, below, kind="chance" if one.name.startswith(("the same", "both by")) else ""))
        records += [
            _record(row, one, estimate) for row, estimate in zip(rows, found, strict=True) if estimate is not None
        ]
    columns = (
        Column("Measure", numeric=False),
        *(Column(results.label(row)) for row in rows),
    )
    caption = "Means with 95 % bootstrap intervals below. ↑ more is better, ↓ less is better, neither: it describes. A dash: not measured."
    caption = f"{caption} {raters(results)}".rstrip()
    empty = [results.label(row) for row in rows if "simulatability" in row.estimates and "las" not in row.estimates]
    if empty:
        caption += f" LAS has no value for {listing(empty)}: one of its groups, explanations that leak the answer and those that do not, is empty."
    return Table("measures", caption, columns, tuple(lines), tuple(records))


def _record(row: Row, one: Measure, found: Estimate) -> dict[str, object]:
    about = {"group": one.group.name, "measure": one.key, "method": row.method, "student": row.student}
    return {**about, "value": found.value, "low": found.low, "high": found.high, "n": found.n, "seeds": found.seeds}
