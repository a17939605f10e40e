"""The figure about what the teacher wrote: a few measures, step by step."""

from __future__ import annotations

from typing import Any

from ..look.plots import Drawn, canvas
from ..look.style import INK, MUTED, PAGE, PAPER
from ..look.words import percent
from ..results import Results
from .audit import MEASURES, estimate, found, least, measured, steps

_SHOWN = ("support", "argues_other", "names_other", "words")
_RULES = (("occurs_as_said", "o", "as said"), ("named", "s", "whole words"))
"""Drawn hollow beside the first panel's estimate: how often the answer is named, by two plainer rules."""


def audit(results: Results) -> Drawn | None:
    """One panel a measure, one row a step; the recipe's limit as a line."""
    figures = found(results.findings)
    if figures is None:
        return None
    by_key = {measure.key: measure for measure in measured(figures)}
    shown = [by_key[key] for key in _SHOWN if key in by_key]
    names = [step for step, one in steps(figures).items() if any(estimate(one, measure.key) for measure in shown)]
    if not shown or not names:
        return None
    canvas_, panels = canvas(PAGE, 0.85 + 0.3 * len(names), columns=len(shown), sharey=True)
    spoken = []
    for axes, measure in zip(panels, shown, strict=True):
        scale, ends = (100.0 if measure.share else 1.0), [100.0 if measure.share else 0.0]
        for y, step in enumerate(names):
            got = estimate(steps(figures)[step], measure.key)
            if got is None:
                continue
            axes.plot(
                [scale * got.low, scale * got.high], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt", zorder=2
            )
            axes.plot(
                [scale * got.value],
                [y],
                "D",
                color=INK,
                markersize=4.6,
                markeredgecolor=PAPER,
                markeredgewidth=0.6,
                zorder=3,
            )
            ends.append(scale * got.high)
            if measure.key == "support":
                _rules(axes, steps(figures)[step], y)
        limit = least(results.findings) if measure.key == "support" else None
        if limit is not None:
            axes.axvline(100 * limit, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set_title(_title(measure.key))
        axes.set_xlabel("% of texts" if measure.share else "in a text")
        axes.set_xlim(-0.04 * max(ends), 1.06 * max(ends))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        told = ((step, estimate(steps(figures)[step], measure.key)) for step in names)
        spoken.append(
            f"{_title(measure.key)}: " + ", ".join(f"{step} {measure.show(one.value)}" for step, one in told if one)
        )
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    caption = "Diamonds: means with 95 % intervals. Hollow, in the first panel: texts in which the answer merely occurs"
    caption += " (circle, as recorded) or stands as whole words (square, as kept)."
    if least(results.findings) is not None:
        caption += f" Dashed: the recipe asks for {percent(least(results.findings) or 0)} % at least."
    return Drawn("audit", "What the teacher wrote, by step", caption, f"Dot plots. {'. '.join(spoken)}.", True, canvas_)


def _rules(axes: Any, figures: Any, y: float) -> None:
    for key, shape, _ in _RULES:
        got = estimate(figures, key)
        if got is not None:
            axes.plot(
                [100 * got.value],
                [y + 0.27],
                shape,
                color=INK,
                markerfacecolor="none",
                markersize=3.6,
                markeredgewidth=0.8,
                zorder=2,
            )


def _title(key: str) -> str:
    titles = {
        "support": "Supports its answer",
        "argues_other": "Argues for another",
        "names_other": "Names other options",
        "words": "Words",
    }
    return titles.get(key) or next(measure.name for measure in MEASURES if measure.key == key)
