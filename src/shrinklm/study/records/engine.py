"""Opens a study's database, SQLite or PostgreSQL, and brings its schema up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ...core.errors import StudyError
from .disk import WAIT, private
from .key import Key
from .schema import metadata

_LOCK = 5317
"""Key of PostgreSQL's advisory lock while the schema is brought up to date."""


def open_engine(url: str, key: Key) -> Engine:
    """Open the database, create it if need be, and bring its schema up to date.

    Args:
        url: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME.
        key: of the study, for what an earlier version kept in clear.

    Raises:
        StudyError: another kind of database, one that cannot be reached, or a schema of a later version of shrinklm.
    """
    engine = _connect(url)
    try:
        _migrate(engine, key)
    except SQLAlchemyError as error:
        raise StudyError(
            f"The database {_public(url)} cannot be opened: {_reason(error).rstrip('.')}. "
            "Check the address, and that its server runs."
        ) from error
    return engine


def _connect(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:
        wanted = "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
        raise StudyError(f"'{_public(url)}' is no database address. Write {wanted}.") from error
    if parsed.drivername in ("postgresql", "postgres"):
        # No ping before each use: it doubles the time of a page. After a restart of the server one page fails, then
        # connections are new.
        server = create_engine(
            parsed.set(drivername="postgresql+pg8000"), pool_size=5, max_overflow=15, pool_recycle=600
        )

        @event.listens_for(server, "connect")
        def _wait(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(f"SET lock_timeout = {int(1000 * WAIT)}")
            connection.commit()
            cursor.close()

        return server
    if parsed.drivername != "sqlite":
        raise StudyError(
            f"Records are kept in SQLite or PostgreSQL, found '{parsed.drivername}'. Write --database postgresql://..."
        )
    if parsed.database:
        private(Path(parsed.database))
    engine = create_engine(parsed, pool_size=20, max_overflow=20, connect_args={"timeout": WAIT})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # `Records` begins transactions itself: Python's own BEGIN would not take the write lock at once.
        connection.isolation_level = None
        # FULL: an answer that was acknowledged survives a power cut, at the cost of one sync for each commit.
        # secure_delete: what a person has had deleted is overwritten, not left in free pages.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def open_async(engine: Engine) -> AsyncEngine | None:
    """The same PostgreSQL database for an event loop, through asyncpg; None for SQLite, which is no server to wait for.

    None also where the address has options that are pg8000's own, or a socket of a name that asyncpg does not look for.
    """
    url = engine.url.set(drivername="postgresql+asyncpg")
    socket = Path(str(url.query.get("unix_sock", "")))
    if engine.dialect.name != "postgresql" or url.query.keys() - {"unix_sock"}:
        return None
    if url.query:  # pg8000 names the file, asyncpg its folder and the port that it is called after
        port = socket.name.removeprefix(".s.PGSQL.")
        if not port.isdecimal():
            return None
        url = url.set(query={"host": str(socket.parent)}, port=int(port))
    settings = {"lock_timeout": str(int(1000 * WAIT))}
    return create_async_engine(
        url,
        # A crowd waits for connections, in order, and not for each other's locks, which it would give up after WAIT.
        pool_size=8,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=600,
        connect_args={"server_settings": settings},
    )


def _migrate(engine: Engine, key: Key) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    sqlite = engine.dialect.name == "sqlite"
    newest = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
    with engine.begin() as connection:
        # Several servers may start at once; the first migrates, the others wait and find nothing to do. All of it is
        # done or nothing, whatever ends the process meanwhile.
        if sqlite:
            connection.execute(text("PRAGMA busy_timeout = 30000"))
            connection.execute(text("BEGIN IMMEDIATE"))
        else:
            connection.execute(text("SET LOCAL lock_timeout = 30000"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _LOCK})
        config.attributes |= {"connection": connection, "metadata": metadata, "key": key}
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StudyError(
                f"The database was made by a later version of shrinklm ({error}). Install that version."
            ) from error
    if sqlite:
        with engine.connect() as connection:  # pages that use this connection wait no longer than any other
            connection.execute(text(f"PRAGMA busy_timeout = {int(1000 * WAIT)}"))


def _public(url: str) -> str:
    """Return the address without user and password, for messages."""
    head, at, rest = url.rpartition("@")
    return f"{head.partition('://')[0]}://...@{rest}" if at else url


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
