"""The figures of a comparison: every run with the means of the cells, the differences, and the residuals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import fill
from typing import Any

import numpy as np

from ...stats import Tukey
from ..look.axes import canvas, name_rows
from ..look.figures import Drawn, Figure, styled
from ..look.numbers import ALPHA, MINUS, fixed, p_clause
from ..look.style import COLUMN, GRID, INK, MUTED, PAGE, PAPER, colour, mark
from .analysis import Cell, Factorial, levels_text
from .words import decimals

_LONG = 60
"""Letters of a name that fit a line of a page."""


def draw_all(analysis: Factorial) -> list[Figure]:
    """Each figure as PDF, PNG and SVG; equal analyses give equal bytes."""
    return styled(lambda: [cells(analysis), differences(analysis), normality(analysis)])


def cells(analysis: Factorial) -> Drawn:
    """Every row as a dot, rows left out as crosses, and the mean of each cell with its interval."""
    groups = list(_grouped(analysis))
    width = _width(analysis.levels[analysis.first])
    figure, [axes] = canvas(width, 0.6 + 0.3 * len(analysis.cells) + 0.25 * len(groups))
    ranks = {level: rank for rank, level in enumerate(analysis.levels[analysis.first])}
    # Seeded, so that equal analyses give equal bytes.
    rng = np.random.default_rng(0)
    heads, names, y = [], [], 0.0
    # Heights in rows: one for each cell, and 1.3 for the head of the next group.
    for head, group in groups:
        heads.append((y, head))
        for cell in group:
            y += 1.0
            level = cell.levels[analysis.first]
            names.append((y, _short(level)))
            _cell(axes, cell, y, ranks[level], rng)
            removed = [row.value for row in analysis.removed if row.levels == cell.levels]
            axes.scatter(removed, [y] * len(removed), marker="x", s=16, linewidths=0.9, color=MUTED, zorder=4)
        y += 1.3
    _label(axes, heads, names, y)
    axes.set_xlabel(fill(analysis.value, 44))
    axes.grid(axis="x")
    crosses = " Grey crosses: rows left out as outliers." if analysis.removed else ""
    caption = f"Large marks: means of the cells, with 95 % intervals (t). Small dots: each row.{crosses}"
    means = "; ".join(
        f"{levels_text(cell.levels)}: {fixed(cell.mean, decimals(analysis))} (n {cell.n})"
        for cell in analysis.cells
        if cell.mean is not None
    )
    title = f"{analysis.value} by {' and '.join(analysis.levels)}"
    return Drawn("cells", title, caption, f"Dot plot. {means}.", width == PAGE, figure)


def differences(analysis: Factorial) -> Drawn | None:
    """Differences of means with Tukey's intervals, around zero; None without pairs."""
    if not analysis.tukey:
        return None
    groups = [
        (within, [pair for _, pair in pairs])
        for within, pairs in groupby(analysis.tukey, key=lambda entry: levels_text(entry[0]))
    ]
    width = _width([f"{pair.a} {MINUS} {pair.b}" for _, pair in analysis.tukey])
    figure, [axes] = canvas(width, 0.6 + 0.24 * len(analysis.tukey) + 0.3 * len(groups))
    heads, names, y = [], [], 0.0
    for head, pairs in groups:
        heads.append((y, head))
        for pair in pairs:
            y += 1.0
            # Two long names on one line would leave no room for the axes.
            joint = "\n" if len(pair.a) + len(pair.b) > _LONG else " "
            names.append((y, f"{_short(pair.a)} {MINUS}{joint}{_short(pair.b)}"))
            _pair(axes, pair, y)
        y += 1.3
    _label(axes, heads, names, y)
    axes.axvline(0, color=MUTED, linewidth=0.7, zorder=1)
    axes.set_xlabel(fill(f"Difference in {analysis.value}", 32))
    axes.grid(axis="x")
    caption = (
        "Differences of means with Tukey's 95 % intervals, which hold for all pairs of a group together. "
        "Filled: p < .05."
    )
    pairs_in_words = "; ".join(
        f"{pair.a} minus {pair.b} {fixed(pair.difference, decimals(analysis))}, {p_clause(pair.p)}"
        for _, pair in analysis.tukey
    )
    title = f"Differences between levels of {analysis.first}"
    return Drawn("differences", title, caption, f"Dot plot. {pairs_in_words}.", width == PAGE, figure)


def _pair(axes: Any, pair: Tukey, y: float) -> None:
    shade = INK if pair.p < ALPHA else MUTED
    inside = shade if pair.p < ALPHA else PAPER
    axes.plot([pair.low, pair.high], [y, y], color=shade, linewidth=1.2, solid_capstyle="butt", zorder=2)
    axes.plot([pair.difference], [y], "o", color=inside, markeredgecolor=shade, markersize=4.6, zorder=3)


def normality(analysis: Factorial) -> Drawn | None:
    """Residuals against normal quantiles, with the line of a normal sample; None where they were not tested."""
    if analysis.shapiro is None:
        return None
    from scipy.stats import norm

    residuals = np.sort(analysis.residuals)
    n = len(residuals)
    # R's ppoints, as its qqnorm uses them.
    expected = norm.ppf((np.arange(1, n + 1) - (0.375 if n <= 10 else 0.5)) / (n + (0.25 if n <= 10 else 0.0)))
    figure, [axes] = canvas(COLUMN, 2.6)
    # The line through the quartiles, as R's qqline draws it: outliers do not turn it.
    q1, q3 = np.quantile(residuals, (0.25, 0.75))
    slope = (q3 - q1) / (2 * float(norm.ppf(0.75)))
    ends = np.array([expected[0], expected[-1]])
    axes.plot(ends, (q1 + q3) / 2 + slope * ends, color=MUTED, linewidth=0.9, zorder=1)
    axes.scatter(expected, residuals, s=9, color=colour(0), linewidths=0, zorder=2)
    axes.set_xlabel("Normal quantiles")
    axes.set_ylabel(fill(f"Residual {analysis.value}", 44))
    axes.grid(color=GRID)
    test = f"Shapiro–Wilk W = {analysis.shapiro.statistic:.3f}, {p_clause(analysis.shapiro.p)}"
    caption = (
        f"Each row's distance from the mean of its cell, sorted, against what a normal distribution would give. {test}."
    )
    return Drawn("normality", "Residuals", caption, f"Quantile plot of {n} residuals. {test}.", False, figure)


def _grouped(analysis: Factorial) -> Iterator[tuple[str, list[Cell]]]:
    """(the levels of the other factors, their cells in the order of the first factor)."""
    others = {name: levels for name, levels in analysis.levels.items() if name != analysis.first}
    groups: dict[str, list[Cell]] = {}
    for cell in analysis.cells:
        groups.setdefault(levels_text({name: cell.levels[name] for name in others}), []).append(cell)
    yield from groups.items()


def _cell(axes: Any, cell: Cell, y: float, rank: int, rng: np.random.Generator) -> None:
    if cell.mean is None:
        return
    shade = colour(rank)
    if cell.sd is not None:
        from scipy.stats import t

        reach = float(t.ppf(0.975, cell.n - 1)) * cell.sd / cell.n**0.5
        axes.plot(
            [cell.mean - reach, cell.mean + reach], [y, y], color=shade, linewidth=1.4, solid_capstyle="butt", zorder=2
        )
    axes.plot(
        [cell.mean], [y], mark(rank), color=shade, markersize=5.2, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=3
    )
    if cell.n > 1:
        # Offset at random, so that equal runs stay visible.
        axes.scatter(
            cell.values,
            y + 0.3 + rng.uniform(-0.06, 0.06, cell.n),
            s=7,
            color=shade,
            alpha=0.65,
            linewidths=0,
            zorder=2,
        )


def _label(axes: Any, heads: list[tuple[float, str]], names: list[tuple[float, str]], bottom: float) -> None:
    axes.set_ylim(bottom - 0.6, -0.6 if any(head for _, head in heads) else 0.3)
    name_rows(axes, names, heads)


def _short(name: str) -> str:
    """Long names keep both ends, where they differ."""
    return name if len(name) <= _LONG else f"{name[: _LONG // 2]}…{name[1 - _LONG // 2 :]}"


def _width(names: Sequence[str]) -> float:
    """The width of the figure: a page where the names would take most of a column."""
    return COLUMN if max(map(len, names)) <= 34 else PAGE
