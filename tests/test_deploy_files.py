"""Whole files of questions become files of answers: every row is there, and what was answered is not asked again."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli_cases import call
from forked import Forked
from shrinklm import Run
from shrinklm.core.errors import RecipeError, StoreError, TaskError
from shrinklm.core.results import CellFile
from shrinklm.deploy.files import predict_file
from shrinklm.deploy.student import TrainedStudent
from shrinklm.students.open import load_student
from shrinklm.tasks.table import read_asked

ROWS = [
    {"id": "a", "question": "What holds water?", "choices": ["a sieve", "a bucket"]},
    {"id": "b", "question": "=HYPERLINK(1)", "choices": ["a bird", "a stone", "a bird"]},
    {"id": "b", "question": "", "choices": ["a bird", "a stone"]},
    {"id": "d", "question": "What flies?", "choices": ["a bird"]},
    {"id": "e", "question": "What burns?", "choices": ["wood", "water", "ice"]},
]


def table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(path: Path, columns: Mapping[str, str] | None = None) -> Any:
    return read_asked(str(path), columns or {}, "choice")


def answers_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".csv":
        rows = list(csv.DictReader(path.open(newline="")))
        return [{**row, "probabilities": json.loads(row["probabilities"])} for row in rows]
    return [{**row, "probabilities": dict(row["probabilities"])} for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def student(deployed: Run) -> TrainedStudent:
    return deployed.student("multitask")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_row_is_there_in_its_order(student: TrainedStudent, tmp_path: Path, suffix: str) -> None:
    source, output = table(tmp_path / "in.jsonl", ROWS), tmp_path / f"out{suffix}"
    report = predict_file(student, asked(source), output)
    assert (report.rows, report.answered + report.unanswered) == (5, 3)
    assert [place for place, _ in report.bad] == ["line 3", "line 4"]
    found = answers_of(output)
    assert [row["row"] for row in found] == [f"line {number}" for number in range(1, 6)]
    wanted = iter(student.predict([ROWS[0], ROWS[1], ROWS[4]]))
    for row, asked_row in zip(found, ROWS, strict=True):
        if asked_row["id"] == "d" or not asked_row["question"]:
            assert not row["answer"]
            assert "line" in row["why"]
            assert row["probabilities"] == {}
            continue
        answer = next(wanted)
        assert (row["answer"] or None, row["id"]) == (answer.answer, asked_row["id"])
        assert row["probabilities"] == pytest.approx(dict(answer.probabilities), abs=1e-5)
    # A spreadsheet would run it.
    assert found[1]["question"] == ("'=HYPERLINK(1)" if suffix == ".csv" else "=HYPERLINK(1)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", output.name]


def test_by_likelihood_with_a_few_explanations(student: TrainedStudent, tmp_path: Path) -> None:
    source = table(tmp_path / "in.jsonl", [ROWS[0], ROWS[4], ROWS[0], ROWS[1]])
    predict_file(student, asked(source), tmp_path / "out.jsonl", by="likelihood", explanations=2, batch=1)
    found = answers_of(tmp_path / "out.jsonl")
    assert [row["explanation"] is not None for row in found] == [True, True, False, False]
    assert all(row["answer"] == max(row["probabilities"], key=row["probabilities"].__getitem__) for row in found)
    assert found[0]["answer"] == found[2]["answer"]


def test_columns_of_other_names(student: TrainedStudent, tmp_path: Path) -> None:
    rows = [{"q": row["question"], "options": row["choices"], "id": row["id"]} for row in ROWS]
    source = table(tmp_path / "in.jsonl", rows)
    report = predict_file(student, asked(source, {"question": "q", "choices": "options"}), tmp_path / "out.jsonl")
    assert report.answered + report.unanswered == 3
    with pytest.raises(TaskError, match=r"has no column 'question' \(task.columns.question\)"):
        list(asked(source))
    # A table without options, as for a student with fixed labels.
    source = table(tmp_path / "in.jsonl", [{"q": row["q"], "extra": 1} for row in rows if row["q"]])
    assert [row.question for _, row in asked(source, {"question": "q"})] == [row["q"] for row in rows if row["q"]]


def test_a_context_of_another_name(tmp_path: Path) -> None:
    source = table(tmp_path / "in.jsonl", [{"q": "Why?", "first": "A dog.", "hypothesis": "A cat."}])
    named = {"premise": "first", "question": "q"}
    [(_, row)] = read_asked(str(source), named, "nli", ["premise", "hypothesis"])
    assert not isinstance(row, str)
    assert (row.question, dict(row.fields)) == ("Why?", {"premise": "A dog.", "hypothesis": "A cat."})
    with pytest.raises(TaskError, match=r"has no column 'premise' \(task.columns.context\)"):
        list(read_asked(str(source), {"question": "q"}, "nli", ["premise", "hypothesis"]))


def test_what_cannot_be_written(student: TrainedStudent, tmp_path: Path) -> None:
    source = table(tmp_path / "in.jsonl", ROWS)
    with pytest.raises(StoreError, match=r"Answers are written as \.csv, \.jsonl, \.parquet.*out\.txt"):
        predict_file(student, asked(source), tmp_path / "out.txt")
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(StoreError, match=r"out\.csv exists already\. Name another file, or remove it"):
        predict_file(student, asked(source), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    with pytest.raises(TaskError, match="has no column 'question'"):
        predict_file(student, asked(table(tmp_path / "in.jsonl", [{"x": 1}])), tmp_path / "new.csv")
    with pytest.raises(RecipeError, match="write text or likelihood"):
        predict_file(student, asked(source), tmp_path / "new.csv", by="chance")  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.csv"]
    for place in (tmp_path / "in.jsonl" / "new.csv", Path("/proc/new.csv")):
        with pytest.raises(StoreError, match=r"new\.csv cannot be written: .*Name a file in a folder that you can"):
            predict_file(student, asked(source), place)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_half_a_character_is_a_fault_of_its_row(student: TrainedStudent, tmp_path: Path, suffix: str) -> None:
    half = "\udc9f"
    rows = [ROWS[0], {**ROWS[0], "question": f"a {half}"}, {**ROWS[0], "choices": ["a", f"b {half}"]}]
    rows += [{**ROWS[0], "id": half}, {**ROWS[0], "choices": [f"c {half}"]}]
    output = tmp_path / f"out{suffix}"
    report = predict_file(student, asked(table(tmp_path / "in.jsonl", rows)), output, "likelihood", 0)
    assert (report.rows, report.answered) == (5, 1)
    assert all("half a character" in fault for _, fault in report.bad[:3])
    assert [row["why"] or "" for row in answers_of(output)] == ["", *(fault for _, fault in report.bad)]


def test_a_chunk_that_was_answered_is_not_asked_again(
    student: TrainedStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**ROWS[0], "id": str(number)} for number in range(40)]
    source, output = table(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    plain, seen = student.predict, []

    def predict(questions: Any, *rest: Any, **more: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(questions))
        return plain(questions, *rest, **more)

    monkeypatch.setattr(student, "predict", predict)
    with pytest.raises(KeyboardInterrupt):
        predict_file(student, asked(source), output, by="likelihood", explanations=0, batch=1)
    assert not output.exists()
    monkeypatch.setattr(
        student, "predict", lambda *given, **more: (seen.append(len(given[0])), plain(*given, **more))[1]
    )
    predict_file(student, asked(source), output, by="likelihood", explanations=0, batch=1)
    assert seen == [8, 8, 8, 8, 8]
    assert [row["id"] for row in answers_of(output)] == [row["id"] for row in rows]


def test_answers_stay_with_their_rows_when_a_bad_row_above_is_taken_out(
    student: TrainedStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**ROWS[0], "id": str(number), "question": f"What is {number}?"} for number in range(16)]
    plain, seen = student.predict, []

    def predict(questions: Any, *rest: Any, **more: Any) -> Any:
        if seen:
            raise KeyboardInterrupt
        seen.append(len(questions))
        return plain(questions, *rest, **more)

    output = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(student, "predict", predict)
        with pytest.raises(KeyboardInterrupt):
            predict_file(student, asked(table(tmp_path / "in.jsonl", [ROWS[3], *rows])), output, "likelihood", 0, 1)
    source = table(tmp_path / "in.jsonl", rows)
    predict_file(student, asked(source), output, "likelihood", 0, 1)
    predict_file(student, asked(source), tmp_path / "anew.jsonl", "likelihood", 0, 1)
    assert answers_of(output) == answers_of(tmp_path / "anew.jsonl")


def test_the_command_survives_a_kill(deployed: Run, tmp_path: Path) -> None:
    source = table(tmp_path / "in.jsonl", [{**ROWS[0], "id": str(number)} for number in range(400)])
    output, part = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.part"
    arguments = ["predict", str(deployed.folder), "--cell", "finetune", "--by", "likelihood", "--batch", "1"]
    arguments += ["--input", str(source), "--output", str(output), "--column", "question=question"]
    process = Forked(arguments, tmp_path)
    deadline = time.monotonic() + 120
    while not (part.exists() and part.read_bytes().count(b"\n") > 2) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.close()
    kept = part.read_bytes() if part.exists() else b""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert "400 of 400 rows answered" in result.output
    assert len(answers_of(output)) == 400
    assert not part.exists()
    assert kept.count(b"\n") > 2


def test_an_exported_folder_reads_files_too(deployed: Run, student: TrainedStudent, tmp_path: Path) -> None:
    load_student(student.folder).save(tmp_path / "exported")
    student.answering.write(tmp_path / "exported")
    source = table(tmp_path / "in.jsonl", ROWS[:1])
    result = call("predict", str(tmp_path / "exported"), "--input", str(source), "--output", str(tmp_path / "o.csv"))
    assert result.exit_code == 0, result.output
    of_run = call(
        "predict",
        str(deployed.folder),
        "--cell",
        "multitask",
        "--input",
        str(source),
        "--output",
        str(tmp_path / "r.csv"),
    )
    assert of_run.exit_code == 0, of_run.output
    assert (tmp_path / "o.csv").read_text() == (tmp_path / "r.csv").read_text()
    assert student.folder != tmp_path / CellFile.STUDENT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name either a question or a file"),
        (["Who?", "--input", "x.csv"], "Name either a question or a file"),
        (["--input", "x.csv"], "Say where the answers go: --output FILE"),
        (["--input", "x.csv", "--output", "y.csv"], "There is no file"),
        (["Who?"], r"Add: --choices a,b,c"),
        (["Who?", "--choices", "a,b", "--by", "chance"], "write text or likelihood"),
        (["Who?", "--choices", "a,b", "--field", "x"], "Write: --field name=value"),
        (["Who?", "--choices", "a,b", "--field", "x=y"], "reads no 'x' beside the question. What it reads: none"),
        (["Who?", "--choices", "a"], "needs two or more different options, found: a"),
        (["Who?", "--choices", "a,a"], "needs two or more different options"),
        ([" ", "--choices", "a,b"], "column 'question' is empty"),
    ],
)
def test_what_the_command_cannot_do(deployed: Run, arguments: list[str], message: str) -> None:
    result = call("predict", str(deployed.folder), *arguments)
    assert result.exit_code == 1
    assert message in result.output


def test_the_split_of_a_folder_is_a_table(deployed: Run, tmp_path: Path) -> None:
    table(tmp_path / "test.jsonl", ROWS[:1])
    table(tmp_path / "train.jsonl", ROWS)
    asking = ("--output", tmp_path / "out.jsonl", "--by", "likelihood", "--explanations", "0")
    assert call("predict", deployed.folder, "--input", f"{tmp_path}@test", *asking).exit_code == 0
    assert [row["id"] for row in answers_of(tmp_path / "out.jsonl")] == ["a"]
    result = call("predict", deployed.folder, "--input", f"{tmp_path}/gone.csv@test", *asking)
    assert "There is no file" in result.output


def test_no_question_steers_the_terminal(deployed: Run) -> None:
    result = call("predict", str(deployed.folder), "Who?", "--choices", "a\x1b[2J\x9b,b", "--by", "likelihood")
    assert result.exit_code == 0
    assert not {"\x1b", "\x9b"} & set(result.output)
    assert r"a\x1b[2J\x9b" in result.output
