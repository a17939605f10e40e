"""A run folder is for its owner alone, or for the group that shares the folder above it, with all that is in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_cases import recipe
from shrinklm import Recipe, Run
from shrinklm.core.files import Part, whole_folder, write_text, write_together
from shrinklm.core.permissions import close, folder_below, guarded_folder
from shrinklm.core.types import Example
from shrinklm.deploy.passing import Escalations, Passed
from shrinklm.teachers.batch.ledger import Ledger


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o002, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def open_folder(path: Path, bits: int) -> Path:
    path.mkdir()
    path.chmod(bits)
    return path


def test_a_run_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        place = open_folder(tmp_path / "project", 0o755)
        blocks = {"methods": ["finetune"], "generate": ["explanation"], "train": {"examples": 8, "batch": 8}}
        path = recipe(place, **blocks, evaluate={"zero_shot": False, "metrics": ["accuracy", "length"]})
        run = Run(Recipe.read(path))
        run.generate()
        run.audit()
        run.train()
        run.evaluate()
    finally:
        os.umask(before)
    assert (mode(place / "runs"), mode(run.folder)) == (0o755, 0o700)
    written = [run.folder, *run.folder.rglob("*")]
    assert len(written) > 20
    assert [str(each) for each in written if mode(each) & 0o077] == []
    assert {mode(each) for each in written if each.is_dir()} == {0o700}


def test_a_group_that_shares_the_folder_above_shares_the_runs(tmp_path: Path, umask: int) -> None:
    shared = open_folder(tmp_path / "lab", 0o2775)
    guarded_folder(shared / "runs")
    assert mode(shared / "runs") & 0o777 == 0o770 & ~umask
    write_text(shared / "runs" / "file", "x")
    assert mode(shared / "runs" / "file") == 0o660 & ~umask


@pytest.mark.parametrize("above", [0o755, 0o700, 0o1777, 0o750])
def test_nobody_else_where_nobody_shares(tmp_path: Path, above: int, umask: int) -> None:
    place = open_folder(tmp_path / "above", above)
    guarded_folder(place / "run")
    assert mode(place / "run") == 0o700


def test_who_opens_a_folder_opens_what_comes_later(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        guarded_folder(tmp_path / "run")
        (tmp_path / "run").chmod(0o755)
        guarded_folder(tmp_path / "run")  # one that is there stays as it is
        write_text(tmp_path / "run" / "deep" / "file", "x")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "run"), mode(tmp_path / "run" / "deep")) == (0o755, 0o755)
    assert mode(tmp_path / "run" / "deep" / "file") == 0o644
    (tmp_path / "run" / "deep" / "file").chmod(0o604)
    write_text(tmp_path / "run" / "deep" / "file", "y")
    assert mode(tmp_path / "run" / "deep" / "file") == 0o604, "a file that is replaced keeps its own"


def test_every_way_onto_the_disk(tmp_path: Path, umask: int) -> None:
    for bits in (0o700, 0o750, 0o755):
        place = open_folder(tmp_path / oct(bits), bits)
        write_text(place / "a" / "file", "x")
        with whole_folder(place / "b") as new:
            (new / "inner").mkdir()
            (new / "inner" / "file").touch()
        write_together(place, {"c/file": b"x", "file": b"x"})
        Part(place / "d" / "part", "about").add({})
        folder_below(place / "e" / "f")
        files = [each for each in place.rglob("*") if each.is_file()]
        folders = [each for each in place.rglob("*") if each.is_dir()]
        assert len(files) == 5
        assert len(folders) == 7
        assert {mode(each) for each in files} == {0o666 & ~umask & (bits | 0o600)}
        assert {mode(each) for each in folders} == {0o777 & ~umask & bits}


def test_permissions_that_cannot_be_changed_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o666)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "chmod", refused)
    close(tmp_path / "file")
    assert mode(tmp_path / "file") == 0o666


def test_what_people_ask_and_what_is_ordered(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        guarded_folder(tmp_path / "run")
        kept = Escalations(tmp_path / "run" / "deep" / "escalated.jsonl")
        kept.add([(Example("1", "Mine?", ("a", "b"), ""), Passed("b", "So.", None))], "cell", "knows")
        open_folder(tmp_path / "open", 0o755)
        Ledger(tmp_path / "open" / "generations.db", "server")
    finally:
        os.umask(before)
    assert (mode(kept.path), mode(kept.path.parent)) == (0o600, 0o700)
    assert mode(tmp_path / "open" / "generations.batches") == 0o700
