"""Two methods on the same questions: the table and the figure of their differences."""

from __future__ import annotations

from typing import Any

from ...look.axes import LEAST_POINTS, canvas, hide_axis, widen
from ...look.figures import Drawn
from ...look.numbers import THESE_QUESTIONS, p_value, plural, points
from ...look.style import COLUMN, GRID, INK, MUTED, PAPER
from ...look.tables import NONE, Column, Line, Table
from ...measures import measure_of
from ...results import Pairwise, Results

_SEEDS = "Two-sided; in brackets, questions that only the first and only the second got right"
_COLUMNS = (
    Column("First", numeric=False),
    Column("Second", numeric=False),
    Column("Difference", "First minus second", title="Percentage points"),
    Column("95 % interval", "First minus second"),
    Column("p", title="Two-sided"),
    Column("p, Holm", title="Adjusted for the number of comparisons of its family"),
    Column("Speaks of", numeric=False, title="What interval and p take as a sample: another one would give another p"),
    Column("p by seed", "McNemar, exact", False, _SEEDS),
    Column("Reading", numeric=False),
)
SPEAKS = {"questions": "these questions", "questions and seeds": "questions and training"}
"""Unit of a comparison → what its interval and p speak of."""


def comparisons(results: Results) -> Table:
    """Every two methods of a student, then every method against its untrained student."""
    families = (("methods", results.pairs), ("untrained", results.gains))
    entries = [(family, pair) for family, pairs in families for pair in pairs]
    metric = measure_of(results.primary or "accuracy").word
    caption = (
        f"Differences in {metric}, in percentage points, on the same questions. "
        f"Holm's adjustment is over the {plural(len(results.pairs), 'comparison')} of methods"
        + (f", and on its own over the {len(results.gains)} with the untrained student." if results.gains else ".")
        + (f" {THESE_QUESTIONS}" if any(pair.comparison.seeds < 2 for _, pair in entries) else "")
    )
    lines = tuple(_line(results, pair) for _, pair in entries)
    return Table("comparisons", caption, _COLUMNS, lines, tuple(_record(family, pair) for family, pair in entries))


def _line(results: Results, pair: Pairwise) -> Line:
    comparison = pair.comparison
    names = [results.label(row) for row in (pair.first, pair.second)]
    tests = sorted(pair.by_seed.items())
    exact = "; ".join(f"{seed}: {p_value(test.p)} ({test.only_a}/{test.only_b})" for seed, test in tests)
    better = names[0] if comparison.difference > 0 else names[1]
    reading = "no difference seen" if comparison.equal else "no difference shown"
    if pair.separated:
        reading = f"{better} is higher" if comparison.seeds > 1 else f"{better} is higher here"
    cells = (
        *names,
        points(comparison.difference),
        NONE if comparison.equal else f"{points(comparison.low)} to {points(comparison.high)}",
        p_value(comparison.p),
        p_value(pair.adjusted),
        SPEAKS[comparison.unit],
        exact or NONE,
        reading,
    )
    return Line(cells, kind="separated" if pair.separated else "")


def _record(family: str, pair: Pairwise) -> dict[str, Any]:
    comparison = pair.comparison
    return {
        "family": family,
        "student": pair.first.student,
        "first": pair.first.method,
        "second": pair.second.method,
        "n": comparison.n,
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
        "p": comparison.p,
        "p_holm": pair.adjusted,
        "seeds": comparison.seeds,
        "speaks_of": SPEAKS[comparison.unit],
        **{f"mcnemar_p_seed_{seed}": test.p for seed, test in sorted(pair.by_seed.items())},
    }


def differences(results: Results) -> Drawn | None:
    """Differences between methods with their intervals, around zero; None where there is none."""
    pairs = [*results.pairs, *results.gains]
    if not pairs:
        return None
    many = len(results.students) > 1
    figure, [axes] = canvas(COLUMN, 0.75 + 0.33 * len(pairs))
    for y, pair in enumerate(pairs):
        _draw(axes, pair, y)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
    widen(axes, x=LEAST_POINTS)
    if results.pairs and results.gains:  # between the two families
        axes.axhline(len(results.pairs) - 0.5, color=GRID, linewidth=0.6)
    labels = [
        f"{pair.first.method}\nminus {pair.second.method}" + (f", {pair.first.student}" if many else "")
        for pair in pairs
    ]
    axes.set_yticks(range(len(pairs)), labels, fontsize=6.0)
    hide_axis(axes)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_xlabel("Difference, percentage points")
    axes.grid(axis="x")
    caption = (
        "On the same questions, with 95 % intervals. Filled: Holm-adjusted p below 0.05 and an interval without zero; "
        "hollow: no difference that this data can show."
        + (f" {THESE_QUESTIONS}" if any(pair.comparison.seeds < 2 for pair in pairs) else "")
    )
    alt = f"Forest plot. {'; '.join(_alt_text(pair, many) for pair in pairs)}."
    return Drawn("differences", "Differences between methods", caption, alt, False, figure)


def _draw(axes: Any, pair: Pairwise, y: int) -> None:
    comparison, shade = pair.comparison, INK if pair.separated else MUTED
    inside = shade if pair.separated else PAPER
    ends = [100 * comparison.low, 100 * comparison.high]
    axes.plot(ends, [y, y], color=shade, linewidth=1.2, solid_capstyle="butt")
    axes.plot([100 * comparison.difference], [y], "o", markersize=4.2, color=shade, markerfacecolor=inside)


def _alt_text(pair: Pairwise, many: bool) -> str:
    comparison = pair.comparison
    names = f"{pair.first.method} minus {pair.second.method}{f' on {pair.first.student}' if many else ''}"
    reading = "separated" if pair.separated else "no difference shown"
    interval = f"{points(comparison.low)} to {points(comparison.high)}"
    return f"{names} {points(comparison.difference)} ({interval}), {reading}"
