"""A PostgreSQL server of one's own, from Debian's packages, on a free port of this machine and gone afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACES = "/usr/lib/postgresql"


class NoPostgres(Exception):
    """Says why there is none."""


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a new, empty database. Raises NoPostgres where none can be started."""
    found = sorted(Path(PLACES).glob("*/bin/initdb"))
    if not found:
        raise NoPostgres(f"no PostgreSQL in {PLACES}: apt-get install postgresql")
    programs = found[-1].parent
    root = os.geteuid() == 0
    if root and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        raise NoPostgres("there is no user 'postgres', and PostgreSQL does not run as root")
    run = ["runuser", "-u", "postgres", "--"] if root else []
    home = Path(tempfile.mkdtemp(prefix="shrinklm-postgres-"))
    try:
        if root:
            shutil.chown(home, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        made = ["-D", home / "data", "-U", "study", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        _do([*run, programs / "initdb", *made])
        # Nothing is forced onto the disk: the power is not cut, and the database is thrown away.
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
        _do([*run, programs / "pg_ctl", "-D", home / "data", "-l", home / "log", "-o", options, "-w", "start"])
        try:
            yield f"postgresql://study@127.0.0.1:{port}/postgres"
        finally:
            _do([*run, programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "-w", "stop"])
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _do(command: list[str | Path]) -> None:
    """Runs a command; its output goes to a file, since a server that it starts would hold a pipe open."""
    with tempfile.TemporaryFile() as said:
        done = subprocess.run([str(part) for part in command], stdout=said, stderr=said, cwd="/", check=False)
        if done.returncode:
            said.seek(0)
            raise NoPostgres(
                f"{' '.join(str(part) for part in command)}: {said.read().decode(errors='replace')[-400:]}"
            )
