"""A trained student, loaded once, that answers questions from anywhere."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from shrinklm import Run
from shrinklm.core.errors import RecipeError, StudentError, TaskError
from shrinklm.core.results import CellFile, read_predictions
from shrinklm.deploy.answering import Answering
from shrinklm.deploy.student import TrainedStudent
from shrinklm.students.open import load_student
from shrinklm.tasks.table import read_asked

METHODS = ["finetune", "multitask", "explain-then-answer", "answer-then-explain"]


@pytest.fixture
def run(deployed: Run) -> Run:
    return deployed


@pytest.mark.parametrize("method", METHODS)
def test_the_answers_to_the_test_questions_are_those_of_the_evaluation(run: Run, method: str) -> None:
    cell = next(cell for cell in run.cells if cell.method.name == method)
    known = read_predictions(cell.folder / CellFile.PREDICTIONS)
    answers = run.student(method).predict(run.splits["test"])
    assert [answer.id for answer in answers] == [row.example_id for row in known]
    assert [answer.answer for answer in answers] == [row.answer for row in known]
    assert [answer.explanation for answer in answers] == [row.explanation for row in known]
    for answer, row, example in zip(answers, known, run.splits["test"], strict=True):
        assert list(answer.probabilities) == list(dict.fromkeys(example.choices))
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert max(answer.probabilities, key=answer.probabilities.__getitem__) == row.likeliest
        assert len(row.likelihoods) == len(set(example.choices))
        assert answer.confidence == (None if answer.answer is None else answer.probabilities[answer.answer])


@pytest.mark.parametrize("method", METHODS)
def test_by_likelihood_the_likeliest_option_is_the_answer(run: Run, method: str) -> None:
    cell = next(cell for cell in run.cells if cell.method.name == method)
    known = read_predictions(cell.folder / CellFile.PREDICTIONS)
    answers = run.student(method).predict(run.splits["test"], by="likelihood")
    assert [answer.answer for answer in answers] == [row.likeliest for row in known]
    assert all((answer.explanation is None) == (method == "finetune") for answer in answers)
    assert all(answer.confidence == max(answer.probabilities.values()) for answer in answers)


def test_a_temperature_changes_probabilities_and_no_answer(run: Run) -> None:
    student = run.student("multitask")
    likelihoods = {"a fish": -3.0, "a bird": -6.0}
    plain = student.probabilities(likelihoods)
    assert plain["a fish"] == pytest.approx(1 / (1 + math.exp(-3 / 6)))
    from dataclasses import replace

    hot = TrainedStudent(student.student, replace(student.answering, temperature=0.25), student.folder)
    assert hot.probabilities(likelihoods)["a fish"] == pytest.approx(1 / (1 + math.exp(-4 * 3 / 6)))
    assert student.probabilities({"a": math.nan, "b": -1.0}) == {}
    assert student.probabilities({"a": -math.inf, "b": -1.0}) == {"a": 0.0, "b": 1.0}


def test_questions_come_as_texts_mappings_frames_and_datasets(run: Run) -> None:
    import datasets
    import pandas as pd

    rows = [
        {"id": "x", "question": "What holds water?", "choices": ["a sieve", "a bucket"], "other": 1},
        {"id": "y", "question": "What flies?", "choices": ["a bird", "a stone"], "other": 2},
    ]
    student = run.student("multitask")
    wanted = student.predict(rows)
    assert [answer.id for answer in wanted] == ["x", "y"]
    assert student.predict(pd.DataFrame(rows)) == wanted
    assert student.predict(datasets.Dataset.from_list(rows)) == wanted
    assert student.predict([]) == []
    assert run.student("multitask") is student
    frame = pd.DataFrame([vars(answer) for answer in wanted])
    assert list(frame["answer"]) == [answer.answer for answer in wanted]


def test_gaps_in_a_frame_or_a_file_are_no_values(run: Run, tmp_path: Path) -> None:
    import pandas as pd

    trained = run.student("finetune")
    answering = replace(trained.answering, labels=("water", "fire"), fields={"hint": False})
    student = TrainedStudent(trained.student, answering, trained.folder)
    wanted = student.predict(["What burns?", "What flows?"], by="likelihood")
    gaps = {"id": [None, None], "choices": [None, None], "hint": [None, None]}
    frame = pd.DataFrame({"question": ["What burns?", "What flows?"], **gaps})
    for gap in (None, math.nan, pd.NA, pd.NaT):
        filled = frame.assign(**{name: pd.Series([gap, gap], dtype=object) for name in gaps})
        assert student.predict(filled, by="likelihood") == wanted
    rows = [{**row, "id": math.nan, "choices": math.nan} for row in frame.to_dict("records")]
    assert student.predict(rows, by="likelihood") == wanted
    frame.assign(choices=["", '["fire", "water"]'], id=["", "b"]).to_csv(tmp_path / "in.csv", index=False)
    asked = list(read_asked(str(tmp_path / "in.csv"), {}, "choice"))
    assert not [row for _, row in asked if isinstance(row, str)]
    answers = student.predict([row for _, row in asked], by="likelihood")
    assert [tuple(answer.probabilities) for answer in answers] == [("water", "fire"), ("fire", "water")]
    assert [answer.id for answer in answers] == ["1", "b"]


def test_an_exported_student_needs_neither_recipe_nor_data(run: Run, tmp_path: Path) -> None:
    student = run.student("explain-then-answer", seed=0)
    load_student(run.cells[2].folder / CellFile.STUDENT).save(tmp_path / "out")
    student.answering.write(tmp_path / "out")
    opened = TrainedStudent.open(tmp_path / "out")
    assert opened.predict(run.splits["test"]) == student.predict(run.splits["test"])
    assert Answering.read(tmp_path / "out").to_json() == student.answering.to_json()


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ("What?", "predict takes a list of questions"),
        ({"question": "What?"}, "predict takes a list of questions"),
        (7, "not int"),
        ([7], "Question 1 is a int"),
        ([{"question": "What?", "choices": ["a", "b"]}, {"text": "x"}], r"Question 2 has no `question`\. Found: text"),
        (["What?"], "Question 1 has no `choices`"),
        ([{"question": "What?", "choices": ["a"]}], "two or more different options"),
        ([{"question": "  ", "choices": ["a", "b"]}], "Question 1"),
    ],
)
def test_a_question_that_cannot_be_asked(run: Run, questions: object, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        run.student("multitask").predict(questions)


def test_what_cannot_be_opened(run: Run, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"No trained student of seed 7 is called 'multitask'"):
        run.student("multitask", seed=7)
    with pytest.raises(RecipeError, match="write text or likelihood"):
        run.student("multitask").predict([], by="guess")  # type: ignore[arg-type]
    folder = run.cells[0].folder / CellFile.STUDENT
    with pytest.raises(StudentError, match=r"holds no answering\.json"):
        TrainedStudent.open(folder)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"temperature": value} for value in (-1.0, 0, math.nan, math.inf, "1")),
        *({"max_tokens": value} for value in (0, "12", 1.5, True, None)),
        {"answer_tokens": "9"},
        {"labels": "yes"},
    ],
    ids=str,
)
def test_a_record_of_wrong_values(run: Run, tmp_path: Path, wrong: dict[str, object]) -> None:
    content = run.student("finetune").answering.to_json()
    Answering.from_json(content)
    (tmp_path / "answering.json").write_text(json.dumps({**content, **wrong}))
    with pytest.raises(StudentError, match=rf"does not say how a student answers: .*{next(iter(wrong))}"):
        Answering.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"version": 2}', '{"version": 1}', '{"version": 1, "explain": null, "answer": {"name": "x"}}'],
)
def test_a_record_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "answering.json").write_text(content)
    with pytest.raises(StudentError, match=r"answering\.json"):
        Answering.read(tmp_path)


def test_export_model_prints_what_it_measured_and_its_folder_answers_alone(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    from shrinklm.cli import main

    asked = ["export-model", str(run.folder), "--to", "gguf", "--cell", "multitask", "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main([*asked, "--json"])
    assert not ended.value.code
    report = json.loads(capsys.readouterr().out)
    assert (report["cell"], report["format"], report["bits"]) == ("multitask--tiny--s0", "gguf", 16)
    assert (report["questions"], report["agreement"]["same_texts"]) == (8, 1)
    tests = run.splits["test"]
    known = run.student("multitask").predict(tests)
    answers = TrainedStudent.open(tmp_path / "out").predict(tests)
    assert [answer.raw for answer in answers] == [answer.raw for answer in known]
    assert [answer.explanation for answer in answers] == [answer.explanation for answer in known]
    with pytest.raises(SystemExit) as ended:
        main([*asked[:4], "--bits", "5"])
    assert ended.value.code == 1
    assert "gguf has 16, 32, 8, 4 bits a weight, and not 5" in capsys.readouterr().err
