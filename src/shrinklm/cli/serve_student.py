"""The command `serve`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import typer

from ..core.errors import StudentError
from .address import free, loopback, url
from .app import command
from .predict import Cascading, StudentCell, opened


@command(code=True)
def serve(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="The folder of a run, a recipe, or an exported student.", show_default=False
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    cell: StudentCell = None,
    cascade: Cascading = False,
    batch: Annotated[int, typer.Option(min=1, help="Questions answered in one pass.")] = 32,
    queue: Annotated[int, typer.Option(min=1, help="Questions that may wait; more are refused.")] = 1024,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until a request without an answer ends.")] = 60.0,
) -> None:
    """Serve a trained student: POST /v1/answer, an OpenAI-compatible POST /v1/chat/completions, and a page at /.

    Keys that clients must send stand in $SHRINKLM_API_KEYS, separated by commas; where it is unset, anybody who reaches
    the address may ask.
    """
    from ..deploy.cascade import Cascade
    from ..deploy.server.app import AnswerServer
    from ..deploy.server.limits import KEYS, Keys, Limits

    limits, keys = Limits(batch=batch, queue=queue, timeout=timeout), Keys(os.environ.get(KEYS, ""))
    free(host, port, StudentError)
    if not loopback(host):
        _warn(host, KEYS, bool(keys))
    typer.echo("Loading ...")
    student, _ = opened(run, cell, cascade)
    if isinstance(student, Cascade) and student.passing is not None:
        student.passing.teacher.check()
        student.passing.teacher.check_access(["label"])
    student.warm_up()

    def ready(at: int) -> None:
        typer.echo(f"{student.name} answers:")
        typer.echo(f"  page    {url(host, at)}/")
        typer.echo(f"  answer  {url(host, at)}/v1/answer")
        typer.echo(f"  OpenAI  {url(host, at)}/v1    model {student.name}")
        typer.echo(f"  keys    {f'from {KEYS}' if keys else 'none'}")
        typer.echo("Stop with Ctrl-C.")
        sys.stdout.flush()  # whoever waits for the line may read a pipe

    async def main() -> bool:
        return await AnswerServer(student, limits, keys).serve(host, port, ready)

    answered = asyncio.run(main())
    typer.echo("Stopped. Every question that was taken is answered." if answered else "Stopped at once.")


def _warn(host: str, variable: str, locked: bool) -> None:
    needed = "nothing is encrypted" if locked else "there is no key and no encryption"
    advice = "Put a proxy with TLS before it" if locked else f"Set {variable}, and put a proxy with TLS before it"
    typer.echo(f"warning: {host} can be reached from other machines, and {needed}. {advice}.", err=True)
