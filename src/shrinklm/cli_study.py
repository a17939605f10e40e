"""Commands on tables of people's ratings and of runs: no model and no recipe."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .command import app, command
from .errors import StoreError
from .progress import Progress

study = typer.Typer(help="A study with people: plan, analyse.", no_args_is_help=True)
app.add_typer(study, name="study")


class Adjusted(StrEnum):
    """How p-values of several pairs are adjusted."""

    bonferroni = "bonferroni"
    holm = "holm"
    none = "none"


class Outlying(StrEnum):
    """Rules by which rows are left out."""

    iqr = "iqr"


@command()
def compare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table with a row for each run.", show_default=False)],
    value: Annotated[str, typer.Option(help="The column of numbers.", show_default=False)],
    factors: Annotated[
        str, typer.Option(help="The columns that tell the runs apart, joined by commas; the first is compared pair by pair.")
    ],
    drop_outliers: Annotated[
        Outlying | None, typer.Option(help="Leave out rows 1.5 interquartile ranges outside their cell.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write everything as JSON.", show_default=False)] = None,
    figures: Annotated[Path | None, typer.Option(metavar="DIR", help="Also draw the figures, PDF and PNG.", show_default=False)] = None,
) -> None:
    """Compare runs over crossed factors: analysis of variance, Levene, Tukey, and what the outliers decide."""
    from . import show_compare
    from .factorial import analyse, read

    names = [name.strip() for name in factors.split(",") if name.strip()]
    found = analyse(read(file, value, names), value, drop_outliers is not None)
    show_compare.comparison(found)
    if out is not None:
        _write(out, (json.dumps(found.json(), indent=1, ensure_ascii=False) + "\n").encode())
    if figures is not None:
        from .factorial.figures import figures as draw

        for figure in draw(found):
            _write(figures / f"{figure.name}.pdf", figure.pdf)
            _write(figures / f"{figure.name}.png", figure.png)
    show_compare.written([path for path in (out, figures) if path is not None])


Condition = Annotated[str, typer.Option(help="The column of what was rated: the model, the method.", show_default=False)]
Rater = Annotated[str, typer.Option(help="The column of who rated.", show_default=False)]
Constructs = Annotated[str, typer.Option(help="The columns of ratings, joined by commas.", show_default=False)]
Item = Annotated[str | None, typer.Option(help="The column of the question; unnamed: item, question_id and the like.", show_default=False)]
Scale = Annotated[str, typer.Option(help="Lowest and highest rating.")]
Seed = Annotated[int, typer.Option(min=0, help="Of bootstraps and permutations.")]


@command("analyze", on=study)
def study_analyze(
    ratings: Annotated[Path, typer.Argument(metavar="RATINGS", help="A table with a row for each rating.", show_default=False)],
    condition: Condition,
    rater: Rater,
    constructs: Constructs,
    controls: Annotated[str, typer.Option(help="Further columns for the regressions, joined by commas.", show_default=False)] = "",
    reference: Annotated[str | None, typer.Option(help="The condition to compare with; unnamed: the first.", show_default=False)] = None,
    item: Item = None,
    scale: Scale = "1-5",
    adjust: Annotated[Adjusted, typer.Option(help="Of Dunn's p-values.")] = Adjusted.bonferroni,
    margin: Annotated[
        float | None, typer.Option(min=0, help="A difference that would not matter: tests for equivalence.", show_default=False)
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write everything as JSON.", show_default=False)] = None,
    figures: Annotated[Path | None, typer.Option(metavar="DIR", help="Also draw the figures, PDF and PNG.", show_default=False)] = None,
) -> None:
    """Analyse people's ratings: tests, mixed models, agreement, figures, and a paragraph that says what they show."""
    from . import show_compare, show_study
    from .study import analyze, read_ratings
    from .study.ratings import parse_scale

    table = read_ratings(ratings, condition, rater, names(constructs), names(controls), reference, item, parse_scale(scale))
    with Progress() as progress:
        found = analyze(table, adjust.value, margin, seed, tick=progress.tick)
    show_study.analysis(found)
    if out is not None:
        _write(out, (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    if figures is not None:
        from .study.figures import figures as draw

        for figure in draw(found, table):
            _write(figures / f"{figure.name}.pdf", figure.pdf)
            _write(figures / f"{figure.name}.png", figure.png)
    show_compare.written([path for path in (out, figures) if path is not None])


@command("calibrate", on=study)
def study_calibrate(
    ratings: Annotated[Path, typer.Argument(metavar="RATINGS", help="People's ratings.", show_default=False)],
    judged: Annotated[Path, typer.Argument(metavar="JUDGED", help="A judge's, with the same columns.", show_default=False)],
    condition: Condition,
    constructs: Constructs,
    rater: Rater = "rater",
    judge: Annotated[str, typer.Option(help="The column of who judged, in JUDGED.")] = "rater",
    item: Item = None,
    length: Annotated[str | None, typer.Option(help="A column of lengths to take out of the correlations.", show_default=False)] = None,
    scale: Scale = "1-5",
    same: Annotated[str, typer.Option(help="Conditions called differently, judge's=people's, joined by commas.", show_default=False)] = "",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write everything as JSON.", show_default=False)] = None,
) -> None:
    """Hold a judge's ratings against people's: bias, order of the conditions, correlation, with length taken out."""
    from . import show_compare, show_study
    from .study import calibrate, read_pair
    from .study.ratings import parse_scale

    called = {own: theirs for own, _, theirs in (name.rpartition("=") for name in names(same))}
    pair = read_pair(ratings, judged, condition, (rater, judge), names(constructs), item, length, parse_scale(scale), called)
    found = calibrate(*pair, length, seed)
    show_study.calibration(found)
    if out is not None:
        _write(out, (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
        show_compare.written([out])


def names(joined: str) -> list[str]:
    """Names that commas part."""
    return [name.strip() for name in joined.split(",") if name.strip()]


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}. Name a place that you can write to.") from error
