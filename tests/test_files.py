"""Writing: whole or not at all, and what stood there keeps its kind and its permissions."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shrinklm.core import files
from shrinklm.core.errors import StoreError


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match=r"a\.txt cannot be written: No space left on device\. Check permissions"):
        files.write_text(path, "new")
    assert (path.read_text(), left(tmp_path)) == ("old", {"a.txt"})


def test_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("old")
    path.chmod(0o600)
    files.write_text(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "a.txt", tmp_path / "a.txt"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    files.write_text(link, "new")
    assert (link.is_symlink(), target.read_text()) == (True, "new")


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    files.write_text(pipe, "through")
    reader.join(10)
    assert (read, stat.S_ISFIFO(pipe.stat().st_mode)) == (["through"], True)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_folder_comes_back_when_its_successor_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    folder, replace = tmp_path / "analysis", os.replace
    with files.whole_folder(folder) as new:
        (new / "a.txt").write_text("old")

    def torn(source: Path, target: Path) -> None:
        if source.name.endswith(".new"):
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", torn)
    with pytest.raises((StoreError, KeyboardInterrupt)), files.whole_folder(folder) as new:
        (new / "a.txt").write_text("new")
    assert ((folder / "a.txt").read_text(), left(tmp_path)) == ("old", {"analysis"})


def test_files_that_belong_together_come_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_together(tmp_path, {"report/a.csv": b"old", "report/b.csv": b"old", "page.html": b"old"})
    files.write_together(tmp_path, {"report/a.csv": b"new", "page.html": b"new"})
    assert left(tmp_path) == {"report", "page.html"}
    assert left(tmp_path / "report") == {"a.csv"}, "a folder is replaced with all that it held"
    assert (tmp_path / "page.html").read_bytes() == b"new"


def test_a_part_goes_on_after_a_torn_line_and_begins_anew_for_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    part = files.Part(path, "this")
    part.add({"n": 1})
    with path.open("ab") as file:
        file.write(b'{"n": 2')
    assert files.Part(path, "this").chunks == [{"n": 1}]
    assert files.Part(path, "that").chunks == []


def test_a_folder_among_files_that_belong_together_comes_back_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_together(tmp_path, {"report/a.csv": b"old", "page.html": b"old"})
    replace = os.replace

    def torn(source: Path, target: Path) -> None:
        if Path(source).parent.name == "new":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", torn)
    with pytest.raises(StoreError, match="No space left on device"):
        files.write_together(tmp_path, {"report/a.csv": b"new", "page.html": b"new"})
    assert ((tmp_path / "report" / "a.csv").read_bytes(), left(tmp_path)) == (b"old", {"report", "page.html"})


def test_a_file_that_several_write_at_once_is_never_seen_in_part(tmp_path: Path) -> None:
    content = b"x" * 100_000

    def write_and_read(path: Path) -> bool:
        if not path.is_file():
            with files.whole(path, shared=True) as new:
                new.write_bytes(content)
        return path.read_bytes() == content

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_read, [tmp_path / str(number) for number in range(30) for _ in range(8)]))
