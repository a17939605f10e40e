"""Students for `test_engine_local.py`."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from shrinklm.core.errors import StudentError
from shrinklm.students.base import BaseStudent
from shrinklm.students.tiny import Tiny


def _trains() -> bool:
    """Whether this is called by one of several trainings, and not by a look before them."""
    return threading.current_thread() is not threading.main_thread()


class Broken(Tiny):
    """Does not open for a training."""

    @classmethod
    def open(cls, ref: str, root: Path = Path("."), **options: Any) -> BaseStudent:
        """See Tiny."""
        if _trains():
            raise StudentError("It does not open.")
        return super().open("", root, **options)


class Waiting(Tiny):
    """Opens once it was told that another one failed."""

    @classmethod
    def open(cls, ref: str, root: Path = Path("."), **options: Any) -> BaseStudent:
        """See Tiny."""
        while _trains() and not (root / "told").exists():
            time.sleep(0.01)
        return super().open("", root, **options)
