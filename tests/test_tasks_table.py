"""The generic table: every way to name columns, choices and answers, in every kind of file."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shrinklm.core.errors import TaskError
from shrinklm.core.types import Example, Task
from shrinklm.tasks.base import TaskOptions, make_task

CQA = Path(__file__).parents[2] / "shared" / "data" / "cqa-llama2"
COLUMNS = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}
ROWS: list[dict[str, Any]] = [
    {
        "id": f"r{n}",
        "question": f"What helps with task {n}?",
        "choices": ["rope", "lamp", "soap", "glue"],
        "answer": ["rope", "lamp", "soap", "glue"][n % 4],
    }
    for n in range(8)
]
ALL = {"dev": 0.0, "test": 0.0}


def table(
    root: Path, rows: list[dict[str, Any]], name: str = "t.jsonl", columns: dict[str, Any] | None = None, **more: Any
) -> Task:
    write(root / name, rows)
    return make_task("table", TaskOptions(train=name, columns=columns or COLUMNS, root=root, **{**ALL, **more}))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".arrow":
        data = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(str(path), data.schema) as stream:
            stream.write_table(data)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(
                {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}
                for row in rows
            )
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def train(task: Task) -> list[Example]:
    return list(task.examples("train"))


def gold(root: Path, rows: list[dict[str, Any]], **columns: Any) -> list[str]:
    return [example.answer for example in train(table(root, rows, columns={**COLUMNS, **columns}))]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.ndjson", "t.json", "t.parquet", "t.arrow"])
def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    assert train(table(tmp_path, ROWS, name)) == train(table(tmp_path / "other", ROWS))


def test_csv_with_a_byte_order_mark_and_texts_over_two_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes('\ufeffquestion,yes_no\r\n"Is it\r\nwarm, or not?",yes\r\n'.encode())
    task = make_task(
        "table", TaskOptions(train="t.csv", columns={"question": "question", "answer": "yes_no"}, root=tmp_path, **ALL)
    )
    assert [example.question for example in train(task)] == ["Is it\r\nwarm, or not?"]


def test_folder_of_files_by_split(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("validation", 4), ("test", 6)):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", ROWS[start : start + 2])
    task = make_task("table", TaskOptions(train="data", dev="data", test="data", columns=COLUMNS, root=tmp_path))
    assert [[example.id for example in task.examples(split)] for split in ("train", "dev", "test")] == [
        ["r0", "r1"],
        ["r4", "r5"],
        ["r6", "r7"],
    ]
    named = make_task("table", TaskOptions(train="data@validation", columns=COLUMNS, root=tmp_path, **ALL))
    assert [example.id for example in train(named)] == ["r4", "r5"]


def test_folder_of_parts_without_split_names(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.parquet", ROWS[:4])
    write(tmp_path / "data" / "b.arrow", ROWS[4:])
    task = make_task("table", TaskOptions(train="data", columns=COLUMNS, root=tmp_path, **ALL))
    assert [example.id for example in train(task)] == [row["id"] for row in ROWS]


@pytest.mark.parametrize("split", [False, True])
def test_save_to_disk(tmp_path: Path, split: bool) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list(ROWS)
    few = data.select([7, 2])
    (datasets.DatasetDict({"train": few, "test": data.select([3])}) if split else few).save_to_disk(tmp_path / "saved")
    task = make_task(
        "table",
        TaskOptions(train="saved", columns=COLUMNS, root=tmp_path, **{**ALL, **({"test": "saved"} if split else {})}),
    )
    assert [example.id for example in train(task)] == ["r7", "r2"]
    assert [example.id for example in task.examples("test")] == (["r3"] if split else [])


def test_choices_in_several_columns_or_by_pattern(tmp_path: Path) -> None:
    rows = [
        {
            "id": row["id"],
            "question": row["question"],
            "answer": row["answer"],
            **{f"o{n}": row["choices"][n - 1] for n in (1, 2, 3, 4)},
        }
        for row in ROWS
    ]
    wanted = train(table(tmp_path, ROWS))
    for choices in (["o1", "o2", "o3", "o4"], "o{option}", "o[1-4]", "o?"):
        assert train(table(tmp_path, rows, columns={**COLUMNS, "choices": choices})) == wanted


def test_an_empty_cell_is_one_option_less_and_positions_stay(tmp_path: Path) -> None:
    rows = [{"question": "Which?", "a": "rope", "b": "", "c": "soap", "right": 2}]
    task = table(
        tmp_path, rows, "t.csv", {"question": "question", "choices": ["a", "b", "c"], "answer": "right"}, shuffle=False
    )
    (example,) = train(task)
    assert (example.choices, example.order, example.answer) == (("rope", "soap"), (0, 2), "soap")


def test_choices_as_label_and_text(tmp_path: Path) -> None:
    rows = [
        {**row, "choices": {"label": ["1", "2", "3", "4"], "text": row["choices"]}, "answer": str(n % 4 + 1)}
        for n, row in enumerate(ROWS)
    ]
    wanted = [row["answer"] for row in ROWS]
    assert gold(tmp_path, rows) == wanted
    pairs = [
        {**row, "choices": [{"label": a, "text": b} for a, b in zip("1234", ROWS[0]["choices"], strict=True)]}
        for row in rows
    ]
    assert gold(tmp_path, pairs) == wanted


def test_answers_as_letters_and_numbers(tmp_path: Path) -> None:
    wanted = [row["answer"] for row in ROWS]
    for said, more in (
        ("{letter}", {}),
        ("({letter})", {}),
        ("{index}", {}),
        ("{next}", {"answer_from": 1}),
        ("{index}", {"answer_from": 0}),
    ):
        rows = [
            {**row, "answer": said.format(letter="ABCD"[n % 4], index=n % 4, next=n % 4 + 1)}
            for n, row in enumerate(ROWS)
        ]
        assert gold(tmp_path, rows, **more) == wanted
    assert gold(tmp_path, [{**row, "answer": n % 4} for n, row in enumerate(ROWS)]) == wanted
    assert gold(tmp_path, [{**row, "answer": row["answer"].upper() + "."} for row in ROWS]) == wanted


def test_how_answers_are_written_is_settled_for_the_whole_table(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "Two and two?", "choices": ["3", "4", "2"], "answer": 1},
        {"id": "b", "question": "One?", "choices": ["2", "1", "3"], "answer": 1},
    ]
    assert gold(tmp_path, rows) == [
        "4",
        "1",
    ]  # numbers of options in both rows, though "1" is also an option's text in one
    rows[0]["answer"] = "4"
    assert gold(tmp_path, rows) == ["4", "1"]  # texts in both


def test_numbers_that_may_count_from_one_must_be_settled(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "id": str(n), "question": f"What helps {n}?", "answer": n % 3 + 1} for n in range(24)]
    with pytest.raises(TaskError, match=r"no answer of 24 is 0.*answer_from: 1"):
        gold(tmp_path, rows)
    assert gold(tmp_path, rows, answer_from=1)[:3] == ["rope", "lamp", "soap"]
    assert gold(tmp_path, rows, answer_from=0)[:3] == ["lamp", "soap", "glue"]


@pytest.mark.parametrize(
    ("choices", "answers", "kind"),
    [
        (["yes", "no"], ["no", "yes"], "yesno"),
        ([True, False], [True, False], "yesno"),  # YAML's unquoted yes and no
        (["no", "yes"], ["False", "true"], "yesno"),
        (["entailment", "neutral", "contradiction"], [0, 2], "nli"),
        (["up", "down"], ["down", "up"], "choice"),
        (None, ["a river", "a lake"], "free"),
    ],
)
def test_fixed_options_and_the_type(tmp_path: Path, choices: Any, answers: list[Any], kind: str) -> None:
    rows = [{"id": f"r{n}", "question": f"Is it {n}?", "answer": answer} for n, answer in enumerate(answers)]
    task = table(tmp_path, rows, columns={**COLUMNS, "choices": choices})
    assert task.type == kind
    for example in train(task):
        assert example.choices == tuple({True: "yes", False: "no"}.get(choice, choice) for choice in choices or ())
        assert example.order == tuple(range(len(choices or ())))
        assert example.answer in example.choices or not choices


def test_defect_02_zeros_and_ones_never_turn_yes_and_no_around(tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "question": f"Is {n} odd?", "answer": n % 2} for n in range(4)]
    with pytest.raises(TaskError, match=r"holds numbers: is 0 the first of \[\"yes\", \"no\"\], or false\?"):
        gold(tmp_path, rows, choices=["yes", "no"])
    assert gold(tmp_path, rows, choices=["no", "yes"]) == ["no", "yes", "no", "yes"]
    assert gold(tmp_path, rows, choices=["yes", "no"], answer_from=0) == ["yes", "no", "yes", "no"]


def test_a_table_of_choices_is_of_the_type_choice(tmp_path: Path) -> None:
    assert table(tmp_path, ROWS).type == "choice"
    assert table(tmp_path, ROWS, type="yesno").type == "yesno"


def test_context_explanation_and_highlight(tmp_path: Path) -> None:
    rows = [
        {
            **ROWS[0],
            "text": "It is dark.",
            "none": "",
            "why": "A lamp gives light.",
            "mark": "dark",
            "secret": "do not show",
        }
    ]
    columns = {
        **COLUMNS,
        "context": {"scene": "text", "rest": "none"},
        "explanation": ["none", "why"],
        "highlight": "mark",
    }
    (example,) = train(table(tmp_path, rows, columns=columns))
    assert dict(example.fields) == {"scene": "It is dark."}
    assert example.text.startswith("Scene: It is dark.\nQuestion: What helps")
    assert example.meta == {"explanation": "A lamp gives light.", "highlight": "dark"}
    assert "secret" not in repr(example)


def test_one_question_for_all_and_one_of_two_columns(tmp_path: Path) -> None:
    rows = [{"a": "Sam has 3 nuts.", "b": "How many?", "n": 3.0}]
    (joined,) = train(table(tmp_path, rows, columns={"question": ["a", "b"], "answer": "n"}))
    assert (joined.question, joined.answer) == ("Sam has 3 nuts. How many?", "3")
    (asked,) = train(table(tmp_path, rows, columns={"question": "How many nuts?", "context": "a", "answer": "n"}))
    assert (asked.question, dict(asked.fields)) == ("How many nuts?", {"a": "Sam has 3 nuts."})


def test_ids_made_from_the_question_do_not_depend_on_other_rows(tmp_path: Path) -> None:
    columns = {key: value for key, value in COLUMNS.items() if key != "id"}
    first = train(table(tmp_path, ROWS, columns=columns))
    later = train(table(tmp_path, [{**ROWS[0], "question": "New?"}, *ROWS], columns=columns))
    assert later[1:] == first
    twice = train(table(tmp_path, [*ROWS, *ROWS], columns=columns))
    assert len({example.id for example in twice}) == 16


def test_a_row_with_a_repeated_option_is_kept(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "choices": ["rope", "lamp", "rope", "soap"], "answer": "rope"}]
    (example,) = train(table(tmp_path, rows))
    assert Counter(example.choices) == {"rope": 2, "lamp": 1, "soap": 1}
    assert set(example.wrong) == {"lamp", "soap"}


def test_hub_name_without_network(tmp_path: Path) -> None:
    code = (
        "from shrinklm.tasks.base import make_task, TaskOptions\n"
        "from shrinklm.core.errors import TaskError\n"
        "try: list(make_task('csqa', TaskOptions()).examples('test'))\n"
        "except TaskError as error: print(error)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    ).stdout
    assert said.startswith("Cannot load 'tau/commonsense_qa', split 'train', from the Hugging Face hub:")
    assert f"looked at {tmp_path / 'tau' / 'commonsense_qa'}" in said
    assert "hf download tau/commonsense_qa --repo-type dataset --local-dir tau/commonsense_qa" in said
    assert "train: FILE.parquet" in said


def test_hub_name_is_loaded_by_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[Any] = []

    def load(*args: Any, **named: Any) -> Any:
        asked.append((args, named))
        if "revision" not in named:
            raise RuntimeError("Dataset scripts are no longer supported, but found q.py")
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    task = make_task("table", TaskOptions(train="owner/q:hard@train_1", columns=COLUMNS, root=tmp_path, **ALL))
    assert len(train(task)) == 8
    # A data set with a loading script falls back to the hub's own Parquet copy.
    assert asked[0] == (("owner/q", "hard"), {"split": "train_1"})
    assert asked[1] == (("owner/q",), {"data_dir": "hard", "revision": "refs/convert/parquet", "split": "train_1"})


@pytest.mark.skipif(not CQA.is_dir(), reason="the shared data is not here")
def test_published_teacher_data_loses_no_row() -> None:
    task = make_task(
        "table", TaskOptions(train="train.parquet", test="test.parquet", dev=0.1, columns=COLUMNS, root=CQA)
    )
    sizes = {split: len(list(task.examples(split))) for split in ("train", "dev", "test")}
    assert sizes["train"] + sizes["dev"] == 9_741
    assert sizes["dev"] == 974
    assert sizes["test"] == 1_221
    repeated = [
        example for split in ("train", "dev") for example in task.examples(split) if len(set(example.choices)) < 5
    ]
    assert len(repeated) == 122
    for example in repeated:
        assert example.answer not in example.wrong
