"""What others may try on a study's server: each attack has a test of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import logging
import random
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from itsdangerous.signer import SigningAlgorithm
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from cli_cases import call
from shrinklm.cli.address import loopback
from shrinklm.cli.serve import _say
from shrinklm.study.design.folder import Study
from shrinklm.study.records.database import Records
from shrinklm.study.records.key import Key
from shrinklm.study.web import guard, server
from shrinklm.study.web.app import make_app
from shrinklm.study.web.guard import BODY, Admins, RateLimits
from study_site import NASTY, TOKEN, begin, form, make_study, served, submit, through
from visitor import filled, sheets

ANSWERS = {f"s{at}": "3" for at in range(5)}


def test_another_site_cannot_send_a_form(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = begin(client)
        token = sheets(page.text)[0].fields["csrf"]
        good = {"csrf": token, **ANSWERS}
        sites = ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"})
        for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, *sites):
            assert client.post("/item/1", data=good, headers=headers).status_code == 403
        other = sheets(begin(browser()).text)[0].fields["csrf"]
        for wrong in ("", "0" * 40, token[:-1], other, "ü"):
            assert client.post("/item/1", data={"csrf": wrong, **ANSWERS}).status_code == 403
        assert client.post("/item/1", data=ANSWERS).status_code == 403
        assert records.responses() == []
        ours = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
        assert client.post("/item/1", data=good, headers=ours).status_code == 200
        assert len(records.responses()) == 1


def test_a_person_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Cookies stay valid over an update. A form that was open meanwhile is refused; nothing that was kept is lost."""
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        submit(client, begin(client))
        kept = records.responses()
        assert len(kept) == 1
        cookie = client.cookies["study"]
        assert records.by_session(cookie) is not None
        earlier = hashlib.sha256(f"form {cookie}".encode()).hexdigest()[:40]
        assert client.post("/item/2", data={"csrf": earlier, **ANSWERS}).status_code == 403
        assert records.responses() == kept
        page = client.get("/")
        assert page.url.path == "/item/2"
        assert submit(client, page).status_code == 200
        assert len(records.responses()) == 2


def test_nobody_can_be_made_to_begin(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        assert browser().post("/start", data={"consent": "yes"}).status_code == 403
        client = browser()
        client.get("/")
        assert client.post("/start", data={"consent": "yes", "csrf": ""}).status_code == 403
        assert client.get("/start").status_code == 405
        assert records.participants() == []


def test_a_session_that_somebody_else_chose_is_not_used(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        client.cookies.set("study", "chosen-by-the-attacker")
        client.cookies.set("visit", "chosen-too")
        begin(client)
        cookies = [
            cookie.value
            for cookie in client.cookies.jar
            if cookie.name == "study" and cookie.domain == "testserver.local"
        ]
        assert cookies
        assert "chosen-by-the-attacker" not in cookies
        assert records.by_session("chosen-by-the-attacker") is None
        attacker = browser()
        attacker.cookies.set("study", "chosen-by-the-attacker")
        assert attacker.get("/item/1").url.path == "/"


def test_going_on_by_link_begins_a_session_of_its_own(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        begin(client)
        first = client.cookies["study"]
        (person,) = records.participants()
        other = browser()
        submit(other, other.get(f"/resume/{records.link(person)}"))
        assert other.cookies["study"] != first
        assert records.by_session(first) is not None


def test_others_links_and_items_are_out_of_reach(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        mine, theirs = browser(), browser()
        page = begin(mine)
        begin(theirs)
        me, them = records.participants()
        submit(mine, page, participant=str(them.id), id=str(them.id), seat=str(them.seat))
        assert [one.participant for one in records.responses()] == [me.id]
        assert records.link(them) not in page.text
        assert them.code not in page.text
        near = (
            records.link(them)[:-1],
            records.link(them) + "x",
            records.link(them).swapcase(),
            str(them.id),
            them.code,
        )
        for link in (*near, "%00", "' OR 1=1 --", "../../records.db"):
            found = browser().get(f"/resume/{link}")
            assert found.status_code == 404, link
            assert them.code not in found.text
        assert browser().get("/item/1").url.path == "/"


def test_guessing_links_is_limited_and_right_ones_are_not(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        begin(browser())
        guesses = [browser().get(f"/resume/guess{at}").status_code for at in range(32)]
        assert guesses == [404] * 30 + [429] * 2
        assert browser().get(f"/resume/{records.link(records.participants()[0])}").status_code == 200


def test_links_are_long_and_drawn(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        for _ in range(4):
            begin(browser())
        links = [records.link(person) for person in records.participants()]
        assert len(set(links)) == 4
        assert all(len(link) >= 32 for link in links)
        files = b"".join(file.read_bytes() for file in (tmp_path / "study").iterdir())
        assert not any(link.encode() in files for link in links), "what is stored opens nobody's place"
        assert stat.S_IMODE((tmp_path / "study" / "study.key").stat().st_mode) == 0o600


def test_pressing_start_many_times_takes_one_seat(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = client.get("/")
        # As pressed before the first reply came: without the cookie that it sets.
        cookies = dict(client.cookies)
        for _ in range(5):
            again = browser()
            again.cookies.update(cookies)
            assert submit(again, page, consent="yes").url.path == "/instructions"
        assert len(records.participants()) == 1


@pytest.mark.parametrize("keep", [False, True])
def test_a_platforms_id_begins_once_whether_or_not_it_is_kept(tmp_path: Path, keep: bool) -> None:
    study = make_study(tmp_path / "study", recruiting={"keep_id": keep})
    with served(study) as (browser, records):
        begin(browser(), "?PROLIFIC_PID=5f00aa11")
        client = browser()
        page = client.get("/?PROLIFIC_PID=5f00aa11")
        assert submit(client, page, consent="yes").status_code == 403
        begin(browser(), "?PROLIFIC_PID=5f00aa12")
        assert [person.external for person in records.participants()] == (
            ["5f00aa11", "5f00aa12"] if keep else [None, None]
        )
    stored = b"".join(file.read_bytes() for file in study.home.iterdir())
    assert (b"5f00aa11" in stored) == keep


def test_scripts_are_shown_as_text(tmp_path: Path) -> None:
    study = make_study(
        tmp_path / "study", nasty=True, comment=NASTY, contact=NASTY, title=NASTY, debrief=NASTY,
        demographics=[{"name": "job", "asks": NASTY, "options": [NASTY]}],
    )  # fmt: skip
    with served(study) as (browser, records):
        client = browser()
        pages = [client.get("/")]
        while pages[-1].url.path != "/done":
            pages.append(submit(client, pages[-1], remark=NASTY))
            if len(pages) > 5:
                pages.append(client.get("/item/1"))
                pages.append(client.get("/"))
        for page in pages:
            assert "<script>alert" not in page.text
            assert re.findall(r"<script[^>]*>", page.text) == ['<script src="/static/study.js" defer>']
            assert " onerror" not in page.text
        assert "&lt;script&gt;alert(1)" in pages[-1].text
        assert records.responses()[-1].remark == NASTY


def test_sql_in_any_field_is_only_text(tmp_path: Path) -> None:
    sql = "x'); DROP TABLE participant; --"
    with served(make_study(tmp_path / "study", comment="?", demographics=[{"name": "job", "asks": "?"}])) as (
        browser,
        records,
    ):
        client = browser()
        client.get("/", params={"PROLIFIC_PID": sql, "workerId": sql})
        page = client.get("/")
        while page.url.path != "/about":
            page = submit(client, page)
        page = submit(client, page, d0=sql)
        assert submit(client, page, s0=sql).status_code == 422
        submit(client, page, remark=sql, **{sql: sql})
        client.cookies.set("study", sql)
        assert client.get("/item/1").status_code in (200, 404)
        assert browser().get("/resume/" + sql).status_code == 404
        (person,) = records.participants()
        assert person.about == {"job": sql}
        assert records.responses()[0].remark == sql
        assert records.by_code(sql) is None


@pytest.mark.parametrize(
    "path",
    [
        "../records.db",
        "..%2frecords.db",
        "%2e%2e/%2e%2e/study.yaml",
        "..\\records.db",
        "%00study.css",
        "study.css%00",
        "/etc/passwd",
        "",
        "study.css/x",
        ".",
    ],
)
def test_paths_lead_to_the_files_of_the_page_alone(tmp_path: Path, path: str) -> None:
    with served(make_study(tmp_path / "study")) as (browser, _):
        found = browser().get(f"/static/{path}")
        assert found.status_code == 404
        assert "SQLite" not in found.text
    with served(make_study(tmp_path / "other")) as (browser, _):
        assert browser().get("/static/study.css").status_code == 200


def test_bodies_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, _):
        client = browser()
        begin(client)
        assert client.post("/item/1", data={"remark": "x" * (BODY + 1)}).status_code == 413
        kind = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/item/1", content=b"x", headers={**kind, "content-length": "9" * 20}).status_code == 413
        assert client.post("/item/1", content=b"x", headers={**kind, "content-length": "-1"}).status_code == 413
        many = "&".join(f"f{at}=1" for at in range(1000)).encode()
        assert client.post("/item/1", content=many, headers=kind).status_code == 400


def test_an_endless_body_is_cut_off() -> None:
    read, said = 0, []

    async def endless() -> dict[str, object]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 4096, "more_body": True}

    async def answer(message: dict[str, object]) -> None:
        said.append(message)

    async def never(*_: object) -> None:
        raise AssertionError("the pages were asked")

    scope = {"type": "http", "method": "POST", "path": "/item/1", "scheme": "http", "headers": [], "query_string": b""}
    app = guard.Guard(never, lambda request, name, status: PlainTextResponse(name, status))
    asyncio.run(app(scope, endless, answer))
    assert said[0]["status"] == 413
    assert read <= BODY // 4096 + 1


def test_other_kinds_of_bodies_and_methods_are_refused(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        begin(client)
        assert client.post("/item/1", json={"s0": 1}).status_code == 415
        assert client.post("/item/1", files={"s0": b"1"}).status_code == 415
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/item/1", content=b"\xff\xfe%", headers=headers).status_code == 400
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            assert client.request(method, "/item/1").status_code == 405
        assert records.responses() == []


def test_nul_and_odd_characters_do_no_harm(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study", comment="?")) as (browser, records):
        client = browser()
        page = begin(client)
        sheet = sheets(page.text)[0]
        odd = "a%00b%F0%9F%98%80%ED%A0%80"
        body = "&".join(f"{name}={value}" for name, value in {**sheet.fields, **ANSWERS, "remark": odd}.items())
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/item/1", content=body.encode(), headers=headers).status_code == 200
        assert (records.responses()[0].remark or "").startswith("ab\U0001f600")


def test_starting_is_limited_by_address_and_no_address_is_kept(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", recruiting={"starts_per_minute": 3, "people": 50})
    with served(study) as (browser, records):
        codes = []
        for _ in range(5):
            client = browser()
            page = submit(client, client.get("/"))
            codes.append(page.status_code)
        assert codes == [200, 200, 200, 429, 429]
        assert 1 <= int(page.headers["retry-after"]) <= 60
        assert len(records.participants()) == 3


def test_doors_forget_after_a_minute_and_tell_addresses_apart() -> None:
    now = [0.0]
    doors = RateLimits(clock=lambda: now[0])

    def comes(host: str) -> int:
        return doors.wait(Request({"type": "http", "client": (host, 1), "headers": []}), "start", 2)

    assert [comes("10.0.0.1"), comes("10.0.0.1"), comes("10.0.0.1")] == [0, 0, 60]
    assert comes("10.0.0.2") == 0
    assert b"10.0.0.1" not in repr(doors._times).encode()
    now[0] = 61
    assert comes("10.0.0.1") == 0
    assert len(doors._times) == 1


def test_every_answer_carries_the_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        begin(client)
        monkeypatch.setattr(records, "at_work", None)
        answers = {
            200: client.get("/pause"),
            404: client.get("/nowhere"),
            405: client.request("PUT", "/"),
            500: client.get("/item/1"),
            403: client.post("/start", data={"consent": "yes"}),
            413: client.post("/start", data={"x": "x" * (BODY + 1)}),
        }
        for status, found in {**answers, 201: client.get("/static/study.css")}.items():
            assert found.status_code == (200 if status == 201 else status)
            policy = found.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert found.headers["x-content-type-options"] == "nosniff"
            assert found.headers["referrer-policy"] == "same-origin"
            assert "strict-transport-security" not in found.headers
            if status != 201:
                assert found.headers["cache-control"] == "no-store"
        assert "Traceback" not in answers[500].text
        assert "Your answers up to here are kept" in answers[500].text


def test_pages_hold_no_inline_script_or_style() -> None:
    for path in (Path(guard.__file__).parent / "templates").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:|\|safe", text), path.name


def test_cookies_are_out_of_scripts_reach(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, _):
        client = browser()
        given = client.get("/").headers["set-cookie"]
        client.follow_redirects = False
        sheet = sheets(client.get("/").text)[0]
        data = {**sheet.fields, "consent": "yes"}
        given += "\n" + client.post("/start", data=data).headers["set-cookie"]
        for line in given.splitlines():
            assert "HttpOnly" in line
            assert "SameSite=lax" in line
            assert "Secure" not in line
        client.base_url = "https://testserver"
        secure = browser()
        secure.base_url = "https://testserver"
        found = secure.get("/")
        assert "Secure" in found.headers["set-cookie"]
        assert "strict-transport-security" in found.headers


def test_the_token_is_compared_in_constant_time_and_stands_in_no_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert "compare_digest" in inspect.getsource(Admins.enter)
    assert "verify_signature" in inspect.getsource(guard.forged)
    assert "compare_digest" in inspect.getsource(SigningAlgorithm.verify_signature)
    caplog.set_level(logging.DEBUG)
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = client.get("/researcher")
        assert page.url.path == "/researcher/login"
        assert client.get(f"/researcher?token={TOKEN}").url.path == "/researcher/login"
        assert submit(client, page, token="wrong").status_code == 401
        home = submit(client, page, token=TOKEN)
        assert home.url.path == "/researcher"
        everything = home.text + str(home.url) + str(home.headers) + str([str(one.url) for one in home.history])
        assert TOKEN not in everything
        assert TOKEN not in caplog.text
        assert TOKEN not in str(records.events())
        assert TOKEN not in str(dict(client.cookies))
        cookie = home.history[-1].headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/researcher" in cookie


def test_logging_in_is_limited(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = client.get("/researcher/login")
        codes = [submit(client, page, token=f"guess {at}").status_code for at in range(12)]
        assert codes == [401] * 10 + [429] * 2
        assert [what for _, what, _ in records.events()] == ["login failed"] * 10
        assert submit(client, page, token=TOKEN).status_code == 200


def test_without_a_token_there_is_no_researchers_page(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study"), token=None) as (browser, _):
        assert browser().get("/researcher").status_code == 404
        assert browser().get("/researcher/export/ratings.csv").status_code == 404


def test_a_session_of_the_researcher_ends() -> None:
    now = [0.0]
    admins = Admins(TOKEN, clock=lambda: now[0])
    secret = admins.enter(TOKEN)
    assert secret is not None
    request = Request({"type": "http", "headers": [(b"cookie", f"researcher={secret}".encode())]})
    assert admins.known(request)
    now[0] = 13 * 3600
    assert not admins.known(request)
    assert admins.enter("") is None


def test_it_listens_on_this_machine_alone_and_warns_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from shrinklm.cli.serve import study_serve

    assert inspect.signature(study_serve).parameters["host"].default == "127.0.0.1"
    assert all(map(loopback, ("127.0.0.1", "127.3.2.1", "::1", "localhost")))
    assert not any(map(loopback, ("0.0.0.0", "::", "192.168.1.4", "study.example")))
    study = make_study(tmp_path / "study")
    _say(study, "127.0.0.1", 8000, "drawn")
    assert "warning" not in capsys.readouterr().err
    _say(study, "0.0.0.0", 8000, "drawn")
    assert "nothing is encrypted" in capsys.readouterr().err


def test_no_more_is_kept_of_a_person_than_the_form_asks_for(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    with served(study) as (browser, records):
        client = browser()
        client.headers.update(
            {"user-agent": "Telltale/7.3", "x-forwarded-for": "203.0.113.77", "referer": "https://forum.example"}
        )
        through(client, begin(client, "?PROLIFIC_PID=prolific77&STUDY_ID=study77&SESSION_ID=session77"))
        with records.engine.connect() as c:
            c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "study").iterdir())
    for trace in (
        b"Telltale",
        b"203.0.113.77",
        b"testclient",
        b"forum.example",
        b"prolific77",
        b"study77",
        b"session77",
    ):
        assert trace not in kept


def test_a_form_that_would_redirect_to_a_script_is_refused() -> None:
    from shrinklm.core.errors import StudyError
    from shrinklm.study.design.form import Form

    for bad in ("javascript:alert(1)", "http://pay.example", "//evil.example", "https://"):
        with pytest.raises(StudyError, match="starts with https"):
            Form.parse(form(recruiting={"redirect": bad}), "study.yaml")


def test_a_form_says_only_what_is_on_the_page(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = begin(client)
        sent = {**filled(sheets(page.text)[0], random.Random(0)), "seconds": "1", "kind": "practice", "question": "q5"}
        client.post("/item/1", data=sent)
        (one,) = records.responses()
        assert one.question == "q6"
        assert set(one.values) == {
            "Plausibility",
            "Understandability",
            "Completeness",
            "Satisfaction",
            "Contrastiveness",
        }


def test_a_malformed_origin_is_refused_with_all_headers(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, _):
        for origin in ("http://[", "null", "http://]bad[", "::::"):
            found = browser().post("/start", data={"consent": "yes"}, headers={"origin": origin})
            assert found.status_code == 403, origin
            assert "default-src 'none'" in found.headers["content-security-policy"]


def test_wrong_logins_lock_nobody_out_and_push_nothing_off_the_page(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        records.note("exported", "ratings.csv")
        client = browser()
        page = client.get("/researcher/login")
        codes = [submit(client, page, token="wrong").status_code for _ in range(40)]
        assert codes == [401] * 10 + [429] * 30
        home = submit(client, page, token=TOKEN)
        assert (home.status_code, home.url.path) == (200, "/researcher")
        for _ in range(40):
            records.note("login failed")
        home = client.get("/researcher")
        assert "50 times since" in home.text
        assert "ratings.csv" in home.text


def test_a_look_at_the_head_alone_changes_nothing(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        for _ in range(3):
            assert browser().head("/").status_code == 200
        assert records.number("welcomed") == 0
        client = browser()
        begin(client)
        for path in ("/", "/instructions", "/item/1", "/pause", "/health", "/static/study.css"):
            assert client.head(path).status_code == 200, path
        assert records.responses() == []


def test_a_page_that_fails_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):

        def fail(*_: object) -> None:
            raise RuntimeError("deliberate")

        monkeypatch.setattr(type(records), "by_session", fail)
        client = TestClient(browser().app, raise_server_exceptions=True)
        client.cookies.set("study", "x")
        assert client.get("/").status_code == 500, "nothing is raised once more for the server to log"
        assert [record.message for record in caplog.records if record.exc_info] == ["a page failed"]


def test_another_hosts_word_about_addresses_is_taken_of_named_proxies_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[bool, list[str]]] = []
    _forget_filters(monkeypatch)

    class Server:
        def __init__(self, config: uvicorn.Config) -> None:
            found.append((config.proxy_headers, list(config.forwarded_allow_ips or [])))

        def run(self) -> None:
            pass

    monkeypatch.setattr(uvicorn, "Server", Server)
    home = make_study(tmp_path / "study").home
    assert call("study", "serve", home, "--port", "8765").exit_code == 0
    assert call("study", "serve", home, "--port", "8765", "--proxy", "10.1.2.3", "--proxy", "::1").exit_code == 0
    assert found == [(False, []), (True, ["10.1.2.3/32", "::1/128"])]
    wrong = call("study", "serve", home, "--port", "8765", "--proxy", "caddy")
    assert (wrong.exit_code, "such as --proxy 127.0.0.1" in wrong.output) == (1, True)


def _forget_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server adds to the loggers goes with the test."""
    for name in ("uvicorn.error", "asyncio", "shrinklm.study"):
        monkeypatch.setattr(logging.getLogger(name), "filters", [])


@contextlib.contextmanager
def _listening(study: Study, monkeypatch: pytest.MonkeyPatch, most: int | None = None) -> Iterator[int]:
    """The port of a real server in a thread."""
    _forget_filters(monkeypatch)
    records = Records(study.database, Key.of(study.home))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = server.config(make_app(study, records, TOKEN), "127.0.0.1", port, [])
    if most is not None:
        monkeypatch.setattr(server.Bounded, "most", most)
    running = uvicorn.Server(settings)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        running.should_exit = True
        thread.join(20)
        records.close()


def test_connections_that_are_held_open_stop_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _listening(make_study(tmp_path / "study"), monkeypatch, most=20) as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        for one in held:
            with contextlib.suppress(OSError):
                one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).text == "ok"
        for one in held:
            one.close()


def test_a_request_that_does_not_come_in_time_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD", 0.2)
    monkeypatch.setattr(guard, "TIME", 0.2)
    with _listening(make_study(tmp_path / "study"), monkeypatch) as port:
        for began in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /"):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as slow:
                slow.sendall(began)
                while slow.recv(4096):  # until it is closed
                    pass
        head = b"POST /start HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=5) as slow:
            slow.sendall(head + b"Content-Length: 100\r\n\r\nconsent=")
            assert b" 408 " in slow.recv(4096)


def test_repeated_lines_of_the_log_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(server.time, "monotonic", lambda: now[0])
    folding, said = server.Folding(), []
    for second in (0, 1, 2, 30, 61, 62):
        now[0] = 100.0 + second
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "f.py", 7, "Exceeded.", None, None)
        if folding.filter(record):
            said.append(record.getMessage())
    assert said == ["Exceeded.", "Exceeded. (and 3 more like it since)"]
