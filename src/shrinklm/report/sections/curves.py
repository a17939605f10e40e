"""The figures over training: loss of each view, and dev accuracy, against examples seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..findings import Cell, Values
from ..look.plots import Drawn, canvas
from ..look.style import COLUMN, PAGE, PAPER, colour, mark
from ..look.words import percent
from ..results import Results, Row


def losses(results: Results, student: str) -> Drawn | None:
    """One panel a view, one line a method: running mean of the training loss over examples seen."""
    rows = [row for row in results.trained if row.student == student]
    views = list(
        dict.fromkeys(
            name
            for row in rows
            for cell in row.cells
            for point in cell.log
            for name in point.values
            if name.startswith("loss/")
        )
    )
    views = views or (
        ["loss"] if any("loss" in point.values for row in rows for cell in row.cells for point in cell.log) else []
    )
    if not views:
        return None
    columns = min(len(views), 4)
    lines = -(-len(views) // columns)
    figure, panels = canvas(COLUMN if columns == 1 else PAGE, 0.4 + 1.75 * lines, lines, columns, sharex=True)
    spoken = []
    for index, (axes, view) in enumerate(zip(panels, views, strict=False)):
        calm = [
            values
            for row in rows
            for cell in row.cells
            if not cell.diverged
            for values in [_curve(cell, view)[1]]
            if np.isfinite(values).any()
        ]
        top = 1.08 * max((float(np.nanmax(values)) for values in calm), default=0.0)
        for row in rows:
            ends = [_draw_loss(axes, row, cell, view, top) for cell in row.cells]
            kept = [end for end in ends if end is not None]
            if kept:
                first, last = (float(np.mean(values)) for values in zip(*kept, strict=True))
                spoken.append(f"{view.removeprefix('loss/')} of {row.method} from {first:.3g} to {last:.3g}")
        axes.set_title(view.removeprefix("loss/"))
        if top > 0:  # a diverged run leaves the frame instead of flattening the others
            axes.set_ylim(0, top)
        axes.grid(axis="y")
        _thousands(axes)
        if index >= len(views) - columns:
            axes.set_xlabel("Examples seen")
        if index % columns == 0:
            axes.set_ylabel("Cross-entropy")
    for axes in panels[len(views) :]:
        axes.set_visible(False)
    _legend(figure, rows)
    lost = [cell.name for row in rows for cell in row.cells if cell.diverged]
    caption = "Cross-entropy of each view's targets, running mean; thin lines are seeds." + (
        f" A cross ends a run that diverged: {', '.join(lost)}." if lost else ""
    )
    name = _file("losses", student, results)
    return Drawn(
        name,
        f"Training loss of each view, {student}",
        caption,
        f"Line plots. Loss of {'; '.join(spoken)}.",
        columns > 1,
        figure,
    )


def dev(results: Results, student: str) -> Drawn | None:
    """Accuracy on the dev split against examples seen."""
    rows = [
        row
        for row in results.trained
        if row.student == student and any(_curve(cell, "dev_accuracy")[0].size for cell in row.cells)
    ]
    if not rows:
        return None
    figure, [axes] = canvas(COLUMN, 2.3)
    spoken, seen = [], 0
    for row in rows:
        curves = [curve for cell in row.cells if (curve := _curve(cell, "dev_accuracy"))[0].size]
        for x, y in curves if len(curves) > 1 else ():
            axes.plot(x, 100 * y, color=colour(row.rank), linewidth=0.6, alpha=0.4)
        x, y = _average(curves)
        axes.plot(
            x,
            100 * y,
            color=colour(row.rank),
            marker=mark(row.rank),
            markersize=4,
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
        )
        spoken.append(
            f"{row.method} from {percent(y[0])} % at {x[0]:,.0f} examples to {percent(y[-1])} % at {x[-1]:,.0f}"
        )
        seen = max(
            [
                seen,
                *(
                    int(point.values.get("dev_n", 0))
                    for cell in row.cells
                    for point in cell.log
                    if "dev_accuracy" in point.values
                ),
            ]
        )
    axes.set_xlabel("Examples seen")
    axes.set_ylabel(f"Dev accuracy, %{f' (n = {seen:,})' if seen else ''}")
    axes.grid(axis="y")
    axes.set_xlim(left=0)
    _thousands(axes)
    _legend(figure, rows)
    caption = "Accuracy by generation on the dev split while training: the mean over seeds with a mark at each measurement; thin lines are seeds."
    return Drawn(
        _file("dev", student, results),
        f"Accuracy against examples seen, {student}",
        caption,
        f"Line plot. {'; '.join(spoken)}.",
        False,
        figure,
    )


def _curve(cell: Cell, name: str) -> tuple[Values, Values]:
    """(examples, values) of a column of the log; losses as a running mean over a twentieth of the points."""
    found = [(point.examples, point.values[name]) for point in cell.log if name in point.values]
    x, y = np.array([pair[0] for pair in found], dtype=float), np.array([pair[1] for pair in found], dtype=float)
    width = max(1, len(y) // 20)
    if name == "dev_accuracy" or width == 1:
        return x, y
    sums = np.cumsum(np.insert(y, 0, 0.0))  # NaN spreads to the end: a diverged run ends there
    start = np.maximum(np.arange(1, len(y) + 1) - width, 0)
    stop = np.arange(1, len(y) + 1)
    return x, (sums[stop] - sums[start]) / (stop - start)


def _draw_loss(axes: Any, row: Row, cell: Cell, view: str, top: float) -> tuple[float, float] | None:
    """Draws one cell's loss and returns its first and last value; a diverged one ends with a cross where it leaves the frame."""
    x, y = _curve(cell, view)
    kept = np.isfinite(y)
    if not kept.any():
        return None
    x, y = x[kept], y[kept]
    alone = len(row.cells) == 1
    first = (
        {"marker": mark(row.rank), "markersize": 3.4, "markevery": 0.24, "markeredgewidth": 0}
        if cell is row.cells[0]
        else {}
    )
    axes.plot(x, y, color=colour(row.rank), linewidth=1.2 if alone else 0.9, alpha=1 if alone else 0.75, **first)
    if cell.diverged:
        above = np.flatnonzero(y > top) if top > 0 else np.array([], dtype=int)
        last = int(above[0]) if above.size else len(y) - 1
        height = top if above.size else float(y[last])
        axes.plot([x[last]], [height], "x", color=colour(row.rank), markersize=5.5, markeredgewidth=1.3, clip_on=False)
    return float(y[0]), float(y[-1])


def _average(curves: Sequence[tuple[Values, Values]]) -> tuple[Values, Values]:
    """The mean of curves where each has a finite value at the same number of examples."""
    at: dict[float, list[float]] = {}
    for xs, ys in curves:
        for x, y in zip(xs, ys, strict=True):
            if np.isfinite(y):
                at.setdefault(float(x), []).append(float(y))
    x = np.array(sorted(at))
    return x, np.array([np.mean(at[value]) for value in x])


def _thousands(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    thousands = axes.get_xlim()[1] >= 10_000
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if thousands and x else f"{x:,.0f}"))


def _legend(figure: Any, rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=colour(row.rank), marker=mark(row.rank), markersize=4, markeredgecolor=PAPER, label=row.method
        )
        for row in rows
    ]
    width = figure.get_size_inches()[0]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=max(1, int(width // 1.7)), handlelength=1.8, columnspacing=1.2
    )


def _file(kind: str, student: str, results: Results) -> str:
    if len(results.students) == 1:
        return kind
    return f"{kind}-{''.join(letter if letter.isalnum() or letter in '._-' else '_' for letter in student)}"
