"""The figures of an analysis: means by construct, effects of the mixed model, whether the ratings are normal."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from ...report.look.axes import canvas
from ...report.look.figures import Drawn, Figure, styled
from ...report.look.numbers import fraction, p_clause
from ...report.look.style import COLUMN, GRID, INK, MUTED, PAGE, PAPER, colour, mark
from .paragraph import fullest, listed, main, people, signed
from .ratings import Ratings

Json = dict[str, Any]


def figures(found: Json, ratings: Ratings) -> list[Figure]:
    """Each figure as PDF, PNG and SVG; equal results give equal bytes."""
    return styled(lambda: [bars(found), forest(found), normality(found, ratings)])


def bars(found: Json) -> Drawn:
    """Mean ratings by construct and condition, with standard errors."""
    measures, levels = found["measures"], list(found["conditions"])
    low, high = found["scale"]
    figure, [axes] = canvas(PAGE, 2.6 + 0.12 * (len(levels) // 4))
    wide = 0.82 / len(levels)
    said = []
    for rank, level in enumerate(levels):
        places, means, errors = [], [], []
        for place, entry in enumerate(measures.values()):
            if level in entry["means"]:
                places.append(place + (rank - (len(levels) - 1) / 2) * wide)
                means.append(entry["means"][level])
                errors.append((entry["sds"][level] or 0.0) / np.sqrt(entry["ns"][level]))
        heights = np.array(means) - low
        axes.bar(places, heights, 0.9 * wide, bottom=low, color=colour(rank), label=level, zorder=2)
        known = [place for place, error in enumerate(errors) if error]
        at, mids, reach = ([column[place] for place in known] for column in (places, means, errors))
        axes.errorbar(at, mids, yerr=reach, fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.6, capthick=0.8, zorder=3)
    for name, entry in measures.items():
        said.append(f"{name}: " + ", ".join(f"{level} {mean:.2f}" for level, mean in entry["means"].items()))
    axes.set_xticks(range(len(measures)), list(measures))
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(low, high)
    if high - low <= 10:
        axes.set_yticks(np.arange(low, high + 0.5))
    axes.set_ylabel(f"Mean rating, {low:g} to {high:g}")
    axes.grid(axis="y")
    columns = max(1, min(len(levels), 110 // (max(map(len, levels)) + 6)))
    figure.legend(loc="outside upper left", ncols=columns, handlelength=1.0, handleheight=0.9)
    caption = (
        f"Means of {found['n']:,} ratings by {people(found['raters']['n'])}, with standard errors that take every rating as independent. "
        f"{main(found)} is {'the mean of the constructs' if len(measures) > 1 else 'what was rated'}."
    )
    return Drawn("ratings", "Ratings by construct", caption, f"Bar chart. {'. '.join(said)}.", True, figure)


def forest(found: Json) -> Drawn | None:
    """Differences from the reference by the mixed model, around zero; filled where told apart."""
    fits = {name: fullest(entry["mixed"]) for name, entry in found["measures"].items()}
    fits = {name: fit for name, fit in fits.items() if "effects" in fit}
    if not fits:
        return None
    ranks = {level: rank for rank, level in enumerate(found["conditions"])}
    each = len(ranks) - 1
    figure, [axes] = canvas(COLUMN, 0.7 + len(fits) * (0.16 * each + 0.14) + 0.16 * each)
    y, heads, said = 0.0, [], []
    for name, fit in fits.items():
        effects = [effect for effect in fit["effects"] if "condition" in effect]
        heads.append((y + (len(effects) - 1) / 2, name))
        for effect in effects:
            shade, apart = colour(ranks[effect["condition"]]), effect["p_adjusted"] < 0.05
            axes.plot(
                [effect["low"], effect["high"]], [y, y], color=shade, linewidth=1.3, solid_capstyle="butt", zorder=2
            )
            shape = mark(ranks[effect["condition"]])
            axes.plot(
                [effect["estimate"]],
                [y],
                shape,
                color=shade,
                markersize=4.6,
                markerfacecolor=shade if apart else PAPER,
                zorder=3,
            )
            said.append(
                f"{name}, {effect['condition']} {signed(effect['estimate'])} ({signed(effect['low'])} to {signed(effect['high'])}, "
                f"{p_clause(effect['p_adjusted'])})"
            )
            y += 1
        axes.axhline(y, color=GRID, linewidth=0.5, zorder=0)
        y += 1
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.set_yticks([place for place, _ in heads], [name for _, name in heads])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(y - 1, -1)
    axes.set_xlabel(f"Points of the scale above\n{_wrapped(found['reference'], 36)}")
    axes.grid(axis="x")
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=colour(rank), marker=mark(rank), markersize=4.6, label=level)
        for level, rank in ranks.items()
        if rank
    ]
    figure.legend(handles=keys, loc="outside upper left", handlelength=1.6)
    caption = (
        f"Linear mixed models with a level of its own for each of {people(found['raters']['n'])}"
        f"{', each question and each explanation' if any(len(fit['groups']) > 1 for fit in fits.values()) else ''}; 95 % intervals. "
        "Filled: Holm-adjusted p below 0.05 over the conditions of a construct; hollow: no difference that these data can show."
    )
    return Drawn(
        "effects", f"Effects against {found['reference']}", caption, f"Forest plot. {'; '.join(said)}.", False, figure
    )


def normality(found: Json, ratings: Ratings) -> Drawn | None:
    """Quantiles of each condition's ratings against those of a normal distribution."""
    name = main(found)
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
            ideal, np.sort(values), s=5, color=colour(list(found["conditions"]).index(level)), linewidths=0, zorder=2
        )
        axes.set_title(_wrapped(level, 22))
        axes.grid()
        axes.set_xlabel("Normal quantile")
        if rank % columns == 0:
            axes.set_ylabel(name)
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    tests = {level: test for level, test in found["measures"][name]["shapiro"].items() if "why" not in test}
    said = listed(f"{level} W = {fraction(test['statistic'])}, {p_clause(test['p'])}" for level, test in tests.items())
    caption = f"Points on the line are normal. Shapiro–Wilk: {said}."
    return Drawn(
        "normality", f"Is {name} normal within conditions?", caption, f"Quantile plots. {caption}", True, figure
    )


def _wrapped(name: str, width: int) -> str:
    return textwrap.fill(name, width)
