from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shrinklm.core.errors import ShrinkError, TeacherError
from shrinklm.core.types import Completion, Example, Prompt, Sampling
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.recorded import LETTERS, MISSING
from teacher_cases import BEAVER, EXAMPLES, KETTLE, SKATES

COLUMNS = {"explanation": "why", "counterfactual": "why_{option}"}


def rows() -> list[dict[str, str]]:
    """Columns count the options of the source row, whose order is not the shown one."""
    found = []
    for example in EXAMPLES:
        source = sorted(zip(example.order, example.choices, strict=True))
        texts = {f"why_{place + 1}": f"for {choice}" for place, choice in source}
        found.append({"id": example.id, "question": example.question, "why": f"gold of {example.id}", **texts})
    return found


def write(path: Path, table: list[dict[str, str]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(table), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return path


def read(
    spec: str, root: Path, kind: str, answer: str, example: Example = BEAVER, columns: dict[str, str] | None = None
) -> Completion:
    teacher = make_teacher(spec, TeacherOptions(root=root, columns=columns or COLUMNS))
    ((_, completion),) = teacher.complete([Prompt((), example, kind, answer)], Sampling())
    return completion


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_each_option_finds_its_source_column(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"t.{suffix}", rows())
    for example in EXAMPLES:
        assert (
            read(f"recorded:t.{suffix}", tmp_path, "explanation", example.answer, example).text
            == f"gold of {example.id}"
        )
        for option in example.choices:
            assert read(f"recorded:t.{suffix}", tmp_path, "counterfactual", option, example).text == f"for {option}"


def test_repeated_option_takes_the_first_column(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", [{"id": "x", "why_1": "zero", "why_2": "one", "why_3": "two", "why": "w"}])
    example = Example("x", "?", ("b", "a", "b"), "a", order=(2, 0, 1))
    assert read("recorded:t.csv", tmp_path, "counterfactual", "b", example).text == "one"


def test_several_files_and_missing_rows(tmp_path: Path) -> None:
    first, second, _ = rows()
    write(tmp_path / "a.csv", [first])
    write(tmp_path / "b.jsonl", [second])
    both = "recorded:a.csv, b.jsonl"
    assert read(both, tmp_path, "explanation", SKATES.answer, SKATES).text == "gold of skates"
    assert read(both, tmp_path, "explanation", KETTLE.answer, KETTLE).refusal == MISSING
    assert make_teacher(both, TeacherOptions(root=tmp_path, columns=COLUMNS)).name == "recorded:a.csv+b.jsonl"


def test_rows_without_id_are_found_by_question(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", [{key: value for key, value in row.items() if key != "id"} for row in rows()])
    assert read("recorded:t.csv", tmp_path, "explanation", BEAVER.answer).text == "gold of beaver"


def test_empty_cells_are_empty_texts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["beaver"], "why": pa.array([None], pa.string())}), tmp_path / "t.parquet")
    assert read("recorded:t.parquet", tmp_path, "explanation", BEAVER.answer) == Completion("")


def test_revision_pins_files_and_columns(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", rows())

    def revision(**columns: str) -> str:
        return make_teacher("recorded:t.csv", TeacherOptions(root=tmp_path, columns=columns)).revision

    before = revision(explanation="why")
    assert before == revision(explanation="why") != revision(explanation="why_1")
    write(tmp_path / "t.csv", rows()[:2])
    assert revision(explanation="why") != before


@pytest.mark.parametrize(
    ("spec", "kind", "columns", "words"),
    [
        ("recorded:t.csv", "explanation", {"explanation": "nope"}, ["no column 'nope'", "why_1"]),
        ("recorded:t.csv", "critique", {"explanation": "why"}, ["step 'critique'", "critique: COLUMN"]),
        (
            "recorded:t.csv",
            "explanation",
            {"explanation": "why", "id": "key", "question": "ask"},
            ["no column 'key'", "Found: id, question"],
        ),
        ("recorded:gone.csv", "explanation", {"explanation": "why"}, ["No recording at", "gone.csv"]),
        ("recorded:", "explanation", {"explanation": "why"}, ["names no files"]),
        ("recorded:t.csv", "explanation", {"id": "id"}, ["names no columns"]),
    ],
)
def test_errors_name_what_was_found(
    tmp_path: Path, spec: str, kind: str, columns: dict[str, str], words: list[str]
) -> None:
    write(tmp_path / "t.csv", rows())
    with pytest.raises(TeacherError) as error:
        read(spec, tmp_path, kind, BEAVER.answer, columns=columns)
    assert all(word in str(error.value) for word in words)


def test_broken_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("not parquet")
    with pytest.raises(ShrinkError, match=r"t\.parquet is not a Parquet file"):
        read("recorded:t.parquet", tmp_path, "explanation", BEAVER.answer)


def test_letters_follow_the_shown_order(tmp_path: Path) -> None:
    order = BEAVER.order  # the source has zoo, body of water, wooded area
    texts = {"moves": "Option C has branches, (a) and b) have none.", "unclear": "I would tick A or B here."}
    write(tmp_path / "t.jsonl", [{"id": BEAVER.id, **texts}])
    said = {
        name: read("recorded:t.jsonl", tmp_path, "explanation", BEAVER.answer, columns={"explanation": name})
        for name in texts
    }
    assert order == (1, 2, 0)
    assert said["moves"] == Completion("Option B has branches, (c) and a) have none.")
    # Refused and kept, for people to read.
    assert said["unclear"] == Completion(texts["unclear"], refusal=LETTERS)
