"""The figures about marked words: what they are worth beside chance, and how far the ways to attribute agree."""

from __future__ import annotations

from typing import Any

from ..look.plots import Drawn, canvas
from ..look.style import COLUMN, INK, METHODS, MUTED, PAGE, PAPER, colour, mark
from ..look.words import DASH, count
from ..results import Results
from .marked import Saliency, block, number
from .saliency import Measure, erasure_chance, matrix, measured, nats, rho

_DARKEST = 0.5
"""Opacity of a correlation of 1: text on it stays readable on a light and on a dark page."""


def worth(results: Results) -> Drawn | None:
    """One panel a figure: every way of marking with its interval, and the chance level as a line."""
    found = results.findings.saliency
    shown = measured(found) if found else []
    if found is None or not shown:
        return None
    columns = min(len(shown), 4)
    lines, steps = -(-len(shown) // columns), list(found.steps)
    figure, panels = canvas(PAGE, lines * (0.75 + 0.2 * len(steps)), lines, columns, sharey=True)
    ranks = ranks_of(results)
    for axes, measure in zip(panels, shown, strict=False):
        _panel(axes, found, measure, ranks)
        axes.set_title(measure.name)
        axes.set_xlabel(measure.group)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    panels[0].set_yticks(range(len(steps)), steps)
    panels[0].set_ylim(len(steps) - 0.4, -0.6)
    spoken = ". ".join(_spoken(found, measure) for measure in shown)
    caption = (
        "Means with 95 % bootstrap intervals over items; dashed lines: the expectation for as many random content words. "
        f"More is better, but for sufficiency. {erasure_chance(found)}"
    )
    return Drawn("saliency", "What the kept words are worth", caption, f"Dot plots. {spoken}.", True, figure)


def agreement(results: Results) -> Drawn | None:
    """The matrix of rank correlations between ways to attribute, below its diagonal."""
    found = results.findings.saliency
    names, rows = matrix(found) if found else ([], [])
    if found is None or len(names) < 2:
        return None
    from matplotlib.patches import Rectangle

    size = len(names) - 1
    figure, [axes] = canvas(COLUMN, 0.9 + 0.27 * size)
    spoken = []
    for i in range(1, size + 1):
        for j in range(i):
            value = rows[i][j]
            if value is not None:
                shade = METHODS[0][0] if value >= 0 else METHODS[1][0]
                axes.add_patch(
                    Rectangle(
                        (j - 0.5, i - 1.5),
                        1,
                        1,
                        facecolor=shade,
                        alpha=_DARKEST * min(1, abs(value)),
                        edgecolor=PAPER,
                        linewidth=0.8,
                    )
                )
                spoken.append(f"{names[i]} and {names[j]} {rho(value)}")
            axes.text(j, i - 1, DASH if value is None else rho(value), ha="center", va="center", fontsize=6, color=INK)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks(range(size), names[:-1], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), names[1:])
    axes.tick_params(axis="both", length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    n = count(number(block(found.figures, "agreement").get("n")) or 0)
    caption = f"Spearman's rank correlation of the scores of content words, mean over {n} items. Chance is 0; 1 is the same order of words."
    return Drawn(
        "agreement", "Agreement of the ways to attribute", caption, f"Matrix. {'; '.join(spoken)}.", False, figure
    )


def ranks_of(results: Results) -> dict[str, int]:
    """The place of a trained method, by the step it is called after: it has the method's colour."""
    return {row.method.partition(":")[0]: row.rank for row in reversed(results.trained)}


def _panel(axes: Any, found: Saliency, measure: Measure, ranks: dict[str, int]) -> None:
    scale = 1.0 if measure.show is nats else 100.0
    chance = found.chance(measure.key)
    ends = [] if chance is None else [scale * chance]
    for y, step in enumerate(found.steps):
        got = found.estimate(step, measure.key)
        if got is None:
            continue
        rank = ranks.get(step)
        axes.plot(
            [scale * got.low, scale * got.high],
            [y, y],
            color=colour(rank),
            linewidth=1.4,
            solid_capstyle="butt",
            zorder=2,
        )
        axes.plot(
            [scale * got.value],
            [y],
            mark(rank),
            color=colour(rank),
            markersize=5.2,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            zorder=3,
        )
        ends += [scale * got.low, scale * got.high]
    low, high = min(0.0, *ends), max(ends)
    pad = 0.08 * ((high - low) or 1.0)
    axes.set_xlim(low - pad / 2, high + pad)
    if low < 0:
        axes.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
    if chance is not None:
        axes.axvline(scale * chance, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)


def _spoken(found: Saliency, measure: Measure) -> str:
    chance = found.chance(measure.key)
    got = {step: one for step in found.steps if (one := found.estimate(step, measure.key)) is not None}
    rows = ", ".join(f"{step} {measure.show(one.value)}" for step, one in got.items())
    return f"{measure.group.partition(',')[0]}, {measure.name}: {rows}" + (
        "" if chance is None else f", chance {measure.show(chance)}"
    )
