"""The store of generations: by key, once, whole, and out again."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import StoreError
from shrinklm.core.types import Generation, Prompt, Sampling, Source, Turn, ask_key, digest
from shrinklm.teachers.merging import Merged, merge
from shrinklm.teachers.rows import COLUMNS, to_row
from shrinklm.teachers.store import ScratchStore, Store, read, write
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


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "db"])
def test_what_is_put_into_a_store_is_told_apart(store: Store, tmp_path: Path, ending: str) -> None:
    failed = "the server failed: 500"
    store.put([made(1), made(2, text="mine"), made(3, refusal=failed), made(4, refusal=failed, text="")])
    theirs = [made(1), made(2, text="theirs"), made(3), made(4, refusal=failed, text="?"), made(5), made(6)]
    other = tmp_path / f"other.{ending}"
    if ending == "db":
        with Store(other) as opened:
            opened.put(theirs)
    else:
        write(theirs, other)
    told: list[tuple[int, int]] = []
    assert merge(store, other, lambda done, total: told.append((done, total))) == Merged(2, 1, 1, 2)
    assert told == [(6, 6)]
    assert store.get([digest(2)])[digest(2)].text == "mine"
    assert list(store) == [made(1), made(2, text="mine"), made(3), made(4, refusal=failed, text=""), made(5), made(6)]
    assert merge(store, other) == Merged(0, 0, 4, 2)
    with pytest.raises(StoreError, match="is the store that it would be put into"):
        merge(store, store.path)


def test_a_store_of_version_0_1_0_is_merged_as_it_is(store: Store, tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "old.db")
    old.execute(
        "CREATE TABLE generations (key TEXT PRIMARY KEY, example_id TEXT NOT NULL, kind TEXT NOT NULL, "
        "answer TEXT NOT NULL, text TEXT NOT NULL, refusal TEXT, prompt TEXT NOT NULL, parents TEXT NOT NULL, "
        "source TEXT NOT NULL) WITHOUT ROWID"
    )
    old.execute(f"INSERT INTO generations VALUES ({','.join('?' * 9)})", to_row(made(1))[:9])
    old.commit()
    before = (tmp_path / "old.db").read_bytes()
    assert merge(store, tmp_path / "old.db") == Merged(added=1)
    assert list(store) == [made(1)]
    assert (tmp_path / "old.db").read_bytes() == before


def _spoilt(**changes: object) -> str:
    """A good row and one with changes, as lines of an export."""
    good, bad = (dict(zip(COLUMNS, to_row(made(number)), strict=True)) for number in (1, 2))
    return "".join(json.dumps(row) + "\n" for row in (good, {**bad, **changes}))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (_spoilt(text=5), "row 2.*'text' is no text but int"),
        (_spoilt(key=""), "row 2.*'key' is empty"),
        (_spoilt(source="{}"), "row 2.*sampling"),
        (_spoilt(source=to_row(made(1))[8].replace('"seed": 5', '"seed": "5"')), "row 2.*'seed' of its s.* is str"),
        (_spoilt(source=to_row(made(1))[8].replace('"seed": 5', '"seed": 1e400')), "row 2.*'seed' of its s.* is float"),
        (_spoilt(source=to_row(made(1))[8].replace('"seed": 5', f'"seed": {2**70}')), "row 2.*out of range"),
        (_spoilt(source=to_row(made(1))[8].replace("{", '{"more": 1, ', 1)), "row 2.*more"),
        (_spoilt(prompt="{}"), "row 2.*no list of turns"),
        (_spoilt(parents="[1]"), "row 2.*no list of keys"),
        (_spoilt(answer="\ud800"), "row 2.*surrogates"),
        (_spoilt()[:-20], "row 1.*Unterminated|row 1"),
        ("[" * 100_000, "is not an export"),
        ("[1]\n", "row 1.*expected an object, found list"),
    ],
)
def test_a_spoilt_file_is_refused_before_anything_is_taken(store: Store, tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "bad.jsonl").write_text(text)
    with pytest.raises(StoreError, match=what):
        merge(store, tmp_path / "bad.jsonl")
    assert len(store) == 0


def test_a_database_that_is_no_store_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_bytes(b"no data base at all" * 100)
    sqlite3.connect(tmp_path / "view.db").execute("CREATE VIEW generations AS SELECT 1 AS key")
    blob = sqlite3.connect(tmp_path / "blob.db")
    blob.execute(f"CREATE TABLE generations ({','.join(COLUMNS)})")
    blob.execute(f"INSERT INTO generations VALUES ({','.join('?' * len(COLUMNS))})", [b"\xff"] * len(COLUMNS))
    blob.commit()
    for name, what in {"text": "not a database", "view": "no table", "blob": "no text but bytes", "no": "open"}.items():
        with pytest.raises(StoreError, match=f"is not an export.*{what}"):
            merge(store, tmp_path / f"{name}.db")
    assert not (tmp_path / "no.db").exists()


def test_a_killed_import_goes_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.teachers.merging.GROUP", 10)
    write([made(number) for number in range(35)], tmp_path / "out.jsonl")

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(store, tmp_path / "out.jsonl", stop)
    assert len(store) == 20
    assert merge(store, tmp_path / "out.jsonl") == Merged(added=15, same=20)


def test_several_processes_open_and_fill_one_store(tmp_path: Path) -> None:
    """A new file, made by whoever comes first; of a text that all of them write, one stays."""
    path = tmp_path / "g.db"
    code = (
        "import sys; from test_store import made; from shrinklm.teachers.store import Store\n"
        "sys.stdin.read(1)\n"  # all begin at once
        f"store, own = Store({str(path)!r}), int(sys.argv[1])\n"
        "for number in range(40): store.put([made(number), made(1000 * own + number)])"
    )
    run = [sys.executable, "-c", code]
    pipes: Any = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": Path(__file__).parent}
    ours = [subprocess.Popen([*run, str(own)], **pipes) for own in (1, 2, 3)]
    for process in ours:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    assert [process.communicate()[1] for process in ours] == ["", "", ""]
    with Store(path) as opened:
        assert len(opened) == 160
        assert not opened.missing(digest(1000 * own + number) for own in range(4) for number in range(40))


def test_keys_are_compared_without_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(made(number) for number in range(30))
    keys = [digest(number) for number in range(20, 40)]
    for many in (10_000, 1):  # one by one, and all of the store's at once
        monkeypatch.setattr("shrinklm.teachers.store._MANY", many)
        assert store.missing(keys) == set(keys[10:])
        assert store.known(keys) == set(keys[:10])


def test_a_store_in_memory_knows_what_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [digest(number) for number in range(6)]
    with Store(tmp_path / "store.db") as store:
        store.put(made(number) for number in range(3))
    for many in (10_000, 1):
        monkeypatch.setattr("shrinklm.teachers.store._MANY", many)
        for path, stored in ((tmp_path / "store.db", 3), (tmp_path / "none.db", 0)):
            with ScratchStore(path) as look:
                look.put([made(3)])
                found = {*keys[:stored], keys[3]}
                assert look.known(iter(keys)) == found == set(look.get(keys))
                assert look.missing(iter(keys)) == {*keys} - found
    with Store(tmp_path / "store.db") as store:
        assert len(store) == 3


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


def test_a_new_store_is_for_its_owner_alone_and_an_old_one_stays_shared(tmp_path: Path) -> None:
    import stat

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    with Store(tmp_path / "new" / "g.db"):
        assert (mode(tmp_path / "new"), mode(tmp_path / "new" / "g.db")) == (0o700, 0o600)
    (tmp_path / "old.db").touch()
    (tmp_path / "old.db").chmod(0o664)
    with Store(tmp_path / "old.db"):
        assert mode(tmp_path / "old.db") == 0o664
