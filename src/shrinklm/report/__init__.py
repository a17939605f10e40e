"""A run folder → a report: one HTML page, the same as Markdown, CSV, and figures for a paper. It touches no model."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..core.errors import StoreError

__all__ = ["build"]


def build(run_folder: Path) -> Path:
    """Writes report.html, report.md and report/ (CSV; figures as PDF and PNG) into a run folder and returns the page's path.

    The same folder gives the same bytes. The old report stands until the new one is whole; `report/` is replaced, with all it held.

    Raises:
        StoreError: no run folder, nothing trained in it, a broken file, or no room to write.
    """
    from .findings import read
    from .look import tables
    from .look.figures import figures
    from .markdown import markdown
    from .page import page
    from .results import compare
    from .sections import audit, decision, saliency
    from .sections.saliency_plots import ranks_of

    folder = Path(run_folder)
    found = compare(read(folder))
    drawn = figures(found)
    made = [
        tables.main(found),
        tables.comparisons(found),
        tables.cells(found),
        tables.steps(found),
        tables.unbuilt(found),
        *tables.logs(found),
    ]
    if decision.decide(found) is not None:
        made.append(decision.table(found))
    if audit.found(found.findings) is not None:
        made.append(audit.table(found.findings))
    if (marked := found.findings.saliency) is not None:
        made += [saliency.table(marked, ranks_of(found)), saliency.refused(marked), saliency.agreement(marked)]
    files = {f"report/{table.name}.csv": text.encode() for table in made if (text := table.csv())}
    for figure in drawn:
        files[f"report/figures/{figure.name}.pdf"] = figure.pdf
        files[f"report/figures/{figure.name}.png"] = figure.png
    files["report.md"] = markdown(found, drawn).encode("utf-8", "replace")
    files["report.html"] = page(found, drawn).encode("utf-8", "replace")
    try:
        _replace(folder, files)
    except OSError as error:
        raise StoreError(
            f"The report cannot be written into {folder}: {error}. Check free space and permissions, then run: shrinklm report recipe.yaml"
        ) from error
    return folder / "report.html"


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes all files beside the old ones, then moves them into place; the page last."""
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as scratch:
        for name, content in files.items():
            path = Path(scratch, "new", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if (folder / "report").exists():
            os.replace(folder / "report", Path(scratch, "old"))
        os.replace(Path(scratch, "new", "report"), folder / "report")
        for name in ("report.md", "report.html"):
            os.replace(Path(scratch, "new", name), folder / name)
        shutil.rmtree(Path(scratch, "old"), ignore_errors=True)
