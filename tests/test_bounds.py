"""A small file that unpacks into millions of rows or gigabytes is a message, for every kind that is read."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shrinklm import Recipe
from shrinklm.core.errors import TableError, TaskError
from shrinklm.core.tables import bound, columnar, read_file
from shrinklm.core.tables.rows import Layout
from shrinklm.core.types import Example, Prompt, Sampling
from shrinklm.run.stages.data import task_of
from shrinklm.tasks.base import TaskOptions, make_task
from shrinklm.teachers.base import TeacherOptions, make_teacher

COLUMNS = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}


def same(value: Any, count: int) -> pa.Array:
    """One value, many times, held once."""
    return pa.DictionaryArray.from_arrays(pa.nulls(count, pa.int32()).fill_null(0), [value])


def read(path: Path, *wanted: str, **layout: Any) -> int:
    """The rows of a file."""
    rows = read_file(path, path.name, Layout(**layout))
    return sum(1 for _ in rows.read(wanted or rows.columns))


def task(path: Path, **options: Any) -> list[Example]:
    """The training examples of a table."""
    made = make_task("table", TaskOptions(train=path.name, columns=COLUMNS, test=0, dev=0, root=path.parent, **options))
    return list(made.examples("train"))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Five million rows in some fifty kilobytes."""
    table = pa.table({name: same("here", 5_000_000) for name in ("id", "question", "answer")})
    pq.write_table(table, tmp_path / "packed.parquet", compression="zstd")
    assert (tmp_path / "packed.parquet").stat().st_size < 60_000
    return tmp_path / "packed.parquet"


def test_millions_of_rows_in_a_small_parquet_file(packed: Path) -> None:
    before = time.process_time()
    said = (
        r"packed\.parquet holds 5,000,000 rows; 1,048,576 are read of a file of \d\d\.\d kB\. If that is right, write "
        r"in the recipe, under {block}: most_rows: 5000000"
    )
    with pytest.raises(TaskError, match=said.format(block="task")):
        task(packed)
    recorded = make_teacher(f"recorded:{packed}", TeacherOptions(columns={"explanation": "question"}))
    prompt = Prompt((), Example("here", "?", (), "x"), "explanation", "x")
    with pytest.raises(TableError, match=said.format(block="teacher")):
        list(recorded.complete([prompt], Sampling()))
    with pytest.raises(TableError, match="save it as CSV, which is read whatever it holds"):
        read(packed, "question")
    assert time.process_time() - before < 2


def test_the_recipe_raises_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound, "ROWS", 1000)
    ids = pa.array([f"q{number % 10}" for number in range(4000)]).dictionary_encode()
    texts = {"question": same("Where?", 4000), "choices": same('["here", "there"]', 4000), "answer": same("here", 4000)}
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": ids, **texts}), path, compression="zstd")
    blocks: dict[str, Any] = {"use": "table", "train": "t.parquet", "columns": COLUMNS, "test": 0, "dev": 0}
    data = {"name": "n", "task": blocks, "student": "tiny", "root": tmp_path}
    with pytest.raises(TaskError, match=r"under task: most_rows: 4000"):
        list(task_of(Recipe.parse(data)).examples("train"))
    assert "most_rows" not in Recipe.parse(data).dump()
    raised = Recipe.parse({**data, "task": {**blocks, "most_rows": 4000}})
    assert "most_rows: 4000" in raised.dump()
    with pytest.raises(TaskError, match=r"the id .q0. stands already"):  # it is read: rows of one id differ in nothing
        list(task_of(raised).examples("train"))
    teacher = {"use": "recorded:t.parquet", "columns": {"explanation": "question"}, "most_rows": 4000}
    read_by = Recipe.parse({**data, "teacher": teacher}).teacher
    assert read_by is not None
    recorded = make_teacher(read_by.use, read_by.options(tmp_path))
    prompt = Prompt((), Example("q1", "?", (), "x"), "explanation", "x")
    assert [said.text for _, said in recorded.complete([prompt], Sampling())] == ["Where?"]


def rle(path: Path) -> None:
    pq.write_table(pa.table({"q": same("x" * 100_000, 2000)}), path, compression="zstd")


def delta(path: Path) -> None:
    table = pa.table({"q": pa.array(["x" * 100_000] * 600)})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, column_encoding={"q": "DELTA_BYTE_ARRAY"})


def nested(path: Path) -> None:
    texts = pa.ListArray.from_arrays(pa.array(range(0, 2001, 2), pa.int32()), same("x" * 100_000, 2000))
    pq.write_table(pa.table({"q": texts}), path, compression="zstd")


def long_list(path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 3_000_000], pa.int32()), pa.nulls(3_000_000, pa.bool_()))
    pq.write_table(pa.table({"q": lists}), path, compression="zstd")


@pytest.mark.parametrize("write", [rle, delta, nested, long_list])
def test_a_small_parquet_file_of_long_texts_and_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    monkeypatch.setattr(bound, "BYTES", 30_000_000)
    monkeypatch.setattr(columnar, "PIECE", 1_000_000)
    path = tmp_path / "t.parquet"
    write(path)
    assert path.stat().st_size < 50_000
    pool = pa.default_memory_pool()
    pool.release_unused()
    before, held = pool.bytes_allocated(), 0
    found = read_file(path, path.name, Layout(block="task")).read(["q"])
    told = None
    try:
        for _ in found:
            held = max(held, pool.bytes_allocated() - before)
    except TableError as error:
        told = str(error)
    assert held < 5_000_000
    more = "48 MB" if write is long_list else "more than 30 MB"
    assert told is not None
    assert f"unpacks to {more}; 30 MB are read. If that is right, write in the recipe, under task: most_meg" in told


def arrow_file(path: Path, table: pa.Table, **options: Any) -> None:
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(table)


def arrow_stream(path: Path, table: pa.Table, **options: Any) -> None:
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(table)


@pytest.mark.parametrize("write", [arrow_file, arrow_stream])
def test_small_arrow_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    monkeypatch.setattr(bound, "BYTES", 30_000_000)
    path = tmp_path / "t.arrow"
    write(path, pa.table({"q": pa.nulls(5_000_000)}))
    with pytest.raises(TableError, match=r"t\.arrow holds more than 1,048,576 rows"):
        read(path)
    write(path, pa.table({"q": same("x" * 100_000, 2000)}), compression="zstd")
    with pytest.raises(TableError, match="unpacks to more than 30 MB"):
        read(path)
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2000]), pa.array(["x" * 100_000]))
    write(path, pa.table({"q": runs}), compression="zstd")
    with pytest.raises(TableError, match="unpacks to more than 30 MB"):
        read(path)
    write(path, pa.table({"q": pa.array(["a text", None], pa.string_view()), "n": [[{"a": "b"}], []]}))
    assert read(path) == 2


def test_workbooks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["question", "answer"], ["Where?", "here"]):
        book.active.append(row)
    book.save(tmp_path / "plain.xlsx")
    assert read(tmp_path / "plain.xlsx") == 1

    def with_row(number: int, cell: str) -> Path:
        path = tmp_path / f"{number}{cell}.xlsx"
        with zipfile.ZipFile(tmp_path / "plain.xlsx") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for part in old.namelist():
                text = old.read(part)
                if part == "xl/worksheets/sheet1.xml":
                    far = f'<row r="{number}"><c r="{cell}{number}"><v>1</v></c></row></sheetData>'
                    text = text.replace(b"</sheetData>", far.encode())
                new.writestr(part, text)
        return path

    with pytest.raises(TableError, match=r"holds more than 300 rows.*most_rows"):
        read(with_row(9_999, "A"), most_rows=300, block="task")
    assert read(with_row(299, "A"), most_rows=300) == 2
    assert read(tmp_path / "plain.xlsx", most_rows=1) == 1, "the header is no row"
    with pytest.raises(TableError, match="holds more than 1 rows"):
        read(with_row(3, "A"), most_rows=1)
    book = openpyxl.Workbook()
    for row in range(5):
        book.active.append([f"{row} of {column}" for column in range(100)])
    book.save(tmp_path / "wide.xlsx")
    assert read(tmp_path / "wide.xlsx", most_rows=4) == 4
    with pytest.raises(TableError, match=r"has 16,384 columns of 3 rows\. Take out what stands far from the table"):
        read(with_row(3, "XFD"), most_rows=3)
    with pytest.raises(TableError, match=r"unpacks to 0 MB.*under task: most_megabytes: 1"):
        read(tmp_path / "plain.xlsx", most_megabytes=0.001, block="task")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "jsonl", "json"])
def test_texts_are_bounded_where_the_recipe_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    rows = [{"question": f"q{number}", "answer": "a"} for number in range(20)]
    mark = "," if suffix == "csv" else "\t"
    text = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "json": json.dumps(rows),
    }.get(suffix) or "\n".join([mark.join(rows[0]), *(mark.join(row.values()) for row in rows)])
    path.write_text(text, encoding="utf-8")
    assert read(path) == read(path, most_rows=20) == 20
    with pytest.raises(
        TableError, match=rf"t\.{suffix} holds more than 19 rows; 19 are read\. If that is right, write"
    ):
        read(path, most_rows=19, block="task")


def test_saved_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    row = {"id": ["a", "b"], "question": ["A?", "B?"], "choices": [["x", "y"]] * 2, "answer": ["x", "y"]}
    datasets.Dataset.from_dict(row).save_to_disk(tmp_path / "saved")
    assert len(task(tmp_path / "saved")) == 2
    with pytest.raises(TaskError, match="saved holds 2 rows; 1 are read"):
        task(tmp_path / "saved", most_rows=1)


def test_honest_tables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound, "ROWS", 100)
    monkeypatch.setattr(bound, "BYTES", 1000)
    texts = {"question": [f"Where is number {n}?" for n in range(3000)], "answer": ["yes", "no", "maybe"] * 1000}
    choices = pa.array([["yes", "no", "maybe"]] * 3000).cast(pa.list_(pa.string()))
    for suffix, write in (("parquet", lambda table, path: pq.write_table(table, path, compression="zstd")),
                          ("arrow", lambda table, path: arrow_file(path, table))):  # fmt: skip
        write(pa.table({"id": [str(n) for n in range(3000)], **texts, "choices": choices}), tmp_path / f"t.{suffix}")
        assert len(task(tmp_path / f"t.{suffix}")) == 3000


def test_wide_headers_and_objects_in_a_row_take_no_minutes(tmp_path: Path) -> None:
    before = time.process_time()
    names = [f"c{number}" for number in range(60_000)]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join("1" for _ in names), encoding="utf-8")
    assert len(read_file(tmp_path / "wide.csv", "wide.csv").columns) == 60_000
    (tmp_path / "wide.csv").write_text(",".join([*names, "c7"]) + "\n", encoding="utf-8")
    with pytest.raises(TableError, match="the header names 'c7' twice"):
        read(tmp_path / "wide.csv")
    objects = '{\n "question": "a"\n}\n\n' * 150_000
    (tmp_path / "row.json").write_text(objects, encoding="utf-8")
    assert read(tmp_path / "row.json") == 150_000
    assert time.process_time() - before < 8
