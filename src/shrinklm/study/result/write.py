"""Writes the result of a study into its folder: `analysis/` holds the page, the figures, the numbers and what was
analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core import files
from ...core.spreadsheet import csv_text
from ...core.types import Tick
from ...report.look.figures import Figure
from ..analysis.base import json_text
from ..design.folder import Study
from ..design.rules import Kept
from ..records.people import Participant, Response
from . import tables as result_tables
from .figures import draw
from .outcome import DEFAULTS, Options, outcome_of, ratings_table, sample_of
from .page import render
from .records import Outcome

FOLDER = "analysis"


def build(
    study: Study,
    participants: Sequence[Participant],
    responses: Sequence[Response],
    options: Options = DEFAULTS,
    tick: Tick | None = None,
    kept: tuple[Kept | None, Kept | None] = (None, None),
) -> tuple[Outcome, list[Figure]]:
    """Analyse a study, write `analysis/`, and return the result and its figures.

    The folder is replaced as a whole once everything is made. `kept`: the rules that were registered, and those that
    stood when the first answer came.

    Raises:
        StudyError: nobody has answered, or nothing is left to compare.
        StoreError: the folder cannot be written.
    """
    sample = replace(sample_of(study, participants, responses), registered=kept[0], first=kept[1])
    outcome = outcome_of(study, sample, options, tick)
    ratings = None if study.form.kind == "preference" else ratings_table(study, sample.rows, options.reference)
    figures = draw(outcome, ratings)
    contents: dict[str, bytes] = {
        "analysis.json": json_text(outcome).encode(),
        "methods.csv": result_tables.methods(outcome).csv().encode(),
        "ratings.csv": csv_text(sample.rows).encode(),
        "report.html": render(outcome, figures).encode(),
    }
    for figure in figures:
        contents |= {f"figures/{figure.name}.pdf": figure.pdf, f"figures/{figure.name}.png": figure.png}
    with files.whole_folder(study.home / FOLDER, advice="Free the place, and analyse again.") as new:
        for name, content in contents.items():
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_bytes(content)
    return outcome, figures
