"""The application that `shrinklm study serve` runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, TimeoutError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..design.folder import Study
from ..design.rules import rules_of
from ..records.database import Records
from ..records.refused import Busy
from ..records.writer import locked
from . import participant, researcher
from .guard import Admins, Guard
from .site import HERE, Site
from .texts import Texts

_OURS = (IntegrityError, DataError, ProgrammingError)
"""Failures that the same request meets again. Any other may be over soon: a full disk, a server that starts anew."""
_STATIC = {path.name: path for path in (HERE / "static").iterdir()}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def make_app(study: Study, records: Records, token: str | None = None) -> Guard:
    """Make the application that serves a study.

    Args:
        study: what is asked.
        records: where it is kept.
        token: opens the researcher's page; None: there is none.

    Returns:
        An ASGI application. The guard is outermost, so that responses to failures have its headers too.

    Raises:
        StudyError: the file of texts that the form names is missing or wrong, or the records belong to another design.
    """
    records.bind(study.digest, rules_of(study))
    texts = Texts.read(study.home / study.form.texts if study.form.texts else None)
    site = Site(study, records, texts, Admins(token) if token else None)
    routes = [*participant.routes(), *researcher.routes(), Route("/static/{name}", static), Route("/health", health)]

    def refuse(request: Request, name: str, status: int) -> Response:
        return site.note(request, name, status)

    def lost(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return site.note(request, "lost", status)

    def busy(request: Request, error: Exception) -> Response:
        return site.wait(request)

    def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, _OURS):
            return broken(request, error)
        if not (isinstance(error, DBAPIError) and locked(error)):
            logging.getLogger("shrinklm.study").error("the database cannot be used", exc_info=error)
        return site.wait(request)

    def broken(request: Request, error: Exception) -> Response:
        logging.getLogger("shrinklm.study").error("a page failed", exc_info=error)
        return site.note(request, "broken", 500)

    served = replace(site, records=records.in_loop())
    app = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: lost,
            Busy: busy,
            TimeoutError: refused,  # every connection to the database was in use
            DBAPIError: refused,
            OSError: refused,  # there was none to be had
            Exception: broken,
        },
        lifespan=_until_the_end,
    )
    app.state.site, app.state.served = site, served
    return Guard(app, refuse)


@asynccontextmanager
async def _until_the_end(app: Starlette) -> AsyncIterator[None]:
    yield
    await app.state.served.records.leave()


def static(request: Request) -> Response:
    """Send a style sheet or script."""
    path: Path | None = _STATIC.get(request.path_params["name"])
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"cache-control": "public, max-age=3600"})


def health(request: Request) -> Response:
    """Whether the server and its database answer."""
    request.app.state.site.records.recruiting  # noqa: B018
    return PlainTextResponse("ok")
