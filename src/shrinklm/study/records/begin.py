"""Adds one person, in a transaction of `Records`."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, insert, select, text

from . import schema as t
from .key import Key
from .log import utc_now
from .people import Participant, participant_of
from .refused import Full, Known
from .seats import free_seat
from .sessions import new_code


def begin_person(
    c: Connection,
    key: Key,
    seats: int,
    timeout: timedelta,
    consent: str,
    source: str,
    external: str | None,
    visit: str | None,
    keep_id: bool,
    more: bool,
) -> Participant:
    """See `Records.begin`."""
    now = utc_now()
    if c.dialect.name == "postgresql":  # one at a time: no seat and no external id is taken twice
        c.execute(text("LOCK TABLE seat IN EXCLUSIVE MODE"))
    seen = key.hash("visit", visit) if visit else None
    if seen and (same := c.execute(select(t.participant).where(t.participant.c.visit == seen)).first()):
        return participant_of(same)
    known = None if external is None else key.hash("id", f"{source} {external}")
    if known and c.execute(select(t.participant.c.id).where(t.participant.c.known == known)).first():
        raise Known(f"The {source} id '{external}' has begun already.")
    number = free_seat(c, seats, now - timeout, more)
    if number is None:
        raise Full("Every seat is taken.")
    code = new_code()
    row = {
        "code": code,
        "link": key.hash("link", key.link(code)),
        "visit": seen,
        "known": known,
        "seat": number,
        "source": source,
        "external": external if keep_id else None,
        "consent": consent,
        "consented_at": now,
        "seen_at": now,
        "stage": "instructions",
    }
    made = c.execute(insert(t.participant).values(row)).inserted_primary_key
    assert made is not None
    return participant_of(c.execute(select(t.participant).where(t.participant.c.id == made[0])).one())
