"""`shrinklm` in a process of its own that need not import what it uses: it is forked from this one, which has.

Signals, files and exit codes are those of a process. What only a fresh interpreter shows is for other tests.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


class Forked:
    """A running `shrinklm ARGUMENTS`, whose words go to files in `folder`.

    Modules in `uses` are imported before, once for all such processes: with the trainer come torch and transformers.
    """

    uses: ClassVar[tuple[str, ...]] = ("shrinklm.students.training.train",)
    alone: ClassVar[bool] = False
    """Whether all open files are closed in it: a pipe to a third process would never end for its reader. SQLite then
    cannot open there what this process has open."""

    def __init__(self, arguments: Sequence[str], folder: Path, **environment: str) -> None:
        for module in self.uses:
            importlib.import_module(module)
        self.out, self.err = folder / "stdout", folder / "stderr"
        self.returncode: int | None = None
        self._asking = threading.Lock()
        self.pid = os.fork()
        if not self.pid:
            if self.alone:
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            _become(arguments, self.out, self.err, environment)

    def poll(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it runs."""
        with self._asking:  # a process that has ended is told once
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            return self.returncode

    def wait(self, seconds: float = 120) -> int:
        """Its exit code, once it has ended."""
        deadline = time.monotonic() + seconds
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.01)
        return code

    def send(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def close(self) -> None:
        """Ends it."""
        self.send(signal.SIGKILL)
        self.wait()


def _become(arguments: Sequence[str], out: Path, err: Path, environment: dict[str, str]) -> None:
    code = 1
    try:
        for path, number in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", 1, closefd=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.environ.update(environment)
        sys.argv = ["shrinklm", *arguments]
        from shrinklm.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)  # nothing of the tests' own process is closed or collected here
