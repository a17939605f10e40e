"""Figures and their files: PDF with embedded fonts and PNG for papers, SVG in the colours of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from .style import GRID, INK, METHODS, MUTED, PAPER, SANS, STYLE

_NO_DATE = {
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}
"""Metadata that would differ between two days or two machines."""
_DPI = 300
"""Dots an inch of a PNG."""
_NOT_DRAWN = ("GSUB", "GPOS", "GDEF", "kern", "MATH", "name")
"""Tables of a font that place and name letters. A PDF places each glyph by itself."""


@dataclass(frozen=True)
class Drawn:
    """A figure before it is saved."""

    name: str
    title: str
    caption: str
    alt: str
    wide: bool
    figure: Any
    """matplotlib's Figure."""


@dataclass(frozen=True)
class Figure:
    """One figure."""

    name: str
    title: str
    caption: str
    """What is drawn and how to read it."""
    alt: str
    """Its numbers in words, for a reader who does not see it."""
    wide: bool
    """Two columns of a paper instead of one."""
    pdf: bytes
    png: bytes
    svg: str
    """For a page: colours are CSS variables, text is text."""


def styled(draw: Callable[[], Iterable[Drawn | None]]) -> list[Figure]:
    """The figures of `draw`, in the package's style and saved in every form; a None is left out."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change a report
        matplotlib.rcParams.update(STYLE)
        with _bare_fonts():
            return [_save(figure) for figure in draw() if figure is not None]


@contextmanager
def _bare_fonts() -> Iterator[None]:
    """Fonts without the tables that no PDF reads: to cut these down takes longer than all else of a PDF."""
    from fontTools import subset

    usual = subset.load_font

    def load(path: Any, options: Any, *rest: Any, **more: Any) -> Any:
        return usual(io.BytesIO(_bare(str(path), options.font_number)), options, *rest, **more)

    # matplotlib passes no options on. Where it loads fonts in another way, files are larger and as good.
    subset.load_font = load
    try:
        yield
    finally:
        subset.load_font = usual


@cache
def _bare(path: str, number: int) -> bytes:
    """A font file, of a collection the font with this number, without the tables that no PDF reads."""
    from fontTools.ttLib import TTFont

    out = io.BytesIO()
    with TTFont(path, fontNumber=number, lazy=True, recalcTimestamp=False) as font:
        for name in _NOT_DRAWN:
            if name in font:
                del font[name]
        font.save(out, reorderTables=False)
    return out.getvalue()


def _save(drawn: Drawn) -> Figure:
    import matplotlib

    # Laid out once for all three: each saving would do it again, and draw the figure twice for it. "none" in the place
    # of None would leave an engine that lays out nothing, and the second drawing.
    # At the resolution of the PNG: at a lower one letters are fitted to pixels, and names come out narrower than in any
    # of the three, so that their beginnings were cut off.
    drawn.figure.set_dpi(_DPI)
    drawn.figure.get_layout_engine().execute(drawn.figure)
    with matplotlib.rc_context({"figure.constrained_layout.use": False}):
        drawn.figure.set_layout_engine(None)
        pdf, png, svg = (_bytes(drawn.figure, kind) for kind in ("pdf", "png", "svg"))
    page_svg = _inline(svg.decode(), drawn.name)
    return Figure(drawn.name, drawn.title, drawn.caption, drawn.alt, drawn.wide, pdf, png, page_svg)


def _bytes(figure: Any, kind: str) -> bytes:
    out = io.BytesIO()
    # The SVG is transparent, so that the paper of a dark page shows through.
    figure.savefig(
        out, format=kind, dpi=_DPI if kind == "png" else 72, metadata=_NO_DATE[kind], transparent=kind == "svg"
    )
    return out.getvalue()


def _inline(svg: str, name: str) -> str:
    """SVG to stand inside a page: ids of its own, the page's type, and colours that turn with the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # Several figures share a page, and matplotlib names the parts of each alike.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2]
    for _ in ("width", "height"):  # the page sets the width, and the aspect ratio below gives the height
        svg = re.sub(r'(<svg[^>]*?) (?:width|height)="[\d.]+pt"', r"\1", svg, count=1)
    svg = re.sub(rf"""(font: [^;"]*?)'{SANS}'[^;"]*""", r"\1var(--sans)", svg)
    svg = svg.replace("<svg", f'<svg aria-hidden="true" focusable="false" style="aspect-ratio: {width} / {height}"', 1)
    # The colours become variables, so that the figure turns dark with the page.
    for rank, (light, _, _) in enumerate(METHODS):
        svg = svg.replace(light, f"var(--m{rank})")
    for variable, value in (("ink", INK), ("muted", MUTED), ("grid", GRID), ("paper", PAPER)):
        svg = svg.replace(value, f"var(--{variable})")
    return svg
