"""Figures of a study's result: accuracy against what people said, preferences; and those of the analysis."""

from __future__ import annotations

from typing import Any

from ...report.look.axes import canvas
from ...report.look.figures import Drawn, Figure, styled
from ...report.look.style import COLUMN, MUTED, colour, mark
from ..analysis import figures as plain
from ..analysis.paragraph import listed
from ..analysis.ratings import Ratings

Json = dict[str, Any]


def figures(found: Json, ratings: Ratings | None) -> list[Figure]:
    """Every figure that there is something for; `ratings` is None for preferences. Equal results give equal bytes."""

    def drawn() -> list[Drawn | None]:
        made = [tradeoff(found)]
        if ratings is None:
            return [*made, preferred(found)]
        return [
            *made,
            plain.bars(found["analysis"]),
            plain.forest(found["analysis"]),
            plain.normality(found["analysis"], ratings),
        ]

    return styled(drawn)


def tradeoff(found: Json) -> Drawn | None:
    """Each condition: accuracy of its method across, people's mean up."""
    measure = "Quality" if "Quality" in found["measures"] else found["measures"][0]
    points = [
        (rank, entry["condition"], entry["measures"]["accuracy"], entry["people"][measure])
        for rank, entry in enumerate(found["methods"])
        if "accuracy" in entry["measures"] and measure in entry["people"]
    ]
    if len(points) < 2:
        return None
    figure, [axes] = canvas(COLUMN, 2.6)
    said = []
    scale = 1 if found["kind"] == "rating" else 100
    for rank, name, machine, people in points:
        x, y = 100 * machine["value"], scale * people["value"]
        if people["low"] is not None:
            axes.plot(
                [x, x], [scale * people["low"], scale * people["high"]], color=colour(rank), linewidth=1.1, zorder=2
            )
        axes.plot([100 * machine["low"], 100 * machine["high"]], [y, y], color=colour(rank), linewidth=1.1, zorder=2)
        axes.plot([x], [y], mark(rank), color=colour(rank), markersize=5.4, label=name, zorder=3)
        said.append(f"{name} {x:.0f} %, {y:.2f}")
    axes.set_xlabel("Accuracy, %")
    axes.set_ylabel(f"{measure}, by people{'' if scale == 1 else ', %'}")
    axes.grid()
    figure.legend(
        loc="outside upper left", ncols=2 if max(len(name) for _, name, _, _ in points) < 26 else 1, handlelength=1.0
    )
    caption = f"Accuracy on the whole test set against {measure} as people gave it; lines are 95 % intervals."
    return Drawn("tradeoff", "Accuracy and people's view", caption, f"Scatter plot. {'; '.join(said)}.", False, figure)


def preferred(found: Json) -> Drawn:
    """Share of its comparisons that each condition wins, by what was asked."""
    analysis = found["analysis"]
    names = analysis["conditions"]
    figure, [axes] = canvas(COLUMN, 0.8 + 0.24 * len(names) * len(analysis["constructs"]))
    y, heads, said = 0.0, [], []
    for construct, entry in analysis["constructs"].items():
        heads.append((y + (len(names) - 1) / 2, construct))
        for rank, name in enumerate(names):
            share = entry["shares"][name]
            axes.plot([100 * share["low"], 100 * share["high"]], [y, y], color=colour(rank), linewidth=1.3, zorder=2)
            label = name if y < len(names) else None
            axes.plot(
                [100 * share["value"]], [y], mark(rank), color=colour(rank), markersize=4.8, zorder=3, label=label
            )
            said.append(f"{construct}, {name} {share['value']:.0%}")
            y += 1
        y += 1
    axes.axvline(50, color=MUTED, linewidth=0.8, zorder=1)
    axes.set_yticks([place for place, _ in heads], [name for _, name in heads])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(y - 1, -1)
    axes.set_xlim(0, 100)
    axes.set_xlabel("Preferred, % of its comparisons")
    axes.grid(axis="x")
    figure.legend(loc="outside upper left", handlelength=1.2)
    caption = (
        f"{analysis['people']} people, {analysis['n']:,} pairs; ties count half. 95 % intervals over resampled people."
    )
    return Drawn(
        "preferred", f"Which of {listed(names)} is preferred", caption, f"Dot plot. {'; '.join(said)}.", False, figure
    )
