"""The records of a study: who came, what they answered, what the researcher did. The only place that speaks to the database.

SQLite in WAL mode, synced at every commit, or PostgreSQL: what `answer` has returned from is on the disk.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    Text,
    cast,
    create_engine,
    delete,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.engine import Row
from sqlalchemy.exc import SQLAlchemyError

from ...core.errors import StudyError
from ..design.booklets import Page
from . import schema as t

Stage = Literal["instructions", "about", "items", "done"]
Recruiting = Literal["open", "paused", "closed"]
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Of codes that people read out: nothing that looks like another."""
_LOCK = 5317
"""Name of PostgreSQL's advisory lock while the schema is brought up to date."""
_INITIAL = text("INSERT INTO setting (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING")
"""Gives a setting its first value, also where several servers do so at once."""


@dataclass(frozen=True)
class Participant:
    """A person who has agreed to take part."""

    id: int
    code: str
    """Pseudonym, such as "K7M2-9QXA"."""
    link: str
    """Secret part of the link by which the person goes on."""
    seat: int
    """Number of the booklet."""
    source: str
    """ "prolific", "mturk" or "direct"."""
    external: str | None
    consented_at: datetime
    seen_at: datetime
    finished_at: datetime | None
    stage: Stage
    about: Mapping[str, str] | None
    """Demographics; None: not asked yet."""
    opened: int | None
    """The item page that was shown last, and when."""
    opened_at: datetime | None

    @property
    def minutes(self) -> float | None:
        """From consent to the end; None: there is none yet."""
        return None if self.finished_at is None else (self.finished_at - self.consented_at).total_seconds() / 60


@dataclass(frozen=True)
class Response:
    """What a person answered on one item page."""

    participant: int
    position: int
    """Of the page in the booklet, from 0."""
    kind: str
    question: str
    treatment: tuple[str, ...]
    wanted: int | None
    values: Mapping[str, int]
    """Construct → step from 1; of a preference 0 alike, 1 left, 2 right; of a simulation the `Choice`, an option from 1."""
    remark: str | None
    seconds: float
    """On the page, pauses with the page closed left out."""
    revisions: int
    """How often an answer was changed afterwards."""
    answered_at: datetime


class Full(StudyError):
    """Every seat is taken."""


class Gone(StudyError):
    """The person was withdrawn."""


class Known(StudyError):
    """The platform's id has begun already. It is no secret, so it opens nothing: the person's link does."""


class Records:
    """The database of one study. Safe for threads; close it at the end."""

    def __init__(self, url: str) -> None:
        """Opens the database, makes it if need be, and brings its schema up to date.

        Args:
            url: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME.

        Raises:
            StudyError: another kind of database, one that cannot be reached, or a schema from a later version.
        """
        self.engine = _engine(url)
        # A single SELECT needs no transaction around it, which would be two more ways to the server and back.
        autocommit = self.engine.dialect.name == "postgresql"
        self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else self.engine
        self._writing = threading.Lock()  # SQLite has one writer: waiting here is shorter than its retries.
        try:
            _migrate(self.engine)
        except SQLAlchemyError as error:
            raise StudyError(
                f"The database {_public(url)} cannot be opened: {_reason(error).rstrip('.')}. Check the address, and that its server runs."
            ) from error

    def close(self) -> None:
        """Gives the connections back."""
        self.engine.dispose()

    def bind(self, digest: str) -> None:
        """Holds the records to one design. Raises StudyError when they belong to another one."""
        with self._write() as c:
            c.execute(_INITIAL, {"key": "design", "value": digest})
            if _setting(c, "design") != digest:
                if c.execute(select(func.count()).select_from(t.participant)).scalar_one():
                    raise StudyError(
                        "The design or the statements changed after people had come, so their answers would no longer fit. Put study.yaml "
                        "and design.json back as they were, or make a new study: shrinklm study create"
                    )
                c.execute(update(t.setting).where(t.setting.c.key == "design").values(value=digest))

    # People

    def begin(
        self, seats: int, timeout: timedelta, consent: str, source: str = "direct", external: str | None = None
    ) -> Participant:
        """A new person on the lowest free seat.

        Args:
            seats: how many there are.
            timeout: after which the seat of somebody unfinished is free again.
            consent: digest of the text that was agreed to.
            source: where the person comes from.
            external: the platform's id.

        Raises:
            Known: somebody with the platform's id is there already.
            Full: no seat is free.
        """
        now = _now()
        with self._write() as c:
            if c.dialect.name == "postgresql":  # one after the other: neither a seat nor a platform's id is taken twice
                c.execute(text("LOCK TABLE seat IN EXCLUSIVE MODE"))
            if external is not None:
                same = (t.participant.c.source == source) & (t.participant.c.external == external)
                if c.execute(select(t.participant.c.id).where(same)).first() is not None:
                    raise Known(f"The {source} id '{external}' has begun already.")
            number = _free(c, seats, now - timeout)
            if number is None:
                raise Full("Every seat is taken.")
            row = {
                "code": _code(), "link": secrets.token_urlsafe(24), "seat": number, "source": source, "external": external,
                "consent": consent, "consented_at": now, "seen_at": now, "stage": "instructions",
            }  # fmt: skip
            key = c.execute(insert(t.participant).values(row)).inserted_primary_key
            assert key is not None
            _sit(c, number, key[0])
            return _participant(c.execute(select(t.participant).where(t.participant.c.id == key[0])).one())

    def session(self, participant: int) -> str:
        """A new session of a person: the secret of its cookie, of which the database keeps a hash alone."""
        secret = secrets.token_urlsafe(32)
        with self._write() as c:
            c.execute(insert(t.session).values(hash=_hash(secret), participant=participant, created_at=_now()))
        return secret

    def by_session(self, secret: str) -> Participant | None:
        """Who has the session."""
        return self._one(select(t.participant).join(t.session).where(t.session.c.hash == _hash(secret)))

    def at_work(self, secret: str) -> tuple[Participant, set[int]] | None:
        """Who has the session, and the pages that are answered: both in one way to the database, since every item page needs them."""
        both = select(t.participant, t.response.c.position).select_from(
            t.participant.join(t.session).outerjoin(t.response)
        )
        with self._reader.connect() as c:
            rows = c.execute(both.where(t.session.c.hash == _hash(secret))).all()
        return (_participant(rows[0]), {row.position for row in rows if row.position is not None}) if rows else None

    def by_link(self, link: str) -> Participant | None:
        """Who has the link."""
        return self._one(select(t.participant).where(t.participant.c.link == link))

    def by_code(self, code: str) -> Participant | None:
        """Who has the pseudonym."""
        return self._one(select(t.participant).where(t.participant.c.code == code.strip().upper()))

    def participants(self) -> list[Participant]:
        """Everybody, in the order of coming."""
        with self._reader.connect() as c:
            return [_participant(row) for row in c.execute(select(t.participant).order_by(t.participant.c.id))]

    def go(self, participant: int, stage: Stage, about: Mapping[str, str] | None = None) -> None:
        """Takes a person to a stage; with `about`, keeps the demographics."""
        now = _now()
        who = t.participant.c.id == participant
        values: dict[str, Any] = {"stage": stage, "seen_at": now}
        if about is not None:
            values["about"] = dict(about)
        with self._write() as c:
            if stage == "done":
                c.execute(
                    update(t.participant).where(who, t.participant.c.finished_at.is_(None)).values(finished_at=now)
                )
            c.execute(update(t.participant).where(who).values(values))

    def show(self, person: Participant, position: int) -> None:
        """Notes that an item page is shown, from which its seconds are counted. Right after an answer that is known already."""
        now = _now()
        if person.opened == position and person.opened_at and now - person.opened_at < timedelta(seconds=5):
            return
        with self._write() as c:
            c.execute(
                update(t.participant)
                .where(t.participant.c.id == person.id)
                .values(opened=position, opened_at=now, seen_at=now)
            )

    # Answers

    def answer(
        self, participant: int, position: int, page: Page, values: Mapping[str, int], remark: str | None = None
    ) -> None:
        """Keeps what a person answered on a page, durably; a second answer to it takes the place of the first.

        Args:
            participant: whose.
            position: of the page in the booklet.
            page: what it showed.
            values: construct → step.
            remark: free text.

        Raises:
            Gone: the person was withdrawn meanwhile.
        """
        now = _now()
        with self._write() as c:
            # Locked, so that the same form sent twice at once is an answer and a second one to the same page.
            whose = select(t.participant.c.opened, t.participant.c.opened_at).where(t.participant.c.id == participant)
            person = c.execute(whose.with_for_update()).first()
            if person is None:
                raise Gone("The person has withdrawn; the answer is not kept.")
            fresh = (now - person.opened_at).total_seconds() if person.opened == position and person.opened_at else 0.0
            where = (t.response.c.participant == participant) & (t.response.c.position == position)
            old = c.execute(select(t.response).where(where)).first()
            if old is None:
                row = {
                    "participant": participant, "position": position, "kind": page.kind, "question": page.question,
                    "treatment": list(page.treatment), "wanted": page.wanted, "values": dict(values), "remark": remark, "seconds": fresh,
                    "revisions": 0, "answered_at": now,
                }  # fmt: skip
                c.execute(insert(t.response).values(row))
            elif (old._mapping["values"], old.remark) != (dict(values), remark):
                row = {
                    "values": dict(values), "remark": remark, "seconds": old.seconds + fresh, "revisions": old.revisions + 1,
                    "answered_at": now,
                }  # fmt: skip
                c.execute(update(t.response).where(where).values(row))
            seen = {"opened": position + 1, "opened_at": now, "seen_at": now}
            c.execute(update(t.participant).where(t.participant.c.id == participant).values(seen))

    def response(self, participant: int, position: int) -> Response | None:
        """What a person answered on a page."""
        query = select(t.response).where(t.response.c.participant == participant, t.response.c.position == position)
        with self._reader.connect() as c:
            row = c.execute(query).first()
        return None if row is None else _response(row)

    def answered(self, participant: int) -> set[int]:
        """The pages that a person has answered."""
        with self._reader.connect() as c:
            return set(
                c.execute(select(t.response.c.position).where(t.response.c.participant == participant)).scalars()
            )

    def responses(self) -> list[Response]:
        """Everything that was answered, by person and page."""
        with self._reader.connect() as c:
            return [
                _response(row)
                for row in c.execute(select(t.response).order_by(t.response.c.participant, t.response.c.position))
            ]

    # The researcher

    @property
    def recruiting(self) -> Recruiting:
        """Whether new people are let in."""
        with self._reader.connect() as c:
            found = _setting(c, "recruiting")
        return "paused" if found == "paused" else "closed" if found == "closed" else "open"

    def recruit(self, state: Recruiting) -> None:
        """Opens, pauses or closes recruiting. Those who have begun go on."""
        with self._write() as c:
            c.execute(_INITIAL, {"key": "recruiting", "value": state})
            c.execute(update(t.setting).where(t.setting.c.key == "recruiting").values(value=state))
            _note(c, "recruiting", state)

    def count(self, key: str) -> None:
        """Adds one to a bare number, such as that of the visitors."""
        with self._write() as c:
            c.execute(_INITIAL, {"key": key, "value": "0"})
            more = cast(cast(t.setting.c.value, Integer) + 1, Text)
            c.execute(update(t.setting).where(t.setting.c.key == key).values(value=more))

    def number(self, key: str) -> int:
        """What `count` has come to."""
        with self._reader.connect() as c:
            return int(_setting(c, key) or 0)

    def withdraw(self, code: str) -> int:
        """Deletes a person and all their answers, frees the seat, and logs that it was done: how many answers went.

        Raises:
            StudyError: nobody has the code.
        """
        person = self.by_code(code)
        if person is None:
            raise StudyError(
                f"Nobody has the code '{code}'. It stands at the foot of the person's pages, and in the export."
            )
        with self._write() as c:
            c.execute(
                select(t.participant.c.id).where(t.participant.c.id == person.id).with_for_update()
            )  # as `answer` does first
            gone = c.execute(delete(t.response).where(t.response.c.participant == person.id)).rowcount
            c.execute(delete(t.session).where(t.session.c.participant == person.id))
            c.execute(update(t.seat).where(t.seat.c.participant == person.id).values(participant=None))
            c.execute(delete(t.participant).where(t.participant.c.id == person.id))
            _note(c, "withdrawn", f"{person.code}: {gone} answers deleted")
        return gone

    def note(self, what: str, detail: str = "") -> None:
        """Logs something that the researcher did."""
        with self._write() as c:
            _note(c, what, detail)

    def events(self) -> list[tuple[datetime, str, str]]:
        """(when, what, detail), in order."""
        with self._reader.connect() as c:
            return [(row.at, row.what, row.detail) for row in c.execute(select(t.event).order_by(t.event.c.id))]

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """A transaction that no other writer is in."""
        sqlite = self.engine.dialect.name == "sqlite"
        if sqlite:
            self._writing.acquire()
        try:
            with self.engine.begin() as c:
                if sqlite:
                    c.execute(text("BEGIN IMMEDIATE"))
                yield c
        finally:
            if sqlite:
                self._writing.release()

    def _one(self, query: Any) -> Participant | None:
        with self._reader.connect() as c:
            row = c.execute(query).first()
        return None if row is None else _participant(row)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:
        wanted = "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
        raise StudyError(f"'{_public(url)}' is no database address. Write {wanted}.") from error
    if parsed.drivername in ("postgresql", "postgres"):
        # No ping before each use: it doubled the time of a page. A server that was restarted costs one failed page, then all is new.
        return create_engine(
            parsed.set(drivername="postgresql+pg8000"), pool_size=20, max_overflow=20, pool_recycle=600
        )
    if parsed.drivername != "sqlite":
        raise StudyError(
            f"Records are kept in SQLite or PostgreSQL, found '{parsed.drivername}'. Write --database postgresql://..."
        )
    engine = create_engine(parsed, pool_size=20, max_overflow=20, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = (
            None  # `_write` begins transactions itself: Python's own begin would not take the lock at once.
        )
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _LOCK})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StudyError(
                f"The database was made by a later version of shrinklm ({error}). Install that version."
            ) from error


def _free(c: Connection, seats: int, before: datetime) -> int | None:
    """The lowest seat that nobody holds, or whose holder has neither finished nor been seen since `before`."""
    holder = select(t.seat.c.number).select_from(t.seat.outerjoin(t.participant))
    left = t.participant.c.finished_at.is_(None) & (t.participant.c.seen_at < before)
    free = (t.seat.c.number < seats) & (t.seat.c.participant.is_(None) | left)
    given_up = c.execute(holder.where(free).order_by(t.seat.c.number)).scalars().first()
    if given_up is not None:
        return int(given_up)
    new = int(c.execute(select(func.count()).select_from(t.seat)).scalar_one())
    return new if new < seats else None


def _sit(c: Connection, number: int, participant: int) -> None:
    if not c.execute(update(t.seat).where(t.seat.c.number == number).values(participant=participant)).rowcount:
        c.execute(insert(t.seat).values(number=number, participant=participant))


def _setting(c: Connection, key: str) -> str | None:
    found = c.execute(select(t.setting.c.value).where(t.setting.c.key == key)).scalar()
    return None if found is None else str(found)


def _note(c: Connection, what: str, detail: str) -> None:
    c.execute(insert(t.event).values(at=_now(), what=what, detail=detail))


def _participant(row: Row[Any]) -> Participant:
    return Participant(**{name.name: getattr(row, name.name) for name in fields(Participant)})


def _response(row: Row[Any]) -> Response:
    data = dict(row._mapping)
    return Response(**{**data, "treatment": tuple(data["treatment"])})


def _code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> datetime:
    """UTC, without a zone, as the tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _public(url: str) -> str:
    """An address without its password."""
    head, at, rest = url.rpartition("@")
    return f"{head.partition('://')[0]}://...@{rest}" if at else url


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
