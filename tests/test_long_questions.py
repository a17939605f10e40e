"""Questions longer than a student reads: found before training, not asked, told, and counted as wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli_cases import COLUMNS
from evaluation_fakes import FakeStudent
from shrinklm import Recipe, Run
from shrinklm.core.errors import StudentError
from shrinklm.core.results import read_predictions, read_scores
from shrinklm.report import findings
from shrinklm.students.causal import CausalStudent
from shrinklm.students.room import TOO_LONG, fits
from shrinklm.students.tiny import Tiny

READS = 160
"""Tokens that the student of these tests reads."""


class Short(Tiny):
    """The tiny student, as one that reads fewer tokens."""

    @classmethod
    def open(cls, ref: str, root: Path = Path("."), **options: Any) -> CausalStudent:
        student = Tiny.open("", root, **options)
        student.model.config.max_position_embeddings = READS
        return CausalStudent(student.model, student.tokenizer, options["max_length"])


def rows(count: int, name: str, long: tuple[int, ...]) -> list[dict[str, Any]]:
    """Questions, of which those in `long` have more words than the student reads."""
    words = " ".join(f"word{index}" for index in range(READS))
    return [
        {
            "id": f"{name}{i}",
            "question": f"Which helps, {name} {i}{f', {words}' if i in long else ''}?",
            "choices": ["a rope", "a lamp"],
            "answer": "a rope",
        }
        for i in range(count)
    ]


def run(root: Path, remarks: list[str], long: dict[str, tuple[int, ...]], **changes: Any) -> Run:
    columns = {**COLUMNS}
    for name, count in (("train", 8), ("dev", 4), ("test", 6)):
        (root / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows(count, name, long.get(name, ())))))
    blocks: dict[str, Any] = {
        "name": "r",
        "task": {"use": "table", **{n: f"{n}.jsonl" for n in ("train", "dev", "test")}, "columns": columns},
        "teacher": {"use": "fake"},
        "generate": ["explanation"],
        "methods": ["multitask", "explain-then-answer"],
        "student": {"use": f"{__name__}:Short", "name": "short"},
        "train": {"examples": 8, "batch": 8, "curve": 1, "checkpoints": 0},
        "evaluate": {"batch": 2, "max_tokens": 8, "metrics": ["accuracy", "accuracy_likelihood", "unparsed", "length"]},
        "root": root,
    }
    return Run(
        Recipe.parse({**blocks, **changes}),
        tick=lambda what, done, total, note: None if total else remarks.append(f"{what}: {note}"),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    remarks: list[str] = []
    found = run(tmp_path_factory.mktemp("long"), remarks, {"train": (1,), "dev": (0,), "test": (0, 3)})
    found.generate()
    found.train()
    found.evaluate()
    return found, remarks


def test_they_are_found_before_training_and_told(finished: tuple[Run, list[str]]) -> None:
    found, remarks = finished
    limit = f"are longer than the {READS} tokens that the student reads; they are not asked, and count as wrong"
    for name in ("multitask--short--s0", "explain-then-answer--short--s0"):
        assert f"train {name}: 1 of 4 dev questions {limit}" in remarks
        assert f"train {name}: 2 of 6 test questions {limit}" in remarks
        assert f"evaluate {name}: 2 of 6 questions {limit}" in remarks
        about = json.loads((found.folder / "cells" / name / "cell.json").read_text())
        assert about["too_long"] == {"dev": 1, "test": 2}
        assert {reason for reasons in about["unbuilt"].values() for reason in reasons} == {
            f"longer than {READS} tokens"
        }
    assert f"evaluate zero-shot--short--s0: 2 of 6 questions {limit}" in remarks
    first = next(index for index, remark in enumerate(remarks) if remark.startswith("evaluate"))
    # What the least possible pair tells comes before the teacher is asked, the rest before a student is trained.
    assert all(
        remark.startswith(("train", "multitask short:", "explain-then-answer short:", "zero-shot short:"))
        for remark in remarks[:first]
    ), remarks


def test_they_count_as_wrong_in_every_figure(finished: tuple[Run, list[str]]) -> None:
    found, _ = finished
    for cell in found.cells:
        predictions = read_predictions(cell.folder / "predictions.parquet")
        assert [row.example_id for row in predictions] == [f"test{i}" for i in range(6)]
        long = {row.example_id for row in predictions if row.refusal}
        assert long == {"test0", "test3"}
        for row in predictions:
            if row.refusal:
                assert (row.refusal, row.answer, row.explanation, row.raw, row.likeliest) == (
                    TOO_LONG,
                    None,
                    None,
                    "",
                    None,
                )
        scores = read_scores(cell.folder / "scores.parquet")
        for metric, value in (("accuracy", 0.0), ("accuracy_likelihood", 0.0), ("unparsed", 1.0)):
            values = {row.example_id: row.value for row in scores if row.metric == metric}
            assert len(values) == 6, "the denominator is all questions"
            assert {values[name] for name in long} == {value}
        assert not [row for row in scores if row.metric == "length" and row.example_id in long]
    told = f"multitask--short--s0 was not asked 2 of 6 test questions ({TOO_LONG}); they count as wrong."
    assert told in findings.read(found.folder).gaps


def test_the_others_are_answered_as_if_those_were_not_there(finished: tuple[Run, list[str]], tmp_path: Path) -> None:
    found, _ = finished
    alone = run(tmp_path, [], {"train": (1,), "dev": (0,)})
    alone.generate()
    alone.train()
    kept = [row for i, row in enumerate(rows(6, "test", ())) if i not in (0, 3)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, kept)))
    again = Run(alone.recipe)
    again.evaluate()
    for cell, other in zip(found.cells, again.cells, strict=True):
        mine, theirs = (read_predictions(each.folder / "predictions.parquet") for each in (cell, other))
        assert [row for row in mine if not row.refusal] == theirs


def test_probes_leave_out_prompts_that_grow_too_long(finished: tuple[Run, list[str]]) -> None:
    found, remarks = finished
    for cell in found.cells[:2]:
        path = cell.folder / "predictions.parquet"
        table = pq.read_table(path)
        # One explanation so long that, shown again, it leaves no room for an answer.
        texts = [
            " ".join(["word"] * READS) if name == "test1" else text
            for name, text in zip(
                *(table.column(each).to_pylist() for each in ("example_id", "explanation")), strict=True
            )
        ]
        import pyarrow as pa

        place = table.schema.get_field_index("explanation")
        pq.write_table(table.set_column(place, "explanation", pa.array(texts)), path)
    remarks.clear()
    scores = found.score(["early_answering", "filler"])
    assert [
        remark
        for remark in remarks
        if remark.startswith("probe multitask") and f"are {TOO_LONG}: they are left" in remark
    ]
    for cell in found.cells[:2]:
        questions = {row.example_id for row in scores[cell.name]}
        assert "test1" not in {row.example_id for row in scores[cell.name] if row.metric == "filler_same"}
        assert {"test2", "test4"} <= questions
    remarks.clear()
    assert found.score(["early_answering", "filler"]) == scores, "what was left out is not asked again"


def test_a_student_that_can_be_asked_nothing_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    found = run(tmp_path, [], {"test": tuple(range(6))}, methods=["finetune"], generate=[], teacher=None)
    with pytest.raises(
        StudentError, match=r"can be asked none of its 6 test questions: each is longer than the 160 tok"
    ):
        found.train()
    assert not list(tmp_path.glob("**/student"))


def test_room() -> None:
    student = Short.open("", max_length=64)
    text = "one two three four five six seven eight nine ten " * 6
    tokens, more = len(student.prompt_ids(text)), len(student.target_ids(text, end=False))
    assert fits(student, text, READS - tokens)
    assert not fits(student, text, READS - tokens + 1)
    assert fits(student, text, READS - tokens - more, ["a", text])
    assert not fits(student, text, READS - tokens - more + 1, ["a", text])
    assert fits(FakeStudent(), text * 1000, 10**6), "a student that states no limit reads everything"
