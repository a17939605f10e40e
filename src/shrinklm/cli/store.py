"""The commands on the store: export, import and merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import StoreError, UnknownName
from ..core.remote import is_url, mirror
from .app import command, open_target
from .printed import say
from .progress import Progress

Into = Annotated[
    str, typer.Argument(metavar="INTO", help="A recipe, a run folder, or a store (.db), which is made if it is new.")
]
_DEFAULT = ".shrinklm/generations.db"


@command()
def export(
    source: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe, a run folder, or a store (.db).", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .parquet or .jsonl.", show_default=False)],
    kind: Annotated[str | None, typer.Option(help="Only this step's generations.", show_default=False)] = None,
) -> None:
    """Write the generations of a recipe's store, refused ones too, to a file."""
    from ..teachers.remote import brought, open_store
    from ..teachers.steps import JUDGEMENT, STEPS
    from ..teachers.store import write

    path = brought(_store(source))
    if kind not in (None, JUDGEMENT, *STEPS):
        raise UnknownName("step", str(kind), (JUDGEMENT, *STEPS))
    if not path.is_file():
        raise StoreError(f"No store at {path}. Fill it with: shrinklm generate RECIPE")
    with open_store(path) as store:
        count = write((generation for generation in store if kind in (None, generation.kind)), out)
    say(f"{count:,} generations written to {out}.")


@command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What `export` wrote: .parquet or .jsonl.", show_default=False),
    ],
    into: Into = _DEFAULT,
) -> None:
    """Put the generations of an exported file into a store. What is there stays; what a server had failed at is
    replaced. A second call goes on where a killed one stopped.
    """
    if file.suffix not in (".parquet", ".jsonl"):
        raise StoreError(
            f"Cannot import '{file.name}': the file ends in .parquet or .jsonl. Of a store: shrinklm merge"
        )
    _take(file, into)


@command()
def merge(
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="Another store (.db).", show_default=False)],
    into: Into = _DEFAULT,
) -> None:
    """Put the generations of another store into a store, as `import` does; the other one stays as it is."""
    if other.suffix not in (".db", ".sqlite"):
        raise StoreError(f"Cannot merge '{other.name}': a store ends in .db. Of an exported file: shrinklm import")
    _take(other, into)


def _take(file: Path, into: str) -> None:
    from ..teachers.merging import merge as put
    from ..teachers.remote import open_store

    if not file.is_file():
        raise StoreError(f"No file at {file}.")
    with Progress() as progress, open_store(_store(into)) as store:
        merged = put(store, file, lambda done, total: progress.tick("generations", done, total, ""))
    say(
        f"{merged.added:,} added, {merged.replaced:,} replaced (their server had failed), {merged.same:,} were there, "
        f"{merged.different:,} differ and stay as they were."
    )


def _store(source: str) -> Path:
    path = Path(source)
    if path.suffix in (".db", ".sqlite"):
        return mirror(source) if is_url(source) else path
    run = open_target(source)
    return run.recipe.path(run.recipe.store)
