"""The command that asks a trained student: one question, or a whole file of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import RecipeError, StudentError
from .app import Json, command, open_target
from .printed import say_json
from .progress import Progress

if TYPE_CHECKING:
    from ..deploy.student import TrainedStudent
    from ..tasks.asked import AskedRow

Read = Callable[[str, Mapping[str, Any]], "Iterator[AskedRow]"]
"""(file, columns that are named besides) → its questions."""

StudentCell = Annotated[
    str | None, typer.Option(help="A student's cell, or its method. Left out: the last method.", show_default=False)
]

Column = Annotated[
    list[str] | None,
    typer.Option(
        help="A column of the table, as key=NAME, where it has another name than the recipe says: question, choices, "
        "id, or the name of a context, such as premise.",
        show_default=False,
    ),
]
Cascading = Annotated[
    bool,
    typer.Option("--cascade", help="Pass unsure answers on, or withhold them, as `cascade:` of the recipe says."),
]


@command(code=True)
def predict(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="The folder of a run, its recipe, or an exported student.", show_default=False
        ),
    ],
    question: Annotated[str | None, typer.Argument(show_default=False)] = None,
    choices: Annotated[
        str, typer.Option(help="The options, joined by commas (or by | where an option holds a comma).")
    ] = "",
    cell: StudentCell = None,
    field: Annotated[
        list[str] | None, typer.Option(help="Context, as name=value; repeat for several.", show_default=False)
    ] = None,
    input: Annotated[
        Path | None, typer.Option(help="A table of questions, of any kind that a task reads.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The file of answers: .csv, .jsonl or .parquet.", show_default=False)
    ] = None,
    column: Column = None,
    by: Annotated[
        str, typer.Option(help="text: the answer that is written. likelihood: the likeliest option, in less time.")
    ] = "text",
    explanations: Annotated[
        int | None, typer.Option(min=0, help="Explain only the first so many. Left out: all.", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Questions in one pass.")] = 32,
    cascade: Cascading = False,
    as_json: Json = False,
) -> None:
    """Ask a trained student one question, or all questions of a file.

    A file goes on where it was interrupted; a row that cannot be asked is told, and stands in the output with the
    reason.
    """
    if (question is None) == (input is None):
        raise RecipeError("Name either a question or a file of them: --input FILE --output FILE.")
    student, read = opened(run, cell, cascade)
    if input is None:
        fields = dict(_pair(item, "--field") for item in field or [])
        _ask_one(student, str(question), fields, choices, by, as_json)
        return
    if output is None:
        raise RecipeError("Say where the answers go: --output FILE, which ends in .csv, .jsonl or .parquet.")
    from ..tasks.sources import Source

    # As `task.train` names one: a folder's split, a sheet, or "owner/name" on the Hub.
    name = Source.parse(str(input)).name
    if not Path(name).exists() and (Path(name).suffix or name.count("/") != 1):
        raise RecipeError(f"There is no file {input.resolve()}. Paths of --input start where the command is run.")
    from ..deploy.files import predict_file
    from .show.predict import file_report

    columns = dict(_pair(item, "--column") for item in column or [])
    with Progress() as progress:
        rows = read(str(input), columns)
        report = predict_file(student, rows, output, by, explanations, batch, progress.tick)  # type: ignore[arg-type]
    file_report(report, output, as_json)


def opened(target: str, cell: str | None, cascade: bool = False) -> tuple[TrainedStudent, Read]:
    """(the student of a run, a recipe or an exported folder; the reader of tables of its questions).

    `cascade`: the student as its recipe's cascade. Raises RecipeError for an exported folder, which has no teacher.
    """
    from ..deploy.answering import NOTE
    from ..deploy.student import TrainedStudent
    from ..run import cascades
    from ..tasks.table import read_asked

    if (Path(target) / NOTE).is_file():
        if cascade:
            raise RecipeError(f"{target} is an exported student, without threshold or teacher. Name its run instead.")
        exported = TrainedStudent.open(target)
        if cell not in (None, exported.name, exported.answering.method):
            raise StudentError(f"{target} holds the student '{exported.name}', not '{cell}'. Leave --cell out.")
        kind, context = exported.answering.type, list(exported.answering.fields)
        return exported, lambda source, columns: read_asked(source, columns, kind, context)
    run = open_target(target)
    student: TrainedStudent = cascades.cascade(run, cell) if cascade else run.student(cell)
    read = getattr(run.task, "asked", None)
    kind, context = run.task.type, list(student.answering.fields)
    # A task of somebody's own knows no tables: then the columns have the usual names.
    return student, read or (lambda source, columns: read_asked(source, columns, kind, context))


def _ask_one(
    student: TrainedStudent, question: str, fields: dict[str, str], choices: str, by: str, as_json: bool
) -> None:
    from ..deploy.questions import example_of
    from .show.predict import answer_of

    if unknown := [name for name in fields if name not in student.answering.fields]:
        known = ", ".join(student.answering.fields) or "none"
        raise RecipeError(f"The student reads no '{unknown[0]}' beside the question. What it reads: {known}.")
    # An option may hold a comma, so that one "|" makes it the only separator.
    options = tuple(option.strip() for option in choices.split("|" if "|" in choices else ",") if option.strip())
    if not options and not student.answering.labels and student.answering.type != "free":
        raise RecipeError("The questions of this student have options to choose from. Add: --choices a,b,c")
    row = {**fields, "question": question, "choices": list(options)}
    [answer] = student.predict([example_of(row, student.answering, id="asked")], by=by)  # type: ignore[arg-type]
    if as_json:
        say_json(vars(answer))
    else:
        answer_of(answer)


def _pair(item: str, option: str) -> tuple[str, str]:
    name, sign, value = item.partition("=")
    if not sign or not name.strip():
        raise RecipeError(f"{option} '{item}' has no name. Write: {option} name=value")
    return name.strip(), value.strip()
