"""The researcher's page: where the study stands, who is let in, whose answers are deleted, and the records to take
away."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ...core.errors import StudyError
from ...core.spreadsheet import csv_text
from ..records import export
from ..records.database import Recruiting
from ..records.log import utc_now
from ..records.overview import Mean, means, overview_of
from ..records.refused import Busy
from .guard import ADMIN, fields, forged, give
from .site import Site

HOME = "/researcher"
_STATES: dict[str, Recruiting] = {"open": "open", "pause": "paused", "close": "closed"}
_FILES = {
    "ratings.csv": "text/csv",
    "ratings.parquet": "application/vnd.apache.parquet",
    "checks.csv": "text/csv",
    "people.csv": "text/csv",
    "log.csv": "text/csv",
}
_LONGEST = 10_000_000
"""Minutes, for whoever types more than a date can be moved by."""
_Page = Callable[[Request, Site], Response]


def routes() -> list[Route]:
    """The pages, by address. All but the login need the token."""
    return [
        Route(HOME, _guarded(home)),
        Route(f"{HOME}/login", login, methods=["GET", "POST"]),
        Route(f"{HOME}/logout", _guarded(logout), methods=["POST"]),
        Route(f"{HOME}/recruiting", _guarded(recruiting), methods=["POST"]),
        Route(f"{HOME}/free", _guarded(free), methods=["POST"]),
        Route(f"{HOME}/means", _guarded(shown), methods=["POST"]),
        Route(f"{HOME}/withdraw", _guarded(withdraw), methods=["POST"]),
        Route(f"{HOME}/export/{{name}}", _guarded(download)),
    ]


def _guarded(page: _Page) -> Callable[[Request], Response]:
    """A page for the researcher alone; what changes something must come from one of our own forms."""

    def handled(request: Request) -> Response:
        site: Site = request.app.state.site
        if site.admins is None or not site.admins.known(request):
            return RedirectResponse(f"{HOME}/login", 303)
        if request.method == "POST" and forged(request):
            return site.note(request, "expired", 403)
        return page(request, site)

    return handled


def login(request: Request) -> Response:
    """Ask for the token. It comes in the body of a form, so that no address holds it."""
    site: Site = request.app.state.site
    if site.admins is None:
        return site.note(request, "lost", 404)
    if request.method != "POST":
        return site.first(request, "login.html", wrong=False)[0]
    if forged(request):
        return site.note(request, "expired", 403)
    secret = site.admins.enter(fields(request).get("token", ""))
    if secret is None:
        # Wrong tokens alone are limited: whoever guesses locks nobody out. A token of 16 characters drawn by chance is
        # not guessed at any rate.
        if wait := site.limits.wait(request, "login", 10):
            return site.busy(request, wait)
        site.records.note("login failed")
        return site.page(request, "login.html", 401, wrong=True)
    response = RedirectResponse(HOME, 303)
    give(response, request, ADMIN, secret, days=site.admins.hours / 24)
    return response


def logout(request: Request, site: Site) -> Response:
    """End the session."""
    assert site.admins is not None
    site.admins.leave(request)
    response = RedirectResponse(f"{HOME}/login", 303)
    response.delete_cookie(ADMIN, path=HOME)
    return response


def home(request: Request, site: Site) -> Response:
    """Show everything but the means, and the conditions by number alone."""
    return _home(request, site)


def shown(request: Request, site: Site) -> Response:
    """The same with the means by condition.

    That somebody looked is logged: it unblinds whoever decides when to stop.
    """
    site.records.note("means shown")
    return _home(request, site, reveal=True)


def _home(request: Request, site: Site, reveal: bool = False, doubt: str = "", status: int = 200) -> Response:
    people, responses = site.records.participants(), site.records.responses()
    overview = overview_of(site.study, people, responses, site.records.number("welcomed"), utc_now())
    cells = list(overview.cells)
    if not reveal:  # in the study's order the numbers would name the conditions
        random.Random(site.study.digest).shuffle(cells)
    shown_means: dict[str, dict[str, Mean]] = {}
    for mean in means(site.study, people, responses) if reveal else ():
        shown_means.setdefault(mean.construct, {})[mean.condition] = mean
    kinds = {response.kind for response in responses}
    files = [
        name for name in _FILES if name == "log.csv" or ("check" if name.startswith("checks") else "item") in kinds
    ]
    return site.page(
        request,
        "researcher.html",
        status,
        overview=overview,
        cells=cells,
        reveal=reveal,
        doubt=doubt,
        state=site.records.recruiting,
        means=shown_means,
        events=_folded(site.records.events())[-30:][::-1],
        files=files,
        invite=str(request.base_url),
        study=site.study,
    )


def _folded(events: Iterable[tuple[datetime, str, str]]) -> list[tuple[datetime, str, str]]:
    """The log with runs of the same event as one, the last: wrong logins must push nothing off the page."""
    folded = []
    for (what, detail), run in groupby(events, key=lambda event: event[1:]):
        times = [at for at, _, _ in run]
        told = f"{len(times)} times since {times[0]:%Y-%m-%d %H:%M}" if len(times) > 1 else ""
        folded.append((times[-1], what, ", ".join(filter(None, (detail, told)))))
    return folded


def recruiting(request: Request, site: Site) -> Response:
    """Open, pause or close recruiting."""
    state = _STATES.get(fields(request).get("state", ""))
    if state is None:
        return site.note(request, "lost", 400)
    site.records.recruit(state)
    return RedirectResponse(HOME, 303)


def free(request: Request, site: Site) -> Response:
    """Free many seats at once: of those who have not finished and were last seen some minutes ago."""
    minutes = fields(request).get("minutes", "")
    if not minutes.isascii() or not minutes.isdigit() or not 1 <= int(minutes) <= _LONGEST:
        return site.note(request, "lost", 400)
    site.records.free(utc_now() - timedelta(minutes=int(minutes)))
    return RedirectResponse(HOME, 303)


def withdraw(request: Request, site: Site) -> Response:
    """Delete a person's rows, after asking."""
    code = fields(request).get("code", "").strip().upper()
    person = site.records.by_code(code)
    if person is None:
        return _home(request, site, doubt=code or "?", status=404)
    answers = len(site.records.answered(person.id))
    if fields(request).get("sure") != "yes":  # deletion is final
        return site.page(request, "withdraw.html", whom=person, answers=answers)
    try:
        site.records.withdraw(code)
    except Busy:
        raise
    except StudyError:  # somebody else was quicker
        return _home(request, site, doubt=code, status=404)
    return RedirectResponse(HOME, 303)


def download(request: Request, site: Site) -> Response:
    """Send one of the tables as a file."""
    name = request.path_params["name"]
    if name not in _FILES:
        return site.note(request, "lost", 404)
    if name == "log.csv":
        events = [
            {"at": f"{at:%Y-%m-%d %H:%M:%S}", "what": what, "detail": detail}
            for at, what, detail in site.records.events()
        ]
        contents = {name: csv_text(events).encode()}
    else:
        try:
            # One kind alone: the others would be made and thrown away.
            contents = export.files(
                site.study, site.records.participants(), site.records.responses(), [name.rpartition(".")[2]]
            )
        except StudyError:  # nobody has answered yet
            contents = {}
    if name not in contents:
        return site.note(request, "lost", 404)
    site.records.note("exported", name)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(contents[name], media_type=_FILES[name], headers=headers)
