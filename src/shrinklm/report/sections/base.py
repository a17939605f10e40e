"""The type of a section: its part of the page, of the Markdown, of the CSV files and of the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..look.figures import Drawn, Figure
from ..look.tables import Table

Figures = Mapping[str, Figure]
"""The figures that were drawn, by name."""


def _no_figures() -> Iterable[Drawn | None]:
    return ()


def _no_markdown(figures: Figures) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Section:
    """One section, ready to be written.

    A section is a folder beside this file. Its package has a function `section(results)` that returns a `Section`, or
    None where the run has nothing for it; its templates, style and script lie in the folder too. `SECTIONS` in the
    package above lists the function.
    """

    name: str
    """The id of its element on the page, and its folder's name."""
    link: str
    """Its name in the page's table of contents."""
    template: str
    """Its part of the page, such as "audit/audit.html.j2". The template reads `context`, and `figures` by name."""
    context: Mapping[str, Any]
    css: str = ""
    """Style that only this section needs."""
    foot: str = ""
    """A template with the same context for the end of the page: data and code that read the whole page."""
    markdown: Callable[[Figures], Sequence[str]] = _no_markdown
    """Its blocks of Markdown, with the figures among them that were drawn."""
    tables: tuple[Table, ...] = field(default=())
    """Tables whose records are written as report/NAME.csv."""
    draw: Callable[[], Iterable[Drawn | None]] = _no_figures
    """Draws its figures, to be called in the package's style (`look.figures.styled`); a None is left out."""


def beside(module: str, name: str) -> str:
    """The text of a file that lies beside a module: `beside(__file__, "audit.css")`."""
    return Path(module).with_name(name).read_text(encoding="utf-8")
