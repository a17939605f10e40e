"""The attack list: what others may try, tried on every page that a study's server has.

A page that is added fails `test_every_page_is_on_the_list` until `CASES` says how to come to it; then it is attacked
like the others. What is peculiar to one page is in `test_study_security.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from starlette.routing import Route
from starlette.testclient import TestClient

import chromium
from chromium import HOSTILE, inert, unguarded
from shrinklm.core.errors import StudyError
from shrinklm.study.design.booklets import Question, Shown
from shrinklm.study.design.folder import Study
from shrinklm.study.design.form import Form
from shrinklm.study.design.rules import Kept, rules_of
from shrinklm.study.records import schema as tables
from shrinklm.study.records.database import Records
from shrinklm.study.records.people import Stage
from shrinklm.study.records.refused import Busy
from shrinklm.study.result import register
from shrinklm.study.web.guard import BODY
from shrinklm.study.web.texts import ENGLISH
from study_site import TOKEN, begin, make_study, served, submit
from visitor import sheets

WRONG = (
    "%00",
    "..%2f..%2frecords.db",
    "'%20OR%201=1--",
    "%3Cscript%3Ehacked(4)%3C/script%3E",
    "x" * 3000,
    "%ff%fe",
    "-1",
)


@dataclass
class World:
    """A study whose every text is hostile, with people in it."""

    browser: Callable[[], TestClient]
    records: Records
    study: Study
    pages: dict[str, str] = field(default_factory=dict)
    """Every page that was sent, under what it was sent for."""

    def __post_init__(self) -> None:
        self.victim = self.new()
        page = begin(self.victim)
        submit(self.victim, page, remark="what the victim thinks" + HOSTILE)
        [person] = self.records.participants()
        self.secrets = [person.code, self.records.link(person), "what the victim thinks"]

    @property
    def link(self) -> str:
        """By which the victim goes on."""
        return self.secrets[1]

    def new(self) -> TestClient:
        """A browser, each of whose responses is looked at."""
        client = self.browser()
        client.event_hooks = {"response": [self._looked_at]}
        return client

    def _looked_at(self, response: httpx.Response) -> None:
        asked = f"{response.request.method} {response.request.url.path} {response.status_code}"
        headers = response.headers
        assert response.status_code != 500, asked
        for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
            assert part in headers["content-security-policy"], asked
        assert "unsafe" not in headers["content-security-policy"], asked
        assert headers["x-content-type-options"] == "nosniff", asked
        assert (headers["referrer-policy"], headers["x-frame-options"]) == ("same-origin", "DENY"), asked
        static = response.request.url.path.startswith("/static/") and response.status_code == 200
        assert static or headers["cache-control"] == "no-store", asked
        for cookie in headers.get_list("set-cookie"):
            assert "samesite=" in cookie.lower(), asked
            assert "httponly" in cookie.lower() or "max-age=0" in cookie.lower(), asked
        to = urlsplit(headers.get("location", "/"))
        assert to.netloc in ("", "testserver"), asked
        assert to.scheme in ("", "http"), asked
        if headers.get("content-type", "").startswith("text/html") and response.request.method != "HEAD":
            response.read()
            assert "Traceback" not in response.text, asked
            # Pages that say one thing, such as that there is no such page, are alike wherever they are met.
            says = sheets(response.text) or re.search(r"<h1[^>]*>.{,30}", response.text)
            self.pages.setdefault(f"{asked if isinstance(says, list) else says} {response.status_code}", response.text)

    def rows(self) -> dict[str, Any]:
        """All that the database holds."""
        with self.records.engine.connect() as c:
            return {name: c.execute(select(table)).all() for name, table in tables.metadata.tables.items()}

    def rows_of_the_victim(self) -> list[Any]:
        """What others must neither read nor change."""
        rows = self.rows()
        return [[row for row in rows[name] if row[0] == 1] for name in ("participant", "response")]


def hostile_form(data: Any, whole: dict[str, Any]) -> None:
    """Puts HOSTILE behind every text of a form, in place, wherever the form takes it there."""
    for key in list(data) if isinstance(data, dict) else range(len(data)):
        old = data[key]
        if isinstance(old, dict | list):
            hostile_form(old, whole)
        elif (isinstance(old, str) or old is None) and key not in ("texts", "reference"):
            data[key] = f"{old or ''}{HOSTILE}"
            try:
                Form.parse(whole, "study.yaml")
            except StudyError:
                data[key] = old


def hostile_study(folder: Path) -> Study:
    """Every text that a researcher, a table, a model or a translator sets is hostile."""
    home = folder / "hostile"
    changes: dict[str, Any] = {
        "comment": "?", "contact": "?", "texts": "hostile.yaml",
        "recruiting": {"same_device": True, "people": 500, "redirect": "https://pay.example/?cc={code}"},
        "demographics": [{"name": "age", "asks": "?", "options": ["a", "b"]}, {"name": "job", "asks": "?"}],
    }  # fmt: skip
    study = make_study(folder / "plain", **changes)
    data = yaml.safe_load((study.home / "study.yaml").read_text())
    hostile_form(data, data)
    texts = {key: text + HOSTILE for key, text in yaml.safe_load(ENGLISH.read_text(encoding="utf-8")).items()}
    home.mkdir()
    (home / "hostile.yaml").write_text(yaml.safe_dump(texts, allow_unicode=True))
    questions = {}
    for name, one in study.questions.items():
        said = {c: Shown(f"{one.answer}{HOSTILE}", by.explanation + HOSTILE, by.right) for c, by in one.said.items()}
        choices, context = tuple(choice + HOSTILE for choice in one.choices), {f"rule{HOSTILE}": HOSTILE}
        questions[name] = Question(one.id, one.question + HOSTILE, choices, one.answer, context, one.stratum, said)
    form = Form.parse(data, "study.yaml")
    Study(home, form, study.design, questions, study.runs, {}).write(yaml.safe_dump(data, allow_unicode=True))
    return Study.read(home)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    study = hostile_study(tmp_path_factory.mktemp("world"))
    with served(study) as (browser, records):
        records.note("exported", HOSTILE)
        yield World(browser, records, study)


# Who comes to a page, and how


def visitor(world: World) -> TestClient:
    """Has seen the consent."""
    client = world.new()
    client.get("/")
    return client


def person(world: World, stage: Stage, answers: int = 0) -> TestClient:
    """Has come so far; put there without the pages before, which would take most of the tests' time."""
    records = world.records
    one = records.begin(500, timedelta(hours=2), "c")
    if stage != "instructions":
        records.move(one.id, stage, {"job": HOSTILE} if stage != "about" else None)
    for at, page in enumerate(world.study.booklet(one.seat)[:answers]):
        records.answer(one.id, at, page, dict.fromkeys(world.study.form.constructs, 3), HOSTILE)
    client = world.new()
    client.cookies.set("study", records.session(one.id))
    return client


def started(world: World) -> TestClient:
    """Has agreed."""
    return person(world, "instructions")


def asked_about(world: World) -> TestClient:
    """Has read the instructions."""
    return person(world, "about")


def at_work(world: World) -> TestClient:
    """Has answered the first item."""
    return person(world, "items", 1)


def finished(world: World) -> TestClient:
    """Has come to the end."""
    return person(world, "done", 8)


def researcher(world: World) -> TestClient:
    """Has logged in."""
    client = world.new()
    assert submit(client, client.get("/researcher/login"), token=TOKEN).url.path == "/researcher"
    return client


@dataclass(frozen=True)
class Case:
    """How one page is asked for, so that it does what it is there for."""

    who: Callable[[World], TestClient]
    path: str
    """LINK, of a person, and CODE are filled in."""
    form: dict[str, str] = field(default_factory=dict)
    """Of a POST: what is sent beside the token."""
    shows: str = ""
    """Of a GET: what stands on the page."""
    kept: bool = True
    """Of a POST: it changes what the database holds."""


ANSWERS = {f"s{at}": "3" for at in range(5)} | {"remark": HOSTILE}
CASES = {
    "GET /": Case(visitor, "/", shows="What you agree to"),
    "POST /start": Case(visitor, "/start", {"consent": "yes", "PROLIFIC_PID": HOSTILE}),
    "GET /instructions": Case(started, "/instructions", shows="How it works"),
    "POST /instructions": Case(started, "/instructions"),
    "GET /about": Case(asked_about, "/about", shows="questions about you"),
    "POST /about": Case(asked_about, "/about", {"d0": HOSTILE, "d1": HOSTILE}),
    "GET /item/{number:int}": Case(at_work, "/item/1", shows="Item 1 of"),
    "POST /item/{number:int}": Case(at_work, "/item/2", ANSWERS),
    "GET /pause": Case(at_work, "/pause", shows="/resume/"),
    "GET /resume/{link}": Case(visitor, "/resume/LINK", shows="Go on where you were"),
    "POST /resume/{link}": Case(visitor, "/resume/LINK"),
    "GET /done": Case(finished, "/done", shows="THANK-YOU"),
    "POST /leave": Case(finished, "/leave"),
    "GET /researcher": Case(researcher, "/researcher", shows="Recruiting is"),
    "GET /researcher/login": Case(visitor, "/researcher/login", shows="Token"),
    "POST /researcher/login": Case(visitor, "/researcher/login", {"token": TOKEN}, kept=False),
    "POST /researcher/logout": Case(researcher, "/researcher/logout", kept=False),
    "POST /researcher/recruiting": Case(researcher, "/researcher/recruiting", {"state": "open"}),
    "POST /researcher/free": Case(researcher, "/researcher/free", {"minutes": "9000"}),
    "POST /researcher/means": Case(researcher, "/researcher/means"),
    "POST /researcher/withdraw": Case(researcher, "/researcher/withdraw", {"code": "CODE", "sure": "yes"}),
    "GET /researcher/export/{name}": Case(researcher, "/researcher/export/people.csv", shows="finished"),
    "GET /static/{name}": Case(visitor, "/static/study.css", shows="color-scheme"),
    "GET /health": Case(visitor, "/health", shows="ok"),
}
POSTS = [name for name in CASES if name.startswith("POST")]
each = pytest.mark.parametrize("name", CASES)
each_form = pytest.mark.parametrize("name", POSTS)


def ready(world: World, name: str) -> tuple[TestClient, str, dict[str, str]]:
    """(who asks, the path, the form that they would send with the token of their page)."""
    case = CASES[name]
    client = case.who(world)
    # Somebody else than the victim, whose rows the tests compare.
    other = world.records.participants()[-1]
    path = case.path.replace("LINK", world.records.link(other))
    form = {key: value.replace("CODE", other.code) for key, value in case.form.items()}
    return client, path, {"csrf": token(client, path), **form}


def token(client: TestClient, path: str) -> str:
    """What the forms of a browser's pages hold."""
    for place in ("/researcher/login", "/researcher") if path.startswith("/researcher") else ("/instructions", "/"):
        page = client.get(place)
        if page.url.path == place and (found := sheets(page.text)):
            return found[0].fields["csrf"]
    raise AssertionError(f"no form for {path}")


def test_every_page_is_on_the_list(world: World) -> None:
    app: Any = world.browser().app
    there = {
        f"{method} {route.path}"
        for route in app.app.routes
        for method in (route.methods if isinstance(route, Route) else ["not a Route:"]) or ["any method"]
        if method != "HEAD"
    }
    assert there == set(CASES), "say in CASES how to come to a page; then it is attacked like the others"


@each
def test_a_page_does_what_it_is_there_for(world: World, name: str) -> None:
    """Else the attacks would prove nothing."""
    client, path, form = ready(world, name)
    before = world.rows()
    if name in POSTS:
        assert client.post(path, data=form, follow_redirects=False).status_code in (200, 303)
        assert (world.rows() != before) == CASES[name].kept
    else:
        found = client.get(path)
        assert (found.status_code, found.url.path) == (200, path)
        assert CASES[name].shows in found.text
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")


@each_form
def test_no_other_site_sends_a_form(world: World, name: str) -> None:
    client, path, form = ready(world, name)
    stranger = token(visitor(world), path)
    before = world.rows()
    for wrong in ("", "0" * 43, form["csrf"][:-1], stranger, HOSTILE):
        assert client.post(path, data={**form, "csrf": wrong}).status_code == 403
    assert client.post(path, data={"no": "token", **form, "csrf": ""}).status_code == 403
    for headers in (
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://["},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://testserver.evil.example"},
    ):  # fmt: skip
        assert client.post(path, data=form, headers=headers).status_code == 403, headers
    # What a link or an image of another site can do.
    client.get(path, params=form, follow_redirects=False)
    after = world.rows()
    assert {name: rows for name, rows in after.items() if name != "participant"} == {
        name: rows for name, rows in before.items() if name != "participant"
    }
    assert [row[0] for row in after["participant"]] == [row[0] for row in before["participant"]]


@each
def test_nobody_reads_or_changes_what_is_anothers(world: World, name: str) -> None:
    case = CASES[name]
    # All but the last letter of the victim's link, and the victim's code.
    path = case.path.replace("LINK", world.link[:-1] + "~")
    form = {key: value.replace("CODE", world.secrets[0]).replace(TOKEN, "a guess") for key, value in case.form.items()}
    before = world.rows_of_the_victim()
    for who in (World.new, at_work):
        client = who(world)
        if name in POSTS:
            at = path if who is not World.new else "/"
            form["csrf"] = token(client, at) if who is not World.new else ""
            found = [client.post(path, data={**form, "id": "1", "participant": "1", "seat": "0"})]
        else:
            found = [
                client.get(path),
                client.get(path, params={"id": "1", "participant": "1", "code": world.secrets[0]}),
            ]
        for one in found:
            if case.who is not researcher:
                assert not any(secret in one.text for secret in world.secrets), one.request.url
            else:
                assert one.url.path == "/researcher/login" or one.status_code in (403, 405), one.request.url
    assert world.rows_of_the_victim() == before


@each
def test_a_session_that_somebody_else_chose_opens_nothing(world: World, name: str) -> None:
    case = CASES[name]
    client = case.who(world)
    mine = {cookie.name: cookie.value for cookie in client.cookies.jar}
    for chosen in ("chosen", "\xff' OR 1=1 -- <script>" + "x" * 3000):
        headers = {"cookie": f"study={chosen}; visit={chosen}; researcher={chosen}".encode("latin-1")}
        other = world.new()
        path = case.path.replace("LINK", world.link[:-1] + "~")
        sent = other.request(name.partition(" ")[0], path, data=case.form or None, headers=headers)
        assert not any(secret in sent.text for secret in world.secrets)
        assert world.records.by_session(chosen) is None
        assert chosen not in [cookie.value for cookie in other.cookies.jar]
        assert chosen not in mine.values()


@each
def test_wrong_kinds_of_requests_change_nothing(world: World, name: str) -> None:
    client, path, _ = ready(world, name)
    before = world.rows()
    for method in ("DELETE", "OPTIONS", "POST" if f"POST {name[4:]}" not in CASES else "PUT"):
        assert client.request(method, path, headers={"origin": "http://testserver"}).status_code in (405, 415), method
    if name in POSTS:
        urlencoded = {"content-type": "application/x-www-form-urlencoded"}
        for status, content, headers in (
            (413, b"x=" + b"x" * BODY, urlencoded),
            (413, b"x", {**urlencoded, "content-length": "9" * 20}),
            (413, b"x", {**urlencoded, "content-length": "-1"}),
            (400, b"&".join(b"f%d=1" % at for at in range(1000)), urlencoded),
            (400, b"\xff\xfe%", urlencoded),
            (415, b'{"csrf": 1}', {"content-type": "application/json"}),
            (415, b"<x/>", {"content-type": "text/xml"}),
            (415, b"--b\r\n\r\n", {"content-type": "multipart/form-data; boundary=b"}),
        ):
            assert client.post(path, content=content, headers=headers).status_code == status
    assert world.rows()["response"] == before["response"]
    assert world.rows()["event"] == before["event"]


@each
def test_odd_values_anywhere_are_only_values(world: World, name: str) -> None:
    """The responses themselves are looked at by the browser: no failure, no other site, no script."""
    client, path, form = ready(world, name)
    route, values = name.partition(" ")[2], cycle((HOSTILE, "\0", "\ud800", "9" * 400, ""))
    odd = [re.sub(r"\{.*\}", wrong, route) for wrong in WRONG if "{" in route]
    for place in (
        *odd,
        path,
        f"{path}?next=//evil.example&to=https://evil.example&%00=%ff",
        f"{path}/",
        f"/{path}",
        f"{path}%00",
    ):
        if name in POSTS:
            value = next(values)
            sent = {value: value, **dict.fromkeys(form, value), "csrf": form["csrf"]}
            body = urlencode(sent, errors="surrogatepass")
            client.post(place, content=body, headers={"content-type": "application/x-www-form-urlencoded"})
        else:
            assert client.get(place, follow_redirects=False).status_code < 500


@each_form
def test_a_form_that_cannot_be_kept_just_now_is_kept_on_the_page(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, path, form = ready(world, name)

    def held(*_: object) -> None:
        raise Busy("Another process holds the database.")

    with monkeypatch.context() as failing:
        failing.setattr(world.records, "_write", held)
        found = client.post(path, data=form, follow_redirects=False)
    if CASES[name].kept:
        assert found.status_code == 503
        (sheet,) = sheets(found.text)
        assert (sheet.action, sheet.fields) == (path, form)
        assert submit(client, found).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/?PROLIFIC_PID=%22%3E%3Cscript%3Ehacked(5)%3C/script%3E", "/researcher", "/item/1"]
)
def test_a_page_that_cannot_be_read_just_now_asks_again(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = researcher(world) if path == "/researcher" else at_work(world)

    def fails(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, Exception(HOSTILE))

    with monkeypatch.context() as failing:
        for name in ("by_session", "at_work", "participants"):
            failing.setattr(world.records, name, fails)
        found = client.get(path)
    assert found.status_code == 503
    assert HOSTILE not in found.text


@chromium.needed
def test_no_text_runs_in_a_browser_or_leads_elsewhere(world: World, browser: Any) -> None:
    """Every page that this test and those above were sent, in a browser without the policy that would stop a script."""
    client = world.new()
    page = client.get("/", params={"PROLIFIC_PID": HOSTILE, "workerId": HOSTILE})
    while page.url.path != "/done":  # the whole way
        page = submit(client, page, d0="", d1=HOSTILE, remark=HOSTILE)
    for name in CASES:
        client, path, form = ready(world, name)
        if name in POSTS:
            for sent in ({}, dict.fromkeys(form, HOSTILE), {key: form[key] for key in form if key != "sure"}, form):
                client.post(path, data={**sent, "csrf": form["csrf"]})
        else:
            client.get(path)
    assert len(world.pages) > 20
    assert sum("hacked" in page for page in world.pages.values()) > 20
    with unguarded(browser) as page:
        for asked, html in world.pages.items():
            scripts, links = inert(page, html)
            assert scripts == ['<script src="/static/study.js" defer=""></script>'], asked
            for link in links:
                assert re.match(r"/(?!/)|#|http://testserver/|https://pay\.example/|data:,$", link), (asked, link)
        kept = Kept("2026-03-02 09:00:00 UTC", "digest", {**rules_of(world.study), "people": HOSTILE})
        scripts, links = inert(page, register.page(world.study, kept))
        assert HOSTILE in page.inner_text("body")
        assert (scripts, [link for link in links if not link.startswith("#")]) == ([], ["data:,"])
