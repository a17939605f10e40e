"""The command `study serve`."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import MissingExtra, StudyError
from .address import free, loopback, url
from .app import command
from .study import DATABASE, study

if TYPE_CHECKING:
    from ..study.design.folder import Study

TOKEN = "SHRINKLM_STUDY_TOKEN"
"""Environment variable: the researcher's token."""

Home = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The folder that `shrinklm study create` made.", show_default=False)
]
Database = Annotated[
    str | None,
    typer.Option(
        envvar=DATABASE,
        help="postgresql://...; unnamed: a SQLite file in the folder.",
        show_default=False,
        show_envvar=False,
    ),
]


@command("serve", on=study)
def study_serve(
    home: Home,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    database: Database = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A proxy before the server, such as 127.0.0.1 or 10.0.0.0/8, whose word about visitors' addresses is "
            "taken. May be named several times.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a study's pages: participants at /, the researcher at /researcher."""
    from ..study.design.folder import Study

    made = Study.read(home)
    token = os.environ.get(TOKEN, "")
    if token and len(token) < 16:
        raise StudyError(
            f"{TOKEN} has {len(token)} characters; a token needs 16 or more. Leave it unset to have one drawn."
        )
    fresh = not token
    token = token or secrets.token_urlsafe(24)
    free(host, port, StudyError)
    trusted = [str(network) for network in _networks(proxy)]
    try:
        import uvicorn

        from ..study.records.database import Records
        from ..study.records.key import Key
        from ..study.web.app import make_app
        from ..study.web.server import config
    except ImportError as error:
        raise MissingExtra(error.name or "starlette", "study", "Serving a study") from error
    records = Records(database or made.database, Key.of(made.home))
    try:
        app = make_app(made, records, token)
        _say(made, host, port, token if fresh else None)
        # The server ends on SIGTERM as on Ctrl-C, and raises the signal again: by itself that would end the process
        # before the records are closed.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config(app, host, port, trusted)).run()
    finally:
        records.close()
    typer.echo("Stopped. Every answer is kept; the same command goes on.")


def _networks(proxies: Sequence[str] | None) -> list[IPv4Network | IPv6Network]:
    """The addresses of proxies. Raises StudyError for what is none."""
    try:
        return [ip_network(proxy, strict=False) for proxy in proxies or ()]
    except ValueError as error:
        raise StudyError(f"--proxy: {error}. Write the address of the proxy, such as --proxy 127.0.0.1") from error


def _say(made: Study, host: str, port: int, token: str | None) -> None:
    typer.echo(f"{made.form.title}: {made.people} seats, {len(made.booklet(0))} pages each")
    typer.echo(f"  participants  {url(host, port)}/")
    typer.echo(f"  researcher    {url(host, port)}/researcher")
    typer.echo(f"  token         {token or f'from {TOKEN}'}")
    if not loopback(host):
        typer.echo(
            f"warning: {host} can be reached from other machines, and nothing is encrypted. "
            "Leave --host at 127.0.0.1 and put a proxy with TLS before it, such as Caddy:\n"
            f"  caddy reverse-proxy --from study.university.example --to 127.0.0.1:{port}\n"
            "and name it: --proxy 127.0.0.1",
            err=True,
        )
    typer.echo("Stop with Ctrl-C.")
