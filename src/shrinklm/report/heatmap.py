"""The words of one item shaded by how much they moved the answer: in a terminal and as a picture."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.style import Style
from rich.text import Text

from ..core.files import NAME_ANOTHER, write_bytes
from .look.style import INK, METHODS, MUTED, PAGE, PAPER, SANS, STYLE
from .marks import Marked, Marks, pieces

HOT = METHODS[1][0]
"""The colour of the word with the highest score."""
LEGEND = "Stronger colour: a larger share of the step's scores. Underlined: kept."
DPI = 200
_TALLEST = 20_000
"""Pixels: a taller picture gets fewer to the inch."""
_MARGIN, _SIZE, _LINE = 0.2, 9.0, 0.21
"""Inches around the text, points of its letters, inches from line to line."""
_FAINTEST = 0.005
"""Heat below which a word gets no background: the colour could not be told from paper."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that would steer a terminal or turn the text around."""


def kept(text: str, marks: Marks) -> str:
    """The kept words with their shares: "revolving 31 %, door 12 %"."""
    words = [f"{text[slice(*marks.spans[word])]} {100 * marks.scores[word]:.0f} %" for word in marks.kept]
    return ", ".join(words) or "no word"


def terminal(item: Marked) -> RenderableType:
    """One block a step: the item's text with its words shaded, the kept ones bold and underlined and named below it."""
    lines: list[RenderableType] = [
        Text.assemble(("Item ", "dim"), (_plain(item.id), "bold"), ("  gold answer: ", "dim"), _plain(item.answer))
    ]
    for marks in item.markings:
        shaded = Text()
        for piece, heat, is_kept in _shaded(_plain(item.text), marks):
            shaded.append(piece, _style(heat, is_kept))
        about = f"  {_plain(marks.about)}" if marks.about else ""
        lines += [Text(), Text.assemble((_plain(marks.step), "bold"), (about, "dim")), shaded]
        lines.append(Text.assemble(("keeps: ", "dim"), kept(_plain(item.text), marks)))
    return Group(*lines, Text(), Text(LEGEND, "dim"))


def png(item: Marked, path: str | Path) -> None:
    """Draw the same into a PNG file, 7 inches wide. Raises StoreError when the file cannot be written."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that the font lacks is drawn as a box
        matplotlib.rcdefaults()
        # The layout engine would move the axes, and with them the measured letters.
        matplotlib.rcParams.update(STYLE | {"figure.constrained_layout.use": False})
        picture = _draw(item)
    write_bytes(Path(path), picture, NAME_ANOTHER)


@dataclass(frozen=True)
class _Run:
    """A run of text in one style."""

    text: str
    heat: float = 0.0
    kept: bool = False
    bold: bool = False
    colour: str = INK


def _draw(item: Marked) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    # The height follows from the number of lines, which only measured letters tell: first a figure of any height.
    figure = Figure(figsize=(PAGE, 1.0), dpi=DPI)
    pen = _Pen(FigureCanvasAgg(figure).get_renderer())
    lines = [*pen.lines(_paragraphs(item))]
    height = 2 * _MARGIN + _LINE * len(lines)
    figure.set_size_inches(PAGE, height)
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, PAGE)
    axes.set_ylim(height, 0)  # axes in inches, y downwards as text runs
    for number, line in enumerate(lines):
        # The baseline; the shade below reaches from above the capitals to below the descenders of 9 points.
        base = _MARGIN + _LINE * (number + 0.72)
        for x, width, run in line:
            if run.heat > _FAINTEST:
                shade = _mixed(run.heat)
                axes.add_patch(Rectangle((x, base - 0.145), width, 0.19, facecolor=shade, edgecolor="none"))
            weight = "bold" if run.bold or run.kept else "normal"
            axes.text(
                x, base, run.text, fontsize=_SIZE, fontfamily=SANS, fontweight=weight, color=run.colour, va="baseline"
            )
            if run.kept:
                axes.plot([x, x + width], [base + 0.035] * 2, color=run.colour, linewidth=1.1, solid_capstyle="butt")
    out = io.BytesIO()
    # Without matplotlib's version in the metadata: equal items give equal bytes.
    figure.savefig(out, format="png", dpi=min(DPI, _TALLEST / height), metadata={"Software": None})
    return out.getvalue()


def _paragraphs(item: Marked) -> Iterator[list[_Run]]:
    yield [
        _Run("Item ", colour=MUTED),
        _Run(_plain(item.id), bold=True),
        _Run("  gold answer: ", colour=MUTED),
        _Run(_plain(item.answer)),
    ]
    for marks in item.markings:
        yield []
        yield [
            _Run(_plain(marks.step), bold=True),
            _Run(f"  {_plain(marks.about)}" if marks.about else "", colour=MUTED),
        ]
        line: list[_Run] = []
        for piece, heat, is_kept in _shaded(_plain(item.text), marks):
            # A piece may run over line breaks of the text, and a paragraph here holds none.
            first, *rest = piece.split("\n")
            line.append(_Run(first, heat, is_kept))
            for text in rest:
                yield line
                line = [_Run(text, heat, is_kept)]
        yield line
        yield [_Run("keeps: ", colour=MUTED), _Run(kept(_plain(item.text), marks))]
    yield []
    yield [_Run(LEGEND, colour=MUTED)]


class _Pen:
    """Measures letters and breaks lines."""

    def __init__(self, renderer: Any) -> None:
        from matplotlib.font_manager import FontProperties

        self.renderer = renderer
        self.fonts = {
            bold: FontProperties(family=SANS, size=_SIZE, weight="bold" if bold else "normal") for bold in (False, True)
        }
        self.known: dict[tuple[str, bool], float] = {}

    def width(self, text: str, bold: bool) -> float:
        """In inches; blanks at the ends count."""
        if (text, bold) not in self.known:
            widths = [
                self.renderer.get_text_width_height_descent(framed, self.fonts[bold], False)[0]
                for framed in (f"|{text}|", "||")  # the renderer measures no blanks at the ends
            ]
            self.known[text, bold] = (widths[0] - widths[1]) / DPI
        return self.known[text, bold]

    def lines(self, paragraphs: Iterator[list[_Run]]) -> Iterator[list[tuple[float, float, _Run]]]:
        """(x, width, run) of each line; a line breaks between blanks, and inside what is wider than a line."""
        right = PAGE - _MARGIN
        for paragraph in paragraphs:
            line: list[tuple[float, float, _Run]] = []
            x = _MARGIN
            for run in paragraph:
                bold = run.bold or run.kept
                for text in _chunks(run.text):
                    width = self.width(text, bold)
                    # A blank may hang over the edge: to break before it would begin a line with it.
                    if x + width > right and line and text.strip():
                        yield line
                        line, x = [], _MARGIN
                    if text.strip() or line:
                        _append(line, x, width, replace(run, text=text))
                        x += width
            yield line


def _chunks(text: str) -> Iterator[str]:
    """Words and blanks; a long word in pieces of at most 40 letters, which fit a line."""
    for chunk in re.findall(r"\s+|\S+", text):
        yield from (chunk[start : start + 40] for start in range(0, len(chunk), 40))


def _append(line: list[tuple[float, float, _Run]], x: float, width: float, run: _Run) -> None:
    """Appends a run to a line, joined to the last one where both look alike: fewer things to draw."""
    if line and replace(line[-1][2], text="") == replace(run, text=""):
        start, before, last = line.pop()
        x, width, run = start, before + width, replace(run, text=last.text + run.text)
    line.append((x, width, run))


def _shaded(text: str, marks: Marks) -> Iterator[tuple[str, float, bool]]:
    """(letters, heat, kept) of the words and of the text between them, in the text's order."""
    heat = marks.heat()
    for index, piece in enumerate(pieces(text, marks.spans)):
        word = index // 2  # words stand at the odd indices
        if piece:
            yield (piece, heat[word], word in marks.kept) if index % 2 else (piece, 0.0, False)


def _style(heat: float, is_kept: bool) -> Style | str:
    look = Style(bold=is_kept or None, underline=is_kept or None)
    return look + Style(color=INK, bgcolor=_mixed(heat)) if heat > _FAINTEST else look


def _mixed(heat: float) -> str:
    """The background of a word: paper for no heat, nearly `HOT` for the highest score. Ink can be read on all."""
    share = 0.8 * heat  # at 0.8 ink has a contrast of more than 4.5:1 on the darkest word
    return "#" + "".join(
        f"{round(int(PAPER[at : at + 2], 16) * (1 - share) + int(HOT[at : at + 2], 16) * share):02x}"
        for at in (1, 3, 5)
    )


def _plain(text: str) -> str:
    """The text with a sign for each character that would act instead of being seen; as many characters as before."""
    visible = _CONTROLS.sub("\ufffd", text.replace("\t", " "))
    return "".join("\ufffd" if unicodedata.category(letter) == "Cs" else letter for letter in visible)
