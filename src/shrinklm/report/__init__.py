"""A run folder → a report: one HTML page, the same as Markdown, CSV, and figures for a paper. It touches no model."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import write_together
from ..core.results import RunFile

if TYPE_CHECKING:
    from .look.tables import Table

__all__ = ["build"]

_ADVICE = "Check free space and permissions, then run: shrinklm report recipe.yaml"


def build(run_folder: Path) -> Path:
    """Write report.html, report.md and report/ (CSV, results.json; figures as PDF and PNG) into a run folder.

    Returns the page's path.

    The same folder gives the same bytes. The old report stands until the new one is whole; `report/` is replaced, with
    all it held.

    Raises:
        StoreError: no run folder, nothing trained in it, a broken file, or no room to write.
    """
    from . import heading, markdown, page
    from .findings import read
    from .results import compare
    from .sections import assemble, draw

    folder = Path(run_folder)
    results = compare(read(folder))
    sections = assemble(results)
    figures = draw(sections)
    tables = [table for section in sections for table in section.tables]
    files = {f"report/{table.name}.csv": text.encode() for table in tables if (text := table.csv())}
    files["report/results.json"] = _plain(heading.answer(results), heading.cautions(results), tables)
    for figure in figures.values():
        files[f"report/figures/{figure.name}.pdf"] = figure.pdf
        files[f"report/figures/{figure.name}.png"] = figure.png
    # The page comes last: where it is new, all that it links to is new. "replace", since a model can write half a
    # surrogate pair, which UTF-8 does not hold.
    files[RunFile.REPORT_TEXT] = markdown.render(results, sections, figures).encode("utf-8", "replace")
    files[RunFile.REPORT_PAGE] = page.render(results, sections, figures).encode("utf-8", "replace")
    write_together(folder, files, advice=_ADVICE)
    return folder / RunFile.REPORT_PAGE


def _plain(answer: str, cautions: Sequence[str], tables: Sequence[Table]) -> bytes:
    """The answer and the records of every table as JSON; what is not known is null."""
    records = {
        table.name: [{key: _known(value) for key, value in row.items()} for row in table.records] for table in tables
    }
    content = {"answer": answer, "cautions": list(cautions), "tables": records}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def _known(value: object) -> object:
    """A value of a record; None for a number that JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
