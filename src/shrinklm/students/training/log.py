"""train.jsonl: one line a step, and one for each score on dev."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...core.files import write_text, writing
from .trackers import Tell


class Log:
    """The log of a training, that of earlier processes included.

    Args:
        path: Its file.
        writes: Whether this process writes it; the others of several only know what is in it.
        tell: Called with the step and the figures of each line that is written.
    """

    def __init__(self, path: Path, writes: bool = True, tell: Tell | None = None) -> None:
        self.path, self.writes, self.tell = path, writes, tell
        self.lines: list[dict[str, Any]] = []
        self.non_finite = False
        """Whether a loss or a gradient was NaN or infinite."""
        self.tokens = 0
        """Tokens that were read so far."""
        self._before, self._started = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Training time, that of earlier processes included."""
        return self._before + time.perf_counter() - self._started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done meanwhile is no training time."""
        before = time.perf_counter()
        yield
        self._started += time.perf_counter() - before

    def write(self, where: Mapping[str, int], values: Mapping[str, float]) -> None:
        """Append a line, with null for a value that is not finite: JSON has no NaN. Raises StoreError."""
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = {**where, **numbers, "seconds": round(self.seconds, 2), "tokens": self.tokens}
        self.lines.append(line)
        self.non_finite |= None in numbers.values()
        if self.writes:
            with writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            if self.tell:
                self.tell(where["step"], values)

    def resume(self, step: int) -> None:
        """Go back to `step`, the last that the checkpoint holds, so that no step stands in it twice."""
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        # A line that a kill tore does not end with "}": the objects in it hold no others.
        lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        self.lines = [line for line in lines if line["step"] <= step]
        if self.writes:
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        self.non_finite = any(None in line.values() for line in self.lines)
        if self.lines:
            self._before, self.tokens = self.lines[-1]["seconds"], self.lines[-1]["tokens"]
        self._started = time.perf_counter()
