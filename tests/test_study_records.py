"""The records hold: on SQLite and on PostgreSQL, from many threads, and over a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text, update

from postgres import NoPostgres, postgres
from shrinklm.core.errors import StudyError
from shrinklm.study.design.booklets import Page
from shrinklm.study.records import schema as tables
from shrinklm.study.records.database import Full, Gone, Known, Records
from shrinklm.study.records.log import utc_now

HOUR = timedelta(hours=1)
PAGE = Page("item", "q1", ("A",))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    try:
        with postgres() as address:
            yield address
    except NoPostgres as why:
        pytest.skip(f"no PostgreSQL: {why}")


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    base = str(request.getfixturevalue("server"))
    engine = create_engine(base.replace("postgresql:", "postgresql+pg8000:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as c:
        c.execute(text("DROP DATABASE IF EXISTS study WITH (FORCE)"))
        c.execute(text("CREATE DATABASE study"))
    engine.dispose()
    return base.rpartition("/")[0] + "/study"


@pytest.fixture
def records(address: str) -> Iterator[Records]:
    found = Records(address)
    yield found
    found.close()


def test_the_schema_is_what_the_migrations_make(records: Records) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with records.engine.connect() as c:
        assert compare_metadata(MigrationContext.configure(c), tables.metadata) == []


def test_a_database_of_a_later_version_is_left_alone(records: Records, address: str) -> None:
    with records.engine.begin() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StudyError, match="later version"):
        Records(address)


def test_sqlite_keeps_every_commit_on_the_disk(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path}/records.db")
    with records.engine.connect() as c:
        assert c.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert c.execute(text("PRAGMA synchronous")).scalar() == 2
        assert c.execute(text("PRAGMA foreign_keys")).scalar() == 1
    records.close()


def test_a_second_answer_takes_the_place_of_the_first(records: Records) -> None:
    person = records.begin(4, HOUR, "c")
    records.show(person, 0)
    for values in ({"P": 3}, {"P": 3}, {"P": 5}):
        records.answer(person.id, 0, PAGE, values, None)
    (found,) = records.responses()
    assert (found.values, found.revisions, found.treatment, found.question) == ({"P": 5}, 1, ("A",), "q1")
    assert 0 <= found.seconds < 5
    assert records.answered(person.id) == {0}


def test_texts_are_kept_as_they_are(records: Records) -> None:
    nasty = "'; DROP TABLE response; -- \u202e \U0001f600 <script>"
    person = records.begin(4, HOUR, "c")
    records.answer(person.id, 0, Page("item", nasty, (nasty,)), {"P": 1}, nasty)
    records.move(person.id, "items", {"age": nasty})
    (found,) = records.responses()
    assert (found.question, found.treatment, found.remark) == (nasty, (nasty,), nasty)
    assert records.participants()[0].about == {"age": nasty}
    assert records.by_session(nasty) is None
    assert records.by_link(nasty) is None


def test_a_platforms_id_opens_nobodys_pages(records: Records) -> None:
    records.begin(4, HOUR, "c", "prolific", "5f3a")
    with pytest.raises(Known):
        records.begin(4, HOUR, "c", "prolific", "5f3a")
    assert records.begin(4, HOUR, "c", "mturk", "5f3a").seat == 1


def test_sixteen_at_once_get_sixteen_seats(records: Records) -> None:
    with ThreadPoolExecutor(16) as pool:
        people = list(pool.map(lambda _: records.begin(16, HOUR, "c"), range(16)))
        assert sorted(person.seat for person in people) == list(range(16))
        list(pool.map(lambda at: records.answer(people[at % 16].id, at // 16, PAGE, {"P": at % 5 + 1}), range(160)))
    assert Counter(found.participant for found in records.responses()) == {person.id: 10 for person in people}
    with pytest.raises(Full):
        records.begin(16, HOUR, "c")


def test_the_same_thing_sent_many_times_at_once_is_done_once(records: Records) -> None:
    person = records.begin(16, HOUR, "c")

    def known(_: int) -> bool:
        try:
            records.begin(16, HOUR, "c", "prolific", "abc")
        except Known:
            return True
        return False

    with ThreadPoolExecutor(16) as pool:
        for position in range(10):
            list(
                pool.map(
                    lambda at, position=position: records.answer(person.id, position, PAGE, {"P": at % 5 + 1}), range(8)
                )
            )
        assert sorted(pool.map(known, range(16))) == [False] + 15 * [True]
        list(pool.map(lambda _: records.count("welcomed"), range(80)))
        list(pool.map(lambda at: records.recruit(("open", "paused")[at % 2]), range(16)))
        list(pool.map(lambda _: records.bind("digest"), range(16)))
    assert [one.position for one in records.responses()] == list(range(10))
    assert records.number("welcomed") == 80
    assert len(records.participants()) == 2


def test_the_seat_of_somebody_who_left_is_free_and_nobody_elses(records: Records) -> None:
    left, done, here = (records.begin(3, HOUR, "c") for _ in range(3))
    records.move(done.id, "done")
    with records.engine.begin() as c:
        old = utc_now() - 2 * HOUR
        c.execute(update(tables.participant).where(tables.participant.c.id.in_([left.id, done.id])).values(seen_at=old))
    assert records.begin(3, HOUR, "c").seat == left.seat
    with pytest.raises(Full):
        records.begin(3, HOUR, "c")
    assert records.by_link(left.link) is not None
    assert here.seat == 2


def test_withdrawing_deletes_and_tells(records: Records) -> None:
    person, other = records.begin(4, HOUR, "c"), records.begin(4, HOUR, "c")
    secret = records.session(person.id)
    for at in range(3):
        records.answer(person.id, at, PAGE, {"P": 1})
    records.answer(other.id, 0, PAGE, {"P": 2})
    assert records.withdraw(f" {person.code.lower()} ") == 3
    assert [found.participant for found in records.responses()] == [other.id]
    assert records.by_session(secret) is None
    assert [what for _, what, _ in records.events()] == ["withdrawn"]
    assert "3 answers deleted" in records.events()[0][2]
    assert records.begin(4, HOUR, "c").seat == person.seat
    with pytest.raises(StudyError, match="Nobody has the code"):
        records.withdraw(person.code)


def test_another_design_is_refused_once_people_have_come(records: Records) -> None:
    records.bind("one")
    records.bind("two")
    records.begin(4, HOUR, "c")
    records.bind("two")
    with pytest.raises(StudyError, match="changed after people had come"):
        records.bind("three")


def test_an_answer_of_somebody_withdrawn_is_not_kept(records: Records) -> None:
    person = records.begin(4, HOUR, "c")
    records.withdraw(person.code)
    with pytest.raises(Gone):
        records.answer(person.id, 0, PAGE, {"P": 1})
    assert records.responses() == []


def test_recruiting_is_kept(records: Records, address: str) -> None:
    assert records.recruiting == "open"
    records.recruit("paused")
    again = Records(address)
    assert again.recruiting == "paused"
    again.close()


def test_a_session_is_kept_as_a_hash_alone(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path}/records.db")
    secret = records.session(records.begin(4, HOUR, "c").id)
    assert records.by_session(secret) is not None
    records.close()
    assert secret.encode() not in (tmp_path / "records.db").read_bytes()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://a:secret@host/x", "SQLite or PostgreSQL"),
        ("nonsense", "no database address"),
        ("postgresql://a:secret@127.0.0.1:1/x", "cannot be opened"),
        ("sqlite:////no/such/folder/records.db", "cannot be opened"),
    ],
)
def test_a_wrong_address_is_told_without_its_password(url: str, says: str) -> None:
    with pytest.raises(StudyError, match=says) as error:
        Records(url)
    assert "secret" not in str(error.value)
