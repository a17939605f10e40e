"""The researcher's page, and the numbers on it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import mean, stdev

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from shrinklm.study.design.folder import Study
from shrinklm.study.records.database import Records
from shrinklm.study.records.overview import means, overview_of
from study_people import START, answered, stored
from study_site import CONDITIONS, TOKEN, begin, make_study, served, submit
from visitor import sheets, words


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "study", recruiting={"people": 12})


@pytest.fixture
def page(study: Study) -> Iterator[tuple[TestClient, Records]]:
    with served(study) as (browser, records):
        stored(records, *answered(study, 9, careless=2, hasty=1, leaving=2))
        client = browser()
        submit(client, client.get("/researcher"), token=TOKEN)
        yield client, records


def act(client: TestClient, path: str, **data: str) -> str:
    token = sheets(client.get("/researcher").text)[0].fields["csrf"]
    return client.post(f"/researcher/{path}", data={"csrf": token, **data}).text


def test_the_numbers_are_those_of_the_records(study: Study) -> None:
    people, responses = answered(study, 9, careless=2, hasty=1, leaving=2)
    later = START + timedelta(days=1)
    found = overview_of(study, people, responses, 20, later)
    assert (found.welcomed, found.seats, found.started, found.finished, found.underway, found.dropped) == (
        20,
        12,
        9,
        7,
        0,
        2,
    )
    assert overview_of(study, people, responses, 20, people[-1].seen_at).underway == 2
    assert sum(found.where.values()) == 2
    assert set(found.where) == {"Item 4"}
    done = sorted(
        (person.finished_at - person.consented_at).total_seconds() / 60 for person in people if person.finished_at
    )
    assert found.minutes is not None
    assert found.minutes[1] == pytest.approx(done[3])
    items = [one for one in responses if one.kind == "item"]
    assert sum(cell.total for cell in found.cells) == len(items)
    for cell in found.cells:
        counts = [
            sum(one.question == q and one.treatment == (cell.name,) for one in items) for q in study.design.questions
        ]
        assert (cell.least, cell.most) == (min(counts), max(counts))
    assert sum(found.filled.values()) == 18
    assert sum(count * cells for count, cells in found.filled.items()) == len(items)
    met = {one.participant for one in responses if one.kind == "check"}
    assert found.checks == {0: len(met) - 2, 1: 2}
    assert found.left_out["failed attention checks"] == 2
    assert found.left_out["was too fast"] == 1
    assert found.without == 3
    assert {person.code: person.broken for person in found.people if person.broken} == {
        "P000-TEST": ("failed attention checks",),
        "P001-TEST": ("failed attention checks",),
        "P002-TEST": ("was too fast",),
    }
    for cell in found.cells:
        mine = [one.participant for one in items if one.treatment == (cell.name,)]
        assert cell.kept == sum(person > 3 for person in mine) < cell.total


def test_seats_of_those_who_dropped_are_free(study: Study) -> None:
    people, responses = answered(study, 9, leaving=2)
    assert overview_of(study, people, responses, 0, START + timedelta(days=1)).free == 12 - 7
    assert overview_of(study, people, responses, 0, people[-1].seen_at).free == 12 - 9
    # Two on one seat, since the first one came back after it was given on: it is one seat all the same.
    again = [*people, replace(people[-1], id=10, code="P009-TEST")]
    assert overview_of(study, again, responses, 0, START + timedelta(days=1)).free == 12 - 7


def test_an_interval_takes_a_persons_ratings_together(study: Study) -> None:
    people, responses = answered(study, 8, {"multitask": 1.0})
    for found in means(study, people, responses):
        own: dict[int, list[int]] = {}
        for one in responses:
            if one.kind == "item" and one.treatment == (found.condition,):
                own.setdefault(one.participant, []).append(one.values[found.construct])
        each = [mean(given) for given in own.values()]
        # Everybody rated each condition equally often: then it is the interval of people's means, 2.365 being t's
        # quantile with 7 df.
        assert {len(given) for given in own.values()} == {2}
        assert found.value == pytest.approx(mean(each))
        assert found.half == pytest.approx(2.3646 * stdev(each) / 8**0.5, rel=1e-4)
    assert {found.half for found in means(study, people[:1], responses)} == {None}


def test_means_are_of_everybody(study: Study) -> None:
    people, responses = answered(study, 9, {"multitask": 1.5})
    found = {(mean.condition, mean.construct): mean for mean in means(study, people, responses)}
    own = [one.values["Plausibility"] for one in responses if one.kind == "item" and one.treatment == ("multitask",)]
    assert found["multitask", "Plausibility"].value == pytest.approx(sum(own) / len(own))
    assert found["multitask", "Plausibility"].n == len(own)
    assert found["multitask", "Plausibility"].value > found["finetune", "Plausibility"].value + 0.5


def test_shares_of_preferences_add_up_to_a_half(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", "preference")
    found = means(study, *answered(study, 12, {"multitask": 2.0}))
    each = [mean for mean in found if mean.construct == "Preference"]
    assert sum(mean.value * mean.n for mean in each) == pytest.approx(sum(mean.n for mean in each) / 2)
    assert max(each, key=lambda mean: mean.value).condition == "multitask"


def test_nothing_is_seen_without_the_token(study: Study) -> None:
    with served(study) as (browser, records):
        stored(records, *answered(study, 3))
        client = browser()
        for path in ("", "/export/ratings.csv", "/export/people.csv"):
            found = client.get(f"/researcher{path}")
            assert found.url.path == "/researcher/login"
            assert "P000-TEST" not in found.text
        for path in ("recruiting", "withdraw", "means", "logout"):
            data = {"state": "close", "code": "P000-TEST", "sure": "yes"}
            assert client.post(f"/researcher/{path}", data=data).url.path == "/researcher/login"
        assert len(records.participants()) == 3
        assert records.recruiting == "open"
        taking_part = browser()
        begin(taking_part)
        assert taking_part.get("/researcher").url.path == "/researcher/login"


def test_every_action_needs_a_form_of_ours(page: tuple[TestClient, Records]) -> None:
    client, records = page
    for path in ("recruiting", "withdraw", "means", "logout"):
        for data in ({}, {"csrf": "0" * 40}):
            sent = {"state": "close", "code": "P003-TEST", "sure": "yes", **data}
            assert client.post(f"/researcher/{path}", data=sent).status_code == 403
        assert client.get(f"/researcher/{path}").status_code == 405
    assert len(records.participants()) == 9
    assert records.recruiting == "open"
    assert "means shown" not in [what for _, what, _ in records.events()]


def test_means_and_names_are_hidden_until_asked_for_and_that_is_logged(page: tuple[TestClient, Records]) -> None:
    client, records = page
    hidden = client.get("/researcher").text
    for name in CONDITIONS:
        assert name not in hidden
    assert "Plausibility" not in hidden
    assert "Ratings of each question: " in hidden
    shown = act(client, "means")
    for name in CONDITIONS:
        assert name in shown
    assert "Plausibility" in shown
    assert [what for _, what, _ in records.events()] == ["means shown"]


def test_recruiting_is_opened_paused_and_closed(page: tuple[TestClient, Records]) -> None:
    client, records = page
    for state, becomes in (("pause", "paused"), ("close", "closed"), ("open", "open")):
        assert f"Recruiting is {becomes}" in act(client, "recruiting", state=state)
        assert records.recruiting == becomes
    act(client, "recruiting", state="sold")
    assert records.recruiting == "open"


def test_withdrawing_asks_first_and_then_deletes(page: tuple[TestClient, Records]) -> None:
    client, records = page
    asked = act(client, "withdraw", code=" p004-test ")
    assert "answers of this person" in asked
    assert len(records.participants()) == 9
    after = act(client, "withdraw", code="P004-TEST", sure="yes")
    assert len(records.participants()) == 8
    assert "P004-TEST: 4 answers deleted" in words(after)
    assert not [one for one in records.responses() if one.participant == 5]
    assert "Nobody has the code" in act(client, "withdraw", code="P004-TEST", sure="yes")
    assert "&lt;script&gt;" in act(client, "withdraw", code="<script>").lower()


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    home, hostile = tmp_path / "study", "<script>x</script>\"'"
    make_study(home)
    for name in ("design.json", "questions.jsonl"):
        told = (home / name).read_text().replace('"finetune"', json.dumps(hostile)).replace('"q0"', json.dumps(hostile))
        (home / name).write_text(told)
    study = Study.read(home)
    people, responses = answered(study, 9)
    with served(study) as (browser, records):
        stored(records, [replace(people[0], code=hostile[:16], source=hostile[:16]), *people[1:]], responses)
        records.note(hostile, hostile)
        client = browser()
        hidden = submit(client, client.get("/researcher"), token=TOKEN).text
        shown = act(client, "means")
        for page in (hidden, shown, act(client, "withdraw", code=hostile)):
            assert "<script>x" not in page
            assert page.count("&lt;script&gt;x") >= 5
        assert shown.count("&lt;script&gt;x") > hidden.count("&lt;script&gt;x")


def test_a_withdrawn_person_begins_anew(study: Study) -> None:
    with served(study) as (browser, records):
        person, researcher = browser(), browser()
        begin(person)
        submit(researcher, researcher.get("/researcher"), token=TOKEN)
        act(researcher, "withdraw", code=records.participants()[0].code, sure="yes")
        assert "What you agree to" in person.get("/item/1").text


def test_the_tables_can_be_taken_away(page: tuple[TestClient, Records], tmp_path: Path) -> None:
    client, records = page
    found = client.get("/researcher/export/ratings.csv")
    assert found.headers["content-disposition"] == 'attachment; filename="ratings.csv"'
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert len(rows) == sum(one.kind == "item" for one in records.responses())
    (tmp_path / "ratings.parquet").write_bytes(client.get("/researcher/export/ratings.parquet").content)
    assert pq.read_table(tmp_path / "ratings.parquet").num_rows == len(rows)
    assert "link" not in client.get("/researcher/export/people.csv").text
    log = list(csv.DictReader(io.StringIO(client.get("/researcher/export/log.csv").text)))
    assert next((row["what"], row["detail"]) for row in log) == ("exported", "ratings.csv")
    assert client.get("/researcher/export/records.db").status_code == 404
    assert [detail for _, what, detail in records.events() if what == "exported"] == [
        "ratings.csv", "ratings.parquet", "people.csv", "log.csv",
    ]  # fmt: skip


def test_visitors_are_counted_once_and_by_number_alone(study: Study) -> None:
    with served(study) as (browser, records):
        one, two = browser(), browser()
        for client in (one, one, two, one):
            client.get("/")
        assert records.number("welcomed") == 2


def test_logging_out_ends_it(page: tuple[TestClient, Records]) -> None:
    client, _ = page
    cookie = client.cookies["researcher"]
    act(client, "logout")
    assert client.get("/researcher").url.path == "/researcher/login"
    client.cookies.set("researcher", cookie, path="/researcher")
    assert client.get("/researcher").url.path == "/researcher/login"


def test_an_empty_study_has_a_page_too(study: Study) -> None:
    with served(study) as (browser, records):
        client = browser()
        home = submit(client, client.get("/researcher"), token=TOKEN)
        assert "0 of 12 finished" in words(home.text)
        assert "Nobody yet" in home.text
        assert "/export/log.csv" in home.text
        assert "/export/ratings" not in home.text
        assert client.get("/researcher/export/ratings.csv").status_code == 404
        assert records.events() == []
        assert client.post("/researcher/means", data={"csrf": sheets(home.text)[0].fields["csrf"]}).status_code == 200
