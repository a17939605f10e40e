"""The seats of a study: each is a booklet, which one person at a time holds."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from . import schema as t


def free_seat(c: Connection, seats: int, before: datetime) -> int | None:
    """Return the lowest free seat: never taken, or held by somebody unfinished who was last seen before `before`.

    None: all are taken.
    """
    dropped = t.participant.c.finished_at.is_(None) & (t.participant.c.seen_at < before)
    free = (t.seat.c.number < seats) & (t.seat.c.participant.is_(None) | dropped)
    query = select(t.seat.c.number).select_from(t.seat.outerjoin(t.participant)).where(free).order_by(t.seat.c.number)
    # Seats given up come first: a block of booklets is balanced only once all of its seats are filled.
    given_up = c.execute(query).scalars().first()
    if given_up is not None:
        return int(given_up)
    new = int(c.execute(select(func.count()).select_from(t.seat)).scalar_one())
    return new if new < seats else None


def take_seat(c: Connection, number: int, participant: int) -> None:
    """Give a seat to a person, in the place of whoever held it."""
    if not c.execute(update(t.seat).where(t.seat.c.number == number).values(participant=participant)).rowcount:
        c.execute(insert(t.seat).values(number=number, participant=participant))
