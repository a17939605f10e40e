"""A study's server is killed, stopped, doubled, upgraded, and runs out of disk: what it acknowledged is there.

Real servers in processes of their own, and people who answer at once.
"""

from __future__ import annotations

import contextlib
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from forked import Forked
from shrinklm.study.design.folder import Study
from shrinklm.study.records import schema as tables
from shrinklm.study.records.database import Records
from shrinklm.study.records.key import Key
from shrinklm.study.records.log import utc_now
from shrinklm.study.records.refused import Known
from shrinklm.study.records.sessions import secret_hash
from study_site import TOKEN, begin, make_study, submit, through
from visitor import filled, sheets


class Server(Forked):
    """`shrinklm study serve`."""

    uses = ("shrinklm.study.web.server", "shrinklm.cli.study")


Given = dict[tuple[str, int], list[str]]
"""(link, position) → the steps that a server acknowledged, in the order of the page's fields."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str | None:
    """The address of an empty database; None: the file of the study."""
    return None if request.param == "sqlite" else _empty(str(request.getfixturevalue("postgresql")))


def _empty(server: str) -> str:
    engine = create_engine(server.replace("postgresql:", "postgresql+pg8000:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as c:
        c.execute(text("DROP DATABASE IF EXISTS study WITH (FORCE)"))
        c.execute(text("CREATE DATABASE study"))
    engine.dispose()
    return server.rpartition("/")[0] + "/study"


@contextmanager
def serving(study: Study, folder: Path, database: str | None = None) -> Iterator[tuple[Forked, str]]:
    """(a server in a process of its own, its address)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    options = ["--database", database] if database else []
    arguments = ["study", "serve", str(study.home), "--port", str(port), *options]
    server = Server(arguments, folder, SHRINKLM_STUDY_TOKEN=TOKEN)
    try:
        base = f"http://127.0.0.1:{port}"
        while True:
            assert server.poll() is None, server.err.read_text()
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{base}/health", trust_env=False)
                break
            time.sleep(0.02)
        yield server, base
    finally:
        server.close()


class Crowd:
    """People who answer as fast as they can, each at one of the servers in turn, until there is none or `stop`."""

    def __init__(self, bases: Sequence[str], people: int = 3) -> None:
        self.given: Given = {}
        self.wrong: list[str] = []
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=self._person, args=(bases, n)) for n in range(people)]
        for thread in self._threads:
            thread.start()

    def until(self, answers: int) -> None:
        """Waits until so many are acknowledged."""
        deadline = time.monotonic() + 60
        while len(self.given) < answers and not self.wrong:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        """Waits for everybody to end."""
        self.ended.set()
        for thread in self._threads:
            thread.join(60)
        assert self.wrong == []

    def _person(self, bases: Sequence[str], number: int) -> None:
        rng = random.Random(number)
        with contextlib.suppress(httpx.TransportError):
            while not self.ended.is_set():
                with httpx.Client(follow_redirects=True, trust_env=False, timeout=30) as client:
                    self._whole_way(client, bases, rng)

    def _whole_way(self, client: httpx.Client, bases: Sequence[str], rng: random.Random) -> None:
        client.base_url = rng.choice(bases)
        page = client.get("/")
        while page.url.path != "/done" and not self.ended.is_set():
            client.base_url = rng.choice(bases)
            sheet = sheets(page.text)[0]
            sent = filled(sheet, rng)
            link = re.search(r"/resume/([\w-]+)", page.text)
            page = client.post(sheet.action, data=dict(sent), follow_redirects=False)
            if page.status_code != 303:
                self.wrong.append(f"{sheet.action}: {page.status_code} {page.text}")
                return
            if "/item/" in sheet.action:
                assert link is not None
                at = int(sheet.action.rpartition("/")[2]) - 1
                self.given[link[1], at] = [sent[name] for name in sorted(sheet.choices)]
            page = client.get(page.headers["location"])


def kept(url: str, home: Path) -> Given:
    """What a database holds, as `Crowd` counts it."""
    records = Records(url, Key.of(home))
    links = {person.id: records.link(person) for person in records.participants()}
    found = {
        (links[one.participant], one.position): [str(step) for step in one.values.values()]
        for one in records.responses()
    }
    records.close()
    return found


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_while_people_answer_loses_nothing(
    tmp_path: Path, database: str | None, stop: signal.Signals
) -> None:
    study = make_study(tmp_path / "study", recruiting={"people": 500})
    with serving(study, tmp_path / "one", database) as (server, base):
        crowd = Crowd([base])
        crowd.until(24)
        server.send(stop)
        code = server.wait()
        crowd.stop()
    assert code == (-signal.SIGKILL if stop == signal.SIGKILL else 0), server.err.read_text()
    if database is None:
        log = study.home / "records.db-wal"
        assert log.exists() == (stop == signal.SIGKILL), "asked to stop, it leaves one file that holds everything"
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in (study.home / "records.db", log):
            if file.exists():
                shutil.copy(file, copy)
        assert crowd.given.items() <= kept(f"sqlite:///{copy}/records.db", study.home).items()
    found = kept(database or study.database, study.home)
    assert crowd.given.items() <= found.items()
    assert len(found) - len(crowd.given) <= 3, "of each person one answer may have been kept before it was acknowledged"
    with serving(study, tmp_path / "two", database) as (_, base):
        for link, last in [*dict(sorted(found)).items()][:2]:
            with httpx.Client(base_url=base, follow_redirects=True, trust_env=False) as client:
                page = submit(client, client.get(f"/resume/{link}"))
                assert page.url.path in ({"/done", "/item/8"} if last == 7 else {f"/item/{last + 2}"})
                through(client, page)
    assert found.items() <= kept(database or study.database, study.home).items()


def test_two_servers_on_one_file_take_each_seat_once_and_lose_nothing(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", recruiting={"people": 500})
    with serving(study, tmp_path / "one") as (first, one), serving(study, tmp_path / "two") as (_, two):
        crowd = Crowd([one, two])
        crowd.until(30)
        crowd.stop()
        first.send(signal.SIGKILL)
        first.wait()
        crowd.given |= (others := Crowd([two])).given
        others.until(10)
        others.stop()
        given = crowd.given | others.given
    assert kept(study.database, study.home) == given
    with closing(sqlite3.connect(study.home / "records.db")) as c:
        assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        seats = [seat for (seat,) in c.execute("SELECT seat FROM participant")]
    assert max(Counter(seats).values()) == 1


def _filled_by_a_limit(server: Forked, study: Study) -> Iterator[None]:
    """No file may grow."""
    _, most = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, most))
    yield
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, most))


def _filled(server: Forked, study: Study) -> Iterator[None]:
    """Another file takes all the room."""
    filler = study.home / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


@pytest.mark.parametrize("full", [_filled_by_a_limit, _filled])
def test_a_full_disk_keeps_what_was_entered_on_the_page(
    tmp_path: Path, request: pytest.FixtureRequest, full: object
) -> None:
    home = tmp_path / "disk"
    home.mkdir()
    if full is _filled:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "none", home], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("no file system of its own can be mounted here")
        request.addfinalizer(lambda: subprocess.run(["umount", "--lazy", home], check=True))
    study = make_study(home / "study", comment="Anything to add?", recruiting={"people": 500})
    with serving(study, tmp_path / "server") as (server, base):
        crowd = Crowd([base])
        crowd.until(12)
        crowd.stop()
        with httpx.Client(base_url=base, follow_redirects=True, trust_env=False) as client:
            page = submit(client, begin(client))
            filling = full(server, study)  # type: ignore[operator]
            next(filling)
            remark = "what I think of it & <b>more</b> " * 20
            for _ in range(30):  # what was written before may have left room in the log
                held = submit(client, page, remark=remark)
                if held.status_code != 200:
                    break
                page = held
            assert (held.status_code, held.headers["retry-after"]) == (503, "3")
            assert "What you entered is kept on this page" in held.text
            sheet = sheets(held.text)[0]
            assert (sheet.action, sheet.fields["remark"]) == (page.url.path, remark)
            assert submit(client, held).status_code == 503
            assert client.get(page.url.path).status_code == 200, "pages that are only read are shown"
            before = kept_so_far(study)
            assert crowd.given.items() <= before.items()
            next(filling, None)
            following = submit(client, held)
            assert (following.status_code, following.url.path != page.url.path) == (200, True)
            through(client, following)
        server.send(signal.SIGKILL)
        server.wait()
    after = kept(study.database, study.home)
    assert before.items() <= after.items()
    assert Counter(link for link, _ in after).most_common(1)[0][1] == 8
    with closing(sqlite3.connect(study.home / "records.db")) as c:
        assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def kept_so_far(study: Study) -> Given:
    """What can be read while the disk is full."""
    key = Key.of(study.home)
    with closing(sqlite3.connect(f"file:{study.home}/records.db?mode=ro", uri=True)) as c:
        links = {number: key.link(code) for number, code in c.execute("SELECT id, code FROM participant")}
        rows = c.execute('SELECT participant, position, "values" FROM response')
        return {(links[who], at): re.findall(r": (\d+)", values) for who, at, values in rows}


def until_kept(client: httpx.Client, page: httpx.Response) -> httpx.Response:
    """Sends again what a page could not keep."""
    for _ in range(20):
        if page.status_code != 503:
            break
        page = submit(client, page)
    return page


def test_a_server_of_postgresql_that_goes_away_for_a_while_costs_no_answer(tmp_path: Path, postgresql: str) -> None:
    study, database = make_study(tmp_path / "study", comment="Anything to add?"), _empty(postgresql)
    admin = create_engine(postgresql.replace("postgresql:", "postgresql+pg8000:"), isolation_level="AUTOCOMMIT")

    def away(allowed: str) -> None:
        with admin.connect() as c:
            c.execute(text(f"ALTER DATABASE study ALLOW_CONNECTIONS {allowed}"))
            c.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'study'"))

    with (
        serving(study, tmp_path / "server", database) as (_, base),
        httpx.Client(base_url=base, follow_redirects=True, trust_env=False) as client,
    ):
        page = begin(client)
        away("true")  # as after a restart: every connection is gone, new ones can be had
        page = until_kept(client, submit(client, page, remark="mine"))
        assert page.url.path == "/item/2"
        away("false")
        for _ in range(3):
            held = submit(client, page, remark="mine too")
            assert (held.status_code, sheets(held.text)[0].fields["remark"]) == (503, "mine too")
        assert client.get("/health").status_code == 503
        away("true")
        page = until_kept(client, held)
        assert page.url.path == "/item/3"
        through(client, page)
    admin.dispose()
    records = Records(database, Key.of(study.home))
    assert [one.remark for one in records.responses()][:2] == ["mine", "mine too"]
    assert len(records.responses()) == 8
    records.close()


# An upgrade


FIRST = """
INSERT INTO participant (id, code, link, seat, source, external, consent, consented_at, seen_at, finished_at, stage,
about, opened, opened_at) VALUES
(1, 'K7M2-9QXA', 'link-of-the-first', 0, 'prolific', 'p1', 'c', '2026-03-02 09:00:00', '2026-03-02 09:20:00',
'2026-03-02 09:20:00', 'done', '{"age": "25 to 34"}', 8, '2026-03-02 09:19:00'),
(2, 'AB12-CD34', 'link-of-the-second', 1, 'direct', NULL, 'c', '2026-03-02 09:05:00', '2026-03-02 09:30:00', NULL,
'items', '{}', 1, '2026-03-02 09:30:00');
INSERT INTO seat (number, participant) VALUES (0, 1), (1, 2);
INSERT INTO session (hash, participant, created_at) VALUES ('SESSION', 2, '2026-03-02 09:05:00');
INSERT INTO event (id, at, what, detail) VALUES (1, '2026-03-02 10:00:00', 'exported', 'ratings.csv');
INSERT INTO setting (key, value) VALUES ('design', 'DESIGN'), ('welcomed', '7'), ('recruiting', 'paused')
"""
"""Rows of the first schema: somebody who finished, and somebody underway."""


def _first(url: str, study: Study) -> None:
    """A database as the first schema had it, with people in it."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
    engine = create_engine(url.replace("postgresql:", "postgresql+pg8000:"))
    with engine.begin() as c:
        config.attributes |= {"connection": c, "metadata": tables.metadata, "key": None}
        command.upgrade(config, "0001")
        rows = FIRST.replace("SESSION", secret_hash("cookie")).replace("DESIGN", study.digest)
        for statement in rows.split(";"):
            c.exec_driver_sql(statement)
        if engine.dialect.name == "postgresql":
            c.exec_driver_sql("SELECT setval('participant_id_seq', 2), setval('event_id_seq', 1)")
        for who, pages in ((1, 8), (2, 1)):
            for at, page in enumerate(study.booklet(who - 1)[:pages]):
                values = dict.fromkeys(study.form.constructs, at % 5 + 1)
                row = {"participant": who, "position": at, "kind": page.kind, "question": page.question}
                row |= {"treatment": list(page.treatment), "wanted": page.wanted, "values": values, "seconds": 4.0}
                c.execute(tables.response.insert().values(**row, revisions=0, answered_at=utc_now()))
    engine.dispose()


def test_records_of_the_first_schema_are_served_with_all_that_they_held(tmp_path: Path, database: str | None) -> None:
    study = make_study(tmp_path / "study", recruiting={"people": 500})
    url = database or study.database
    _first(url, study)
    with serving(study, tmp_path / "server", database) as (server, base):
        with httpx.Client(base_url=base, follow_redirects=True, trust_env=False) as client:
            client.cookies.set("study", "cookie")
            page = client.get("/item/2")
            assert page.url.path == "/item/2", "a cookie of before opens its place"
            through(client, page)
            other = httpx.Client(base_url=base, follow_redirects=True, trust_env=False)
            end = submit(other, other.get("/resume/link-of-the-first"))
            assert end.url.path == "/done", "so does a link"
            other.close()
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    records = Records(url, Key.of(study.home))
    one, two = records.participants()
    assert (one.code, one.external, one.about, one.minutes) == ("K7M2-9QXA", "p1", {"age": "25 to 34"}, 20)
    assert (two.code, two.stage) == ("AB12-CD34", "done")
    assert Counter(response.participant for response in records.responses()) == {1: 8, 2: 8}
    first = [response for response in records.responses() if response.participant == 1]
    assert [set(response.values.values()) for response in first] == [{at % 5 + 1} for at in range(8)]
    assert (records.number("welcomed"), records.recruiting) == (7, "paused")
    assert [what for _, what, _ in records.events()] == ["exported"]
    with pytest.raises(Known):
        records.begin(9, timedelta(hours=1), "c", "prolific", "p1")
    assert records.begin(9, timedelta(hours=1), "c").id == 3
    records.close()


class _Ends(Key):
    """A key whose process ends in the middle of an upgrade."""

    left = 4

    def hash(self, purpose: str, text: str) -> str:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().hash(purpose, text)


def test_an_upgrade_that_is_cut_off_is_done_by_the_next_start(tmp_path: Path, database: str | None) -> None:
    study = make_study(tmp_path / "study")
    url = database or study.database
    _first(url, study)
    with pytest.raises(KeyboardInterrupt):
        Records(url, _Ends(b"k" * 32))
    with ThreadPoolExecutor(3) as pool:  # and of several that start at once one does it
        for records in pool.map(lambda _: Records(url, Key(b"k" * 32)), range(3)):
            assert [person.code for person in records.participants()] == ["K7M2-9QXA", "AB12-CD34"]
            found = records.by_link("link-of-the-second")
            assert found is not None
            assert records.by_link(records.link(found)) == found
            records.close()
