"""The seats of a study: each is a booklet, which one person at a time holds, from the first answer on."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import count

from sqlalchemy import Connection, select, text, update

from . import schema as t

TIMEOUT = timedelta(hours=2)
"""Time without a page after which the seat of an unfinished person is free again, where nobody says another."""
_NEW = text("INSERT INTO seat (number, participant) VALUES (:number, :person) ON CONFLICT (number) DO NOTHING")


def free_seat(c: Connection, seats: int, before: datetime, more: bool = False) -> int | None:
    """Return the seat for which the next person begins: the lowest of those for which fewest others have begun.

    Args:
        c: the transaction.
        seats: number of seats.
        before: whoever is unfinished and was last seen before holds none.
        more: where none is free, return one beyond the number.

    None: all are taken.
    """
    here = t.participant.c.finished_at.is_not(None) | (t.participant.c.seen_at >= before)
    held = set(c.execute(select(t.seat.c.number).join(t.participant).where(here)).scalars())
    # They have not answered yet, and may never; the next person is sent to another seat as long as there is one.
    begun = select(t.participant.c.seat).outerjoin(t.seat).where(here & t.seat.c.number.is_(None))
    waiting = Counter(c.execute(begun).scalars())
    free = [number for number in range(seats) if number not in held]
    if free:
        # The lowest first: a block of booklets is balanced only once all of its seats are filled.
        return min(free, key=lambda number: (waiting[number], number))
    return next(number for number in count(seats) if number not in held and not waiting[number]) if more else None


def take_seat(c: Connection, number: int, participant: int, before: datetime) -> None:
    """Give a seat to a person, unless another holds it: somebody finished, or last seen since `before`."""
    if c.execute(_NEW, {"number": number, "person": participant}).rowcount:
        return
    left = select(t.participant.c.id).where(t.participant.c.finished_at.is_(None) & (t.participant.c.seen_at < before))
    free = (t.seat.c.number == number) & (t.seat.c.participant.is_(None) | t.seat.c.participant.in_(left))
    c.execute(update(t.seat).where(free).values(participant=participant))


def let_go(c: Connection, before: datetime) -> int:
    """Free the seats of those who have not finished and were last seen before a time. Returns how many."""
    left = select(t.participant.c.id).where(t.participant.c.finished_at.is_(None) & (t.participant.c.seen_at < before))
    return c.execute(update(t.seat).where(t.seat.c.participant.in_(left)).values(participant=None)).rowcount
