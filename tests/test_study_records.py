"""The records hold: on SQLite and on PostgreSQL, from many threads, and over a restart."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text, update

from shrinklm.core.errors import StudyError
from shrinklm.study.design.booklets import Page
from shrinklm.study.records import disk
from shrinklm.study.records import schema as tables
from shrinklm.study.records.database import Records
from shrinklm.study.records.engine import open_async, open_engine
from shrinklm.study.records.key import Key
from shrinklm.study.records.log import utc_now
from shrinklm.study.records.people import Response
from shrinklm.study.records.refused import Busy, Full, Gone, Known

HOUR = timedelta(hours=1)
PAGE = Page("item", "q1", ("A",))


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    base = str(request.getfixturevalue("postgresql"))
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
    for person in (left, done, here):
        records.answer(person.id, 0, PAGE, {"P": 1})
    records.move(done.id, "done")
    with records.engine.begin() as c:
        old = utc_now() - 2 * HOUR
        c.execute(update(tables.participant).where(tables.participant.c.id.in_([left.id, done.id])).values(seen_at=old))
    new = records.begin(3, HOUR, "c")
    assert new.seat == left.seat
    records.answer(new.id, 0, PAGE, {"P": 1}, timeout=HOUR)
    with pytest.raises(Full):
        records.begin(3, HOUR, "c")
    assert records.by_link(records.link(left)) is not None
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


# The file on the disk


def test_a_copy_of_the_file_alone_has_every_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_SOON", 0.05)
    file = tmp_path / "records.db"
    records = Records(f"sqlite:///{file}")
    person = records.begin(4, HOUR, "c")
    records.answer(person.id, 0, PAGE, {"P": 4})
    copy = tmp_path / "copy" / "records.db"
    copy.parent.mkdir()
    deadline = time.monotonic() + 10
    while True:  # while it is served
        copy.write_bytes(file.read_bytes())
        with closing(sqlite3.connect(copy)) as c:
            tables_there = c.execute("SELECT count(*) FROM sqlite_master WHERE name = 'response'").fetchone()[0]
            if tables_there and c.execute("SELECT count(*) FROM response").fetchone()[0] == 1:
                break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    records.answer(person.id, 1, PAGE, {"P": 5})
    records.close()
    copy.write_bytes(file.read_bytes())
    again = Records(f"sqlite:///{copy}")
    assert [response.values for response in again.responses()] == [{"P": 4}, {"P": 5}]
    again.close()


def test_what_was_deleted_is_in_no_file(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path}/records.db")
    people = [records.begin(40, HOUR, "c") for _ in range(3)]
    for person in people:
        for position in range(20):
            records.answer(person.id, position, PAGE, {"P": 4}, f"remark of {person.code} " * 20)
    records.withdraw(people[1].code)
    for file in tmp_path.iterdir():  # the server is still running
        assert f"remark of {people[1].code}".encode() not in file.read_bytes(), file
    records.close()


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    file.touch(0o644)  # of an earlier version
    file.chmod(0o644)
    records = Records(f"sqlite:///{file}")
    records.begin(4, HOUR, "c")
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    records.close()


def test_a_backup_is_whole_while_others_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    records = Records(url)
    people = [records.begin(200, HOUR, "c") for _ in range(20)]
    out = tmp_path / "backup.db"

    def write(number: int) -> None:
        for position in range(5):
            records.answer(people[number].id, position, PAGE, {"P": 1})

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(write, number) for number in range(20)]
        persons, answers = disk.backup(url, out)
        for each in done:
            each.result()
    assert persons == 20
    assert sorted(file.name for file in tmp_path.iterdir() if "backup" in file.name) == ["backup.db"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    restored = Records(f"sqlite:///{out}")
    assert len(restored.responses()) == answers
    assert [person.code for person in restored.participants()] == [person.code for person in people]
    restored.close()
    with pytest.raises(StudyError, match="is there already"):
        disk.backup(url, out)
    records.close()
    (tmp_path / "bad.db").write_bytes(b"no database" * 100)
    with pytest.raises(StudyError, match="cannot be copied"):
        disk.backup(f"sqlite:///{tmp_path}/bad.db", tmp_path / "c.db")
    assert not (tmp_path / "c.db").exists()


def test_a_backup_of_postgresql_names_its_own_tool(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"pg_dump .*postgresql://me:\*\*\*@host/s") as told:
        disk.backup("postgresql://me:hidden@host/s", tmp_path / "b")
    assert "hidden" not in str(told.value)


def test_a_lock_of_another_process_is_waited_for_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.study.records.writer.WAIT", 0.3)
    monkeypatch.setattr("shrinklm.study.records.engine.WAIT", 0.3)
    records = Records(address)
    person = records.begin(4, HOUR, "c")
    other = create_engine(address.replace("postgresql:", "postgresql+pg8000:"))
    with other.connect() as c:
        lock = "BEGIN IMMEDIATE" if "sqlite" in address else "LOCK TABLE participant, response IN EXCLUSIVE MODE"
        c.execute(text(lock))
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(Busy):
                records.answer(person.id, 0, PAGE, {"P": 1})
        took = time.monotonic() - began
        assert 0.25 < took < 2, "the first waits, and where pages follow each other the next do not"
        c.rollback()
    records.answer(person.id, 0, PAGE, {"P": 1})
    assert len(records.responses()) == 1
    other.dispose()
    records.close()


# In an event loop, as a server has them


@contextmanager
def looping(address: str) -> Iterator[tuple[Records, Callable[..., Any]]]:
    """(the records, a function that runs calls of the records in one loop, all at once, and returns their results)."""
    records = Records(address)
    with asyncio.Runner() as runner:

        async def made() -> Records:
            return records.in_loop()

        served = runner.run(made())

        async def every(*calls: tuple[Any, ...]) -> list[Any]:
            code = (served.run(getattr(served, name), *arguments) for name, *arguments in calls)
            return await asyncio.gather(*code, return_exceptions=True)

        yield records, lambda *calls: runner.run(every(*calls))
        runner.run(served.leave())
    records.close()


def test_a_crowd_in_one_loop_gets_a_seat_each_and_loses_nothing(address: str) -> None:
    with looping(address) as (records, every):
        people = every(*(("begin", 60, HOUR, "c") for _ in range(60)))
        assert sorted(person.seat for person in people) == list(range(60))
        assert every(*(("answer", person.id, at, PAGE, {"P": at + 1}) for at in range(3) for person in people)) == (
            180 * [None]
        )
        assert sorted((one.participant, one.position, one.values["P"]) for one in records.responses()) == sorted(
            (person.id, at, at + 1) for person in people for at in range(3)
        )
        again = every(*(("answer", people[0].id, 3, PAGE, {"P": at % 5 + 1}) for at in range(10)))
        assert again == 10 * [None]
        assert len(records.answered(people[0].id)) == 4
        assert [type(one) for one in every(("begin", 60, HOUR, "c"), ("response", 1, 1))] == [Full, Response]
        secrets = every(*(("session", person.id) for person in people))
        found = every(*(("at_work", secret) for secret in secrets))
        assert [person.id for person, _ in found] == [person.id for person in people]


def test_one_loop_goes_on_while_a_page_waits_for_a_lock(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.study.records.engine.WAIT", 0.3)
    with looping(postgresql) as (records, every):
        person = records.begin(4, HOUR, "c")
        with records.engine.connect() as c:
            c.execute(text("LOCK TABLE participant, response IN EXCLUSIVE MODE"))
            ended: list[str] = []
            monkeypatch.setattr(Records, "number", lambda records, key: ended.append(key))
            records_answer = Records.answer

            def answer(*arguments: Any) -> None:
                try:
                    records_answer(*arguments)
                finally:
                    ended.append("answer")

            monkeypatch.setattr(Records, "answer", answer)
            held = every(("answer", person.id, 0, PAGE, {"P": 1}), ("recruit", "open"), ("number", "other page"))
            assert [type(one) for one in held] == [Busy, type(None), type(None)]
            assert ended == ["other page", "answer"]
            c.rollback()
        assert every(("answer", person.id, 0, PAGE, {"P": 1})) == [None]
        assert len(records.responses()) == 1


def test_a_loop_takes_the_address_that_the_commands_take(address: str) -> None:
    engine = open_engine(address, Key())
    asynchronous = open_async(engine)
    assert (asynchronous is None) == ("sqlite" in address)
    engine.dispose()


@pytest.mark.parametrize(
    ("query", "host"),
    [
        ("?unix_sock=/run/postgresql/.s.PGSQL.5433", "/run/postgresql"),
        ("?unix_sock=/run/pg.sock", None),
        ("?unix_sock=/run/pg", None),
        ("", "db"),
        ("?application_name=study", None),
    ],
)
def test_a_loop_reads_options_of_an_address_or_leaves_them_to_the_other_driver(query: str, host: str | None) -> None:
    found = open_async(create_engine(f"postgresql+pg8000://me:secret@{'' if 'unix' in query else 'db'}/study{query}"))
    if host is None:
        assert found is None
    else:
        assert found is not None
        _, told = found.sync_engine.dialect.create_connect_args(found.url)
        assert (told["host"], told.get("port")) == (host, 5433 if query else None)


# Keys


def test_records_of_the_first_schema_are_read_and_old_links_still_work(address: str) -> None:
    from alembic import command
    from alembic.config import Config

    from shrinklm.study.records import engine as engines

    key = Key(b"k" * 32)
    records = Records(address, key)
    config = Config()
    config.set_main_option("script_location", str(Path(engines.__file__).parent / "migrations"))
    with records.engine.begin() as c:
        config.attributes |= {"connection": c, "metadata": tables.metadata, "key": key}
        command.downgrade(config, "0001")
        row = {"code": "AB12-CD34", "link": "an-old-link", "seat": 0, "source": "prolific", "external": "p1"}
        times = {"consented_at": utc_now(), "seen_at": utc_now()}
        old = tables.participant.insert().values(consent="c", stage="items", **row, **times)
        c.execute(old)
        c.execute(text("INSERT INTO seat (number, participant) VALUES (0, 1)"))
    records.close()
    records = Records(address, key)
    person = records.by_link("an-old-link")
    assert person is not None
    assert records.by_link(records.link(person)) == person
    with pytest.raises(Known):
        records.begin(4, HOUR, "c", "prolific", "p1")
    with records.engine.connect() as c:
        stored = str(c.execute(select(tables.participant)).all())
    assert "an-old-link" not in stored
    records.close()


def test_another_key_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Records(address, Key.of(tmp_path)).close()
    Records(address, Key.of(tmp_path)).close()
    (tmp_path / "study.key").unlink()
    with pytest.raises(StudyError, match=r"another key.*Put study.key"):
        Records(address, Key.of(tmp_path))
    (tmp_path / "study.key").write_text("short")
    with pytest.raises(StudyError, match="holds 5 characters"):
        Key.of(tmp_path)
    monkeypatch.setenv("SHRINKLM_STUDY_KEY", "short")
    with pytest.raises(StudyError, match="SHRINKLM_STUDY_KEY has 5 characters"):
        Key.of(tmp_path)
    monkeypatch.setenv("SHRINKLM_STUDY_KEY", "k" * 32)
    assert Key.of(tmp_path).link("A") == Key(b"k" * 32).link("A")
