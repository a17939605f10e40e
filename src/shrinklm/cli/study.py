"""The commands `study analyze`, `study export` and `study calibrate`. They need no model and no recipe."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core import files
from ..core.errors import MissingExtra, StudyError
from .app import app, command
from .progress import Progress

if TYPE_CHECKING:
    from ..report.look.figures import Figure
    from ..study.analysis.ratings import Ratings
    from ..study.analysis.records import Analysis
    from ..study.design.folder import Study
    from ..study.design.rules import Kept
    from ..study.records.people import Participant, Response
    from ..study.result.outcome import Options
    from ..study.result.records import Outcome

DATABASE = "SHRINKLM_STUDY_DATABASE"
"""Environment variable: the address of a study's database, with its password."""

study = typer.Typer(help="A study with people: made from runs, planned, served, analysed.", no_args_is_help=True)
app.add_typer(study, name="study")


class Degrees(StrEnum):
    """How linear mixed models find degrees of freedom."""

    satterthwaite = "satterthwaite"
    kenward_roger = "kenward-roger"


class Adjusted(StrEnum):
    """How p-values of several pairs are adjusted."""

    bonferroni = "bonferroni"
    holm = "holm"
    none = "none"


Condition = Annotated[
    str, typer.Option(help="The column of what was rated: the model, the method.", show_default=False)
]
Rater = Annotated[str, typer.Option(help="The column of who rated.", show_default=False)]
Constructs = Annotated[
    str, typer.Option(help="The columns of ratings, joined by commas, or by semicolons.", show_default=False)
]
Item = Annotated[
    str | None,
    typer.Option(help="The column of the question; unnamed: item, question_id and the like.", show_default=False),
]
Scale = Annotated[str, typer.Option(help="Lowest and highest rating.")]
Seed = Annotated[int, typer.Option(min=0, help="Of bootstraps and permutations.")]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY|RATINGS", help="A study's folder, or a table with a row for each rating.", show_default=False
    ),
]
TableCondition = Annotated[
    str | None,
    typer.Option(help="Of a table: the column of what was rated, the model or method.", show_default=False),
]
TableRater = Annotated[str | None, typer.Option(help="Of a table: the column of who rated.", show_default=False)]
TableConstructs = Annotated[
    str | None,
    typer.Option(help="Of a table: the columns of ratings, joined by commas, or by semicolons.", show_default=False),
]
Controls = Annotated[
    str,
    typer.Option(
        help="Of a table: further columns for the regressions, joined by commas, or by semicolons.", show_default=False
    ),
]
Reference = Annotated[
    str | None, typer.Option(help="The condition to compare with; unnamed: the first.", show_default=False)
]
Margin = Annotated[
    float | None,
    typer.Option(min=0, help="A difference that would not matter: tests for equivalence.", show_default=False),
]
StudyDatabase = Annotated[
    str | None,
    typer.Option(help="Of a study: postgresql://...; unnamed: the file in its folder.", show_default=False),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write everything as JSON.", show_default=False)
]
FiguresFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Also draw the figures, PDF and PNG.", show_default=False)
]


@command("analyze", on=study)
def study_analyze(
    source: Source,
    condition: TableCondition = None,
    rater: TableRater = None,
    constructs: TableConstructs = None,
    controls: Controls = "",
    reference: Reference = None,
    item: Item = None,
    scale: Scale = "1-5",
    adjust: Annotated[
        Adjusted | None,
        typer.Option(help="Of Dunn's p-values. Unnamed: as study.yaml says; bonferroni.", show_default=False),
    ] = None,
    margin: Margin = None,
    degrees: Annotated[
        Degrees | None,
        typer.Option(
            help="Degrees of freedom of mixed models; kenward-roger below about 20 people. Unnamed: as study.yaml "
            "says; satterthwaite.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    database: StudyDatabase = None,
    out: JsonFile = None,
    figures: FiguresFolder = None,
) -> None:
    """Analyse people's ratings: tests, mixed models, agreement, figures, and a paragraph that says what they show.

    Of a study's folder: also its exclusions and checks, a page that joins the runs' own figures, and calibration of
    their judges.
    """
    from ..study import read_ratings
    from ..study.analysis.ratings import parse_scale
    from ..study.result.outcome import Options

    required = {"--condition": condition, "--rater": rater, "--constructs": constructs}
    stated = {
        "reference": reference,
        "adjust": adjust and adjust.value,
        "margin": margin,
        "degrees": degrees and degrees.value,
    }
    if source.is_dir():
        for name, value in {**required, "--controls": controls, "--item": item}.items():
            if value:
                raise StudyError(
                    f"{name} is for a table. A study's folder knows its own: shrinklm study analyze {source}"
                )
        _analyze_folder(source, seed, stated, database, out, figures)
        return
    if condition is None or rater is None or constructs is None:
        if not source.exists():
            raise StudyError(f"There is no {source}. Name a study's folder, or a table of ratings.")
        missing = ", ".join(name for name, value in required.items() if value is None)
        raise StudyError(f"A table needs {missing}: which columns hold what. Only a study's folder knows its own.")
    limits = parse_scale(scale)
    table = read_ratings(source, condition, rater, names(constructs), names(controls), reference, item, limits)
    told: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    _analyze_table(table, Options(seed=seed, **told), out, figures)


def _analyze_table(table: Ratings, options: Options, out: Path | None, figures: Path | None) -> None:
    from ..study import analyze
    from ..study.analysis.figures import draw
    from .show import compare as show_compare
    from .show import study as show_study

    with Progress() as progress:
        analysis = analyze(
            table, options.adjust, options.margin, options.seed, degrees=options.degrees, tick=progress.tick
        )
    show_study.analysis(analysis)
    _write_results(analysis, draw(analysis, table) if figures is not None else [], out, figures)
    show_compare.written([path for path in (out, figures) if path is not None])


def _analyze_folder(
    home: Path,
    seed: int,
    stated: Mapping[str, Any],
    database: str | None,
    out: Path | None,
    figures: Path | None,
) -> None:
    from ..study.design.folder import Study
    from ..study.result.outcome import Options
    from ..study.result.write import build
    from .show import compare as show_compare
    from .show import outcome as show_outcome

    made = Study.read(home)
    people, responses, kept = _records(made, database)
    options = Options.of(made, seed, **stated)
    with Progress() as progress:
        outcome, drawn = build(made, people, responses, options, tick=progress.tick, kept=kept)
    show_outcome.result(outcome)
    _write_results(outcome, drawn, out, figures)
    show_compare.written([path for path in (out, figures) if path is not None])
    show_outcome.page(home / "analysis" / "report.html")


def _records(
    made: Study, database: str | None
) -> tuple[list[Participant], list[Response], tuple[Kept | None, Kept | None]]:
    """Read the people, their answers, and the rules as they were registered and stood at the first answer.

    Raises StudyError where there is no database, MissingExtra without the extra.
    """
    from ..study.design.folder import RECORDS

    database = database or os.environ.get(DATABASE)
    if database is None and not (made.home / RECORDS).is_file():
        raise StudyError(f"{made.home} has no records yet. Serve the study first: shrinklm study serve {made.home}")
    try:
        from ..study.records.database import Records
        from ..study.records.key import Key
        from ..study.records.rules import FIRST, REGISTERED
    except ImportError as error:
        raise MissingExtra(error.name or "sqlalchemy", "study", "Reading a study's records") from error
    records = Records(database or made.database, Key.of(made.home))
    try:
        kept = records.kept(REGISTERED), records.kept(FIRST)
        return records.participants(), records.responses(), kept
    finally:
        records.close()


def _write_results(
    record: Analysis | Outcome, figures: Sequence[Figure], out: Path | None, folder: Path | None
) -> None:
    from ..study.analysis.base import json_text

    if out is not None:
        files.write_text(out, json_text(record), files.NAME_ANOTHER)
    if folder is not None:
        write_figures(folder, figures)


def write_figures(folder: Path, figures: Sequence[Figure]) -> None:
    """Write each figure as PDF and PNG. Raises StoreError when the folder cannot be written."""
    for figure in figures:
        files.write_bytes(folder / f"{figure.name}.pdf", figure.pdf, files.NAME_PLACE)
        files.write_bytes(folder / f"{figure.name}.png", figure.png, files.NAME_PLACE)


class Format(StrEnum):
    """What ratings are taken out as."""

    csv = "csv"
    parquet = "parquet"
    potato = "potato"
    label_studio = "label-studio"


@command("export", on=study)
def study_export(
    home: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files are written.", show_default=False)],
    formats: Annotated[
        list[Format] | None,
        typer.Option("--format", help="May be named several times; unnamed: csv and parquet.", show_default=False),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://...; unnamed: the file in the folder.", show_default=False)
    ] = None,
) -> None:
    """Take a study's ratings out: CSV and Parquet that `study analyze` reads, or the forms of Potato and Label
    Studio."""
    from ..study.design.folder import Study
    from ..study.records import export
    from .show import compare as show_compare

    made = Study.read(home)
    people, responses, _ = _records(made, database)
    kinds = [kind.value for kind in formats or (Format.csv, Format.parquet)]
    written = []
    with files.writing(out, files.NAME_PLACE):
        files.private_folder(out)
    for name, data in export.files(made, people, responses, kinds).items():
        files.write_bytes(out / name, data, files.NAME_PLACE)
        written.append(out / name)
    show_compare.written(written if len(written) < 8 else [out])


@command("calibrate", on=study)
def study_calibrate(
    ratings: Annotated[Path, typer.Argument(metavar="RATINGS", help="People's ratings.", show_default=False)],
    judged: Annotated[
        Path, typer.Argument(metavar="JUDGED", help="A judge's, with the same columns.", show_default=False)
    ],
    condition: Condition,
    constructs: Constructs,
    rater: Rater = "rater",
    judge: Annotated[str, typer.Option(help="The column of who judged, in JUDGED.")] = "rater",
    item: Item = None,
    length: Annotated[
        str | None, typer.Option(help="A column of lengths to take out of the correlations.", show_default=False)
    ] = None,
    scale: Scale = "1-5",
    same: Annotated[
        str,
        typer.Option(
            help="Conditions called differently, judge's=people's, joined by commas, or by semicolons.",
            show_default=False,
        ),
    ] = "",
    seed: Seed = 0,
    out: JsonFile = None,
) -> None:
    """Hold a judge's ratings against people's: bias, order of the conditions, correlation, with length taken out."""
    from ..study import calibrate, read_pair
    from ..study.analysis.base import json_text
    from ..study.analysis.ratings import parse_scale
    from .show import compare as show_compare
    from .show import study as show_study

    # From the right: a judge's name of a condition may hold "=".
    renamed = {judges: peoples for judges, _, peoples in (part.rpartition("=") for part in names(same))}
    pair = read_pair(
        ratings, judged, condition, (rater, judge), names(constructs), item, length, parse_scale(scale), renamed
    )
    calibration = calibrate(*pair, length, seed)
    show_study.calibration(calibration)
    if out is not None:
        files.write_text(out, json_text(calibration), files.NAME_ANOTHER)
        show_compare.written([out])


def names(joined: str) -> list[str]:
    """Split names at commas; at semicolons where there are any, as a name may hold a comma. Quotes keep either."""
    unquoted = re.sub(r'"[^"]*"', "", joined)
    parts = re.findall(r'(?:"[^"]*"|[^;])+' if ";" in unquoted else r'(?:"[^"]*"|[^,])+', joined)
    return [name for part in parts if (name := _unquoted(part.strip()))]


def _unquoted(name: str) -> str:
    return name[1:-1].strip() if len(name) > 1 and name[0] == name[-1] == '"' else name
