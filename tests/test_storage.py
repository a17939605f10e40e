"""Runs and stores at a URL: the same bytes as on the disk, gone on with elsewhere, whole or not at all."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from shrinklm import Recipe, Run, open_run
from shrinklm.core.errors import StoreError
from shrinklm.core.remote import is_url, mirror, named, objects, url_of
from shrinklm.core.types import Generation, Sampling, Source
from shrinklm.run.storage import Storage, storage_of
from shrinklm.teachers import remote
from shrinklm.teachers.remote import open_store
from shrinklm.teachers.store import Store

BLOCKS: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 10, "dev": 4, "test": 4}},
    "teacher": {"use": "fake"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "student": "tiny",
    "train": {"examples": 16, "batch": 4, "micro_batch": 4, "learning_rate": 1e-3, "curve": 0, "checkpoints": 2},
    "evaluate": {"batch": 8, "max_tokens": 6, "zero_shot": False},
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with mirrors of its own."""
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / "mirrors"))


def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / "other"))


def recipe(root: Path, **changes: Any) -> Recipe:
    return Recipe.parse({**BLOCKS, "root": root, **changes})


def test_a_mirror_stands_for_its_url(tmp_path: Path) -> None:
    place = mirror("file:///shared//runs/r/")
    assert place == mirror("file:///shared/runs/r")
    assert place.is_relative_to(tmp_path / "mirrors")
    assert url_of(place / "cells" / "x") == "file:///shared/runs/r/cells/x"
    assert named(f"see {place}/report.html") == "see file:///shared/runs/r/report.html"
    assert url_of(tmp_path / "runs" / "r") is None
    there = recipe(tmp_path, runs="file:///shared/runs")
    assert there.run_folder == place
    assert recipe(tmp_path).run_folder == tmp_path.resolve() / "runs" / "r"
    assert not (tmp_path / "mirrors").exists(), "a path is asked for without making anything"
    assert [is_url(name) for name in ("s3://b/x", "runs", "C:\\runs", "a/b", "org/name")] == [True, *[False] * 4]


# The mirror of a folder


class Killed(BaseException):
    """In the place of a signal."""


class Counted:
    """Objects that let so many changes through, and then the process is killed, before or after the last."""

    def __init__(self, inner: objects.Objects, left: int) -> None:
        self._inner, self._left = inner, left

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return method if name not in ("put", "write", "create") else lambda *said: self._one(method, *said)

    def _one(self, method: Any, *said: Any) -> Any:
        if not self._left:
            raise Killed
        self._left -= 1
        return method(*said)

    def delete(self, names: Any) -> None:
        for name in names:
            self._one(self._inner.delete, [name])


def state(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def lay(folder: Path, files: dict[str, str]) -> None:
    """The folder with these files and no others, each written after the one before."""
    for name in state(folder).keys() - files.keys():
        (folder / name).unlink()
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


BEFORE = {
    "started": "key",
    "checkpoints/checkpoint-2/trained.safetensors": "two",
    "checkpoints/checkpoint-2/state.json": "2",
    "train.jsonl": "1\n2\n",
}
WORK = [
    BEFORE,
    {
        "started": "key",
        "checkpoints/checkpoint-4/trained.safetensors": "four",
        "checkpoints/checkpoint-4/state.json": "4",
        "train.jsonl": "1\n2\n3\n4\n",
    },
    {"started": "another key", "train.jsonl": "1\n"},
    {"student/model": "w", "student/shrinklm.json": "n", "cell.json": "{}", "train.jsonl": "1\n2\n", "done/train": "k"},
    {
        "student/model": "w",
        "student/shrinklm.json": "n",
        "cell.json": "{}",
        "train.jsonl": "1\n2\n",
        "predictions.parquet": "p",
        "done/train": "k",
        "done/predict": "p",
    },
    {
        "student/model": "w",
        "student/shrinklm.json": "n",
        "cell.json": "{}",
        "train.jsonl": "1\n2\n",
        "predictions.parquet": "q",
        "done/train": "k",
        "done/predict": "q",
    },
]
"""What a cell holds after each piece of work."""


def sound(files: dict[str, bytes]) -> None:
    """Nothing says that something is there which is not, and no checkpoint stands beside another training's key."""
    text = {name: content.decode() for name, content in files.items()}
    if "done/train" in text:
        assert {"student/model", "student/shrinklm.json", "cell.json"} <= text.keys()
    if "done/predict" in text:
        assert text["predictions.parquet"] == text["done/predict"]
    for step, content in (("2", "two"), ("4", "four")):
        if f"checkpoints/checkpoint-{step}/state.json" in text:
            assert text[f"checkpoints/checkpoint-{step}/trained.safetensors"] == content
    if text.get("started") == "another key":
        assert not any(name.startswith("checkpoints") for name in text)


@pytest.mark.parametrize("step", range(1, len(WORK)))
def test_a_push_that_is_killed_at_any_point_leaves_an_interrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    def fresh(number: int) -> tuple[Path, Storage]:
        url = f"file://{tmp_path}/there/{number}/r"
        cell = mirror(url) / "cells" / "x"
        storage = Storage(mirror(url))
        storage.pull()
        lay(cell, WORK[step - 1])
        storage.push(cell)
        lay(cell, WORK[step])
        return cell, storage

    seen = set()
    for left in range(40):
        cell, storage = fresh(left)
        there = tmp_path / "there" / str(left) / "r" / "cells" / "x"
        opened = storage._mirror("cells/x")
        opened.objects = Counted(opened.objects, left)  # type: ignore[assignment]
        try:
            opened.push()
        except Killed:
            sound(state(there))
            seen.add(str(state(there)))
            with monkeypatch.context() as other:
                other.setenv("SHRINKLM_MIRROR", str(tmp_path / "other"))
                elsewhere = storage_of(recipe(tmp_path, runs=f"file://{tmp_path}/there/{left}"))
                told: list[str] = []
                elsewhere._tick = lambda *said, told=told: told.append(said[-1])  # type: ignore[misc]
                elsewhere.pull()
                assert state(elsewhere.folder / "cells" / "x") == state(there)
                assert not told, "nothing of an interrupted push counts as damaged"
            storage.pull()  # the same machine goes on with what it had not sent
            storage.push(cell)
            assert state(there) == state(cell) == {name: text.encode() for name, text in WORK[step].items()}
        else:
            assert state(there) == {name: text.encode() for name, text in WORK[step].items()}
            break
    assert len(seen) > 1


CLOCK = re.compile(
    r'"(seconds|train_seconds|started|answer_seconds|explain_seconds|tokens_per_second|latency_ms|root)": [^,}\n]*'
)
"""What two runs of one recipe do not share."""


def bytes_of(folder: Path) -> dict[str, Any]:
    """The files of a run, without times, and where it stands."""
    return {
        name: CLOCK.sub("", content.decode()) if name.endswith((".json", ".jsonl")) else content
        for name, content in state(folder).items()
        if name != "recipe.yaml"
    }


def work(run: Run) -> Run:
    """All that a run does but for its report, which takes the most time of it."""
    run.generate()
    run.train()
    run.evaluate()
    return run


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the run on the disk."""
    return work(Run(recipe(tmp_path_factory.mktemp("local")))).folder


def test_a_run_at_a_url_is_the_run_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: Path) -> None:
    there = tmp_path / "there" / "runs" / "r"
    run = work(Run(recipe(tmp_path / "root", runs=f"file://{there.parent}")))
    assert bytes_of(there) == bytes_of(local)
    assert bytes_of(there) == bytes_of(run.folder)
    assert not (there / ".lock").exists()
    assert not list(there.rglob("checkpoint-*"))
    another_machine(tmp_path, monkeypatch)
    opened = open_run(f"file://{there}")
    asked = "Where do fish swim?", ["in the sea", "in the sky"]
    assert opened.predict(*asked).probabilities == open_run(local).predict(*asked).probabilities
    assert state(opened.folder) == state(there)


# Stores


def text(key: str, said: str = "because", refusal: str | None = None) -> Generation:
    source = Source("t", "1", Sampling(), 0, "", 1, 1, "0")
    return Generation("e", "explanation", "a", said, "[]", (), source, key, refusal)


def at(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store at the URL as the machine of this name sees it."""
    monkeypatch.setenv("SHRINKLM_MIRROR", str(tmp_path / name))
    return mirror(f"file://{tmp_path}/there/generations.db")


def keys(path: Path) -> list[str]:
    with Store(path) as store:
        return sorted(generation.key for generation in store)


def test_two_machines_add_to_one_store_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there" / "generations.db"
    first = open_store(at(tmp_path, "first", monkeypatch))
    first.put([text("a"), text("b", "", "failed: no server")])
    second = open_store(at(tmp_path, "second", monkeypatch))
    assert len(second) == 0, "nothing was sent yet"
    second.put([text("c"), text("b")])
    first.close()
    assert not there.exists(), "texts that came since stand in a file of their own"
    assert [keys(part) for part in there.with_name("generations.db.new").iterdir()] == [["a", "b"]]
    second.close()
    remote.send_stores(whole=True)
    assert keys(there) == ["a", "b", "c"]
    assert list((tmp_path / "there").iterdir()) == [there]
    with open_store(at(tmp_path, "third", monkeypatch)) as third:
        assert sorted(generation.key for generation in third) == ["a", "b", "c"]
        assert third.get(["b"])["b"].text == "because", "what a server had failed at is replaced"


def test_what_a_killed_process_had_not_sent_is_sent_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there" / "generations.db"
    here = at(tmp_path, "here", monkeypatch)
    pid = os.fork()
    if not pid:
        open_store(here).put([text("paid")])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not there.parent.exists()
    with open_store(here) as store:
        assert store.known(["paid"])
    assert keys(there) == ["paid"]


def test_texts_are_sent_while_others_are_still_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "EVERY", 0.02)
    new = tmp_path / "there" / "generations.db.new"
    with open_store(at(tmp_path, "here", monkeypatch)) as store:
        for key in ("a", "b"):
            store.put([text(key)])
            for _ in range(200):
                if new.is_dir() and any(key in keys(part) for part in new.iterdir()):
                    break
                time.sleep(0.02)
            else:
                raise AssertionError(f"{key} was not sent")


def test_a_damaged_store_is_told_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there" / "generations.db"
    with open_store(at(tmp_path, "here", monkeypatch)) as store:
        store.put([text(str(number), "word " * 50) for number in range(200)])
    remote.send_stores(whole=True)
    whole = there.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no store at all" * 100):
        there.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"generations\.db cannot be used.*Put back a copy that is whole"):
            open_store(at(tmp_path, str(len(damaged)), monkeypatch))
        assert there.read_bytes() == damaged
