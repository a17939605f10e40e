"""The records of a study: who took part, what they answered, what the researcher did. The only place that speaks to the
database.

SQLite in WAL mode, synced at every commit, or PostgreSQL: an answer is on the disk when `answer` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Integer, Text, cast, delete, func, insert, select, update

from ...core.errors import StudyError
from ..design.booklets import Page
from ..design.rules import Kept, Rules, digest_of
from . import schema as t
from .answer import keep_answer
from .begin import begin_person
from .connections import Connections
from .engine import open_engine
from .key import FILE, VARIABLE, Key
from .log import INITIAL, note, setting, utc_now
from .people import Participant, Response, Stage, participant_of, response_of
from .rules import FIRST, REGISTERED, keep_rules, kept_rules
from .seats import TIMEOUT, let_go
from .sessions import new_secret, secret_hash

Recruiting = Literal["open", "paused", "closed"]


class Records(Connections):
    """The database of one study. Safe for threads; close it when done."""

    def __init__(self, url: str, key: Key | None = None) -> None:
        """Open the database, see `open_engine`; without the study's key, links open nothing."""
        self.key = key or Key()
        super().__init__(open_engine(url, self.key))
        self._rules: Rules | None = None
        if key is not None:
            self._check_key()

    def _check_key(self) -> None:
        """Raise StudyError where the records were made with another key."""
        check = self.key.hash("check", "")
        with self._write() as c:
            c.execute(INITIAL, {"key": "key", "value": check})
            if setting(c, "key") != check:
                raise StudyError(
                    f"The records were made with another key, and people's links would open nothing. Put {FILE} "
                    f"of the study's folder back, or set {VARIABLE} as on the first server."
                )

    def bind(self, digest: str, rules: Rules | None = None) -> None:
        """Bind the records to a design, by its digest; `rules` are kept when the first answer comes.

        Raises StudyError when people have answered another design.
        """
        self._rules = rules
        with self._write() as c:
            c.execute(INITIAL, {"key": "design", "value": digest})
            if setting(c, "design") != digest:
                # Booklets follow from the design: answers by position would belong to other questions under another
                # one.
                if c.execute(select(func.count()).select_from(t.participant)).scalar_one():
                    raise StudyError(
                        "The design or the statements changed after people had come, so their answers would no longer "
                        "fit. Put study.yaml and design.json back as they were, or make a new study: "
                        "shrinklm study create"
                    )
                c.execute(update(t.setting).where(t.setting.c.key == "design").values(value=digest))

    # People

    def begin(
        self,
        seats: int,
        timeout: timedelta,
        consent: str,
        source: str = "direct",
        external: str | None = None,
        visit: str | None = None,
        keep_id: bool = False,
        more: bool = False,
    ) -> Participant:
        """Add a person, for the lowest free seat; the person whom the same browser has begun for already, if any.

        The seat is taken with the first answer. Where others have begun for all free seats and not answered yet, two
        may begin for one: the second to answer keeps the booklet, beside the seat.

        Args:
            seats: number of seats.
            timeout: time without a page after which the seat of an unfinished person is free again.
            consent: digest of the text that was agreed to.
            source: recruiting platform, or "direct".
            external: id of the person at the platform.
            visit: secret cookie of the browser.
            keep_id: keep `external`; a keyed hash of it is kept in any case.
            more: where no seat is free, go on with further booklets.

        Raises:
            Known: a person with the platform's id has begun already.
            Full: no seat is free.
        """
        with self._write() as c:
            return begin_person(c, self.key, seats, timeout, consent, source, external, visit, keep_id, more)

    def session(self, participant: int) -> str:
        """Begin a session and return its secret, for a cookie. The database keeps the hash alone."""
        secret = new_secret()
        with self._write() as c:
            c.execute(insert(t.session).values(hash=secret_hash(secret), participant=participant, created_at=utc_now()))
        return secret

    def end_session(self, secret: str) -> None:
        """End a session: its cookie opens nothing any more."""
        with self._write() as c:
            c.execute(delete(t.session).where(t.session.c.hash == secret_hash(secret)))

    def by_session(self, secret: str) -> Participant | None:
        """Return the person of a session; None: there is no such session."""
        return self._one(select(t.participant).join(t.session).where(t.session.c.hash == secret_hash(secret)))

    def at_work(self, secret: str) -> tuple[Participant, set[int]] | None:
        """Return the person of a session and the positions answered.

        One query for both, since every item page needs them.
        """
        query = select(t.participant, t.response.c.position).select_from(
            t.participant.join(t.session).outerjoin(t.response)
        )
        with self._reader.connect() as c:
            rows = c.execute(query.where(t.session.c.hash == secret_hash(secret))).all()
        return (participant_of(rows[0]), {row.position for row in rows if row.position is not None}) if rows else None

    def by_link(self, link: str) -> Participant | None:
        """Return the person whose link ends in `link`; None: nobody's does."""
        kept = self.key.hash("link", link)
        mine = (t.participant.c.link == kept) | (t.participant.c.old_link == kept)
        return self._one(select(t.participant).where(mine))

    def link(self, person: Participant) -> str:
        """Return the secret part of the link by which a person resumes."""
        return self.key.link(person.code)

    def by_code(self, code: str) -> Participant | None:
        """Return the person with a pseudonym; None: nobody has it."""
        return self._one(select(t.participant).where(t.participant.c.code == code.strip().upper()))

    def participants(self) -> list[Participant]:
        """Return everybody, in the order in which they began."""
        with self._reader.connect() as c:
            return [participant_of(row) for row in c.execute(select(t.participant).order_by(t.participant.c.id))]

    def move(self, participant: int, stage: Stage, about: Mapping[str, str] | None = None) -> None:
        """Move a person to a stage; with `about`, keep the demographics."""
        now = utc_now()
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
        """Note that an item page is shown: its seconds count from now."""
        now = utc_now()
        if person.opened == position and person.opened_at and now - person.opened_at < timedelta(seconds=5):
            return  # `answer` has just noted it, when it led to this page
        with self._write() as c:
            c.execute(
                update(t.participant)
                .where(t.participant.c.id == person.id)
                .values(opened=position, opened_at=now, seen_at=now)
            )

    # Answers

    def answer(
        self,
        participant: int,
        position: int,
        page: Page,
        values: Mapping[str, int],
        remark: str | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        """Store the answer to a page, and with a person's first one take the seat; a second answer to a page replaces
        the first.

        Args:
            participant: id of the person.
            position: position of the page in the booklet.
            page: the page.
            values: construct → step, as in `Response`.
            remark: free text.
            timeout: see `begin`.

        Raises:
            Gone: the person was withdrawn meanwhile.
        """
        with self._write() as c:
            keep_answer(c, participant, position, page, values, remark, timeout)
            if self._rules is not None:
                keep_rules(c, FIRST, self._rules)
        self._rules = None  # they stand, whatever study.yaml says later

    def response(self, participant: int, position: int) -> Response | None:
        """Return the answer to a page; None: there is none yet."""
        query = select(t.response).where(t.response.c.participant == participant, t.response.c.position == position)
        with self._reader.connect() as c:
            row = c.execute(query).first()
        return None if row is None else response_of(row)

    def answered(self, participant: int) -> set[int]:
        """Return the positions of the pages that a person has answered."""
        with self._reader.connect() as c:
            return set(
                c.execute(select(t.response.c.position).where(t.response.c.participant == participant)).scalars()
            )

    def responses(self) -> list[Response]:
        """Return all answers, in the order of people and pages."""
        with self._reader.connect() as c:
            return [
                response_of(row)
                for row in c.execute(select(t.response).order_by(t.response.c.participant, t.response.c.position))
            ]

    # The researcher

    @property
    def recruiting(self) -> Recruiting:
        """Whether new people may begin."""
        with self._reader.connect() as c:
            state = setting(c, "recruiting")
        return "paused" if state == "paused" else "closed" if state == "closed" else "open"

    def recruit(self, state: Recruiting) -> None:
        """Open, pause or close recruiting. People who have begun may finish."""
        with self._write() as c:
            c.execute(INITIAL, {"key": "recruiting", "value": state})
            c.execute(update(t.setting).where(t.setting.c.key == "recruiting").values(value=state))
            note(c, "recruiting", state)

    def count(self, key: str) -> None:
        """Add one to a counter, such as that of the visitors."""
        with self._write() as c:
            c.execute(INITIAL, {"key": key, "value": "0"})
            more = cast(cast(t.setting.c.value, Integer) + 1, Text)
            c.execute(update(t.setting).where(t.setting.c.key == key).values(value=more))

    def number(self, key: str) -> int:
        """Return the value of a counter."""
        with self._reader.connect() as c:
            return int(setting(c, key) or 0)

    def free(self, before: datetime) -> int:
        """Free the seats of those who have not finished and were last seen before a time (UTC). Returns how many.

        Their answers are kept, and they may go on.
        """
        with self._write() as c:
            count = let_go(c, before)
            note(c, "seats freed", f"{count}, last seen before {before:%Y-%m-%d %H:%M} UTC")
        return count

    def withdraw(self, code: str) -> int:
        """Delete a person with all answers, free the seat, log it, and return the number of answers deleted.

        Raises:
            StudyError: nobody has the code.
        """
        person = self.by_code(code)
        if person is None:
            raise StudyError(
                f"Nobody has the code '{code}'. It stands at the foot of the person's pages, and in the export."
            )
        with self._write() as c:
            # The row that `answer` locks as well: an answer under way is stored before the deletion, or refused after
            # it.
            c.execute(select(t.participant.c.id).where(t.participant.c.id == person.id).with_for_update())
            answers = c.execute(delete(t.response).where(t.response.c.participant == person.id)).rowcount
            c.execute(delete(t.session).where(t.session.c.participant == person.id))
            c.execute(update(t.seat).where(t.seat.c.participant == person.id).values(participant=None))
            c.execute(delete(t.participant).where(t.participant.c.id == person.id))
            note(c, "withdrawn", f"{person.code}: {answers} answers deleted")
        self._write.settle()  # the log beside the file holds what was deleted until then
        return answers

    def note(self, what: str, detail: str = "") -> None:
        """Log an action of the researcher."""
        with self._write() as c:
            note(c, what, detail)

    def register(self, rules: Rules) -> Kept:
        """Keep the rules before there are answers, and return what is kept: those of the first call.

        Raises StudyError once an item has been answered.
        """
        with self._write() as c:
            if c.execute(select(func.count()).select_from(t.response)).scalar_one():
                raise StudyError("People have answered already: rules that are kept now did not stand before.")
            if keep_rules(c, REGISTERED, rules):
                note(c, "rules registered", digest_of(rules))
        kept = self.kept(REGISTERED)
        assert kept is not None
        return kept

    def kept(self, when: str) -> Kept | None:
        """Return the rules that were kept by `register` or at the first answer; None: none were."""
        with self._reader.connect() as c:
            return kept_rules(c, when)

    def events(self) -> list[tuple[datetime, str, str]]:
        """Return the log as (time, action, detail), oldest first."""
        with self._reader.connect() as c:
            return [(row.at, row.what, row.detail) for row in c.execute(select(t.event).order_by(t.event.c.id))]

    def _one(self, query: Any) -> Participant | None:
        with self._reader.connect() as c:
            row = c.execute(query).first()
        return None if row is None else participant_of(row)
