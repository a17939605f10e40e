"""The figure to decide by: accuracy to the right, what was measured of the explanations upwards, the front marked."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ...look.axes import LEAST_POINTS, LEAST_RATING, canvas, widen
from ...look.figures import Drawn
from ...look.style import COLUMN, MUTED, PAGE, PAPER, colour, mark
from ...measures import Measure, measure_of
from ...results import Results, Row
from .choice import Decision, decide, front

_WIDE = 28
"""Letters of the longest name with which two names stand side by side below a column's figure."""


def tradeoff(results: Results) -> Drawn | None:
    """One panel for each of the first measures of explanations; None where nothing was measured."""
    decision = decide(results)
    if decision is None:
        return None
    answers = measure_of(results.primary or "accuracy")
    wide = len(decision.axes) > 1
    untrained = [row for row in results.rows if not row.trained and answers.key in row.estimates]
    rows = [*decision.rows, *untrained, *decision.silent]
    names = [results.label(row) for row in rows]
    columns = 3 if wide else 2 if max(map(len, names)) <= _WIDE else 1
    lines = -(-(len(rows) + 1) // columns)  # of the legend; one entry more for the front
    figure, panels = canvas(PAGE if wide else COLUMN, 2.5 + 0.15 * lines, columns=len(decision.axes))
    for axes, axis in zip(panels, decision.axes, strict=True):
        _panel(axes, decision, untrained, answers, axis)
    figure.legend(
        handles=_handles(rows, names, decision),
        loc="outside lower left",
        ncols=columns,
        handletextpad=0.5,
        columnspacing=1.2,
    )
    descriptions = ". ".join(_alt_text(results, decision, answers, axis) for axis in decision.axes)
    caption = (
        "Means with 95 % intervals over the same questions, further right and further up is better. "
        "Filled marks joined by the line: "
        "the front of the panel, methods that no other one beats by being at least as good in both and better in one."
        + (" Hollow diamonds: untrained." if untrained else "")
        + (" Dashed lines: the accuracy of methods whose explanations were not measured." if decision.silent else "")
    )
    title = f"{answers.name} and {'the explanations' if wide else decision.axis.name.lower()}"
    return Drawn("tradeoff", title, caption, f"Scatter plot{'s' if wide else ''}. {descriptions}.", wide, figure)


def _panel(axes: Any, decision: Decision, untrained: list[Row], answers: Measure, axis: Measure) -> None:
    rows = [row for row in decision.rows if axis.key in row.estimates]
    best = front([row for row in rows if row.ranked(axis.key)], answers.key, axis.key)
    _draw_front(axes, [_point(row, answers, axis) for row in best])
    for row in [*untrained, *rows]:
        if axis.key in row.estimates:
            _draw(axes, row, answers, axis, filled=row in best)
    for row in decision.silent:
        axes.axvline(
            _scaled(answers, row.estimates[answers.key].value),
            color=colour(row.rank),
            linewidth=0.9,
            linestyle=(0, (4, 3)),
            zorder=0,
        )
    axes.set_title(axis.name if len(axis.name) < 34 else _broken(axis.name))
    axes.set_xlabel(f"{answers.name}, %")
    axes.set_ylabel(axis.unit)
    axes.margins(0.09)
    widen(axes, x=LEAST_POINTS, share=True)
    widen(axes, y=LEAST_POINTS if axis.share else LEAST_RATING)
    axes.grid()


def _draw_front(axes: Any, corners: list[tuple[float, float]]) -> None:
    """A staircase: to the left of a method and below it nothing is better, and between two methods nothing is known."""
    stairs = [
        corner
        for (left, up), (right, down) in pairwise(reversed(corners))
        for corner in ((left, up), (left, down), (right, down))
    ]
    axes.plot([x for x, _ in stairs], [y for _, y in stairs], color=MUTED, linewidth=0.9, zorder=1)


def _draw(axes: Any, row: Row, answers: Measure, axis: Measure, filled: bool) -> None:
    """A method's mark, with the intervals of both measures as a cross."""
    (x, y), shade = _point(row, answers, axis), colour(row.rank)
    across, up = (
        [_scaled(measure, end) for end in (row.estimates[measure.key].low, row.estimates[measure.key].high)]
        for measure in (answers, axis)
    )
    for xs, ys in ((across, [y, y]), ([x, x], up)):
        axes.plot(xs, ys, color=shade, linewidth=0.9, alpha=0.75, zorder=2)
    inside = shade if filled else PAPER
    axes.plot(
        [x], [y], mark(row.rank), color=shade, markersize=6, markerfacecolor=inside, markeredgewidth=1.0, zorder=3
    )


def _point(row: Row, answers: Measure, axis: Measure) -> tuple[float, float]:
    x, y = (_scaled(measure, row.estimates[measure.key].value) for measure in (answers, axis))
    return x, y


def _scaled(measure: Measure, value: float) -> float:
    return 100 * value if measure.share else value


def _broken(name: str) -> str:
    """A long title over two lines."""
    cut = name.rfind(" ", 0, 30)
    return f"{name[:cut]}\n{name[cut + 1 :]}"


def _handles(rows: list[Row], names: list[str], decision: Decision) -> list[Any]:
    """The entries of the legend: a dashed line for a row without explanations, else its mark; then the front."""
    from matplotlib.lines import Line2D

    handles = []
    for row, name in zip(rows, names, strict=True):
        shade = colour(row.rank)
        if row in decision.silent:
            handles.append(Line2D([], [], color=shade, linewidth=0.9, linestyle=(0, (4, 3)), label=name))
        else:
            look: dict[str, Any] = {
                "marker": mark(row.rank),
                "markersize": 5.5,
                "markerfacecolor": shade if row.trained else PAPER,
            }
            handles.append(Line2D([], [], color=shade, linestyle="", label=name, **look))
    if len(decision.front) > 1:
        handles.append(Line2D([], [], color=MUTED, linewidth=0.9, label="the front"))
    return handles


def _alt_text(results: Results, decision: Decision, answers: Measure, axis: Measure) -> str:
    rows = [row for row in decision.rows if axis.key in row.estimates]
    best = front([row for row in rows if row.ranked(axis.key)], answers.key, axis.key)
    values = []
    for row in rows:
        x, y = (row.estimates[key].value for key in (answers.key, axis.key))
        on = ", on the front" if row in best else ""
        values.append(f"{results.label(row)} {answers.show(x)} % and {axis.show(y)}{on}")
    return f"{axis.name}: {'; '.join(values)}"
