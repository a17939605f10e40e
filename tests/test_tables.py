"""Tables as people export them: every shape of JSON, delimiters, encodings, workbooks, nested and printed cells."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shrinklm.core.errors import TableError, TaskError
from shrinklm.core.tables import Layout, read_file
from shrinklm.core.tables.printed import parsed
from shrinklm.core.tables.text import likely
from shrinklm.core.types import Example
from shrinklm.tasks.base import TaskOptions, make_task

ROWS: list[dict[str, Any]] = [
    {"question": "What dries a floor, a mop?", "choices": ["it's a mop", 'a "pan"', "a lamp"], "answer": "a lamp"},
    {"question": "Was stärkt den Körper?", "choices": ["Brot", "Stein; grau", "Löffel"], "answer": "Brot"},
    {"question": "何を食べますか。", "choices": ["パン", "石", "雲"], "answer": "石"},
]
COLUMNS = {"question": "question", "choices": "choices", "answer": "answer"}


def examples(
    root: Path, name: str, columns: dict[str, Any] | None = None, use: str = "table", **more: Any
) -> list[Example]:
    columns = COLUMNS if columns is None and use == "table" else columns or {}
    options = TaskOptions(train=name, columns=columns, root=root, **{"dev": 0.0, "test": 0.0, "shuffle": False, **more})
    return list(make_task(use, options).examples("train"))


def fails(root: Path, name: str, columns: dict[str, Any] | None = None, **more: Any) -> str:
    with pytest.raises(TaskError) as caught:
        examples(root, name, columns, **more)
    return str(caught.value)


def same(found: Sequence[Example], rows: Sequence[dict[str, Any]] = ROWS) -> bool:
    return [(e.question, list(e.choices), e.answer) for e in found] == [
        (row["question"], row["choices"], row["answer"]) for row in rows
    ]


FRAME = pd.DataFrame(ROWS)
SHAPES: dict[str, str] = {
    "lines": "\n".join(json.dumps(row) for row in ROWS),
    "lines with blanks and a mark": "\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n",
    "a list": json.dumps(ROWS),
    "a list over lines": json.dumps(ROWS, indent=2),
    "a list with an object a line": "[\n" + ",\n".join(json.dumps(row) for row in ROWS) + "\n]",
    "objects over lines": "\n".join(json.dumps(row, indent=1) for row in ROWS),
    "rows under a key": json.dumps({"version": "1.0", "data": ROWS}),
    "rows under any key": json.dumps({"meta": {"n": 3}, "qs": ROWS}, indent=1),
    "rows by split": json.dumps({"train": ROWS, "test": ROWS[:1]}),
    "rows deep down": json.dumps({"dataset": {"license": "x", "content": {"rows": ROWS}}}),
    "rows by name": json.dumps({f"q{n}": row for n, row in enumerate(ROWS)}),
    "columns": json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}),
    "cells under a header": json.dumps([list(ROWS[0]), *(list(row.values()) for row in ROWS)]),
    **{
        f"pandas {orient}": FRAME.to_json(orient=orient) for orient in ("records", "columns", "index", "split", "table")
    },
    "pandas lines": FRAME.to_json(orient="records", lines=True),
}


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_json(tmp_path: Path, shape: str, suffix: str) -> None:
    (tmp_path / f"t.{suffix}").write_text(SHAPES[shape], encoding="utf-8")
    assert same(examples(tmp_path, f"t.{suffix}"))


def test_a_part_of_a_json_file_is_named_with_an_at(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"easy": ROWS[:2], "hard": ROWS[2:]}))
    assert "holds rows under several keys: easy, hard. Name one: t.json@easy" in fails(tmp_path, "t.json")
    assert same(examples(tmp_path, "t.json@hard"), ROWS[2:])
    assert "there is no key 'soft'. Keys found: easy, hard" in fails(tmp_path, "t.json@soft")


OPTIONS: dict[str, Any] = {
    "a list": ["x", "y", "z"],
    "by letter": {"A": "x", "B": "y", "C": "z", "D": None},
    "objects": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}, {"label": "C", "text": "z"}],
    "numbered": [{"label": "1", "text": "x"}, {"label": "2", "text": "y"}, {"label": "3", "text": "z"}],
    "parallel": {"text": ["x", "y", "z"], "label": ["A", "B", "C"]},
    "single entries": [{"A": "x"}, {"B": "y"}, {"C": "z"}],
    "pairs": [["A", "x"], ["B", "y"], ["C", "z"]],
    "other names": [{"key": "A", "value": "x"}, {"key": "B", "value": "y"}, {"key": "C", "value": "z"}],
}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("shape", OPTIONS)
def test_every_shape_of_options(tmp_path: Path, shape: str, suffix: str) -> None:
    said = "2" if shape == "numbered" else "B"
    row = {"q": {"stem": "Which?", "choices": OPTIONS[shape]}, "key": said}
    flat = {"stem": "Which?", "choices": OPTIONS[shape], "key": said}
    if suffix == "jsonl":
        (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
        names = ("q.stem", "q.choices")
    elif suffix == "csv":
        pd.DataFrame([flat]).to_csv(tmp_path / "t.csv")  # Python's repr, and a column of row numbers
        names = ("stem", "choices")
    else:
        if shape == "pairs":
            pytest.skip("Parquet has no lists of pairs that differ from lists of lists")
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
        names = ("q.stem", "q.choices")
    (found,) = examples(tmp_path, f"t.{suffix}", {"question": names[0], "choices": names[1], "answer": "key"})
    assert (found.question, found.choices, found.answer) == ("Which?", ("x", "y", "z"), "y")


def test_names_that_reach_into_a_column(tmp_path: Path) -> None:
    task = {"id": 7, "data": {"question": "Which?"}, "annotations": [{"result": [{"value": {"choices": ["b"]}}]}]}
    (tmp_path / "label_studio.json").write_text(json.dumps([task]))
    columns = {
        "question": "data.question",
        "choices": ["a", "b"],
        "answer": "annotations.0.result.0.value.choices",
        "id": "id",
    }
    (found,) = examples(tmp_path, "label_studio.json", columns)
    assert (found.id, found.question, found.answer) == ("7", "Which?", "b")
    said = fails(tmp_path, "label_studio.json", {**columns, "question": "data.qestion"})
    assert "in column 'data' nothing is called 'qestion' (task.columns.question). Keys found: question." in said


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['a', 'b']", ["a", "b"]),
        ("['a' 'b']", ["a", "b"]),
        ("['it\\'s' \"it's\"\n 'c']", ["it's", "it's", "c"]),
        (str(np.array(["x y", "it's", 'a "b"'], dtype=object)), ["x y", "it's", 'a "b"']),
        (str([np.str_("a"), np.str_("b")]), ["a", "b"]),
        (repr(np.array(["a", "b"], dtype=object)), ["a", "b"]),
        (str({"text": np.array(["a", "b"], dtype=object), "n": 2}), {"text": ["a", "b"], "n": 2}),
        ("('a', None, nan, True, -1.5)", ["a", None, None, True, -1.5]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"it's\", '\"b\", c', '']", ["a", "it's", '"b", c', ""]),
        ("['a', \"it's\" 'x\\ty']", ["a", "it's", "x\ty"]),
        ("[']", "[']"),
        ("['a', 'b'", "['a', 'b'"),
        ("[a, b]", "[a, b]"),
        ("[sic] he said", "[sic] he said"),
        ("['a', 'b'] and so on", "['a', 'b'] and so on"),
        ("__import__('os').system('true')", "__import__('os').system('true')"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_printed_lists(text: str, value: Any) -> None:
    assert parsed(text) == value


def test_a_list_cut_by_numpy_is_told(tmp_path: Path) -> None:
    pd.DataFrame([{"question": "q?", "choices": "['a' 'b' ... 'z']", "answer": "a"}]).to_csv(tmp_path / "t.csv")
    assert "t.csv, line 2, column 'choices': the list was cut by numpy" in fails(tmp_path, "t.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_delimiters_and_unicode_are_found_out(tmp_path: Path, delimiter: str, suffix: str, encoding: str) -> None:
    FRAME.to_csv(tmp_path / f"t.{suffix}", sep=delimiter, encoding=encoding, index=False)
    assert same(examples(tmp_path, f"t.{suffix}"))


def test_delimiters_that_are_named_or_said(tmp_path: Path) -> None:
    text = "question~a~b~answer\nWhich?~x~y~x\n"
    (tmp_path / "t.csv").write_text(text)
    columns = {"question": "question", "choices": ["a", "b"], "answer": "answer"}
    assert examples(tmp_path, "t.csv", columns, delimiter="~")[0].answer == "x"
    (tmp_path / "e.csv").write_text("sep=~\r\n" + text)
    assert examples(tmp_path, "e.csv", columns)[0].answer == "x"
    assert "the delimiter '::' is no single character" in fails(tmp_path, "t.csv", columns, delimiter="::")


def test_a_spreadsheet_with_decimal_commas_and_empty_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('question;a;b;right;;\n"Which, then?"; "x; y";z;1,0;;\n;;;;;\nAnd?;p;q;0,0\n;;;\n')
    found = examples(tmp_path, "t.csv", {"question": "question", "choices": ["a", "b"], "answer": "right"})
    assert [(e.question, e.choices, e.answer) for e in found] == [
        ("Which, then?", ("x; y", "z"), "z"),
        ("And?", ("p", "q"), "p"),
    ]


def test_quotes_after_blanks_and_long_cells(tmp_path: Path) -> None:
    long = "word " * 60_000
    (tmp_path / "t.csv").write_text(f'question, context, answer\n"Which, then?", "{long}", "a ""b"""\n')
    (found,) = examples(tmp_path, "t.csv", {"question": "question", "context": "context", "answer": "answer"})
    assert (found.question, found.fields["context"], found.answer) == ("Which, then?", long.strip(), 'a "b"')


def test_quotes_that_are_no_quotes_between_tabs(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('q\ta\n"Who is it?" she said\tme\nA 5" plate or "two\tone\n')
    found = examples(tmp_path, "t.tsv", {"question": "q", "answer": "a"})
    assert [e.question for e in found] == ['"Who is it?" she said', 'A 5" plate or "two']


LEGACY = {
    "cp932": "question,answer\n東京の首都は何ですか。,とうきょう\nカタカナで書いてください,はい\n",
    "euc_jp": "question,answer\n東京の首都は何ですか。,とうきょう\nカタカナで書いてください,はい\n",
    "gb18030": "question,answer\n中国的首都是哪里？,北京\n水在什么温度结冰,零度\n",
    "big5": "question,answer\n臺灣的首都是哪裡？,臺北\n水在什麼溫度結冰,零度\n",
    "cp949": "question,answer\n한국의 수도는 어디입니까,서울\n물은 몇 도에서 업니까,영도\n",
    "cp1252": "question,answer\nWo liegt Köln – und warum?,am Rhein\nOù est “le café” ?,ici\n",
    "cp1251": "question,answer\nСтолица какой страны Москва?,Россия\nГде живут рыбы?,в воде\n",
    "cp1250": "question,answer\nKde leží Plzeň a Třebíč?,v Čechách\nJak říká kůň?,řehtá\n",
}


@pytest.mark.parametrize("encoding", LEGACY)
def test_other_encodings_are_refused_with_advice_that_works(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(LEGACY[encoding].encode(encoding))
    columns = {"question": "question", "answer": "answer"}
    said = fails(tmp_path, "t.csv", columns)
    assert "is not UTF-8" in said
    advised = said.partition("under task: encoding: ")[2].partition(";")[0]
    if encoding == "cp1250":  # reads as Western European as well: people choose by what is shown
        assert "cp1250 (Central European): “" in said
        assert "Plzeň a Třebíč" in said
        advised = encoding
    found = examples(tmp_path, "t.csv", columns, encoding=advised)
    assert [f"{e.question},{e.answer}" for e in found] == LEGACY[encoding].splitlines()[1:]


def test_an_encoding_that_is_named_wrongly(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(LEGACY["cp1252"].encode("cp1252"))
    columns = {"question": "question", "answer": "answer"}
    assert "no encoding is called 'latin-99'" in fails(tmp_path, "t.csv", columns, encoding="latin-99")
    assert "no encoding is called 'rot13'" in fails(tmp_path, "t.csv", columns, encoding="rot13")
    assert "is not shift_jis" in fails(tmp_path, "t.csv", columns, encoding="shift_jis")


def test_hostile_files(tmp_path: Path) -> None:
    def said(name: str, content: str | bytes) -> str:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return fails(tmp_path, name)

    good = json.dumps(ROWS[0])
    assert "t.json: lists or objects are nested too deeply" in said("t.json", "[" * 200_000)
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    assert "t.jsonl, line 1: lists or objects are nested too deeply" in said("t.jsonl", deep)
    assert "t.jsonl, line 2: lists or objects are nested" in said("t.jsonl", good + '\n{"a":' + "[" * 200_000 + "\n")
    assert "t.jsonl, line 2: a number is too long" in said("t.jsonl", good + '\n{"a": ' + "9" * 5000 + "}\n")
    assert "line 2: the key 'answer' stands twice in one object" in said(
        "t.jsonl", good + '\n{"answer": 1, "answer": 2}\n'
    )
    for line in ('{"a": {"b": 1, "b": 2}}', '{"a": [{"b": 1, "b": 2}]}', '{"c": "d: e", "b" : 1, "b" :2}'):
        assert "line 2: the key 'b' stands twice in one object" in said("t.jsonl", f"{good}\n{line}\n")
    assert "t.csv, line 3: a NUL byte" in said("t.csv", "question,choices,answer\na,b,c\nx\0y,b,c\n")
    assert "t.csv is no text: it is a zip archive, such as an .xlsx" in said("t.csv", b"PK\x03\x04" + b"\0" * 40)
    assert "t.csv, line 1: the header names 'question' twice" in said("t.csv", "question,question\na,b\n")
    assert "t.json holds a int" in said("t.json", "7")
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["question", "question"])
    pq.write_table(table, tmp_path / "t.parquet")
    assert "names the column 'question' twice" in fails(tmp_path, "t.parquet")


def test_rows_left_out_by_value(tmp_path: Path) -> None:
    rows = [{"q": f"Is it {n}?", "gold": gold, "n": n} for n, gold in enumerate(["yes", "-", "no", "-", "yes", None])]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"question": "q", "answer": "gold", "choices": ["yes", "no"]}

    def kept(where: dict[str, Any]) -> list[str]:
        return [e.question[6:-1] for e in examples(tmp_path, "t.jsonl", columns, where=where)]

    assert kept({"gold": {"not": ["-", None]}}) == ["0", "2", "4"]
    assert kept({"gold": "yes"}) == ["0", "4"]
    assert kept({"gold": ["yes", "no"], "n": {"not": 4.0}}) == ["0", "2"]
    options = TaskOptions(train="t.jsonl", columns=columns, root=tmp_path, where={"gold": {"not": ["-", ""]}})
    task: Any = make_task("table", options)
    list(task.examples("train"))
    assert dict(task.left_out["train"]) == {"gold: -": 2, "gold: empty": 1}
    assert "task.where: t.jsonl has no column 'glod'. Did you mean 'gold'?" in fails(
        tmp_path, "t.jsonl", columns, where={"glod": "-"}
    )
    assert "is no condition. Write the value that is kept" in fails(
        tmp_path, "t.jsonl", columns, where={"gold": {"is": "-"}}
    )
    assert "task.where leaves out all rows, by gold: yes (2)" in fails(
        tmp_path, "t.jsonl", columns, where={"gold": "maybe"}
    )


def nli(
    root: Path, labels: Sequence[Any], names: Sequence[str] | None = None, name: str = "t.parquet", **more: Any
) -> list[str]:
    table = pa.table(
        {"premise": [f"p{n}" for n in range(len(labels))], "hypothesis": ["h"] * len(labels), "label": labels}
    )
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, root / name)
    columns = {"question": "Does it follow?", "context": ["premise", "hypothesis"], "answer": "label"}
    more = {"type": "nli", "columns": columns, **more}
    return [e.answer for e in examples(root, name, **more)]


E, N, C = "entailment", "neutral", "contradiction"


def test_numbers_of_labels_are_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"does not say which label each stands for.*choices: \[entailment"):
        nli(tmp_path, [0, 1, 2])
    own = {"question": "Does it follow?", "context": ["premise"], "answer": "label", "choices": [C, E, N]}
    assert nli(tmp_path, [0, 1, 2], columns=own) == [C, E, N]
    assert nli(tmp_path, [0, 1, 2], (C, E, N)) == [C, E, N]
    assert nli(tmp_path, [0, 1, 2], ("n", "e", "c")) == [N, E, C]
    assert nli(tmp_path, ["c", "n", "e"]) == [C, N, E]
    assert nli(tmp_path, [0, 1, 0], ("not_entailment", E)) == ["not_entailment", E, "not_entailment"]
    assert nli(tmp_path, [0, 2], (C, E, N), use="mnli") == [C, N]  # the names of the file, not the hub's order
    assert nli(tmp_path, [0, 2], use="mnli") == [E, C]
    with pytest.raises(TaskError, match="the answer 3 has no name; the file names 0 to 2"):
        nli(tmp_path, [0, 3], (C, E, N))


def test_names_of_labels_beside_the_file(tmp_path: Path) -> None:
    card = "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n"
    (tmp_path / "README.md").write_text(f"{card}          '0': {C}\n          '1': {E}\n          '2': {N}\n---\n# X\n")
    (tmp_path / "data").mkdir()
    assert nli(tmp_path, [2, 1], name="data/t.parquet") == [N, E]
    (tmp_path / "README.md").unlink()
    infos = {"default": {"features": {"label": {"num_classes": 3, "names": [N, C, E], "_type": "ClassLabel"}}}}
    (tmp_path / "dataset_infos.json").write_text(json.dumps(infos))
    assert nli(tmp_path, [2, 1], name="data/t.parquet") == [E, C]


def test_names_of_labels_are_the_options(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "mood": datasets.ClassLabel(names=["sad", "glad"])})
    data = datasets.Dataset.from_dict({"text": ["rain", "sun"], "mood": [0, 1]}, features=features)
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "t.parquet")
    for name in ("saved", "t.parquet"):
        found = examples(tmp_path, name, {"question": "text", "answer": "mood"})
        assert [(e.choices, e.answer) for e in found] == [(("sad", "glad"), "sad"), (("sad", "glad"), "glad")]


def test_a_letter_that_is_also_a_beginning_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("q,a\nWhich?,a\nAnd?,b\n")
    said = fails(tmp_path, "t.csv", {"question": "q", "answer": "a", "choices": ["cat", "ant", "bee"]})
    assert "is 'a' the letter of 'cat', or does it stand for 'ant'?" in said


def test_a_list_of_explanations_is_several_texts(tmp_path: Path) -> None:
    row = {"q": "Which?", "a": "x", "o": ["x", "y"], "why": ["", "First reason.", "Second one."]}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    pd.DataFrame([row]).to_csv(tmp_path / "t.csv", index=False)
    for name in ("t.jsonl", "t.csv"):
        columns = {"question": "q", "answer": "a", "choices": "o", "explanation": "why"}
        (found,) = examples(tmp_path, name, columns)
        assert found.meta == {"explanation": "First reason.", "explanations": ["First reason.", "Second one."]}


def test_workbooks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Notes"
    other = book.create_sheet("Quiz")
    for row in [
        [],
        ["Topic", "question", "a", "b", "right", "when"],
        ["Home", "Which?", "x", "y", 1.0, pd.Timestamp("2024-05-31")],
        [],
        [None, "And?", 3.0, True, 2, pd.Timestamp("2024-05-31 10:30")],
    ]:
        other.append(row)
    other.merge_cells("A3:A5")
    book.save(tmp_path / "t.xlsx")
    columns = {
        "question": "question",
        "choices": ["a", "b"],
        "answer": "right",
        "answer_from": 1,
        "context": ["Topic", "when"],
    }
    found = examples(tmp_path, "t.xlsx", columns, sheet="Quiz")
    assert [(e.question, e.choices, e.answer, dict(e.fields)) for e in found] == [
        ("Which?", ("x", "y"), "x", {"Topic": "Home", "when": "2024-05-31"}),
        ("And?", ("3", "yes"), "yes", {"Topic": "Home", "when": "2024-05-31 10:30:00"}),
    ]
    assert "t.xlsx, sheet 'Notes' is empty" in fails(tmp_path, "t.xlsx", columns)
    assert "no sheet 'Quzi'. Sheets found: Notes, Quiz" in fails(tmp_path, "t.xlsx", columns, sheet="Quzi")
    other["B3"] = '=CONCATENATE("Whi","ch?")'
    book.save(tmp_path / "f.xlsx")
    assert "cell B3 holds a formula whose value was never computed" in fails(tmp_path, "f.xlsx", columns, sheet="Quiz")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    from shrinklm.core.tables import workbook

    monkeypatch.setattr(workbook, "_LARGEST", 20_000_000)
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(25_000_000))
    assert (tmp_path / "t.xlsx").stat().st_size < 100_000
    assert "t.xlsx unpacks to 25 MB, more than the 20 MB that are read" in fails(tmp_path, "t.xlsx")


def test_a_workbook_without_openpyxl_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(TableError, match=r'pip install "shrinklm\[xlsx\]"'):
        read_file(tmp_path / "t.xlsx", "t.xlsx", Layout())


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp932", "人はなぜ眠るのか。"),
        ("cp932", "銀行はどこですか"),
        ("cp949", "은행은 어디에 있습니까?"),
        ("gb18030", "银行在哪里？人们为什么睡觉"),
        ("big5", "銀行在哪裡？人們為什麼睡覺"),
        ("cp1251", "Где находится банк?"),
        ("cp1253", "Πού είναι η τράπεζα;"),
        ("cp1252", "Où est la banque? L’été"),
        ("cp1252", "¿Dónde está el niño?"),
        ("cp1250", "Gdzie jest bank? Źle się dzieje"),
    ],
)
def test_the_first_encoding_of_the_advice_reads_right(codec: str, text: str) -> None:
    guesses = likely(f"question,answer\n{text},x\n".encode(codec))
    assert f"question,answer\n{text},x\n".encode(codec).decode(guesses[0][0]) == f"question,answer\n{text},x\n"


def test_two_rows_by_name_are_no_columns(tmp_path: Path) -> None:
    rows = {name: {"question": "Q?", "choices": ["x", "y"], "answer": "x"} for name in ("r1", "r2")}
    (tmp_path / "t.json").write_text(json.dumps(rows), encoding="utf-8")
    assert read_file(tmp_path / "t.json", "t.json").columns == ("key", "question", "choices", "answer")


def test_lines_are_told_by_their_numbers_however_many_blank_ones_lie_between(tmp_path: Path) -> None:
    """Lines are read some hundred at a time."""
    rows = [{"question": f"What is {n}? " + "x" * 80, **({"note": n} if n % 7 == 0 else {})} for n in range(3000)]
    lines = [json.dumps(row) + ("\n\n" if n % 5 == 0 else "\r\n") for n, row in enumerate(rows)]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(lines), newline="")
    table = read_file(path, "t.jsonl")
    assert table.columns == ("question", "note")
    read = list(table.values(["note", "question"]))
    assert [list(values) for _, values in read] == [[row.get("note"), row["question"]] for row in rows]
    assert [number for number, _ in read] == [n + 1 + (n + 4) // 5 for n in range(3000)]
    lines[2500] = '{"question": 1} {"question": 2}\n'
    path.write_text("".join(lines), newline="")
    with pytest.raises(TableError, match=rf"line {2501 + 2504 // 5}: not JSON"):
        read_file(path, "t.jsonl")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path, enabled: bool) -> None:
    answers = {"good.jsonl": "rope", "bad.jsonl": "chain"}
    for name, answer in answers.items():
        row = {"question": "What ties?", "choices": ["rope", "lamp"], "answer": answer}
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        assert len(examples(tmp_path, "good.jsonl")) == 1
        assert gc.isenabled() == enabled
        fails(tmp_path, "bad.jsonl")
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
