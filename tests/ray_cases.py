"""Works for a cluster of tests, whose workers find them here."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

from shrinklm.core.errors import StudentError
from shrinklm.core.files import write_bytes
from shrinklm.core.types import Tick
from shrinklm.run.engines.base import Work


class Case(Work):
    """Does what `how` says, and returns the node that it was done on."""

    def __init__(self, root: Path, number: int, how: str = "", node: str = "", parts: Any = None) -> None:
        self.root, self.number, self.how, self.node, self.parts = root, number, how, node, parts

    @property
    def name(self) -> str:
        return f"case {self.number}"

    @property
    def folder(self) -> Path:
        return self.root / "cells" / f"c{self.number}"

    def do(self, tick: Tick) -> Any:
        import ray
        import torch

        here = ray.get_runtime_context().get_node_id()
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "begun").open("a") as file:
            file.write(f"{here}\n")
        if self.how:
            getattr(self, self.how)(here == self.node, tick)
        return here, torch.get_num_threads(), len(self.parts or ())

    def slow(self, there: bool, tick: Tick) -> None:
        time.sleep(2 if there else 0.02)

    def full(self, there: bool, tick: Tick) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if there:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            write_bytes(self.folder / "weights", b"w" * 10_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        time.sleep(0.5)  # so that the other node is asked too

    def dies(self, there: bool, tick: Tick) -> None:
        os._exit(1)

    def fails(self, there: bool, tick: Tick) -> None:
        while not (self.root / "cells/c1/begun").exists():
            time.sleep(0.01)
        raise StudentError("It does not open.")

    def hangs(self, there: bool, tick: Tick) -> None:
        (self.folder / "begun").touch()
        tick("hangs", 1, 2, "")
        time.sleep(600)

    def waits(self, there: bool, tick: Tick) -> None:
        tick("waits", 1, 2, "")
        time.sleep(1)
        (self.folder / "ended").touch()
