"""The pages of those who take part: the whole way in all three forms, back, breaks, and whatever a person may do on the
way."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cli_cases import call
from shrinklm.core.errors import StudyError
from shrinklm.study.design.booklets import places
from shrinklm.study.design.folder import Study
from shrinklm.study.design.form import CHOICE
from shrinklm.study.records import schema as tables
from shrinklm.study.records.log import utc_now
from shrinklm.study.records.overview import overview_of
from shrinklm.study.web.texts import ENGLISH, Texts
from study_site import CONDITIONS, TOKEN, begin, make_study, served, submit, through
from visitor import sheets, words


@pytest.mark.parametrize("kind", ["rating", "simulation", "preference"])
def test_the_whole_way(kind: str, tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", kind, contact="me@here.example", comment="Anything to add?")
    with served(study) as (browser, records):
        client = browser()
        welcome = client.get("/")
        assert "What is kept" in welcome.text
        page = begin(client)
        assert "Item 1 of 8" in page.text
        assert "to practise on" in page.text
        end = through(client, page)
        assert "THANK-YOU" in end.text
        (person,) = records.participants()
        assert person.stage == "done"
        assert person.finished_at is not None
        assert person.about is not None
        responses = records.responses()
        assert [one.kind for one in responses].count("check") == 1
        assert len(responses) == 8
        assert places([study.booklet(person.seat)]) == {
            (one.question, tuple(sorted(one.treatment))): 1 for one in responses if one.kind == "item"
        }
        assert all(set(one.values) == set(study.form.constructs) for one in responses)
        assert client.get("/item/3").url.path == "/done"


def test_no_page_tells_a_condition_or_the_right_answer(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    with served(study) as (browser, _):
        client = browser()
        page = begin(client)
        seen = []
        while page.url.path != "/done":
            seen.append(page.text + str(page.headers) + str(dict(client.cookies)))
            page = submit(client, page)
        for text in seen:
            for word in (*CONDITIONS, "stratum", "differ", "gold", "tiny--s0", '"q1"'):
                assert word not in text


def test_each_step_is_what_was_chosen(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = begin(client)
        chosen = iter("51423" * 20)
        page = submit(client, page, choose=lambda name, values: next(chosen))
        (one,) = records.responses()
        assert list(one.values.values()) == [5, 1, 4, 2, 3]
        assert one.seconds >= 0


def test_a_guess_and_a_preference_are_kept_by_number(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "sim", "simulation")) as (browser, records):
        page = begin(browser := browser())
        submit(browser, page, choice="3", s0="2")
        assert records.responses()[0].values == {CHOICE: 3, "Confidence": 2}
    with served(make_study(tmp_path / "pref", "preference")) as (browser, records):
        page = begin(browser := browser())
        submit(browser, page, s0="0", s1="2")
        assert records.responses()[0].values == {"Preference": 0, "Contrastiveness": 2}


def test_what_is_missing_is_said_and_nothing_chosen_is_lost(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study", comment="Anything?")) as (browser, records):
        client = browser()
        page = begin(client)
        again = submit(client, page, s0="4", s1="", remark="so far so good")
        assert again.status_code == 422
        assert "Something is still open" in again.text
        assert "Please answer: The explanation is easy to follow." in words(again.text)
        (sheet,) = sheets(again.text)
        assert sheet.fields["s0"] == "4"
        assert "so far so good" in again.text
        assert 'aria-invalid="true"' in again.text
        assert records.responses() == []
        for bad in ("6", "0", "x", "1.5", "-1", " 1", "99999999999999999999"):
            assert submit(client, page, s0=bad).status_code == 422
        assert records.responses() == []


def test_without_the_tick_nobody_begins(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = submit(client, client.get("/"), consent="")
        assert page.status_code == 422
        assert "Please tick the box" in page.text
        assert records.participants() == []


def test_back_shows_what_was_said_and_takes_another_answer(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = submit(client, begin(client), s0="2")
        assert page.url.path == "/item/2"
        back = client.get("/item/1")
        assert sheets(back.text)[0].fields["s0"] == "2"
        page = submit(client, back, choose=lambda name, values: sheets(back.text)[0].fields[name], s0="5")
        assert page.url.path == "/item/2"
        (one,) = records.responses()
        assert (one.values["Plausibility"], one.revisions) == (5, 1)


def test_nobody_jumps_ahead(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        begin(client)
        assert client.get("/item/5").url.path == "/item/1"
        assert client.get("/done").url.path == "/item/1"
        token = sheets(client.get("/item/1").text)[0].fields["csrf"]
        page = client.post("/item/5", data={"csrf": token, **{f"s{at}": "3" for at in range(5)}})
        assert page.url.path == "/item/1"
        assert records.responses() == []
        for number in ("0", "9", "1000000000000"):
            assert client.get(f"/item/{number}").status_code == 404
        assert client.get("/item/-1").status_code == 404


def test_sending_twice_is_once(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = begin(client)
        sheet = sheets(page.text)[0]
        data = {**sheet.fields, **{f"s{at}": "3" for at in range(5)}}
        for _ in range(3):
            assert client.post("/item/1", data=data).url.path == "/item/2"
        (one,) = records.responses()
        assert one.revisions == 0


def test_two_tabs_lead_to_one_set_of_answers(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        first = begin(client)
        second = client.get("/item/1")
        submit(client, first, s0="1")
        submit(client, client.get("/item/2"))
        page = submit(client, second, s0="5")
        assert page.url.path == "/item/2"
        through(client, page)
        assert len(records.responses()) == 8
        assert records.responses()[0].values["Plausibility"] == 5


def test_a_break_and_back_by_the_link_on_another_device(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = submit(client, begin(client))
        paused = client.get("/pause")
        link = re.search(r"/resume/[\w-]+", paused.text)
        assert link is not None
        assert link.group() in page.text
        other = browser()
        shown = other.get(link.group())
        assert other.get("/item/2").url.path == "/", "opening the link alone begins nothing"
        assert submit(other, shown).url.path == "/item/2"
        through(other, other.get("/"))
        assert len(records.participants()) == 1
        assert client.get("/").url.path == "/done"


def test_seconds_leave_the_time_with_the_page_closed_out(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        page = begin(client)
        with records.engine.begin() as c:
            c.execute(update(tables.participant).values(opened_at=utc_now() - timedelta(hours=3)))
        submit(client, client.get("/"))
        assert records.responses()[0].seconds < 5
        assert page.status_code == 200


def test_a_full_study_says_so(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", recruiting={"people": 2})
    with served(study) as (browser, records):
        for _ in range(2):
            through(client := browser(), begin(client))
        page = submit(client := browser(), client.get("/"))
        assert page.status_code == 403
        assert "All places are taken" in page.text
        assert len(records.participants()) == 2


HOUR = timedelta(hours=1)


def test_a_seat_is_taken_with_the_first_answer_and_nobody_takes_all_by_pressing_start(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", recruiting={"people": 6, "starts_per_minute": None})
    with served(study) as (browser, records):
        started = [browser() for _ in range(5)]
        for client in started:
            submit(client, client.get("/"), consent="yes")
        other = browser()
        refused = submit(other, other.get("/"), consent="yes")
        assert refused.status_code == 429, "starts a minute are bounded below the seats"
        site_limits = records.participants()
        assert [person.seat for person in site_limits] == [0, 1, 2, 3, 4]
        overview = overview_of(study, records.participants(), records.responses(), 0, utc_now())
        assert overview.free == 6
        people = [records.begin(6, HOUR, "c") for _ in range(5)]
        assert [person.seat for person in people] == [5, 0, 1, 2, 3], "where fewest others have begun"
        # Two answer for seat 0, the second beside it; nobody's answer is refused.
        for person in (people[1], site_limits[0]):
            records.answer(person.id, 0, study.booklet(0)[0], {"Plausibility": 1}, timeout=HOUR)
        with records.engine.connect() as c:
            assert c.execute(select(tables.seat.c.number, tables.seat.c.participant)).all() == [(0, people[1].id)]
        assert len(records.responses()) == 2


def test_more_people_than_seats_get_further_booklets_where_the_form_says_so(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", recruiting={"people": 2, "more": True})
    with served(study) as (browser, records):
        for _ in range(4):
            through(client := browser(), begin(client))
        assert [person.seat for person in records.participants()] == [0, 1, 2, 3]
        assert all(person.finished_at for person in records.participants())


def test_a_researcher_frees_many_seats_at_once(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", recruiting={"people": 4})
    with served(study) as (browser, records):
        clients = [browser() for _ in range(4)]
        pages = [submit(client, begin(client)) for client in clients]
        other = browser()
        assert submit(other, other.get("/"), consent="yes").status_code == 403
        with records.engine.begin() as c:
            late = tables.participant.c.id < 4
            c.execute(update(tables.participant).where(late).values(seen_at=utc_now() - timedelta(minutes=40)))
        admin = browser()
        submit(admin, admin.get("/researcher"), token=TOKEN)
        home = admin.get("/researcher")
        csrf = re.search(r'name="csrf" value="([^"]+)"', home.text)
        assert csrf is not None
        for wrong in ("0", "-1", "x", "9" * 30, "²"):
            assert admin.post("/researcher/free", data={"csrf": csrf[1], "minutes": wrong}).status_code == 400
        freed = admin.post("/researcher/free", data={"csrf": csrf[1], "minutes": "30"})
        assert freed.status_code == 200
        assert records.events()[-1][1:3] == ("seats freed", records.events()[-1][2])
        assert records.events()[-1][2].startswith("3, last seen before")
        new = [begin(browser()) for _ in range(3)]
        assert [page.status_code for page in new] == [200] * 3
        assert len(records.responses()) == 4, "what the others said is kept"
        assert submit(clients[0], pages[0]).status_code == 200, "and they may go on"


def test_pausing_stops_those_who_would_begin_and_nobody_else(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        inside, before = browser(), browser()
        page = begin(inside)
        form = before.get("/")
        records.recruit("paused")
        assert "Not open at the moment" in browser().get("/").text
        assert submit(before, form).status_code == 403
        through(inside, page)
        assert len(records.participants()) == 1


def test_platforms_are_known_and_their_ids_kept_only_when_asked(tmp_path: Path) -> None:
    for keep in (False, True):
        study = make_study(
            tmp_path / str(keep),
            recruiting={"keep_id": keep, "code": "C123", "redirect": "https://pay.example/done?cc={code}"},
        )
        with served(study) as (browser, records):
            client = browser()
            end = through(client, begin(client, "?PROLIFIC_PID=abc123&STUDY_ID=s&SESSION_ID=t"))
            assert 'href="https://pay.example/done?cc=C123"' in end.text
            begin(browser(), "?workerId=W9&assignmentId=A1&hitId=H")
            begin(browser(), "?PROLIFIC_PID=<script>")
            assert [person.source for person in records.participants()] == ["prolific", "mturk", "direct"]
            assert [person.external for person in records.participants()] == (
                ["abc123", "W9", None] if keep else [None] * 3
            )
            if keep:
                again = browser()
                page = submit(again, again.get("/?PROLIFIC_PID=abc123"))
                assert page.status_code == 403
                assert "You have begun already" in page.text
            assert "/start" not in browser().get("/?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE").text


def test_demographics_may_each_be_declined(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study", demographics=[
        {"name": "age", "asks": "Age?", "options": ["young", "old"]}, {"name": "job", "asks": "Job?"},
    ])) as (browser, records):  # fmt: skip
        for d0, d1 in (("", ""), ("old", "baker"), ("made up", "x" * 500)):
            client = browser()
            page = client.get("/")
            while page.url.path != "/about":
                page = submit(client, page)
            submit(client, page, choose=lambda name, values: "", d0=d0, d1=d1)
        assert [person.about for person in records.participants()] == [
            {},
            {"age": "old", "job": "baker"},
            {"job": "x" * 200},
        ]


def test_a_study_without_demographics_or_practice(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", demographics=[], practice=0, checks={"rate": 0})
    with served(study) as (browser, records):
        page = begin(client := browser())
        assert "Item 1 of 6" in page.text
        through(client, page)
        assert len(records.responses()) == 6


def test_a_check_says_what_to_choose_and_nothing_else_tells_it(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    with served(study) as (browser, _):
        client = browser()
        page = begin(client)
        pages = study.booklet(0)
        for number, one in enumerate(pages, 1):
            page = client.get(f"/item/{number}")
            assert ("This item checks" in page.text) == (one.kind == "check")
            if one.kind == "check":
                label = study.form.scale.labels[(one.wanted or 0) - 1]
                assert f"choose “{label}” every time" in page.text
                assert "check" not in re.sub(r"<blockquote>.*?</blockquote>", "", page.text, flags=re.DOTALL)
            submit(client, page)


def test_a_baseline_shows_that_there_is_no_explanation(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", "simulation")
    text = (tmp_path / "study" / "questions.jsonl").read_text()
    (tmp_path / "study" / "questions.jsonl").write_text(re.sub(r'"explanation": "[^"]*"', '"explanation": ""', text))
    with served(type(study).read(tmp_path / "study")) as (browser, _):
        page = begin(browser())
        assert "No explanation is shown" in page.text
        assert "The program answered" not in page.text


def test_statements_can_be_shuffled_and_stay_so(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study", shuffle_statements=True)) as (browser, records):
        orders = set()
        for _ in range(6):
            client = browser()
            page = begin(client)
            order = tuple(re.findall(r"<legend>(.*?)</legend>", page.text))
            assert order == tuple(re.findall(r"<legend>(.*?)</legend>", client.get("/item/1").text))
            orders.add(order)
        assert len(orders) > 2
        submit(client, page, s0="1", s1="2", s2="3", s3="4", s4="5")
        assert list(records.responses()[0].values.values()) != []
        assert records.responses()[0].values["Plausibility"] == 1


def test_a_session_that_is_gone_does_not_stand_in_the_way(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, records):
        client = browser()
        begin(client)
        records.withdraw(records.participants()[0].code)
        client.cookies.delete("visit")
        begin(client)
        assert [person.stage for person in records.participants()] == ["items"]


def test_a_study_can_be_translated(tmp_path: Path) -> None:
    texts = {key: f"Ü {text}" for key, text in yaml.safe_load(ENGLISH.read_text(encoding="utf-8")).items()}
    study = make_study(tmp_path / "study", texts="de.yaml", language="de")
    (tmp_path / "study" / "de.yaml").write_text(yaml.safe_dump(texts, allow_unicode=True), encoding="utf-8")
    with served(study) as (browser, _):
        client = browser()
        page = begin(client)
        assert '<html lang="de">' in page.text
        assert "Ü Item 1 of 8" in page.text
        shown = through(client, page).text
        plain = [
            text for text in texts.values() if len(text) > 5 and text.removeprefix("Ü ") in shown and text not in shown
        ]
        assert plain == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"start": None}, "lacks start"),
        ({"begin": "x"}, "unknown here, begin"),
        ({"progress": "Seite {number}"}, "must hold the same"),
        ({"next": "weiter {"}, "a brace too many or too few"),
        ({"next": 3}, "must hold a text for each key"),
    ],
)
def test_a_wrong_translation_is_told(tmp_path: Path, change: dict[str, object], says: str) -> None:
    texts = {**yaml.safe_load(ENGLISH.read_text(encoding="utf-8")), **change}
    path = tmp_path / "de.yaml"
    path.write_text(yaml.safe_dump({key: text for key, text in texts.items() if text is not None}), encoding="utf-8")
    with pytest.raises(StudyError, match=says):
        Texts.read(path)
    with pytest.raises(StudyError, match="cannot be read"):
        Texts.read(tmp_path / "none.yaml")


def test_every_text_is_used() -> None:
    folder = ENGLISH.parent
    code = "".join(
        path.read_text(encoding="utf-8") for path in [*folder.glob("*.py"), *folder.glob("templates/*.html")]
    )
    for key in yaml.safe_load(ENGLISH.read_text(encoding="utf-8")):
        note = re.sub(r"_(title|text)$", "", key)
        assert f'"{key}"' in code or f"'{key}'" in code or f'"{note}"' in code, key


def test_another_person_can_follow_on_the_same_device(tmp_path: Path) -> None:
    with served(make_study(tmp_path / "study")) as (browser, _):
        end = through(client := browser(), begin(client))
        assert sheets(end.text) == [], "only where the form says so"
    with served(make_study(tmp_path / "laboratory", recruiting={"same_device": True})) as (browser, records):
        client = browser()
        end = through(client, begin(client))
        cookie = client.cookies["study"]
        submit(client, end)
        assert records.by_session(cookie) is None, "a copied cookie opens nothing either"
        begin(client)
        assert [person.stage for person in records.participants()] == ["done", "items"]


def test_a_changed_design_is_refused(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    with served(study) as (browser, _):
        begin(browser())
    text = (tmp_path / "study" / "study.yaml").read_text().replace("The reasons given are believable.", "I believe it.")
    (tmp_path / "study" / "study.yaml").write_text(text)
    with pytest.raises(StudyError, match="changed after people had come"), served(type(study).read(tmp_path / "study")):
        pass


def _serve(home: Path, port: int) -> tuple[subprocess.Popen[str], list[str]]:
    """A server in a process of its own, once it answers; and the command."""
    command = [sys.executable, "-m", "shrinklm", "study", "serve", str(home), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "SHRINKLM_STUDY_TOKEN"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    for _ in range(300):
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
            return server, command
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(server.communicate(timeout=5)[0])


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_and_stops_when_asked(tmp_path: Path, stop: signal.Signals) -> None:
    make_study(tmp_path / "study")
    port = _port()
    server, command = _serve(tmp_path / "study", port)
    try:
        page = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
        assert "How good are these explanations?" in page.text
        assert "server" not in page.headers
        taken = subprocess.run(command, capture_output=True, text=True, check=False)
        assert taken.returncode == 1
        assert f"--port {port + 1}" in taken.stderr
    finally:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, trust_env=False) as client:
            submit(client, begin(client))
        server.send_signal(stop)
        said = server.communicate(timeout=20)[0]
    assert "participants  http://127.0.0.1" in said
    token = re.search(r"token +(\S{20,})", said)
    assert token is not None
    assert "Every answer is kept" in said
    assert "GET /" not in said
    assert token.group(1).encode() not in b"".join(path.read_bytes() for path in (tmp_path / "study").iterdir())
    assert not (tmp_path / "study" / "records.db-wal").exists(), "the file holds everything by itself"
    with closing(sqlite3.connect(tmp_path / "study" / "records.db")) as c:
        assert c.execute("SELECT count(*) FROM response").fetchone() == (1,)


def test_a_backup_is_made_by_a_command_and_served_in_the_place_of_the_records(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    none = call("study", "backup", study.home, tmp_path / "b.db")
    assert (none.exit_code, "no records yet" in none.output) == (1, True)
    with served(study) as (browser, _):
        first = browser()
        page = submit(first, begin(first))
        done = call("study", "backup", study.home, tmp_path / "b.db")
        assert done.exit_code == 0, done.output
        assert "1 people, 1 answers" in done.output
        submit(first, page)
    (study.home / "records.db").write_bytes((tmp_path / "b.db").read_bytes())
    with served(study) as (_, records):
        assert [len(records.participants()), len(records.responses())] == [1, 1]
        assert first.get("/").status_code == 200


def test_rules_are_kept_before_the_first_answer_and_each_later_change_is_named(tmp_path: Path) -> None:
    rules = {"failed_checks": None, "faster_than": 3.0}
    study = make_study(tmp_path / "study", analysis={"reference": "multitask"}, exclusions=rules)
    first = call("study", "register", study.home)
    assert first.exit_code == 0, first.output
    digest = re.search(r"SHA-256 ([0-9a-f]{64})", first.output)
    assert digest is not None
    page = (study.home / "preregistration.html").read_text()
    assert digest[1] in page
    for said in ("analysis.reference", "exclusions.faster_than", "multitask", "Understandability"):
        assert said in page, said
    file = study.home / "study.yaml"
    data = yaml.safe_load(file.read_text())
    data["exclusions"]["faster_than"] = None
    file.write_text(yaml.safe_dump(data))
    with served(Study.read(study.home)) as (browser, records):
        for _ in range(3):
            client = browser()
            through(client, begin(client))
        kept = records.kept("rules")
        assert kept is not None
        assert kept.digest != digest[1]
        assert kept.rules["exclusions.faster_than"] is None
    late = call("study", "register", study.home)
    assert (late.exit_code, "did not stand before" in late.output) == (1, True)
    done = call("study", "analyze", study.home, "--reference", "finetune", "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a.json").read_text())["rules"]
    assert found["registered"] <= found["first"]
    assert found["changes"] == [
        {"rule": "exclusions.faster_than", "before": 3.0, "after": None, "since": "registered"},
        {"rule": "analysis.reference", "before": "multitask", "after": "finetune", "since": "registered"},
    ]
    report = (study.home / "analysis" / "report.html").read_text()
    assert "2 of the rules changed after" in report
    assert "Rules changed after they had been kept: exclusions.faster_than, analysis.reference." in report


def test_while_another_process_holds_the_records_what_was_sent_is_kept_and_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shrinklm.study.records.writer.WAIT", 0.2)
    study = make_study(tmp_path / "study", comment="Anything to add?")
    with served(study) as (browser, records):
        client = browser()
        page = begin(client)
        with closing(sqlite3.connect(study.home / "records.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            held = submit(client, page, remark='a "remark" <b>')
            assert held.status_code == 503
            assert held.headers["retry-after"] == "3"
            assert "What you entered is kept" in held.text
            assert client.get(page.url.path).status_code == 200, "pages that change nothing are shown"
            assert client.get("/health").status_code == 200
            assert submit(client, held).status_code == 503
            assert time.monotonic() - began < 3
            other.execute("ROLLBACK")
        following = submit(client, held)
        assert (following.status_code, following.url.path) == (200, "/item/2")
        assert [response.remark for response in records.responses()] == ['a "remark" <b>']


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("INSERT", {}, sqlite3.OperationalError("disk I/O error")), 503),
        (DBAPIError("INSERT", {}, Exception("53100 could not extend file")), 503),
        (PoolTimeout("every connection is in use"), 503),
        (ConnectionRefusedError(111, "Connection refused"), 503),
        (IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE constraint failed")), 500),
        (KeyError("x"), 500),
    ],
)
def test_a_database_that_fails_for_a_while_keeps_what_was_sent_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    with served(make_study(tmp_path / "study", comment="Anything?")) as (browser, records):
        client = browser()
        page = begin(client)
        with monkeypatch.context() as failing:
            failing.setattr(records, "answer", fail)
            held = submit(client, page, remark="mine")
            assert held.status_code == status
            assert ("mine" in held.text) == (status == 503)
            said = {503: "the database cannot be used", 500: "a page failed"}[status]
            assert [record.message for record in caplog.records if record.exc_info] == [said]
        if status == 503:
            assert submit(client, held).url.path == "/item/2"
            assert [one.remark for one in records.responses()] == ["mine"]
