"""Colours, marks and type of every figure; the page takes the same colours as CSS variables."""

from __future__ import annotations

from typing import Any, TypeAlias

INK, MUTED, GRID, PAPER = "#1b1d22", "#5c616b", "#d9dce1", "#fffffe"
DARK = {INK: "#e8eaee", MUTED: "#a3a9b5", GRID: "#3a3f49", PAPER: "#17191e"}
"""Their counterparts on a dark page."""

METHODS = (
    ("#0072b2", "#5eb0ea", "o"),
    ("#c24e00", "#ff9050", "s"),
    ("#007f5f", "#3cc79a", "^"),
    ("#a0478c", "#e58fd0", "D"),
    ("#8a6500", "#e0b343", "v"),
    ("#2389bb", "#9adcff", "P"),
    ("#7a1f3d", "#f5839f", "X"),
    ("#4a4a52", "#c0c3ca", "*"),
)
"""(colour on light, colour on dark, mark) of each method by its rank.

The colours are after Okabe and Ito, with a contrast of 3:1 or more; the mark tells the methods apart without colour.
"""

Dashes: TypeAlias = str | tuple[int, tuple[float, ...]]
"""A line style of matplotlib: its name, or an offset and the lengths of dashes and gaps."""
LINES: tuple[Dashes, ...] = ("-", (0, (5, 1.2)), (0, (1.2, 1)), (0, (5, 1, 1, 1)))
HATCHES = (None, "////", "....", "xxxx")
"""What tells lines and bars apart, which have no mark, where colours repeat."""

SANS = "DejaVu Sans"  # ships with matplotlib: the same bytes on every machine
COLUMN, PAGE = 3.4, 7.0
"""Inches: one column of a paper, and two."""

STYLE: dict[str, Any] = {
    "font.family": SANS,
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 6.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType: many publishers refuse the default, Type 3
    "svg.fonttype": "none",  # text stays text, in the font of the page
    "svg.hashsalt": "shrinklm",  # ids are random without it
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.unicode_minus": True,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "path.simplify": True,
}


def colour(rank: int | None) -> str:
    """The colour of the method of that rank; grey for what was not trained."""
    return MUTED if rank is None or rank < 0 else METHODS[rank % len(METHODS)][0]


def mark(rank: int | None) -> str:
    """The mark of the method of that rank; a thin diamond for what was not trained.

    Colours repeat from the ninth method. Marks then shift by one at each round, so that no two of 64 have both alike.
    """
    return "d" if rank is None or rank < 0 else METHODS[(rank + rank // len(METHODS)) % len(METHODS)][2]


def line(rank: int | None) -> Dashes:
    """The style of a line of the method of that rank: solid for the first eight, another at each repeat of colours."""
    return "-" if rank is None or rank < 0 else LINES[rank // len(METHODS) % len(LINES)]


def hatch(rank: int) -> str | None:
    """The hatch of a bar of the method of that rank: none for the first eight, another at each repeat of colours."""
    return HATCHES[rank // len(METHODS) % len(HATCHES)]


def variable(rank: int | None) -> str:
    """The name of the CSS variable that holds the colour of `colour`."""
    return "muted" if rank is None or rank < 0 else f"m{rank % len(METHODS)}"


def variables() -> tuple[dict[str, str], dict[str, str]]:
    """The CSS variables of a light and of a dark page, name → colour."""
    base = {"ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER}
    light = base | {f"m{rank}": method[0] for rank, method in enumerate(METHODS)}
    dark = {name: DARK[value] for name, value in base.items()} | {
        f"m{rank}": method[1] for rank, method in enumerate(METHODS)
    }
    return light, dark
