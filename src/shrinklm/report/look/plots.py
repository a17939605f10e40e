"""What each figure draws. A plot returns None when the run holds nothing for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..results import Results, Row
from .style import COLUMN, GRID, INK, MUTED, PAGE, PAPER, colour, mark
from .words import NAMES, percent, points

_EXPLANATION = (
    ("length", "words", 1.0),
    ("rougeL", "0 to 100", 1.0),
    ("names_answer", "% of explanations", 100.0),
    ("names_distractors", "% of explanations", 100.0),
)


@dataclass(frozen=True)
class Drawn:
    """A figure before it is saved."""

    name: str
    title: str
    caption: str
    alt: str
    wide: bool
    figure: Any


def accuracy(results: Results) -> Drawn | None:
    """Every seed as a dot, the mean with its interval, and the baselines as lines."""
    metric = results.primary or ""
    rows = [row for row in results.rows if metric in row.estimates]
    if not rows:
        return None
    figure, [axes] = canvas(COLUMN, 0.85 + 0.34 * len(rows))
    places = _places(rows)
    for row, y in zip(rows, places, strict=True):
        _estimate(axes, row, metric, y, 100.0)
        for cell, offset in zip(row.cells, _spread(len(row.cells)), strict=True):
            if metric in cell.scores and (len(row.cells) > 1 or cell.diverged):
                value = 100 * float(np.nanmean(cell.scores[metric]))
                shape = (
                    {"marker": "x", "s": 14, "linewidths": 0.9}
                    if cell.diverged
                    else {"marker": "o", "s": 9, "linewidths": 0}
                )
                axes.scatter(
                    [value],
                    [y + 0.27 + offset],
                    color=colour(row.rank),
                    alpha=0.9 if cell.diverged else 0.65,
                    zorder=2,
                    **shape,
                )
    lines = [
        (name, share)
        for name in ("random", "majority")
        if (share := results.baseline(name)) is not None and metric != "f1"
    ]
    if results.teacher:
        split = "" if results.teacher[2] == "test" else f" ({results.teacher[2]})"
        lines.append((f"teacher{split}", results.teacher[0]))
    _rules(axes, [(name, 100 * share) for name, share in lines])
    _names(axes, rows, places, results)
    axes.set_xlabel(f"{_title(metric)} on {len(results.findings.items):,} test questions, %")
    axes.grid(axis="x")
    alt = "; ".join(f"{_label(row, results)} {_interval(row, metric)}" for row in rows)
    caption = (
        "Large marks: mean over seeds and questions, with its 95 % bootstrap interval. Small dots: each seed"
        + (" (a cross: it diverged)" if any(cell.diverged for row in rows for cell in row.cells) else "")
        + ". Dashed lines: baselines."
    )
    return Drawn(
        "accuracy", "Accuracy by method, every seed", caption, f"Dot plot. {alt}. {_spoken(lines)}", False, figure
    )


def differences(results: Results) -> Drawn | None:
    """Differences between methods with their intervals, around zero."""
    pairs = [*results.pairs, *results.gains]
    if not pairs:
        return None
    many = len(results.students) > 1
    figure, [axes] = canvas(COLUMN, 0.75 + 0.33 * len(pairs))
    spoken = []
    for y, pair in enumerate(pairs):
        found, shade = pair.comparison, INK if pair.separated else MUTED
        axes.plot([100 * found.low, 100 * found.high], [y, y], color=shade, linewidth=1.2, solid_capstyle="butt")
        axes.plot(
            [100 * found.difference],
            [y],
            "o",
            markersize=4.2,
            color=shade,
            markerfacecolor=shade if pair.separated else PAPER,
        )
        reading = "separated" if pair.separated else "no difference shown"
        names = f"{pair.first.method} minus {pair.second.method}{f' on {pair.first.student}' if many else ''}"
        spoken.append(f"{names} {points(found.difference)} ({points(found.low)} to {points(found.high)}), {reading}")
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
    if results.pairs and results.gains:
        axes.axhline(len(results.pairs) - 0.5, color=GRID, linewidth=0.6)
    labels = [
        f"{pair.first.method}\nminus {pair.second.method}" + (f", {pair.first.student}" if many else "")
        for pair in pairs
    ]
    axes.set_yticks(range(len(pairs)), labels, fontsize=6.0)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_xlabel("Difference, percentage points")
    axes.grid(axis="x")
    caption = (
        "On the same questions, with 95 % intervals. Filled: Holm-adjusted p below 0.05 and an interval without zero; "
        "hollow: no difference that this data can show."
    )
    return Drawn(
        "differences", "Differences between methods", caption, "Forest plot. " + "; ".join(spoken) + ".", False, figure
    )


def explanations(results: Results) -> Drawn | None:
    """Length, overlap and what is named, of every method's explanations."""
    metrics = [entry for entry in _EXPLANATION if any(entry[0] in row.estimates for row in results.rows)]
    rows = [row for row in results.rows if any(name in row.estimates for name, _, _ in metrics)]
    if not metrics:
        return None
    figure, panels = canvas(PAGE, 0.7 + 0.27 * len(rows), columns=len(metrics), sharey=True)
    places = _places(rows)
    for axes, (metric, unit, scale) in zip(panels, metrics, strict=True):
        for row, y in zip(rows, places, strict=True):
            if metric in row.estimates:
                _estimate(axes, row, metric, y, scale)
        axes.set_title(_title(metric))
        axes.set_xlabel(unit)
        right = (
            100.0
            if scale == 100
            else max(scale * row.estimates[metric].high for row in rows if metric in row.estimates) or 1.0
        )
        axes.set_xlim(-0.04 * right, 1.06 * right)  # room for a mark at either end
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    _names(panels[0], rows, places, results)
    spoken = ". ".join(
        f"{_title(metric)}: "
        + ", ".join(
            f"{_label(row, results)} {scale * row.estimates[metric].value:.1f}"
            for row in rows
            if metric in row.estimates
        )
        for metric, _, scale in metrics
    )
    caption = "Means with 95 % bootstrap intervals. Length and overlap describe an explanation; they do not say that it is good."
    return Drawn("explanations", "Explanations by method", caption, f"Dot plots. {spoken}.", True, figure)


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, sharex: bool = False, sharey: bool = False
) -> tuple[Any, list[Any]]:
    """A figure without pyplot, so that no global state is touched, and its axes from left to right and top to bottom."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    axes: Any = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    return figure, list(axes.ravel())


def _estimate(axes: Any, row: Row, metric: str, y: float, scale: float) -> None:
    found, shade = row.estimates[metric], colour(row.rank)
    axes.plot(
        [scale * found.low, scale * found.high], [y, y], color=shade, linewidth=1.4, solid_capstyle="butt", zorder=2
    )
    axes.plot(
        [scale * found.value],
        [y],
        mark(row.rank),
        color=shade,
        markersize=5.2,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        zorder=3,
    )


def _title(metric: str) -> str:
    name = "length" if metric == "length" else NAMES[metric]
    return name[0].upper() + name[1:]


def _places(rows: Sequence[Row]) -> list[float]:
    """Heights of the rows, with a gap between students."""
    places, y = [], 0.0
    for index, row in enumerate(rows):
        y += 0.0 if index == 0 else 1.0 if rows[index - 1].student == row.student else 1.8
        places.append(y)
    return places


def _names(axes: Any, rows: Sequence[Row], places: Sequence[float], results: Results) -> None:
    many = len(results.students) > 1
    axes.set_ylim(max(places) + 0.65, min(places) - (1.0 if many else 0.55))
    first = [many and (index == 0 or rows[index - 1].student != row.student) for index, row in enumerate(rows)]
    heads = [(y - 0.62, row.student) for row, y, begins in zip(rows, places, first, strict=True) if begins]
    name_rows(axes, [(y, _wrapped(row.method)) for row, y in zip(rows, places, strict=True)], heads)


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
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _label(row: Row, results: Results) -> str:
    return f"{row.method} on {row.student}" if len(results.students) > 1 else row.method


def _wrapped(name: str) -> str:
    """A name over two lines where a column has no room for it: "multitask+counterfactual:revised"."""
    cut = max((name.rfind(joint, 0, 20) for joint in "+:-,"), default=-1) if len(name) > 18 else -1
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}" if cut > 0 else name


def _rules(axes: Any, lines: Sequence[tuple[str, float]]) -> None:
    """Baselines as dashed lines, their names above, on as many levels as keep them apart."""
    if not lines:
        return
    low, high = axes.get_xlim()
    low, high = min(low, *(x for _, x in lines)), max(high, *(x for _, x in lines))
    pad = 0.06 * (high - low)
    low, high = max(-pad / 2, low - pad), high + pad
    axes.set_xlim(low, high)
    ends: list[float] = []
    for name, x in sorted(lines, key=lambda line: line[1]):
        axes.axvline(x, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        text = f"{name} {x:.1f}"
        wide = 0.027 * len(text) * (high - low)  # about what its letters take of a column's axes
        side = "right" if x + wide > high else "left"
        start = x - wide if side == "right" else x
        level = next((level for level, end in enumerate(ends) if start > end), len(ends))
        ends[level:] = [start + wide, *ends[level + 1 :]]
        place = (0, 2 + 7.5 * level)
        axes.annotate(
            text,
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=place,
            textcoords="offset points",
            ha=side,
            va="bottom",
            color=MUTED,
            fontsize=6,
        )


def _spread(number: int) -> list[float]:
    """Small vertical offsets, so that equal seeds stay visible."""
    return [0.0] if number < 2 else [float(offset) for offset in np.linspace(-0.07, 0.07, number)]


def _interval(row: Row, metric: str) -> str:
    found = row.estimates[metric]
    return f"{percent(found.value)} % ({percent(found.low)} to {percent(found.high)})"


def _spoken(lines: Sequence[tuple[str, float]]) -> str:
    return (
        f"Baselines: {', '.join(f'{name} {percent(share)} %' for name, share in lines)}."
        if lines
        else "No baseline is known."
    )
