"""The reliability diagram: accuracy against confidence, one panel a method, before and after calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...look.axes import canvas
from ...look.figures import Drawn
from ...look.numbers import percent
from ...look.style import COLUMN, GRID, MUTED, PAGE, PAPER, colour, mark
from ...results import Results
from .figures import Measured

_COLUMNS = 3


def reliability_plot(results: Results, rows: Sequence[Measured]) -> Drawn | None:
    """None where nothing was measured."""
    if not rows:
        return None
    columns = 2 if len(rows) == 4 else min(_COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    wide = columns > 1
    figure, panels = canvas(
        PAGE if wide else COLUMN, 0.45 + (2.35 if wide else 3.0) * lines, lines, columns, sharex=True, sharey=True
    )
    for axes, entry in zip(panels, rows, strict=False):
        _panel(axes, results.label(entry.row), entry)
    for axes in panels[len(rows) :]:
        axes.set_axis_off()
    for index, axes in enumerate(panels[: len(rows)]):
        if index + columns >= len(rows):
            axes.set_xlabel("Confidence, %")
            axes.tick_params(labelbottom=True)
        if index % columns == 0:
            axes.set_ylabel("Right, %")
    figure.legend(handles=_handles(rows), loc="outside lower left", ncols=3, handletextpad=0.5, columnspacing=1.2)
    caption = (
        "Answers in ten bins of equally many, by their confidence: share of right ones, with 95 % intervals. "
        "On the diagonal confidence is accuracy; below it a student is too sure."
        + (" Hollow grey: before calibration." if any(entry.after for entry in rows) else "")
    )
    alt = f"Reliability diagrams. {'. '.join(_alt_text(results.label(entry.row), entry) for entry in rows)}."
    return Drawn("calibration", "Confidence and accuracy", caption, alt, wide, figure)


def _panel(axes: Any, name: str, entry: Measured) -> None:
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    if entry.after:
        axes.plot(*_points(entry.before.bins), "-", color=GRID, linewidth=0.9, zorder=1)
        axes.plot(
            *_points(entry.before.bins),
            "o",
            color=MUTED,
            markerfacecolor=PAPER,
            markersize=3.2,
            markeredgewidth=0.8,
            zorder=2,
        )
    shade, last = colour(entry.row.rank), (entry.after or entry.before).bins
    for each in last:
        axes.plot([100 * each.confidence] * 2, [100 * each.low, 100 * each.high], color=shade, linewidth=0.9, zorder=2)
    axes.plot(*_points(last), "-", color=shade, linewidth=0.9, alpha=0.6, zorder=2)
    axes.plot(
        *_points(last), mark(entry.row.rank), color=shade, markersize=4.4, markeredgecolor=PAPER, markeredgewidth=0.5,
        linestyle="", zorder=3,
    )  # fmt: skip
    axes.set_title(name if len(name) < 30 else _broken(name))
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    axes.set_xticks(range(0, 101, 25))
    axes.set_yticks(range(0, 101, 25))
    axes.grid()


def _points(bins: Sequence[Any]) -> tuple[list[float], list[float]]:
    return [100 * each.confidence for each in bins], [100 * each.accuracy for each in bins]


def _broken(name: str) -> str:
    """A long title over two lines."""
    cut = max(name.rfind(joint, 0, 30) for joint in " +:-")
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}" if cut > 0 else name


def _handles(rows: Sequence[Measured]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), label="confidence is accuracy")]
    if any(entry.after for entry in rows):
        look: dict[str, Any] = {"marker": "o", "markersize": 3.2, "markerfacecolor": PAPER, "linestyle": ""}
        handles.append(Line2D([], [], color=MUTED, label="before calibration", **look))
    return handles


def _alt_text(name: str, entry: Measured) -> str:
    last = entry.after or entry.before
    ends = last.bins[0], last.bins[-1]
    shown = " to ".join(f"{percent(each.confidence)} % confident, {percent(each.accuracy)} % right" for each in ends)
    error = f"{percent(entry.before.error.value)} points before"
    if entry.after:
        error += f", {percent(entry.after.error.value)} after"
    return f"{name}: from {shown}; calibration error {error}"
