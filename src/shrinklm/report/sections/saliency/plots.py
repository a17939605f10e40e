"""The figures about marked words: their measures beside chance, and the agreement of attribution methods."""

from __future__ import annotations

from typing import Any

from ...fields import block, finite
from ...look.axes import canvas, draw_estimate, hide_axis
from ...look.figures import Drawn
from ...look.numbers import DASH, count
from ...look.style import COLUMN, INK, METHODS, MUTED, PAGE, PAPER, colour, mark
from ...marks import Saliency
from ...results import Results
from .table import Measure, correlations, erasure_chance, estimates, measured, nats, rho

_DARKEST = 0.5
"""Opacity of a correlation of 1: text on it stays readable on a light and on a dark page."""


def ranks_of(results: Results) -> dict[str, int]:
    """Step → rank of the trained method that is named after it, so that both have one colour."""
    return {row.method.partition(":")[0]: row.rank for row in reversed(results.trained)}


def worth(results: Results) -> Drawn | None:
    """One panel a measure: every step with its interval, and chance as a line; None where nothing was measured."""
    saliency = results.findings.saliency
    measures = measured(saliency) if saliency else []
    if saliency is None or not measures:
        return None
    columns = min(len(measures), 4)
    lines, steps = -(-len(measures) // columns), list(saliency.steps)
    figure, panels = canvas(PAGE, lines * (0.75 + 0.2 * len(steps)), lines, columns, sharey=True)
    ranks = ranks_of(results)
    for axes, entry in zip(panels, measures, strict=False):
        _panel(axes, saliency, entry, ranks)
        axes.set_title(entry.name)
        axes.set_xlabel(entry.group)
        hide_axis(axes)
        axes.grid(axis="x")
    for axes in panels[len(measures) :]:
        axes.set_visible(False)
    # The panels share their rows, which the first one names for all.
    panels[0].set_yticks(range(len(steps)), steps)
    panels[0].set_ylim(len(steps) - 0.4, -0.6)
    descriptions = ". ".join(_alt_text(saliency, entry) for entry in measures)
    caption = (
        "Means with 95 % bootstrap intervals over items; "
        "dashed lines: the expectation for as many random content words. "
        f"More is better, but for sufficiency. {erasure_chance(saliency)}"
    )
    return Drawn("saliency", "What the kept words are worth", caption, f"Dot plots. {descriptions}.", True, figure)


def agreement_plot(results: Results) -> Drawn | None:
    """The matrix of rank correlations between ways of attributing, below its diagonal; None for fewer than two."""
    saliency = results.findings.saliency
    names, rows = correlations(saliency) if saliency else ([], [])
    if saliency is None or len(names) < 2:
        return None
    size = len(names) - 1
    figure, [axes] = canvas(COLUMN, 0.9 + 0.27 * size)
    descriptions = []
    # Below the diagonal: the matrix is symmetric, and each way agrees with itself.
    for i in range(1, size + 1):
        for j in range(i):
            value = rows[i][j]
            if value is not None:
                _shade(axes, j, i - 1, value)
                descriptions.append(f"{names[i]} and {names[j]} {rho(value)}")
            axes.text(j, i - 1, DASH if value is None else rho(value), ha="center", va="center", fontsize=6, color=INK)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks(range(size), names[:-1], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), names[1:])
    axes.tick_params(axis="both", length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    n = count(finite(block(saliency.figures, "agreement").get("n")) or 0)
    caption = (
        f"Spearman's rank correlation of the scores of content words, mean over {n} items. "
        "Chance is 0; 1 is the same order of words."
    )
    alt = f"Matrix. {'; '.join(descriptions)}."
    return Drawn("agreement", "Agreement of the ways to attribute", caption, alt, False, figure)


def _shade(axes: Any, x: float, y: float, value: float) -> None:
    """Fills a field of the matrix: blue above zero, orange below, the darker the farther from it."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (x - 0.5, y - 0.5),
            1,
            1,
            facecolor=METHODS[0 if value >= 0 else 1][0],
            alpha=_DARKEST * min(1, abs(value)),
            edgecolor=PAPER,
            linewidth=0.8,
        )
    )


def _panel(axes: Any, saliency: Saliency, entry: Measure, ranks: dict[str, int]) -> None:
    scale = 1.0 if entry.show is nats else 100.0
    chance = saliency.chance(entry.key)
    ends = [] if chance is None else [scale * chance]
    for y, step in enumerate(saliency.steps):
        estimate = saliency.estimate(step, entry.key)
        if estimate is None:
            continue
        low, value, high = scale * estimate.low, scale * estimate.value, scale * estimate.high
        draw_estimate(axes, y, value, low, high, colour(ranks.get(step)), mark(ranks.get(step)))
        ends += [low, high]
    low, high = min(0.0, *ends), max(ends)  # from zero, so that lengths can be compared
    pad = 0.08 * ((high - low) or 1.0)
    axes.set_xlim(low - pad / 2, high + pad)
    if low < 0:
        axes.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
    if chance is not None:
        axes.axvline(scale * chance, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)


def _alt_text(saliency: Saliency, entry: Measure) -> str:
    chance = saliency.chance(entry.key)
    rows = ", ".join(
        f"{step} {entry.show(estimate.value)}" for step, estimate in estimates(saliency, entry.key).items()
    )
    beside = "" if chance is None else f", chance {entry.show(chance)}"
    return f"{entry.group.partition(',')[0]}, {entry.name}: {rows}{beside}"
