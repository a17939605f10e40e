"""The figure to decide by: accuracy to the right, what was measured of the explanations upwards, the front marked."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ..look.plots import Drawn, canvas
from ..look.style import COLUMN, MUTED, PAGE, PAPER, colour, mark
from ..measures import Measure, measure
from ..results import Results, Row
from .decision import Decision, decide, front

_WIDE = 28
"""Letters of a name up to which two stand side by side below a column's figure."""


def tradeoff(results: Results) -> Drawn | None:
    """One panel for each of the first measures of explanations; None where nothing was measured."""
    decision = decide(results)
    if decision is None:
        return None
    answers = measure(results.primary or "accuracy")
    wide = len(decision.axes) > 1
    plain = [row for row in results.rows if not row.trained and answers.key in row.estimates]
    shown = [*decision.rows, *plain, *decision.silent]
    names = [results.label(row) for row in shown]
    columns = 3 if wide else 2 if max(map(len, names)) <= _WIDE else 1
    lines = -(-(len(shown) + 1) // columns)
    figure, panels = canvas(PAGE if wide else COLUMN, 2.5 + 0.15 * lines, columns=len(decision.axes))
    for axes, axis in zip(panels, decision.axes, strict=True):
        _panel(axes, decision, plain, answers, axis)
    figure.legend(
        handles=_handles(shown, names, decision),
        loc="outside lower left",
        ncols=columns,
        handletextpad=0.5,
        columnspacing=1.2,
    )
    spoken = ". ".join(_spoken(results, decision, answers, axis) for axis in decision.axes)
    caption = (
        "Means with 95 % bootstrap intervals, further right and further up is better. Filled marks joined by the line: the front of "
        "the panel, methods that no other one beats by being at least as good in both and better in one."
        + (" Hollow diamonds: untrained." if plain else "")
        + (" Dashed lines: the accuracy of methods whose explanations were not measured." if decision.silent else "")
    )
    title = f"{answers.name} and {'the explanations' if wide else decision.axis.name.lower()}"
    return Drawn("tradeoff", title, caption, f"Scatter plot{'s' if wide else ''}. {spoken}.", wide, figure)


def _panel(axes: Any, decision: Decision, plain: list[Row], answers: Measure, axis: Measure) -> None:
    rows = [row for row in decision.rows if axis.key in row.estimates]
    best = front(rows, answers.key, axis.key)
    places = {
        id(row): tuple(_scaled(one, row.estimates[one.key].value) for one in (answers, axis))
        for row in (*rows, *plain)
        if axis.key in row.estimates
    }
    corners = [places[id(row)] for row in best]
    # A staircase: to the left of a method and below it nothing is better, and between two methods nothing is known.
    stairs = [
        corner
        for (left, up), (right, down) in pairwise(reversed(corners))
        for corner in ((left, up), (left, down), (right, down))
    ]
    axes.plot([x for x, _ in stairs], [y for _, y in stairs], color=MUTED, linewidth=0.9, zorder=1)
    for row in [*plain, *rows]:
        if id(row) not in places:
            continue
        (x, y), shade = places[id(row)], colour(row.rank)
        for one, vertical in ((answers, False), (axis, True)):
            found = row.estimates[one.key]
            ends = [_scaled(one, found.low), _scaled(one, found.high)]
            axes.plot(
                *(([x, x], ends) if vertical else (ends, [y, y])), color=shade, linewidth=0.9, alpha=0.75, zorder=2
            )
        inside = shade if row in best else PAPER
        axes.plot(
            [x], [y], mark(row.rank), color=shade, markersize=6, markerfacecolor=inside, markeredgewidth=1.0, zorder=3
        )
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
    axes.grid()


def _scaled(one: Measure, value: float) -> float:
    return 100 * value if one.share else value


def _broken(name: str) -> str:
    """A long title over two lines."""
    cut = name.rfind(" ", 0, 30)
    return f"{name[:cut]}\n{name[cut + 1 :]}"


def _handles(shown: list[Row], names: list[str], decision: Decision) -> list[Any]:
    from matplotlib.lines import Line2D

    found = []
    for row, name in zip(shown, names, strict=True):
        if row in decision.silent:
            found.append(Line2D([], [], color=colour(row.rank), linewidth=0.9, linestyle=(0, (4, 3)), label=name))
        else:
            inside = colour(row.rank) if row.trained else PAPER
            found.append(
                Line2D(
                    [],
                    [],
                    color=colour(row.rank),
                    linestyle="",
                    marker=mark(row.rank),
                    markersize=5.5,
                    markerfacecolor=inside,
                    label=name,
                )
            )
    if len(decision.front) > 1:
        found.append(Line2D([], [], color=MUTED, linewidth=0.9, label="the front"))
    return found


def _spoken(results: Results, decision: Decision, answers: Measure, axis: Measure) -> str:
    rows = [row for row in decision.rows if axis.key in row.estimates]
    best = front(rows, answers.key, axis.key)
    told = []
    for row in rows:
        one, two = (row.estimates[key].value for key in (answers.key, axis.key))
        told.append(
            f"{results.label(row)} {answers.show(one)} % and {axis.show(two)}{', on the front' if row in best else ''}"
        )
    return f"{axis.name}: {'; '.join(told)}"
