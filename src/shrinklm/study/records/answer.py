"""Keeps one answer, in a transaction of `Records`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Connection, insert, select, update

from ..design.booklets import Page
from . import schema as t
from .log import utc_now
from .refused import Gone
from .seats import take_seat


def keep_answer(
    c: Connection,
    participant: int,
    position: int,
    page: Page,
    values: Mapping[str, int],
    remark: str | None,
    timeout: timedelta,
) -> None:
    """See `Records.answer`."""
    now = utc_now()
    columns = (t.participant.c.opened, t.participant.c.opened_at, t.participant.c.seat, t.seat.c.number)
    whose = select(*columns).select_from(t.participant.outerjoin(t.seat)).where(t.participant.c.id == participant)
    # Locked: of one form sent twice at once, the second must find the answer of the first, not add another.
    person = c.execute(whose.with_for_update(of=t.participant)).first()
    if person is None:
        raise Gone("The person has withdrawn; the answer is not kept.")
    if person.number is None:
        take_seat(c, person.seat, participant, now - timeout)
    seen_now = person.opened == position and person.opened_at
    # Not shown last: the person went to another page meanwhile, so that no time can be counted. Nor where the clock
    # was set back.
    fresh = max(0.0, (now - person.opened_at).total_seconds()) if seen_now else 0.0
    where = (t.response.c.participant == participant) & (t.response.c.position == position)
    old = c.execute(select(t.response).where(where)).first()
    if old is None:
        row = {
            "participant": participant,
            "position": position,
            "kind": page.kind,
            "question": page.question,
            "treatment": list(page.treatment),
            "wanted": page.wanted,
            "values": dict(values),
            "remark": remark,
            "seconds": fresh,
            "revisions": 0,
            "answered_at": now,
        }
        c.execute(insert(t.response).values(row))
    elif (old._mapping["values"], old.remark) != (dict(values), remark):
        row = {
            "values": dict(values),
            "remark": remark,
            "seconds": old.seconds + fresh,
            "revisions": old.revisions + 1,
            "answered_at": now,
        }
        c.execute(update(t.response).where(where).values(row))
    seen = {"opened": position + 1, "opened_at": now, "seen_at": now}
    c.execute(update(t.participant).where(t.participant.c.id == participant).values(seen))
