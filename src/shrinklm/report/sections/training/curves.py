"""The figures over training: loss of each view, and dev accuracy, against examples seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...findings import Cell
from ...look.axes import LEAST_POINTS, canvas, widen
from ...look.figures import Drawn
from ...look.numbers import percent
from ...look.style import COLUMN, PAGE, PAPER, colour, line, mark
from ...rated import Values
from ...results import Results, Row

Curve = tuple[Values, Values]
"""(examples seen, values)."""


def losses(results: Results, student: str) -> Drawn | None:
    """One panel a view, one line a cell: running mean of the loss over examples seen; None where none was logged."""
    rows = [row for row in results.trained if row.student == student]
    views = _views(rows)
    if not views:
        return None
    columns = min(len(views), 4)
    lines = -(-len(views) // columns)
    figure, panels = canvas(COLUMN if columns == 1 else PAGE, 0.4 + 1.75 * lines, lines, columns, sharex=True)
    descriptions: list[str] = []
    for index, (axes, view) in enumerate(zip(panels, views, strict=False)):
        descriptions += _panel(axes, rows, view)
        # The x axis is shared: the lowest panel of each column names it for those above.
        if index >= len(views) - columns:
            axes.set_xlabel("Examples seen")
        if index % columns == 0:
            axes.set_ylabel("Cross-entropy")
    for axes in panels[len(views) :]:
        axes.set_visible(False)
    _legend(figure, rows)
    diverged = [cell.name for row in rows for cell in row.cells if cell.diverged]
    caption = "Cross-entropy of each view's targets, running mean; thin lines are seeds." + (
        f" A cross ends a run that diverged: {', '.join(diverged)}." if diverged else ""
    )
    title, alt = f"Training loss of each view, {student}", f"Line plots. Loss of {'; '.join(descriptions)}."
    return Drawn(_file("losses", student, results), title, caption, alt, columns > 1, figure)


def _views(rows: Sequence[Row]) -> list[str]:
    """The columns of the logs that hold a view's loss; else the whole loss, where that was logged alone."""
    names = dict.fromkeys(name for row in rows for cell in row.cells for point in cell.log for name in point.values)
    views = [name for name in names if name.startswith("loss/")]
    return views or [name for name in names if name == "loss"]


def _panel(axes: Any, rows: Sequence[Row], view: str) -> list[str]:
    """Draw the loss of a view; return its course for each row, in words."""
    # Diverged runs do not set the scale: one of them would press all other curves onto the axis.
    finite = [
        values
        for row in rows
        for cell in row.cells
        if not cell.diverged
        for values in [_curve(cell, view)[1]]
        if np.isfinite(values).any()
    ]
    top = 1.08 * max((float(np.nanmax(values)) for values in finite), default=0.0)
    descriptions = []
    for row in rows:
        ends = [ends for cell in row.cells if (ends := _draw_loss(axes, row, cell, view, top)) is not None]
        if ends:
            first, last = (float(np.mean(values)) for values in zip(*ends, strict=True))
            descriptions.append(f"{view.removeprefix('loss/')} of {row.method} from {first:.3g} to {last:.3g}")
    axes.set_title(view.removeprefix("loss/"))
    if top > 0:  # a diverged run leaves the frame instead of flattening the others
        axes.set_ylim(0, top)
    axes.grid(axis="y")
    _thousands(axes)
    return descriptions


def dev(results: Results, student: str) -> Drawn | None:
    """Accuracy on the dev split against examples seen; None where it was not measured."""
    rows = [
        row
        for row in results.trained
        if row.student == student and any(_curve(cell, "dev_accuracy")[0].size for cell in row.cells)
    ]
    if not rows:
        return None
    figure, [axes] = canvas(COLUMN, 2.3)
    descriptions = []
    for row in rows:
        curves = [curve for cell in row.cells if (curve := _curve(cell, "dev_accuracy"))[0].size]
        x, y = _draw_dev(axes, row, curves)
        descriptions.append(
            f"{row.method} from {percent(y[0])} % at {x[0]:,.0f} examples to {percent(y[-1])} % at {x[-1]:,.0f}"
        )
    n = max(
        int(point.values.get("dev_n", 0))
        for row in rows
        for cell in row.cells
        for point in cell.log
        if "dev_accuracy" in point.values
    )
    axes.set_xlabel("Examples seen")
    axes.set_ylabel(f"Dev accuracy, %{f' (n = {n:,})' if n else ''}")
    axes.grid(axis="y")
    widen(axes, y=LEAST_POINTS, share=True)
    axes.set_xlim(left=0)  # the first measurement comes after some training, and the axis should say so
    _thousands(axes)
    _legend(figure, rows)
    caption = (
        "Accuracy by generation on the dev split while training: the mean over seeds with a mark at each measurement; "
        "thin lines are seeds."
    )
    title, alt = f"Accuracy against examples seen, {student}", f"Line plot. {'; '.join(descriptions)}."
    return Drawn(_file("dev", student, results), title, caption, alt, False, figure)


def _draw_dev(axes: Any, row: Row, curves: Sequence[Curve]) -> Curve:
    """Draws the seeds of a row and their mean; returns the mean."""
    for x, y in curves if len(curves) > 1 else ():
        axes.plot(x, 100 * y, color=colour(row.rank), linestyle=line(row.rank), linewidth=0.6, alpha=0.4)
    x, y = _average(curves)
    axes.plot(
        x,
        100 * y,
        color=colour(row.rank),
        linestyle=line(row.rank),
        marker=mark(row.rank),
        markersize=4,
        markeredgecolor=PAPER,
        markeredgewidth=0.5,
    )
    return x, y


def _curve(cell: Cell, name: str) -> Curve:
    """A column of the log; losses as a running mean over a twentieth of the points."""
    points = [(point.examples, point.values[name]) for point in cell.log if name in point.values]
    x, y = np.array([point[0] for point in points], dtype=float), np.array([point[1] for point in points], dtype=float)
    width = max(1, len(y) // 20)
    if name == "dev_accuracy" or width == 1:
        return x, y
    sums = np.cumsum(np.insert(y, 0, 0.0))  # NaN spreads to the end: a diverged run ends there
    # The window is shorter at the start, so that the first loss is shown as it was.
    start = np.maximum(np.arange(1, len(y) + 1) - width, 0)
    stop = np.arange(1, len(y) + 1)
    return x, (sums[stop] - sums[start]) / (stop - start)


def _draw_loss(axes: Any, row: Row, cell: Cell, view: str, top: float) -> tuple[float, float] | None:
    """Draw one cell's loss and return its first and last value.

    A diverged one ends with a cross where it leaves the frame.
    """
    x, y = _curve(cell, view)
    kept = np.isfinite(y)
    if not kept.any():
        return None
    x, y = x[kept], y[kept]
    alone = len(row.cells) == 1
    marks: dict[str, Any] = {"linestyle": line(row.rank)}
    if cell is row.cells[0]:  # marks on one seed's line tell the methods apart; on all of them they would cover it
        marks |= {"marker": mark(row.rank), "markersize": 3.4, "markevery": 0.24, "markeredgewidth": 0}
    axes.plot(x, y, color=colour(row.rank), linewidth=1.2 if alone else 0.9, alpha=1 if alone else 0.75, **marks)
    if cell.diverged:
        above = np.flatnonzero(y > top) if top > 0 else np.array([], dtype=int)
        last = int(above[0]) if above.size else len(y) - 1
        height = top if above.size else float(y[last])
        axes.plot([x[last]], [height], "x", color=colour(row.rank), markersize=5.5, markeredgewidth=1.3, clip_on=False)
    return float(y[0]), float(y[-1])


def _average(curves: Sequence[Curve]) -> Curve:
    """The mean of curves: at each number of examples, over those that have a finite value there."""
    values: dict[float, list[float]] = {}
    for xs, ys in curves:
        for x, y in zip(xs, ys, strict=True):
            if np.isfinite(y):
                values.setdefault(float(x), []).append(float(y))
    x = np.array(sorted(values))
    return x, np.array([np.mean(values[examples]) for examples in x])


def _thousands(axes: Any) -> None:
    """Labels the examples seen as "10k" where they go that far."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    thousands = axes.get_xlim()[1] >= 10_000
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if thousands and x else f"{x:,.0f}"))


def _legend(figure: Any, rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=colour(row.rank),
            linestyle=line(row.rank),
            marker=mark(row.rank),
            markersize=4,
            markeredgecolor=PAPER,
            label=row.method,
        )
        for row in rows
    ]
    columns = max(1, int(figure.get_size_inches()[0] // 1.7))  # inches that a long name takes
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=1.8, columnspacing=1.2)


def _file(kind: str, student: str, results: Results) -> str:
    """The figure's name, with the student's where there are several."""
    if len(results.students) == 1:
        return kind
    return f"{kind}-{''.join(letter if letter.isalnum() or letter in '._-' else '_' for letter in student)}"
