"""The log of what the researcher did, and the settings of a study: rows that belong to no person."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, text

from . import schema as t

INITIAL = text("INSERT INTO setting (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING")
"""Gives a setting its first value, also where several servers do so at once."""


def setting(c: Connection, key: str) -> str | None:
    """Return the value of a setting; None: it has none yet."""
    value = c.execute(select(t.setting.c.value).where(t.setting.c.key == key)).scalar()
    return None if value is None else str(value)


def note(c: Connection, what: str, detail: str) -> None:
    """Log an action of the researcher."""
    c.execute(insert(t.event).values(at=utc_now(), what=what, detail=detail))


def utc_now() -> datetime:
    """Return the time in UTC, without a zone, as the tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)
