"""The tables of a study's database. `migrations/` makes them; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import JSON, Column, DateTime, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

participant = Table(
    "participant",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("code", String(16), nullable=False, unique=True),  # what a person quotes to have the answers deleted
    Column("link", String(64), nullable=False, unique=True),  # keyed hash of the link that the person's pages show
    Column("seat", Integer, nullable=False),
    Column("source", String(16), nullable=False),
    Column("external", String(128)),  # the platform's id, only where the form asks to keep it
    Column("consent", String(32), nullable=False),  # digest of the text that was agreed to
    Column("consented_at", DateTime, nullable=False),
    Column("seen_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    Column("stage", String(16), nullable=False),
    Column("about", JSON),  # the demographics; absent names were declined
    Column("opened", Integer),  # the item page that was shown last, and when
    Column("opened_at", DateTime),
    Column("old_link", String(64)),  # keyed hash of a link that an earlier version gave out
    Column("visit", String(64)),  # keyed hash of the cookie of the browser that began
    Column("known", String(64)),  # keyed hash of the platform's id, also where the id is not kept
)
for _name in ("old_link", "visit", "known"):
    Index(f"participant_{_name}", participant.c[_name], unique=True)
seat = Table(
    "seat",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("participant", Integer, ForeignKey("participant.id", ondelete="SET NULL")),  # who holds it now; none: free
)
response = Table(
    "response",
    metadata,
    Column("participant", Integer, ForeignKey("participant.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("question", Text, nullable=False),
    Column("treatment", JSON, nullable=False),
    Column("wanted", Integer),
    Column("values", JSON, nullable=False),
    Column("remark", Text),
    Column("seconds", Float, nullable=False),
    Column("revisions", Integer, nullable=False),
    Column("answered_at", DateTime, nullable=False),
)
session = Table(
    "session",
    metadata,
    Column("hash", String(64), primary_key=True),  # of the cookie, so that the file opens no session
    Column("participant", Integer, ForeignKey("participant.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", DateTime, nullable=False),
)
event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("what", String(32), nullable=False),
    Column("detail", Text, nullable=False),
)
setting = Table(
    "setting",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
