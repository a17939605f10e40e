"""Progress of long tasks: bars on a terminal, plain lines elsewhere. Always on stderr, so that stdout is data alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from ..core.remote import named

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PAUSE = 10.0
"""Seconds between two plain lines."""


class Progress:
    """Draws every `Tick` while it is open: `with Progress() as progress: Run(recipe, tick=progress.tick)`.

    Plain lines come at most every `PAUSE` seconds, and one more at the end of each thing that took time.
    """

    _drawn: ClassVar[list[Bars]] = []
    """The bars on the terminal, innermost last."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._rows: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int, int]] = {}
        self._printed = 0.0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
            self._drawn.append(self._bars)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._drawn.remove(self._bars)
            self._bars.stop()

    def tick(self, what: str, done: int, total: int, note: str) -> None:
        """(what, done, total, note); a total of 0 is a remark. What stands at a URL is named by it."""
        note = named(note)
        if self._bars is not None:
            self._draw(self._bars, what, done, total, note)
        else:
            self._write(what, done, total, note)

    def _draw(self, bars: Bars, what: str, done: int, total: int, note: str) -> None:
        if not total:
            bars.console.print(f"{what}: {note}", markup=False, highlight=False)
            return
        row = self._rows.get(what)
        if row is None or (bars.tasks[row].finished and done < total):
            self._clear(bars)
            # What was done before is no speed: the time left is measured from here.
            row = self._rows[what] = bars.add_task(what, total=total, completed=done, note=note)
        bars.update(row, completed=done, total=total, note=note)

    def _clear(self, bars: Bars) -> None:
        """Turn finished bars into lines above the others, so that many trainings fit on a screen."""
        for what, row in self._rows.items():
            task = bars.tasks[row]
            if task.finished and task.visible:
                bars.update(row, visible=False)
                line = f"{what}: {clock(task.finished_time or 0)}, {task.fields['note']}".rstrip(", ")
                bars.console.print(line, style="dim", markup=False, highlight=False)

    def _write(self, what: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if not total:
            print(f"{what}: {note}", file=sys.stderr, flush=True)
            return
        began = self._began.get(what)
        # The same title with another total, or fewer steps done, is a new task.
        if began is None or began[2] != total or done < began[1]:
            began = self._began[what] = (now, done, total)
        worked = done - began[1]
        if done >= total and worked:
            del self._began[what]
        elif now - self._printed < PAUSE or not worked:
            return  # without new work there is no speed to tell the time left from, and nothing to report
        self._printed = now
        time_left = (
            f", {clock((total - done) * (now - began[0]) / worked)} left"
            if done < total
            else f", took {clock(now - began[0])}"
        )
        print(f"{what}: {done:,} of {total:,}{time_left}{f', {note}' if note else ''}", file=sys.stderr, flush=True)


@contextmanager
def paused() -> Iterator[None]:
    """Takes the bars off the terminal while something is asked on it."""
    bars = list(Progress._drawn)
    for each in bars:
        each.stop()
    try:
        yield
    finally:
        for each in bars:
            each.start()


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:30 or 3:05:00."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _bars() -> Bars:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    from .terminal import Terminal

    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=48)),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False, style="dim", table_column=Column(ratio=1)),
        console=Terminal(stderr=True),
        refresh_per_second=4,
        speed_estimate_period=120,
    )
