"""Bad data: each error names the file, the place, what was found and what to type."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shrinklm.core.errors import TaskError
from shrinklm.tasks.base import TaskOptions, make_task

COLUMNS = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}
PLAIN = {"question": "question", "answer": "answer"}
GOOD = {"id": "r1", "question": "What helps?", "choices": ["rope", "lamp", "soap"], "answer": "rope"}


def error(
    root: Path, name: str, content: bytes | str | None = None, columns: dict[str, Any] | None = None, **more: Any
) -> str:
    if content is not None:
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    options = TaskOptions(
        train=name, columns=COLUMNS if columns is None else columns, root=root, dev=0, test=0.0, **more
    )
    with pytest.raises(TaskError) as caught:
        list(make_task("table", options).examples("train"))
    return str(caught.value)


def rows(*changes: dict[str, Any]) -> str:
    return "".join(json.dumps({**GOOD, "id": f"r{n}", **change}) + "\n" for n, change in enumerate(changes))


def test_missing_column(tmp_path: Path) -> None:
    said = error(tmp_path, "t.jsonl", rows({}), {**COLUMNS, "question": "qestion"})
    assert said == (
        "t.jsonl has no column 'qestion' (task.columns.question). Did you mean 'question'? "
        "Columns found: id, question, choices, answer."
    )
    assert "no column 'right'" in error(tmp_path, "t.jsonl", columns={**COLUMNS, "answer": "right"})
    assert "(task.columns.context)" in error(tmp_path, "t.jsonl", columns={**COLUMNS, "context": ["scene"]})


def test_missing_choices_columns(tmp_path: Path) -> None:
    said = error(tmp_path, "t.jsonl", rows({}), {**COLUMNS, "choices": "opts"})
    assert "no column 'opts' (task.columns.choices). Columns found: id, question" in said
    assert "no column 'o{option}'" in error(tmp_path, "t.jsonl", columns={**COLUMNS, "choices": "o{option}"})
    assert "no column 'b' (task.columns.choices)" in error(
        tmp_path, "t.jsonl", columns={**COLUMNS, "choices": ["question", "b"]}
    )
    fixed = error(tmp_path, "t.jsonl", columns={**COLUMNS, "choices": ["up", "down"]})
    assert (
        "line 1, column 'answer': the answer 'rope' is not among the choices: up | down. "
        "The choices are taken as fixed options" in fixed
    )


def test_columns_that_say_too_little_or_too_much(tmp_path: Path) -> None:
    assert "needs columns. Write under task: columns:" in error(tmp_path, "t.jsonl", rows({}), {})
    lacking = error(tmp_path, "t.jsonl", columns={"question": "question"})
    assert "task.columns names no `answer` for t.jsonl, which has a column 'answer'" in lacking
    lacking = error(tmp_path, "t.jsonl", columns={"answer": "answer"})
    assert "task.columns lacks `question`. Columns found in t.jsonl: id, question" in lacking
    unknown = error(tmp_path, "t.jsonl", columns={**COLUMNS, "anser_from": 1})
    assert "No key is called 'anser_from'. Did you mean 'answer_from'?" in unknown
    assert "answer_from is 2: write 0 or 1" in error(tmp_path, "t.jsonl", columns={**COLUMNS, "answer_from": 2})


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json"])
@pytest.mark.parametrize("content", ["", "  \n\n"])
def test_empty_file(tmp_path: Path, name: str, content: str) -> None:
    assert error(tmp_path, name, content).startswith(f"{name} is empty.")


def test_table_without_rows(tmp_path: Path) -> None:
    assert error(tmp_path, "t.csv", "id,question,choices,answer\n").startswith("t.csv is empty.")
    assert error(tmp_path, "t.json", "[]").startswith("t.json is empty.")
    pq.write_table(pa.table({"question": pa.array([], pa.string())}), tmp_path / "t.parquet")
    assert error(tmp_path, "t.parquet").startswith("t.parquet is empty.")


def test_broken_utf8(tmp_path: Path) -> None:
    said = error(tmp_path, "t.csv", "question,answer\nWhat?,yes\ncafé?,no\n".encode("latin-1"), PLAIN)
    assert said.startswith("t.csv, line 3, byte 4: 0xe9 is not UTF-8.")
    assert "iconv -f WINDOWS-1252 -t UTF-8 t.csv" in said


def test_broken_utf8_in_parquet(tmp_path: Path) -> None:
    broken = pa.array([b"fine?", b"caf\xe9?"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"question": broken, "answer": ["a", "b"]}), tmp_path / "t.parquet")
    assert "t.parquet, near row 1: a text is not UTF-8" in error(tmp_path, "t.parquet", columns=PLAIN)


def test_ragged_csv_row(tmp_path: Path) -> None:
    said = error(tmp_path, "t.csv", 'question,answer\n"What,\nor that?",yes\nWhat, then?,no\n', PLAIN)
    assert said.startswith("t.csv, line 4 has 3 values, the header has 2. Columns found: question, answer.")
    assert "between double quotes" in said


def test_csv_quotes_and_header(tmp_path: Path) -> None:
    said = error(tmp_path, "t.csv", 'question,answer\n"What?,yes\n')
    assert re.match(r"t\.csv, line \d+: .*Write a double quote", said)
    assert "the header names 'a' twice" in error(tmp_path, "t.csv", "a,b,a\n1,2,3\n")


def test_json_errors(tmp_path: Path) -> None:
    assert error(tmp_path, "t.jsonl", rows({}) + "{'id': 3}\n").startswith("t.jsonl, line 2: not JSON:")
    assert (
        error(tmp_path, "t.jsonl", rows({}) + "[1]\n")
        == 't.jsonl, line 2: expected an object such as {"question": "..."}, found list.'
    )
    assert "t.json holds a dict; expected a list of objects" in error(tmp_path, "t.json", json.dumps(GOOD))
    assert error(tmp_path, "t.json", '[\n{"a": }\n]').startswith("t.json, line 2: not JSON:")


def test_not_a_parquet_file(tmp_path: Path) -> None:
    assert error(tmp_path, "t.parquet", "id,question\n").startswith("t.parquet is not a Parquet file:")
    assert error(tmp_path, "t.arrow", "id,question\n").startswith("t.arrow is not an Arrow file:")


def test_answer_not_among_choices(tmp_path: Path) -> None:
    said = error(tmp_path, "t.jsonl", rows({}, {"answer": "lamp"}, {"answer": "hammer"}))
    assert said.startswith(
        "t.jsonl, line 3, column 'answer': the answer 'hammer' is not among the choices: rope | lamp | soap."
    )
    assert "its letter (a, b, ...), or its number from 0 (answer_from: 1" in said
    assert "line 2, column 'answer': the answer 3 is not among" in error(
        tmp_path, "t.jsonl", rows({"answer": 0}, {"answer": 3})
    )
    assert "line 1, column 'answer': the answer -1 is not among" in error(
        tmp_path, "t.jsonl", rows({"answer": -1}, {"answer": 0})
    )


def test_duplicate_ids(tmp_path: Path) -> None:
    said = error(tmp_path, "t.jsonl", rows({}, {"id": "r0"}))
    assert said.startswith("t.jsonl, line 2, column 'id': the id 'r0' stands already in t.jsonl, line 1.")


@pytest.mark.parametrize(
    ("choices", "found"),
    [
        ("rope, lamp", "choices must be a list, found a str: 'rope, lamp'"),
        (7, "choices must be a list, found a int: 7"),
        (None, "choices must be a list, found a NoneType"),
        ([["rope"], ["lamp"]], "choices must be a list, found a list"),
        ({"a": "rope"}, "a question needs two or more different options, found: rope"),
        (["rope", ""], "option 2 of 2 is empty"),
        (["rope"], "a question needs two or more different options, found: rope"),
        (["rope", "rope "], "a question needs two or more different options"),
        ([], "a question needs two or more different options, found: none"),
    ],
)
def test_choices_of_the_wrong_type(tmp_path: Path, choices: Any, found: str) -> None:
    said = error(tmp_path, "t.jsonl", rows({"choices": choices}))
    assert said.startswith("t.jsonl, line 1, column 'choices': ")
    assert found in said


@pytest.mark.parametrize("answer", [None, "", "  ", float("nan")])
def test_empty_answer(tmp_path: Path, answer: Any) -> None:
    assert error(tmp_path, "t.jsonl", rows({}, {"answer": answer})).startswith(
        "t.jsonl, line 2, column 'answer' is empty."
    )


def test_empty_question_and_wrong_types(tmp_path: Path) -> None:
    assert error(tmp_path, "t.jsonl", rows({}, {"question": ""})).startswith(
        "t.jsonl, line 2, column 'question' is empty."
    )
    assert "line 1, column 'question': expected a text, found a dict" in error(
        tmp_path, "t.jsonl", rows({"question": {"a": 1}})
    )
    assert "line 1, column 'id' is empty" in error(tmp_path, "t.jsonl", rows({"id": None}))


def test_file_not_found(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    said = error(tmp_path, "trian.csv")
    assert said.startswith(f"No file or folder at {tmp_path / 'trian.csv'} (for train: trian.csv). Near it: train.csv.")
    assert "No file or folder at" in error(tmp_path, "./missing/folder")


def test_file_of_another_kind(tmp_path: Path) -> None:
    assert "files of the kind '.doc' are not read. Known: .csv, .tsv" in error(tmp_path, "t.doc", "x")
    assert "A pickle runs code when it is read. Write the table as Parquet" in error(tmp_path, "t.pkl", "x")
    assert "t.xlsx is not an Excel workbook (.xlsx): it is no zip archive." in error(tmp_path, "t.xlsx", "x")


def test_folder_without_data_or_without_the_split(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert "data holds no data files for 'train'. Data files found: none." in error(tmp_path, "data")
    (tmp_path / "data" / "test.jsonl").write_text(rows({}))
    assert "Data files found: test.jsonl. Name one file, or data@SPLIT." in error(tmp_path, "data")


def test_saved_data_without_the_split(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict({"test": datasets.Dataset.from_list([GOOD])}).save_to_disk(tmp_path / "saved")
    assert "has no split 'train'. Splits found: test. Name one with saved@SPLIT." in error(tmp_path, "saved")


def test_no_data_named() -> None:
    with pytest.raises(TaskError, match=r"Task 'table' has no data\. Write under task: train:"):
        make_task("table", TaskOptions(columns=COLUMNS))


def test_of_two_faults_the_first_in_the_file_is_told(tmp_path: Path) -> None:
    lines = [f"r{n},What is {n}?,a,b,a\n" for n in range(600)]
    lines[580], lines[585] = "r580,,a,b,a\n", "r585,What?,a,b,a,more\n"
    columns = {"id": "id", "question": "q", "choices": "o*", "answer": "a"}
    assert "t.csv, line 582, column 'q' is empty" in error(
        tmp_path, "t.csv", "id,q,o1,o2,a\n" + "".join(lines), columns
    )


def test_rows_beside_others_that_are_written_differently(tmp_path: Path) -> None:
    lines = [{**GOOD, "id": f"r{n}"} for n in range(600)]
    for n, change in {290: {"id": 290}, 400: {"question": ["What", "is it?"]}, 599: {"choices": '["a", "b"]'}}.items():
        lines[n] |= {**change, **({"answer": "b"} if "choices" in change else {})}
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = TaskOptions(train="t.jsonl", columns={**COLUMNS, "id": "id"}, root=tmp_path, dev=0, test=0.0)
    found = list(make_task("table", options).examples("train"))
    assert [found[n].id for n in (0, 255, 290, 599)] == ["r0", "r255", "290", "r599"]
    assert found[400].question == "What is it?"
    assert (sorted(found[599].choices), found[599].answer) == (["a", "b"], "b")
    assert {example.answer for example in found[:599]} == {GOOD["answer"]}
