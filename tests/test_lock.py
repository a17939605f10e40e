"""One process at a time writes to a run folder: another is told who does, and a killed one blocks nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cli_cases import call, recipe
from shrinklm import Recipe, Run
from shrinklm.core.errors import StoreError
from shrinklm.run import lock
from shrinklm.run.lock import FolderLock

HOLD = """
import sys, time
from pathlib import Path
from shrinklm.run.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of a run folder until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_writes_and_a_killed_one_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_PATIENCE", 0.1)
    path = recipe(tmp_path, methods=["finetune"], generate=[], evaluate={"zero_shot": False, "max_tokens": 4})
    folder = tmp_path / "runs" / "mini"
    holder = hold(folder)
    try:
        before = (folder / ".lock").read_bytes()
        for command in ("train", "evaluate", "run"):
            result = call(command, path)
            assert result.exit_code == 1
            said = " ".join(result.stderr.split())
            assert f"is in use by process {holder.pid} on " in said
            assert "type the same command again" in said
        assert call("preview", path).exit_code == 0, "what writes nothing waits for nobody"
        assert {entry.name for entry in folder.iterdir()} == {".lock"}
        assert (folder / ".lock").read_bytes() == before
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    assert json.loads((folder / ".lock").read_text())["pid"] == holder.pid, "a killed process leaves its note"
    Run(Recipe.read(path)).train()
    assert not (folder / ".lock").exists()
    assert (folder / "cells" / "finetune--tiny--s0" / "student").is_dir()


def test_a_process_that_ends_soon_is_waited_for(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "r"), FolderLock(tmp_path / "r")
    with first:
        with first:
            pass
        assert first.path.is_file(), "an inner block does not give up what an outer one holds"
        with pytest.raises(StoreError, match=f"in use by process {os.getpid()} on "), second:
            pass

    def held_for_a_moment() -> None:
        with first:
            taken.set()
            time.sleep(0.3)

    taken = threading.Event()
    thread = threading.Thread(target=held_for_a_moment)
    thread.start()
    taken.wait(10)
    with second:
        assert second.path.is_file()
    thread.join()
    assert not (tmp_path / "r").exists(), "an empty folder goes with its lock"


def test_a_holder_that_wrote_no_name_is_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE", 0.1)
    with FolderLock(tmp_path / "r") as held:
        for content in ("", "{", "[]", "{}"):
            held.path.write_text(content)
            with pytest.raises(StoreError, match="is in use by another process"), FolderLock(tmp_path / "r"):
                pass
