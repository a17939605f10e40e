"""Axes to draw on, and what several figures draw on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .style import PAPER


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, sharex: bool = False, sharey: bool = False
) -> tuple[Any, list[Any]]:
    """A figure without pyplot, so that no global state is touched, and its axes from left to right and top to bottom.

    `width` and `height` are in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    axes: Any = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    return figure, list(axes.ravel())


def draw_estimate(
    axes: Any, y: float, value: float, low: float, high: float, shade: str, marker: str, size: float = 5.2
) -> None:
    """Draws an estimate at height `y`: its interval as a line, and a mark on it with a rim of paper."""
    axes.plot([low, high], [y, y], color=shade, linewidth=1.4, solid_capstyle="butt", zorder=2)
    axes.plot([value], [y], marker, color=shade, markersize=size, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=3)


LEAST_POINTS, LEAST_RATING = 10.0, 0.5
"""Narrowest axis of percentages, and of ratings: equal values are drawn as equal, not as a scale of thousandths."""


def widen(axes: Any, x: float = 0.0, y: float = 0.0, share: bool = False) -> None:
    """Widens an axis to at least `x` or `y` around what is drawn; shares, in percent, stay between 0 and 100."""
    for axis, least in (("x", x), ("y", y)):
        low, high = getattr(axes, f"get_{axis}lim")()
        if high - low >= least:
            continue
        start = (low + high - least) / 2
        if share:
            edge = 0.06 * least  # room for a mark at either end
            start = min(max(start, -edge), 100 + edge - least)
        getattr(axes, f"set_{axis}lim")(start, start + least)


def hide_axis(axes: Any) -> None:
    """Removes ticks and line of the vertical axis: names of rows need neither."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def name_rows(axes: Any, names: Sequence[tuple[float, str]], heads: Sequence[tuple[float, str]] = ()) -> None:
    """Writes the names of rows beside them, bold ones over the groups, each at its height; without ticks and axis."""
    axes.set_yticks([y for y, _ in names], [name for _, name in names])
    for y, head in heads:
        axes.annotate(
            head,
            (0, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            weight="bold",
        )
    hide_axis(axes)
