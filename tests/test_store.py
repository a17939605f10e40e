"""The store of generations: by key, once, whole, and out again."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from shrinklm.core.errors import StoreError
from shrinklm.core.types import Generation, Prompt, Sampling, Source, Turn, ask_key, digest
from shrinklm.teachers.store import COLUMNS, Store, read, write
from student_cases import TYPES

SAMPLING = Sampling(64, 0.7, 0.9, ("\n\n", "Question:"), 5)
SOURCE = Source("model", "sha", SAMPLING, 5, "2026-01-02T03:04:05+00:00", 12, 34, "0.1.0", 0.25)


def made(number: int, **changes: object) -> Generation:
    common = Generation(
        f"q{number}", "explanation", "a rope", f"Text {number}", "[]", ("p1", "p2"), SOURCE, digest(number)
    )
    return replace(common, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "deep" / "down" / "g.db")


def test_what_goes_in_comes_out(store: Store) -> None:
    some = [
        made(1),
        made(2, refusal="empty", text=""),
        made(3, text="né \u2028 \x85 “quoted” 🪢\nsecond line", parents=()),
    ]
    store.put(some)
    assert store.get([found.key for found in some]) == {found.key: found for found in some}
    assert store.get([]) == {}
    assert store.get(["nothing", some[0].key, some[0].key]) == {some[0].key: some[0]}
    assert (len(store), list(store)) == (3, some)


def test_the_first_answer_to_a_question_stays(store: Store) -> None:
    store.put([made(1, text="first")])
    store.put([made(1, text="second"), made(2)])
    assert store.get([digest(1)])[digest(1)].text == "first"
    assert len(store) == 2


def test_half_a_character_from_a_server_is_kept_as_a_mark(store: Store) -> None:
    store.put([made(1, text="rope \ud83e")])
    assert store.get([digest(1)])[digest(1)].text == "rope ?"


def test_every_put_is_seen_by_another_process_at_once(store: Store) -> None:
    store.put([made(1)])
    code = f"from shrinklm.teachers.store import Store; print(len(Store({str(store.path)!r})))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_twenty_thousand_keys_are_found_in_seconds(store: Store) -> None:
    count = 20_000
    store.put(made(number, prompt="x" * 400) for number in range(count))
    started = time.process_time()
    assert len(store.get(digest(number) for number in range(count))) == count
    assert time.process_time() - started < 5


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_export_and_back(store: Store, tmp_path: Path, ending: str) -> None:
    some = [made(1), made(2, refusal="too long"), made(3, text="line\u2028separator \x85 and \x0b others")]
    store.put(some)
    assert write(store, tmp_path / f"out.{ending}") == 3
    assert read(tmp_path / f"out.{ending}") == some
    other = Store(tmp_path / "other.db")
    other.put(read(tmp_path / f"out.{ending}"))
    assert list(other) == list(store)


def test_export_is_plain_text_columns(store: Store, tmp_path: Path) -> None:
    store.put([made(1)])
    write(store, tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert tuple(row) == COLUMNS
    source = json.loads(row["source"])
    assert (source["teacher"], source["revision"], source["seed"], source["sampling"]["temperature"]) == (
        "model",
        "sha",
        5,
        0.7,
    )


def test_errors_say_what_to_do(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"must end in \.parquet or \.jsonl"):
        write(store, tmp_path / "out.csv")
    (tmp_path / "broken.db").write_bytes(b"this is no data base, whatever its name says" * 100)
    with pytest.raises(StoreError, match=r"broken\.db cannot be used: file is not a database"):
        Store(tmp_path / "broken.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match="Check that the folder exists and can be written, or name another file with `store:`"
    ):
        Store(tmp_path / "file" / "g.db")
    for name, content in {"a.jsonl": '{"key": 1}\n', "b.jsonl": "no json", "c.parquet": "no parquet"}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(StoreError, match="is not an export of a generation store"):
            read(tmp_path / name)
    with pytest.raises(StoreError, match="is not an export"):
        read(tmp_path / "absent.jsonl")


def test_a_full_disk_is_named_and_nothing_is_lost(store: Store) -> None:
    store.put([made(1)])
    store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StoreError, match=r"No space left to write the store .* Everything written before is safe"):
        store.put(made(number, text="x" * 5000) for number in range(2, 50))
    assert list(Store(store.path)) == [made(1)]


def test_closing(store: Store) -> None:
    with store as same:
        same.put([made(1)])
    with pytest.raises(StoreError):
        len(store)
    assert sqlite3.connect(store.path).execute("SELECT key FROM generations").fetchall() == [(digest(1),)]


def test_a_key_says_everything_that_was_asked() -> None:
    prompt = Prompt((Turn("user", "Why?"),), TYPES["choice"], "explanation", "cellar")
    key = ask_key("model", "sha", prompt, SAMPLING)
    others = [
        ask_key("other", "sha", prompt, SAMPLING),
        ask_key("model", "other", prompt, SAMPLING),
        ask_key("model", "sha", replace(prompt, turns=(Turn("system", "Why?"),)), SAMPLING),
        ask_key("model", "sha", replace(prompt, kind="revision"), SAMPLING),
        ask_key("model", "sha", replace(prompt, answer="river bed"), SAMPLING),
        ask_key("model", "sha", prompt, replace(SAMPLING, seed=6)),
        ask_key("model", "sha", prompt, replace(SAMPLING, temperature=0.0)),
        ask_key("model", "sha", prompt, replace(SAMPLING, max_tokens=65)),
    ]
    assert len({key, *others}) == 1 + len(others)
    assert key == ask_key("model", "sha", replace(prompt, example=TYPES["nli"]), SAMPLING)  # the words are the question
    silent = replace(prompt, turns=())
    assert ask_key("model", "sha", silent, SAMPLING) != ask_key(
        "model", "sha", replace(silent, example=TYPES["nli"]), SAMPLING
    )


def test_a_key_is_the_same_on_every_machine() -> None:
    prompt = Prompt((Turn("user", "Wärum?"),), TYPES["choice"], "explanation", "cellar")
    assert ask_key("model", "sha", prompt, Sampling()) == "75d589174f6f077d036c304bcd9b77bc"
