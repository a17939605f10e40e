"""The figures of an analysis: means by construct, effects of the mixed model, whether the ratings are normal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...report.look.axes import LEAST_RATING, canvas, widen
from ...report.look.figures import Drawn, Figure, styled
from ...report.look.numbers import fraction, p_clause
from ...report.look.style import COLUMN, GRID, INK, METHODS, MUTED, PAGE, PAPER, colour, hatch, mark
from .base import NotComputed
from .ratings import Ratings
from .records import Analysis
from .summary import levels, listed, people, signed


def draw(analysis: Analysis, ratings: Ratings) -> list[Figure]:
    """Draw each figure as PDF, PNG and SVG; equal results give equal bytes."""
    return styled(lambda: [bars(analysis), forest(analysis), normality(analysis, ratings)])


def bars(analysis: Analysis) -> Drawn:
    """Mean ratings by construct and condition, with standard errors."""
    measures, conditions = analysis.measures, list(analysis.conditions)
    low, high = analysis.scale
    figure, [axes] = canvas(PAGE, 2.6 + 0.12 * (len(conditions) // 4))
    width = 0.82 / len(conditions)
    for rank, level in enumerate(conditions):
        x, means, errors = [], [], []
        for position, measure in enumerate(measures.values()):
            if level in measure.means:
                x.append(position + (rank - (len(conditions) - 1) / 2) * width)
                means.append(measure.means[level])
                errors.append((measure.sds[level] or 0.0) / np.sqrt(measure.ns[level]))
        heights = np.array(means) - low
        # Bars stand on the lowest rating, not on zero, which is no rating.
        hatched = {"hatch": hatch(rank), "edgecolor": PAPER, "linewidth": 0} if hatch(rank) else {}
        axes.bar(x, heights, 0.9 * width, bottom=low, color=colour(rank), label=level, zorder=2, **hatched)
        known = [index for index, error in enumerate(errors) if error]
        at, mids, reach = ([column[index] for index in known] for column in (x, means, errors))
        axes.errorbar(at, mids, yerr=reach, fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.6, capthick=0.8, zorder=3)
    descriptions = [
        f"{name}: " + ", ".join(f"{level} {mean:.2f}" for level, mean in measure.means.items())
        for name, measure in measures.items()
    ]
    axes.set_xticks(range(len(measures)), list(measures))
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(low, high)
    if high - low <= 10:
        axes.set_yticks(np.arange(low, high + 0.5))
    axes.set_ylabel(f"Mean rating, {low:g} to {high:g}")
    axes.grid(axis="y")
    columns = max(1, min(len(conditions), 110 // (max(map(len, conditions)) + 6)))
    figure.legend(loc="outside upper left", ncols=columns, handlelength=1.0, handleheight=0.9)
    caption = (
        f"Means of {analysis.n:,} ratings by {people(analysis.raters.n)}, with standard errors that take every "
        "rating as independent. "
        f"{analysis.main} is {'the mean of the constructs' if len(measures) > 1 else 'what was rated'}."
    )
    return Drawn("ratings", "Ratings by construct", caption, f"Bar chart. {'. '.join(descriptions)}.", True, figure)


def forest(analysis: Analysis) -> Drawn | None:
    """Differences from the reference by the mixed model, around zero; filled where told apart."""
    fits = {name: measure.mixed.fullest for name, measure in analysis.measures.items()}
    fitted = {name: fit for name, fit in fits.items() if not isinstance(fit, NotComputed)}
    if not fitted:
        return None
    ranks = {level: rank for rank, level in enumerate(analysis.conditions)}
    others = len(ranks) - 1
    # Where colours repeat, each line is labelled itself, under a heading; a legend would have to be searched.
    direct = len(ranks) > len(METHODS)
    figure, [axes] = canvas(
        COLUMN, 0.7 + len(fitted) * (0.16 * others + 0.14) + 0.16 * (len(fitted) if direct else others)
    )
    y, headings, descriptions = 0.0, [], []
    ticks: list[tuple[float, str]] = []
    for name, fit in fitted.items():
        effects = fit.conditions
        headings.append(len(ticks))
        ticks.append((y if direct else y + (len(effects) - 1) / 2, name))
        y += direct
        for effect in effects:
            rank = ranks[effect.condition]
            if direct:
                ticks.append((y, effect.condition))
            face = colour(rank) if effect.p_adjusted < 0.05 else PAPER
            axes.plot(
                [effect.low, effect.high], [y, y], color=colour(rank), linewidth=1.3, solid_capstyle="butt", zorder=2
            )
            marker = {"color": colour(rank), "markersize": 4.6, "markerfacecolor": face}
            axes.plot([effect.estimate], [y], mark(rank), zorder=3, **marker)
            descriptions.append(
                f"{name}, {effect.condition} {signed(effect.estimate)} "
                f"({signed(effect.low)} to {signed(effect.high)}, {p_clause(effect.p_adjusted)})"
            )
            y += 1
        axes.axhline(y, color=GRID, linewidth=0.5, zorder=0)
        y += 1
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    widen(axes, x=LEAST_RATING)
    axes.set_yticks([position for position, _ in ticks], [name for _, name in ticks])
    axes.tick_params(axis="y", length=0)
    for heading in headings if direct else []:
        axes.get_yticklabels()[heading].set_fontweight("bold")
    axes.spines["left"].set_visible(False)
    axes.set_ylim(y - 1, -1)
    axes.set_xlabel(f"Points of the scale above\n{_wrapped(analysis.reference, 36)}")
    axes.grid(axis="x")
    if not direct:
        figure.legend(handles=_keys(ranks), loc="outside upper left", handlelength=1.6)
    who = listed(dict.fromkeys(level for fit in fitted.values() for level in levels(fit)))
    caption = (
        f"Linear mixed models of {people(analysis.raters.n)}, with levels of their own for {who}; 95 % intervals. "
        "Filled: Holm-adjusted p below 0.05 over the conditions of a construct; hollow: no difference that these data "
        "can show."
    )
    title = f"Effects against {analysis.reference}"
    return Drawn("effects", title, caption, f"Forest plot. {'; '.join(descriptions)}.", False, figure)


def _keys(ranks: Mapping[str, int]) -> list[Any]:
    """Return the lines of a legend, one for each condition but the reference."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour(rank), marker=mark(rank), markersize=4.6, label=level)
        for level, rank in ranks.items()
        if rank
    ]


def normality(analysis: Analysis, ratings: Ratings) -> Drawn | None:
    """Quantiles of each condition's ratings against those of a normal distribution."""
    name = analysis.main
    groups = {
        level: values
        for level, values in ratings.by_condition(ratings.measures[name]).items()
        if len(values) > 2 and np.ptp(values)
    }
    if not groups:
        return None
    from scipy.stats import norm

    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure, panels = canvas(PAGE, 0.35 + 1.75 * rows, rows, columns, sharex=True, sharey=True)
    for rank, (axes, (level, values)) in enumerate(zip(panels, groups.items(), strict=False)):
        ideal = norm.ppf((np.arange(1, len(values) + 1) - 0.5) / len(values))
        reach = np.array([ideal[0], ideal[-1]])
        axes.plot(reach, values.mean() + values.std(ddof=1) * reach, color=MUTED, linewidth=0.8, zorder=1)
        axes.scatter(
            ideal, np.sort(values), s=5, color=colour(list(analysis.conditions).index(level)), linewidths=0, zorder=2
        )
        axes.set_title(_wrapped(level, 22))
        axes.grid()
        axes.set_xlabel("Normal quantile")
        if rank % columns == 0:
            axes.set_ylabel(name)
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    tests = listed(
        f"{level} W = {fraction(test.statistic)}, {p_clause(test.p)}"
        for level, test in analysis.measure.shapiro.items()
        if not isinstance(test, NotComputed)
    )
    caption = f"Points on the line are normal. Shapiro–Wilk: {tests}."
    return Drawn(
        "normality", f"Is {name} normal within conditions?", caption, f"Quantile plots. {caption}", True, figure
    )


def _wrapped(name: str, width: int) -> str:
    return textwrap.fill(name, width)
