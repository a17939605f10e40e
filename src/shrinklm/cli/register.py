"""The command `study register`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core import files
from ..core.errors import MissingExtra
from .app import command
from .printed import say
from .serve import Database, Home
from .study import study


@command("register", on=study)
def study_register(
    home: Home,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Unnamed: preregistration.html in the folder.", show_default=False),
    ] = None,
    database: Database = None,
) -> None:
    """Keep a study's rules before the first answer, and write them down as a dated page to register.

    Exclusions, constructs, conditions, people and analysis are kept with their SHA-256; `study analyze` names whatever
    changed since. The first call counts: a later one writes the same page again.
    """
    from ..study.design.folder import Study
    from ..study.design.rules import rules_of

    made = Study.read(home)
    try:
        from ..study.records.database import Records
        from ..study.records.key import Key
        from ..study.result.register import page
    except ImportError as error:
        raise MissingExtra(error.name or "sqlalchemy", "study", "Keeping a study's rules") from error
    records = Records(database or made.database, Key.of(made.home))
    try:
        kept = records.register(rules_of(made))
    finally:
        records.close()
    written = out or made.home / "preregistration.html"
    files.write_text(written, page(made, kept), files.NAME_ANOTHER)
    say(f"{written}: kept {kept.at}, SHA-256 {kept.digest}")
