"""The figure about the teacher's texts: a few measures, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...look.axes import canvas, draw_estimate, hide_axis
from ...look.figures import Drawn
from ...look.numbers import percent
from ...look.style import INK, MUTED, PAGE
from ...results import Results
from .figures import MEASURES, Measure, audit_of, estimate, measured, min_support, steps_of

_PANELS = ("support", "argues_other", "names_other", "words")
_RULES = (("occurs_as_said", "o"), ("named", "s"))
"""(measure, mark) drawn hollow beside the first panel's estimate: how often the answer is named, by plainer rules."""
_TITLES = {
    "support": "Supports its answer",
    "argues_other": "Argues for another",
    "names_other": "Names other options",
    "words": "Words",
}

Steps = Mapping[str, Mapping[str, Any]]


def audit_plot(results: Results) -> Drawn | None:
    """One panel a measure, one row a step, the recipe's limit as a line; None where there is nothing to draw."""
    audit = audit_of(results.findings)
    if audit is None:
        return None
    by_key = {entry.key: entry for entry in measured(audit)}
    panels = [by_key[key] for key in _PANELS if key in by_key]
    # A step without any of the measures would be an empty row.
    steps = {
        step: figures
        for step, figures in steps_of(audit).items()
        if any(estimate(figures, entry.key) for entry in panels)
    }
    if not panels or not steps:
        return None
    figure, all_axes = canvas(PAGE, 0.85 + 0.3 * len(steps), columns=len(panels), sharey=True)
    limit = min_support(results.findings)
    for axes, entry in zip(all_axes, panels, strict=True):
        _panel(axes, steps, entry, limit if entry.key == "support" else None)
    all_axes[0].set_yticks(range(len(steps)), list(steps))
    all_axes[0].set_ylim(len(steps) - 0.4, -0.6)
    caption = (
        "Diamonds: means with 95 % intervals. Hollow, in the first panel: texts in which the answer merely occurs"
        " (circle, as recorded) or stands as whole words (square, as kept)."
    )
    if limit is not None:
        caption += f" Dashed: the recipe asks for {percent(limit)} % at least."
    alt = f"Dot plots. {'. '.join(_alt_text(steps, panels))}."
    return Drawn("audit", "What the teacher wrote, by step", caption, alt, True, figure)


def _panel(axes: Any, steps: Steps, entry: Measure, limit: float | None) -> None:
    scale = 100.0 if entry.share else 1.0
    ends = [100.0 if entry.share else 0.0]  # shares are drawn on the whole scale
    for y, figures in enumerate(steps.values()):
        result = estimate(figures, entry.key)
        if result is None:
            continue
        draw_estimate(axes, y, scale * result.value, scale * result.low, scale * result.high, INK, "D", 4.6)
        ends.append(scale * result.high)
        if entry.key == "support":
            _draw_rules(axes, figures, y)
    if limit is not None:
        axes.axvline(100 * limit, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.set_title(_title(entry.key))
    axes.set_xlabel("% of texts" if entry.share else "in a text")
    right = max(ends) or 1.0  # counts of nothing: an axis from 0 to 0 has no width
    axes.set_xlim(-0.04 * right, 1.06 * right)
    axes.grid(axis="x")
    hide_axis(axes)


def _draw_rules(axes: Any, figures: Mapping[str, Any], y: float) -> None:
    for key, marker in _RULES:
        result = estimate(figures, key)
        if result is not None:
            axes.plot(
                [100 * result.value],
                [y + 0.27],
                marker,
                color=INK,
                markerfacecolor="none",
                markersize=3.6,
                markeredgewidth=0.8,
                zorder=2,
            )


def _alt_text(steps: Steps, panels: Sequence[Measure]) -> list[str]:
    lines = []
    for entry in panels:
        results = ((step, estimate(figures, entry.key)) for step, figures in steps.items())
        values = (f"{step} {entry.show(result.value)}" for step, result in results if result)
        lines.append(f"{_title(entry.key)}: {', '.join(values)}")
    return lines


def _title(key: str) -> str:
    return _TITLES.get(key) or next(entry.name for entry in MEASURES if entry.key == key)
