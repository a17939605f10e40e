"""The figure: accuracy against the share of questions passed on, and against what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...look.axes import LEAST_POINTS, canvas, widen
from ...look.figures import Drawn
from ...look.numbers import percent
from ...look.style import COLUMN, MUTED, PAGE, PAPER, colour, line, mark
from ...results import Results
from .figures import Passing


def cascade_plot(results: Results, rows: Sequence[Passing]) -> Drawn | None:
    """One panel, or two where costs are known."""
    teacher = rows[0].teacher
    priced = teacher is not None and teacher.price is not None
    figure, panels = canvas(PAGE if priced else COLUMN, 2.5 + 0.15 * (len(rows) + 1), columns=1 + priced, sharey=True)
    for entry in rows:
        shares, accuracy = entry.curve()
        _curve(panels[0], entry, shares, accuracy)
        if entry.thresholds is not None:
            right = entry.answered if teacher is not None else None
            value = float(right.mean()) if right is not None else entry.selected.value if entry.selected else None
            if value is not None:
                _point(panels[0], entry, 100 * (1 - float(entry.kept.mean())), 100 * value)
                if priced and entry.cost is not None:
                    _point(panels[1], entry, entry.cost, 100 * value)
        if priced and (costs := entry.costs()) is not None:
            _curve(panels[1], entry, *costs)
    panels[0].set_xlabel("Passed on, %" if teacher is not None else "Withheld, %")
    panels[0].set_ylabel("Right, %" if teacher is not None else "Right among the kept, %")
    if teacher is not None:
        for axes in panels:
            axes.axhline(100 * float(teacher.right.mean()), color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        if teacher.price is not None:
            panels[1].set_xlabel(teacher.price[1])
    for axes in panels:
        widen(axes, y=LEAST_POINTS, share=True)
        axes.grid()
    figure.legend(handles=_handles(results, rows), loc="outside lower left", ncols=1 + priced, handletextpad=0.5)
    caption = (
        "From the left, where nothing is passed on, the least sure answers go first; means over seeds. "
        + ("On the right the teacher answers all. " if teacher is not None else "")
        + ("Marks: the threshold that dev questions picked." if any(entry.thresholds for entry in rows) else "")
    )
    alt = f"Line plots. {'. '.join(_alt_text(results.label(entry.row), entry) for entry in rows)}."
    title = "Accuracy and what is passed on" if teacher is not None else "Accuracy and what is withheld"
    return Drawn("cascade", title, caption.strip(), alt, priced, figure)


def _curve(axes: Any, entry: Passing, x: Any, y: Any) -> None:
    axes.plot(x, y, color=colour(entry.row.rank), linestyle=line(entry.row.rank), linewidth=1.1, zorder=2)


def _point(axes: Any, entry: Passing, x: float, y: float) -> None:
    shade = colour(entry.row.rank)
    axes.plot(
        [x], [y], mark(entry.row.rank), color=shade, markersize=6, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=3
    )


def _handles(results: Results, rows: Sequence[Passing]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=colour(entry.row.rank), marker=mark(entry.row.rank), markersize=5, linewidth=1.1,
            linestyle=line(entry.row.rank), label=results.label(entry.row),
        )
        for entry in rows
    ]  # fmt: skip
    if rows[0].teacher is not None:
        handles.append(
            Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), label=f"always {rows[0].teacher.name}")
        )
    return handles


def _alt_text(name: str, entry: Passing) -> str:
    shares, accuracy = entry.curve()
    known = [index for index in range(len(shares)) if accuracy[index] == accuracy[index]]
    first, last = known[0], known[-1]
    text = f"{name} from {accuracy[first]:.1f} % at {shares[first]:.0f} % passed on"
    text += f" to {accuracy[last]:.1f} % at {shares[last]:.0f} %"
    if entry.thresholds is not None:
        text += f"; at its threshold {percent(1 - float(entry.kept.mean()))} % are passed on"
    return text
