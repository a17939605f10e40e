"""The command `study backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import MissingExtra, StudyError
from .app import command
from .printed import say
from .serve import Database, Home
from .study import study


@command("backup", on=study)
def study_backup(
    home: Home,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The copy to write.", show_default=False)],
    database: Database = None,
) -> None:
    """Copy a study's records into one file, also while it is served. To restore, put it in the place of records.db."""
    from ..study.design.folder import RECORDS, Study

    made = Study.read(home)
    if database is None and not (made.home / RECORDS).is_file():
        raise StudyError(f"{made.home} has no records yet. Serve the study first: shrinklm study serve {made.home}")
    try:
        from ..study.records.disk import backup
    except ImportError as error:
        raise MissingExtra(error.name or "sqlalchemy", "study", "Reading a study's records") from error
    people, answers = backup(database or made.database, out)
    say(f"{out}: {people:,} people, {answers:,} answers")
