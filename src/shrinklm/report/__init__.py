"""A run folder → a report: one HTML page, the same as Markdown, CSV, and figures for a paper. It touches no model."""

from __future__ import annotations

from pathlib import Path

from ..core.files import write_together
from ..core.results import RunFile

__all__ = ["build"]

_ADVICE = "Check free space and permissions, then run: shrinklm report recipe.yaml"


def build(run_folder: Path) -> Path:
    """Write report.html, report.md and report/ (CSV; figures as PDF and PNG) into a run folder; return the page's path.

    The same folder gives the same bytes. The old report stands until the new one is whole; `report/` is replaced, with
    all it held.

    Raises:
        StoreError: no run folder, nothing trained in it, a broken file, or no room to write.
    """
    from . import markdown, page
    from .findings import read
    from .results import compare
    from .sections import assemble, draw

    folder = Path(run_folder)
    results = compare(read(folder))
    sections = assemble(results)
    figures = draw(sections)
    tables = [table for section in sections for table in section.tables]
    files = {f"report/{table.name}.csv": text.encode() for table in tables if (text := table.csv())}
    for figure in figures.values():
        files[f"report/figures/{figure.name}.pdf"] = figure.pdf
        files[f"report/figures/{figure.name}.png"] = figure.png
    # The page comes last: where it is new, all that it links to is new. "replace", since a model can write half a
    # surrogate pair, which UTF-8 does not hold.
    files[RunFile.REPORT_TEXT] = markdown.render(results, sections, figures).encode("utf-8", "replace")
    files[RunFile.REPORT_PAGE] = page.render(results, sections, figures).encode("utf-8", "replace")
    write_together(folder, files, advice=_ADVICE)
    return folder / RunFile.REPORT_PAGE
