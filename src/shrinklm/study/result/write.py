"""The result of a study, written into its folder: `analysis/` holds the page, the figures, the numbers and what was analysed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...core import files
from ...core.types import Tick
from ...report.look.figures import Figure
from ...stats.groups import Adjust
from ..design.folder import Study
from ..records import export
from ..records.exclude import excluded, kept
from ..records.people import Participant, Response
from . import tables as result_tables
from .figures import figures
from .outcome import outcome, table
from .page import page

FOLDER = "analysis"


def build(
    study: Study,
    participants: Sequence[Participant],
    responses: Sequence[Response],
    reference: str | None = None,
    adjust: Adjust = "bonferroni",
    margin: float | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    tick: Tick | None = None,
) -> tuple[dict[str, Any], list[Figure]]:
    """Analyses a study and writes `analysis/`: (what `outcome` found, the figures). The arguments are those of `outcome`.

    The folder is replaced as a whole once everything is made. Raises StudyError as `outcome` does, StoreError when it cannot be written.
    """
    found = outcome(study, participants, responses, reference, adjust, margin, seed, resamples, tick)
    left = kept(responses, excluded(study, participants, responses))
    rows = export.ratings(study, participants, left)
    drawn = figures(found, None if study.form.kind == "preference" else table(study, rows, reference))
    contents: dict[str, bytes] = {
        "analysis.json": (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        "methods.csv": result_tables.methods(found).csv().encode(),
        "ratings.csv": export.csv_text(rows).encode(),
        "report.html": page(found, drawn).encode(),
    }
    for figure in drawn:
        contents |= {f"figures/{figure.name}.pdf": figure.pdf, f"figures/{figure.name}.png": figure.png}
    with files.whole_folder(study.home / FOLDER) as new:
        for name, content in contents.items():
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_bytes(content)
    return found, drawn
