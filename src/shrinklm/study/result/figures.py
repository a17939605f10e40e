"""Figures of a study's result: accuracy against people's ratings, preferences, and the figures of the analysis."""

from __future__ import annotations

from ...report.look.axes import LEAST_POINTS, LEAST_RATING, canvas, widen
from ...report.look.figures import Drawn, Figure, styled
from ...report.look.style import COLUMN, MUTED, colour, mark
from ..analysis import figures as analysis_figures
from ..analysis.ratings import Ratings
from ..analysis.summary import listed
from .records import Outcome, Preferences


def draw(outcome: Outcome, ratings: Ratings | None) -> list[Figure]:
    """Draw every figure that there is something for; `ratings` is None for preferences.

    Equal results give equal bytes.
    """

    def drawings() -> list[Drawn | None]:
        analysis = outcome.analysis
        if isinstance(analysis, Preferences):
            return [tradeoff(outcome), preferred(analysis)]
        if ratings is None:
            return [tradeoff(outcome)]
        return [
            tradeoff(outcome),
            analysis_figures.bars(analysis),
            analysis_figures.forest(analysis),
            analysis_figures.normality(analysis, ratings),
        ]

    return styled(drawings)


def tradeoff(outcome: Outcome) -> Drawn | None:
    """Each condition: accuracy of its method across, people's mean up."""
    measure = outcome.main
    points = [
        (rank, method.condition, method.measures["accuracy"], method.people[measure])
        for rank, method in enumerate(outcome.methods)
        if "accuracy" in method.measures and measure in method.people
    ]
    if len(points) < 2:
        return None
    figure, [axes] = canvas(COLUMN, 2.6)
    descriptions = []
    scale = 1 if outcome.kind == "rating" else 100
    for rank, name, machine, people in points:
        x, y = 100 * machine.value, scale * people.value
        if people.low is not None and people.high is not None:
            axes.plot([x, x], [scale * people.low, scale * people.high], color=colour(rank), linewidth=1.1, zorder=2)
        if machine.low is not None and machine.high is not None:
            axes.plot([100 * machine.low, 100 * machine.high], [y, y], color=colour(rank), linewidth=1.1, zorder=2)
        axes.plot([x], [y], mark(rank), color=colour(rank), markersize=5.4, label=name, zorder=3)
        descriptions.append(f"{name} {x:.0f} %, {y:.2f}")
    axes.set_xlabel("Accuracy, %")
    axes.set_ylabel(f"{measure}, by people{'' if scale == 1 else ', %'}")
    axes.grid()
    widen(axes, x=LEAST_POINTS, share=True)
    widen(axes, y=LEAST_RATING if scale == 1 else LEAST_POINTS)
    figure.legend(
        loc="outside upper left", ncols=2 if max(len(name) for _, name, _, _ in points) < 26 else 1, handlelength=1.0
    )
    caption = f"Accuracy on the whole test set against {measure} as people gave it; lines are 95 % intervals."
    return Drawn(
        "tradeoff", "Accuracy and people's view", caption, f"Scatter plot. {'; '.join(descriptions)}.", False, figure
    )


def preferred(analysis: Preferences) -> Drawn:
    """Share of its comparisons that each condition wins, by what was asked."""
    names = analysis.conditions
    figure, [axes] = canvas(COLUMN, 0.8 + 0.24 * len(names) * len(analysis.constructs))
    y, ticks, descriptions = 0.0, [], []
    for construct, preference in analysis.constructs.items():
        ticks.append((y + (len(names) - 1) / 2, construct))
        for rank, name in enumerate(names):
            share = preference.shares[name]
            axes.plot([100 * share.low, 100 * share.high], [y, y], color=colour(rank), linewidth=1.3, zorder=2)
            label = name if y < len(names) else None  # in the legend once, by the first construct
            axes.plot([100 * share.value], [y], mark(rank), color=colour(rank), markersize=4.8, zorder=3, label=label)
            descriptions.append(f"{construct}, {name} {share.value:.0%}")
            y += 1
        y += 1
    axes.axvline(50, color=MUTED, linewidth=0.8, zorder=1)
    axes.set_yticks([position for position, _ in ticks], [name for _, name in ticks])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(y - 1, -1)
    axes.set_xlim(0, 100)
    axes.set_xlabel("Preferred, % of its comparisons")
    axes.grid(axis="x")
    figure.legend(loc="outside upper left", handlelength=1.2)
    caption = f"{analysis.people} people, {analysis.n:,} pairs; ties count half. 95 % intervals over resampled people."
    title = f"Which of {listed(names)} is preferred"
    return Drawn("preferred", title, caption, f"Dot plot. {'; '.join(descriptions)}.", False, figure)
