"""The command `compare`: runs over crossed factors, from a table with a row for each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..core import files
from .app import command
from .study import FiguresFolder, JsonFile, names, write_figures


class Outlying(StrEnum):
    """Rules by which rows are left out."""

    iqr = "iqr"


@command()
def compare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table with a row for each run.", show_default=False)],
    value: Annotated[str, typer.Option(help="The column of numbers.", show_default=False)],
    factors: Annotated[
        str,
        typer.Option(
            help="The columns that tell the runs apart, joined by commas, or by semicolons; "
            "the first is compared pair by pair."
        ),
    ],
    drop_outliers: Annotated[
        Outlying | None,
        typer.Option(help="Leave out rows 1.5 interquartile ranges outside their cell.", show_default=False),
    ] = None,
    out: JsonFile = None,
    figures: FiguresFolder = None,
) -> None:
    """Compare runs over crossed factors: analysis of variance, Levene, Tukey, and what the outliers decide."""
    from ..report.factorial import analyze, as_json, read
    from .show import compare as show_compare

    factorial = analyze(read(file, value, names(factors)), value, drop_outliers is not None)
    show_compare.comparison(factorial)
    if out is not None:
        files.write_json(out, as_json(factorial), files.NAME_ANOTHER)
    if figures is not None:
        from ..report.factorial.figures import draw_all

        write_figures(figures, draw_all(factorial))
    show_compare.written([path for path in (out, figures) if path is not None])
