"""How progress is told: bars on a terminal, few lines elsewhere, never on stdout."""

from __future__ import annotations

import io
import re
import sys

import pytest

from shrinklm.cli import progress
from shrinklm.cli.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test sets."""
    time = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def test_plain_lines_come_every_ten_seconds(capsys: pytest.CaptureFixture[str], now: list[float]) -> None:
    with Progress() as drawn:
        for done in range(101):
            drawn.tick("explanation", done, 100, f"{done} asked")
            now[0] += 1
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "explanation: 1 of 100, 1:39 left, 1 asked"
    assert lines[1] == "explanation: 11 of 100, 1:29 left, 11 asked"
    assert lines[-1] == "explanation: 100 of 100, took 1:40, 100 asked"
    assert len(lines) == 11


def test_what_was_done_before_is_no_speed(capsys: pytest.CaptureFixture[str], now: list[float]) -> None:
    with Progress() as drawn:
        drawn.tick("train", 900, 1000, "")
        now[0] += 20
        drawn.tick("train", 910, 1000, "loss 1.2")
    assert capsys.readouterr().err == "train: 910 of 1,000, 3:00 left, loss 1.2\n"


def test_what_is_done_already_needs_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as drawn:
        drawn.tick("critique", 24, 24, "24 found")
    assert capsys.readouterr().err == ""


def test_a_remark_is_always_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as drawn:
        drawn.tick("out of memory", 0, 0, "micro-batch halved to 4")
    assert capsys.readouterr().err == "out of memory: micro-batch halved to 4\n"


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    with Progress() as drawn:
        for done in range(1, 4):
            drawn.tick("train a--s0", done, 3, f"loss {done}.0 predict [x] {done}.5")
        drawn.tick("out of memory", 0, 0, "micro-batch halved to 4")
        drawn.tick("train b--s0", 1, 3, "loss 9.0")
    text = screen.getvalue()
    assert re.search(r"train a--s0: 0:0\d, loss 3\.0 predict \[x\] 3\.5", text), (
        "what is finished becomes a line; square brackets are no markup"
    )
    assert "out of memory: micro-batch halved to 4" in text
    assert "1/3" in text


def test_the_same_thing_may_come_again(capsys: pytest.CaptureFixture[str], now: list[float]) -> None:
    with Progress() as drawn:
        for total in (12, 6):
            drawn.tick("label", 0, total, "")
            now[0] += 3
            drawn.tick("label", total, total, "")
    assert capsys.readouterr().err == "label: 12 of 12, took 0:03\nlabel: 6 of 6, took 0:03\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (11100, "3:05:00"), (-1, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
