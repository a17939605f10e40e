"""The command `push`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .app import Json, command, open_target
from .predict import StudentCell
from .printed import say, say_json
from .progress import Progress


@command(code=True)
def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run, or its recipe.", show_default=False)],
    to: Annotated[
        str, typer.Option(metavar="PLACE", help="org/name for the Hub, or a folder such as ./name.", show_default=False)
    ],
    cell: StudentCell = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be uploaded, and the card; write and upload nothing.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="A repository that nobody else can see.")] = False,
    as_json: Json = False,
) -> None:
    """Write a trained student with its model card into a folder, or upload it to the Hub.

    The Hub's token is read from the environment variable HF_TOKEN. Everything is uploaded in one commit.
    """
    from ..report.look.numbers import size
    from ..run.sharing import push as send

    with Progress() as progress:
        done = send(open_target(run, progress.tick), to, cell, private, dry_run)
    package = done.package
    if as_json:
        row: dict[str, Any] = {
            "to": done.to,
            "cell": done.cell,
            "address": done.address or None,
            "uploaded": bool(done.address),
        }
        row |= {"files": dict(package.files), "checks": list(package.checks), "card": package.card}
        say_json(row)
        return
    if dry_run:
        say(package.card)
    for name, length in package.files.items():
        say(f"{size(length):>9}  {name}")
    for check in package.checks:
        say(f"! {check}")
    whole = f"{done.cell}, {size(sum(package.files.values()))}"
    if dry_run:
        say(f"{whole}: nothing was written or uploaded. Without --dry-run it goes to {to}.")
    else:
        say(f"{whole}: {done.address or f'written to {to}'}")
