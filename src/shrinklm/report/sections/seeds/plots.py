"""The figures with every seed: accuracy beside its baselines, and measures of the explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...look.axes import LEAST_POINTS, canvas, draw_estimate, hide_axis, name_rows, widen
from ...look.figures import Drawn
from ...look.numbers import percent
from ...look.style import COLUMN, MUTED, PAGE, colour, mark
from ...measures import measure_of
from ...results import Results, Row

_EXPLANATION = (
    ("length", "Length", "words", 1.0),
    ("rougeL", "ROUGE-L", "0 to 100", 1.0),
    ("names_answer", "Names its answer", "% of explanations", 100.0),
    ("names_distractors", "Names another option", "% of explanations", 100.0),
)
"""(metric, title, unit, factor from the score to the unit) of each panel."""
_LETTER = 0.027
"""About the width of a letter in a baseline's name, as a share of the width of a column's axes."""


def accuracy(results: Results) -> Drawn | None:
    """Every seed as a dot, the mean with its interval, and the baselines as lines; None where nothing was scored."""
    metric = results.primary or ""
    rows = [row for row in results.rows if metric in row.estimates]
    if not rows:
        return None
    figure, [axes] = canvas(COLUMN, 0.85 + 0.34 * len(rows))
    heights = _heights(rows)
    for row, y in zip(rows, heights, strict=True):
        _draw(axes, row, metric, y, 100.0)
        _draw_seeds(axes, row, metric, y)
    widen(axes, x=LEAST_POINTS, share=True)
    baselines = _baselines(results, metric)
    # After the marks: the names of baselines are laid out within the limits that the marks have set.
    _draw_baselines(axes, [(name, 100 * share) for name, share in baselines])
    _name(axes, rows, heights, results)
    axes.set_xlabel(f"{measure_of(metric).name} on {len(results.findings.items):,} test questions, %")
    axes.grid(axis="x")
    alt = "; ".join(f"{results.label(row)} {_interval(row, metric)}" for row in rows)
    diverged = any(cell.diverged for row in rows for cell in row.cells)
    caption = (
        "Large marks: mean over seeds and questions, with its 95 % bootstrap interval. Small dots: each seed"
        f"{' (a cross: it diverged)' if diverged else ''}. Dashed lines: baselines."
    )
    alt = f"Dot plot. {alt}. {_alt_text(baselines)}"
    return Drawn("accuracy", "Accuracy by method, every seed", caption, alt, False, figure)


def explanations(results: Results) -> Drawn | None:
    """Length, overlap and named options of every method's explanations; None where none was scored."""
    metrics = [entry for entry in _EXPLANATION if any(entry[0] in row.estimates for row in results.rows)]
    rows = [row for row in results.rows if any(name in row.estimates for name, _, _, _ in metrics)]
    if not metrics:
        return None
    figure, panels = canvas(PAGE, 0.7 + 0.27 * len(rows), columns=len(metrics), sharey=True)
    heights = _heights(rows)
    for axes, (metric, title, unit, scale) in zip(panels, metrics, strict=True):
        for row, y in zip(rows, heights, strict=True):
            if metric in row.estimates:
                _draw(axes, row, metric, y, scale)
        axes.set_title(title)
        axes.set_xlabel(unit)
        highest = max(scale * row.estimates[metric].high for row in rows if metric in row.estimates)
        right = 100.0 if scale == 100 else highest or 1.0
        axes.set_xlim(-0.04 * right, 1.06 * right)  # room for a mark at either end
        axes.grid(axis="x")
        hide_axis(axes)
    _name(panels[0], rows, heights, results)
    descriptions = ". ".join(
        f"{title}: "
        + ", ".join(
            f"{results.label(row)} {scale * row.estimates[metric].value:.1f}" for row in rows if metric in row.estimates
        )
        for metric, title, _, scale in metrics
    )
    caption = (
        "Means with 95 % bootstrap intervals. "
        "Length and overlap describe an explanation; they do not say that it is good."
    )
    return Drawn("explanations", "Explanations by method", caption, f"Dot plots. {descriptions}.", True, figure)


def _draw(axes: Any, row: Row, metric: str, y: float, scale: float) -> None:
    estimate = row.estimates[metric]
    value, low, high = scale * estimate.value, scale * estimate.low, scale * estimate.high
    draw_estimate(axes, y, value, low, high, colour(row.rank), mark(row.rank))


def _draw_seeds(axes: Any, row: Row, metric: str, y: float) -> None:
    """Draws the mean of each seed below the row's estimate; nothing for a single seed, which would repeat it."""
    for cell, offset in zip(row.cells, _spread(len(row.cells)), strict=True):
        if metric not in cell.scores or not (len(row.cells) > 1 or cell.diverged):
            continue
        value = 100 * float(np.nanmean(cell.scores[metric]))
        dot: dict[str, Any] = {"marker": "o", "s": 9, "linewidths": 0, "alpha": 0.65}
        if cell.diverged:
            dot = {"marker": "x", "s": 14, "linewidths": 0.9, "alpha": 0.9}
        axes.scatter([value], [y + 0.27 + offset], color=colour(row.rank), zorder=2, **dot)


def _baselines(results: Results, metric: str) -> list[tuple[str, float]]:
    """(name, share of right answers) of guessing, of the most frequent answer and of the teacher, where known."""
    lines = [
        (name, share)
        for name in ("random", "majority")
        if (share := results.baseline(name)) is not None and metric != "f1"
    ]
    if results.teacher:
        share, _, split = results.teacher
        lines.append((f"teacher{'' if split == 'test' else f' ({split})'}", share))
    return lines


def _heights(rows: Sequence[Row]) -> list[float]:
    """Heights of the rows, with a gap between students."""
    heights, y = [], 0.0
    for index, row in enumerate(rows):
        y += 0.0 if index == 0 else 1.0 if rows[index - 1].student == row.student else 1.8
        heights.append(y)
    return heights


def _name(axes: Any, rows: Sequence[Row], heights: Sequence[float], results: Results) -> None:
    """Writes the methods beside their rows, and where there are several students, each above its rows."""
    many = len(results.students) > 1
    axes.set_ylim(max(heights) + 0.65, min(heights) - (1.0 if many else 0.55))
    first = [many and (index == 0 or rows[index - 1].student != row.student) for index, row in enumerate(rows)]
    heads = [(y - 0.62, row.student) for row, y, begins in zip(rows, heights, first, strict=True) if begins]
    name_rows(axes, [(y, _wrapped(row.method)) for row, y in zip(rows, heights, strict=True)], heads)


def _wrapped(name: str) -> str:
    """A name over two lines where a column has no room for it: "multitask+counterfactual:revised"."""
    cut = max((name.rfind(joint, 0, 20) for joint in "+:-,"), default=-1) if len(name) > 18 else -1
    return f"{name[: cut + 1]}\n{name[cut + 1 :]}" if cut > 0 else name


def _draw_baselines(axes: Any, lines: Sequence[tuple[str, float]]) -> None:
    """Draws baselines as dashed lines, their names above, on as many levels as keep them apart."""
    if not lines:
        return
    low, high = axes.get_xlim()
    low, high = min(low, *(x for _, x in lines)), max(high, *(x for _, x in lines))
    pad = 0.06 * (high - low)
    low, high = max(-pad / 2, low - pad), high + pad  # shares have no room below zero, only a mark's rim
    axes.set_xlim(low, high)
    ends: list[float] = []  # where the last name of each level ends
    for name, x in sorted(lines, key=lambda line: line[1]):
        axes.axvline(x, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        label = f"{name} {x:.1f}"
        width = _LETTER * len(label) * (high - low)
        side = "right" if x + width > high else "left"  # a name turns around before it leaves the axes
        start = x - width if side == "right" else x
        level = next((level for level, end in enumerate(ends) if start > end), len(ends))
        ends[level:] = [start + width, *ends[level + 1 :]]  # replaces the level's end, or begins a new level
        axes.annotate(
            label,
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 7.5 * level),
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
    estimate = row.estimates[metric]
    return f"{percent(estimate.value)} % ({percent(estimate.low)} to {percent(estimate.high)})"


def _alt_text(lines: Sequence[tuple[str, float]]) -> str:
    if not lines:
        return "No baseline is known."
    return f"Baselines: {', '.join(f'{name} {percent(share)} %' for name, share in lines)}."
