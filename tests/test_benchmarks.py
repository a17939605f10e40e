"""Benchmarks run, at a tiny size; how fast things are is for `benchmarks/` to say."""

from __future__ import annotations

import re
import subprocess
import sys

from benchmarks_of import FOLDER


def test_a_server_that_answers_at_once() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "endpoint.py"), "40"], capture_output=True, text=True, timeout=120, check=True
    )
    rounds = re.findall(r"^round \d: ([\d,]+) requests a second .* ([\d.]+) times$", done.stdout, re.MULTILINE)
    assert len(rounds) == 3, done.stdout + done.stderr
    assert all(float(times) > 0 for _, times in rounds)
