"""The pages of a participant, from the consent to the completion code."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ...core.types import digest
from ..design.form import Recruiting
from ..records.people import Participant
from ..records.refused import Busy, Full, Gone, Known
from . import answers
from .guard import SESSION, VISIT, fields, forged, give
from .site import Site

SOURCES = {"prolific": ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"), "mturk": ("workerId", "assignmentId", "hitId")}
"""Platform → the parameters that it sends people with, the person's id first."""
_GUESSES = 30
"""Most wrong links from one address in a minute."""
_FEW, _MANY = 5, 60
"""New people from one address in a minute, of studies with few and many seats, where the form does not say."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def routes() -> list[Route]:
    """The pages, by address."""
    return [
        Route("/", _at_once(welcome)),
        Route("/start", _at_once(start), methods=["POST"]),
        Route("/instructions", _at_once(instructions), methods=["GET", "POST"]),
        Route("/about", _at_once(about), methods=["GET", "POST"]),
        Route("/item/{number:int}", _at_once(item), methods=["GET", "POST"]),
        Route("/pause", _at_once(pause)),
        Route("/resume/{link}", _at_once(resume), methods=["GET", "POST"], name="resume"),
        Route("/done", _at_once(done)),
        Route("/leave", _at_once(leave), methods=["POST"]),
    ]


def _at_once(page: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Make a page that runs in the event loop itself, not in a thread."""
    # A page takes a few milliseconds; threads would wait longer for each other.

    async def handled(request: Request) -> Response:
        return await _site(request).records.run(page, request)

    return handled


def welcome(request: Request) -> Response:
    """The consent. People who have begun are taken to where they are."""
    site, person = _site(request), _person(request)
    if person is not None:
        return _to(_path(site, person))
    if (state := site.records.recruiting) != "open":
        return site.note(request, "paused" if state == "paused" else "full", 200)
    return _welcome(request, site, dict(request.query_params))


def _welcome(request: Request, site: Site, sent: dict[str, str], status: int = 200) -> Response:
    names = [name for parameters in SOURCES.values() for name in parameters[:1]]
    hidden = {name: sent[name] for name in names if _ID.fullmatch(sent.get(name, ""))}
    # What Mechanical Turk sends while a worker looks at a task that is not accepted yet: nothing may begin.
    preview = sent.get("assignmentId") == "ASSIGNMENT_ID_NOT_AVAILABLE"
    response, fresh = site.first(request, "welcome.html", status, hidden=hidden, preview=preview, missing=status == 422)
    if fresh and request.method == "GET":  # previews of a link ask for the head alone
        with contextlib.suppress(Busy):
            site.records.count("welcomed")
    return response


def start(request: Request) -> Response:
    """Take the consent and a seat, and begin a session."""
    site, sent = _site(request), fields(request)
    if forged(request):
        return site.note(request, "expired", 403)
    if (person := _person(request)) is not None:  # the form was sent twice: the person keeps the first seat
        return _to(_path(site, person))
    recruiting = site.study.form.recruiting
    if (state := site.records.recruiting) != "open":
        return site.note(request, "paused" if state == "paused" else "full", 403)
    if sent.get("consent") != "yes":
        return _welcome(request, site, dict(sent), 422)
    if wait := site.limits.wait(request, "start", _starts(recruiting, site.study.people)):
        return site.busy(request, wait)
    # The platform is known by the parameter it sends; the person's id is kept only where the form, and so the consent,
    # says so.
    source = next((name for name, (key, *_) in SOURCES.items() if _ID.fullmatch(sent.get(key, ""))), "direct")
    external = sent[SOURCES[source][0]] if source in SOURCES else None
    consent = site.study.form.consent
    try:
        person = site.records.begin(
            site.study.people,
            timedelta(minutes=recruiting.timeout),
            digest(consent.text, consent.tick),
            source,
            external,
            request.cookies.get(VISIT),
            recruiting.keep_id,
            recruiting.more,
        )
    except Full:
        return site.note(request, "full", 403)
    except Known:
        return site.note(request, "known", 403)
    return _enter(request, site, person)


def instructions(request: Request) -> Response:
    """What to do, with an example."""
    site, person = _site(request), _person(request)
    if person is None:
        return _to("/")
    if request.method == "POST":
        if forged(request):
            return site.note(request, "expired", 403)
        if person.stage == "instructions":
            asks = bool(site.study.form.demographics)
            site.records.move(person.id, "about" if asks else "items")
            return _to("/about" if asks else _first(site, person))
        return _to(_path(site, person))
    return site.page(request, "instructions.html", person=person)


def about(request: Request) -> Response:
    """Questions about the person, each of which may be declined."""
    site, person = _site(request), _person(request)
    if person is None:
        return _to("/")
    if person.stage != "about":
        return _to(_path(site, person))
    demographics = site.study.form.demographics
    if request.method == "POST":
        if forged(request):
            return site.note(request, "expired", 403)
        sent = fields(request)
        told = {}
        for index, demographic in enumerate(demographics):
            answer = sent.get(f"d{index}", "").strip()[: answers.SHORT]
            # An answer that the page does not offer was not given by the page: it is taken as declined.
            if answer and (not demographic.options or answer in demographic.options):
                told[demographic.name] = answer
        site.records.move(person.id, "items", told)
        return _to(_first(site, person))
    return site.page(request, "about.html", person=person, asked=demographics)


def item(request: Request) -> Response:
    """One item: shown, or answered and gone on from."""
    site, secret = _site(request), request.cookies.get(SESSION)
    session = site.records.at_work(secret) if secret else None
    if session is None:
        return _to("/")
    person, answered = session
    pages = site.study.booklet(person.seat)
    position = int(request.path_params["number"]) - 1
    if not 0 <= position < len(pages):
        return site.note(request, "lost", 404)
    if person.stage != "items":
        return _to(_path(site, person))
    first = _open(answered, len(pages))
    if position > first:  # pages may be changed, not skipped
        return _to(f"/item/{first + 1}")
    sheet = answers.sheet_of(site.study, person, pages[position])
    if request.method != "POST":
        with contextlib.suppress(Busy):  # its seconds are then not counted
            site.records.show(person, position)
        old = site.records.response(person.id, position) if position in answered else None
        chosen = answers.filled(sheet, old.values, old.remark) if old else {}
        return _item(request, site, person, position, sheet, chosen, ())
    if forged(request):
        return site.note(request, "expired", 403)
    values, remark, missing = answers.read(sheet, fields(request))
    if missing:
        return _item(request, site, person, position, sheet, dict(fields(request)), missing)
    try:
        timeout = timedelta(minutes=site.study.form.recruiting.timeout)
        site.records.answer(person.id, position, pages[position], values, remark, timeout)
    except Gone:
        return _to("/")
    following = _open(answered | {position}, len(pages)) if position == first else position + 1
    if following == len(pages):
        site.records.move(person.id, "done")
        return _to("/done")
    return _to(f"/item/{following + 1}")


def _item(
    request: Request,
    site: Site,
    person: Participant,
    position: int,
    sheet: answers.Sheet,
    chosen: dict[str, str],
    missing: tuple[str, ...],
) -> Response:
    total = len(site.study.booklet(person.seat))
    values = {"sheet": sheet, "number": position + 1, "total": total, "chosen": chosen, "missing": missing}
    return site.page(request, "item.html", 422 if missing else 200, person=person, **values)


def pause(request: Request) -> Response:
    """The link by which a person resumes later."""
    person = _person(request)
    return _to("/") if person is None else _site(request).page(request, "pause.html", person=person)


def resume(request: Request) -> Response:
    """Resume by a person's link.

    It asks before it goes on, so that a preview of the link, or somebody else's page, begins nothing.
    """
    site = _site(request)
    person = site.records.by_link(request.path_params["link"])
    if person is None:
        if wait := site.limits.wait(request, "resume", _GUESSES):
            return site.busy(request, wait)
        return site.note(request, "lost", 404)
    if request.method == "POST":
        if forged(request):
            return site.note(request, "expired", 403)
        return _enter(request, site, person)
    return site.first(request, "resume.html", going=request.path_params["link"])[0]


def done(request: Request) -> Response:
    """Thanks, and the completion code."""
    site, person = _site(request), _person(request)
    if person is None:
        return _to("/")
    if person.stage != "done":
        return _to(_path(site, person))
    recruiting = site.study.form.recruiting
    redirect = recruiting.redirect.replace("{code}", recruiting.code) if recruiting.redirect else None
    return site.page(request, "done.html", person=person, code=recruiting.code, redirect=redirect)


def leave(request: Request) -> Response:
    """Forget the participant on this device, so that another person can take part."""
    site, secret = _site(request), request.cookies.get(SESSION)
    if forged(request):
        return site.note(request, "expired", 403)
    if secret:
        site.records.end_session(secret)
    response = _to("/")
    # The next person's browser is another one to the records.
    for name in (SESSION, VISIT):
        response.delete_cookie(name)
    return response


def _starts(recruiting: Recruiting, seats: int) -> int:
    """How many people one address may begin for in a minute."""
    # Well below the seats: whoever begins again and again must not reach the last of them before somebody looks.
    return recruiting.starts_per_minute or min(_MANY, max(_FEW, seats // 6))


def _enter(request: Request, site: Site, person: Participant) -> Response:
    """Take a person to where they are, with a new session: a cookie that somebody else chose is not used."""
    response = _to(_path(site, person))
    give(response, request, SESSION, site.records.session(person.id))
    return response


def _path(site: Site, person: Participant) -> str:
    """Return the path of the page that a person has come to."""
    if person.stage == "items":
        return _first(site, person)
    return {"instructions": "/instructions", "about": "/about", "done": "/done"}[person.stage]


def _first(site: Site, person: Participant) -> str:
    """Return the path of the first item page without an answer; of the last one where all have one."""
    total = len(site.study.booklet(person.seat))
    return f"/item/{min(_open(site.records.answered(person.id), total) + 1, total)}"


def _open(answered: set[int], total: int) -> int:
    return next((position for position in range(total) if position not in answered), total)


def _site(request: Request) -> Site:
    site: Site = request.app.state.served
    return site


def _person(request: Request) -> Participant | None:
    secret = request.cookies.get(SESSION)
    return _site(request).records.by_session(secret) if secret else None


def _to(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)
