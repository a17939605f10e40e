"""A student that asks when it is unsure: what is kept, passed on, paid for, stored and learned from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli_cases import call
from serving import Running
from shrinklm import Completion, Prompt, Recipe, Run, Sampling
from shrinklm.cli.predict import opened
from shrinklm.cli.show import runs as show
from shrinklm.core.errors import RecipeError, StudentError, TeacherError
from shrinklm.core.types import Example
from shrinklm.deploy.cascade import Cascade
from shrinklm.deploy.passing import Escalations, Passed, Passing, examples_in, question_key
from shrinklm.deploy.student import Answer
from shrinklm.run.cascades import ask_tests, cascade
from shrinklm.teachers.base import as_teacher
from shrinklm.teachers.budget import Budget
from shrinklm.teachers.generate import GenerateSettings


class Knows:
    """A teacher that gives the last option, and fails at the call of a number."""

    name, revision = "knows", "1"

    def __init__(self, fails_at: int | None = None, says: str = "Because of {0}. The answer is {0}.") -> None:
        self.fails_at, self.says = fails_at, says
        self.asked: list[str] = []

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            if len(self.asked) == self.fails_at:
                raise TeacherError("The line is dead.")
            self.asked.append(prompt.example.question)
            yield position, Completion(self.says.format(prompt.example.choices[-1]), 100, 10, finished=True)


def settings(price: dict[str, float] | None = None) -> GenerateSettings:
    return GenerateSettings(0.0, 1.0, 0, 0, price)


def passing(run: Run, store: Path, teacher: Knows, price: dict[str, float] | None = None) -> Passing:
    return Passing(as_teacher(teacher), run.prompts, store, settings(price), run.task.parse)


@pytest.fixture
def questions(deployed: Run) -> list[Example]:
    return deployed.splits["test"]


def split_in_two(deployed: Run, questions: Sequence[Example], **others: Any) -> tuple[Cascade, list[Answer]]:
    """A cascade that keeps the surer half of the questions, and the student's own answers."""
    student = deployed.student("finetune")
    alone = student.predict(questions, by="likelihood")
    threshold = sorted(answer.confidence or 0.0 for answer in alone)[len(alone) // 2]
    return Cascade(student, threshold, "likelihood", **others), alone


def test_unsure_answers_come_from_the_teacher_and_are_paid_for_once(
    deployed: Run, questions: list[Example], tmp_path: Path
) -> None:
    teacher, kept = Knows(), Escalations(tmp_path / "run" / "escalated.jsonl")
    way = passing(deployed, tmp_path / "store.db", teacher)
    both, alone = split_in_two(deployed, questions, passing=way, escalations=kept)
    answers = both.predict(questions)
    passed = [index for index, answer in enumerate(answers) if answer.by == "teacher"]
    assert len(passed) == len(teacher.asked) == len(questions) // 2
    for index, (answer, own) in enumerate(zip(answers, alone, strict=True)):
        if index not in passed:
            assert answer == own
            continue
        assert own.confidence is not None
        assert own.confidence < (both.threshold or 0)
        assert answer.answer == questions[index].choices[-1]
        assert answer.explanation == f"Because of {questions[index].choices[-1]}."
        assert (answer.probabilities, answer.confidence, answer.why) == (own.probabilities, None, None)
    rows = list(kept)
    assert [row["question"] for row in rows] == [questions[index].question for index in passed]
    assert {(row["teacher"], row["cell"]) for row in rows} == {("knows", both.name)}
    assert {row["answer"] for row in rows} == {questions[index].choices[-1] for index in passed}
    assert both.predict(questions, explain=False)[passed[0]].explanation is None
    again, _ = split_in_two(deployed, questions, passing=passing(deployed, way.store, teacher), escalations=kept)
    assert [each.answer for each in again.predict(questions)] == [each.answer for each in answers]
    assert len(teacher.asked) == len(passed), "the store has the answers"
    assert len(list(kept)) == len(kept.path.read_text().splitlines()) == len(passed)
    assert both.key == again.key != deployed.student("finetune").key


def test_without_a_teacher_an_unsure_answer_is_withheld(deployed: Run, questions: list[Example]) -> None:
    both, alone = split_in_two(deployed, questions)
    answers = both.predict(questions)
    withheld = [answer for answer in answers if answer.answer is None]
    assert len(withheld) == len(questions) // 2
    assert all("abstained: the confidence" in (answer.why or "") and answer.by == "student" for answer in withheld)
    assert [answer.probabilities for answer in answers] == [answer.probabilities for answer in alone]
    nothing = Cascade(deployed.student("finetune"), None, "likelihood").predict(questions)
    assert all(answer.answer is None and "no threshold" in (answer.why or "") for answer in nothing)
    everything = Cascade(deployed.student("finetune"), 0.0, "likelihood").predict(questions)
    assert everything == alone


def test_an_answer_that_could_not_be_read_is_passed_on(deployed: Run, questions: list[Example], tmp_path: Path) -> None:
    way = passing(deployed, tmp_path / "store.db", Knows())
    both = Cascade(deployed.student("finetune"), 0.01, passing=way)
    unread = Answer(both.name, "1", None, None, {}, None, None, "cut at the cap", "]]]")
    assert both.answer(questions[:1], [unread])[0].by == "teacher"


def test_a_teacher_that_fails_leaves_the_student_s_answers(
    deployed: Run, questions: list[Example], tmp_path: Path
) -> None:
    teacher = Knows(fails_at=2)
    way = passing(deployed, tmp_path / "store.db", teacher)
    both, alone = split_in_two(deployed, questions, passing=way)
    answers = both.predict(questions)
    assert sum(answer.by == "teacher" for answer in answers) == 2, "what came before it failed is used"
    left = [
        (answer, own) for answer, own in zip(answers, alone, strict=True) if "The line is dead" in (answer.why or "")
    ]
    assert len(left) == len(questions) // 2 - 2
    assert all((answer.answer, answer.by) == (own.answer, "student") for answer, own in left)
    teacher.fails_at = None
    assert sum(answer.by == "teacher" for answer in both.predict(questions)) == len(questions) // 2
    silent = passing(deployed, tmp_path / "other.db", Knows(says="I had rather not say."))
    both = Cascade(both, both.threshold, "likelihood", silent, Escalations(tmp_path / "escalated.jsonl"))
    answers = both.predict(questions)
    assert {answer.by for answer in answers} == {"student"}
    assert [answer.answer for answer in answers] == [answer.answer for answer in alone]
    assert not (tmp_path / "escalated.jsonl").exists()


def test_the_budget_holds(deployed: Run, questions: list[Example], tmp_path: Path) -> None:
    price = {"input": 1.0, "output": 1.0}
    teacher = Knows()
    way = passing(deployed, tmp_path / "store.db", teacher, price)
    # 110 tokens are paid for each answer; before a call it is reckoned with all that it could take.
    way.teacher.budget = Budget(0.0025)
    both = Cascade(deployed.student("finetune"), None, "likelihood", way)
    answers = both.predict(questions)
    spent = 110e-6 * len(teacher.asked)
    assert 0 < len(teacher.asked) < len(questions)
    assert way.teacher.budget.spent == pytest.approx(spent)
    assert way.teacher.budget.spent <= 0.0025
    left = [answer for answer in answers if answer.by == "student"]
    assert len(left) == len(questions) - len(teacher.asked)
    assert all("budget" in (answer.why or "") for answer in left)


def test_questions_are_told_apart_by_what_is_shown_and_not_by_their_ids(
    deployed: Run, questions: list[Example], tmp_path: Path
) -> None:
    teacher, first = Knows(), questions[0]
    way = passing(deployed, tmp_path / "store.db", teacher)
    other = Example(first.id, "Which one?", ("up", "down"), "", {})
    twin = Example("another id", first.question, first.choices, "", first.fields)
    answers = way.ask([first, other, twin])
    assert [one.answer for one in answers] == [first.choices[-1], "down", first.choices[-1]]
    assert len(teacher.asked) == 2
    assert (answers[0].tokens_in, answers[0].tokens_out, answers[0].cost) == (100, 10, None)


def test_a_server_passes_on_what_a_file_would(deployed: Run, questions: list[Example], tmp_path: Path) -> None:
    kept = Escalations(tmp_path / "escalated.jsonl")
    way = passing(deployed, tmp_path / "store.db", Knows())
    both, _ = split_in_two(deployed, questions, passing=way, escalations=kept)
    expected = both.predict(questions)
    running = Running(both)
    try:
        told = [
            running.ask(question=each.question, choices=list(each.choices), **each.fields).json() for each in questions
        ]
    finally:
        running.close()
    assert [one["answer"] for one in told] == [answer.answer for answer in expected]
    assert [one["escalated"] for one in told] == [answer.by == "teacher" for answer in expected]
    assert len(list(kept)) == len(questions) // 2


def test_a_torn_line_costs_one_row(tmp_path: Path) -> None:
    kept, example = Escalations(tmp_path / "escalated.jsonl"), Example("1", "Which?", ("a", "b"), "", {"note": "x"})
    kept.add([(example, Passed("b", "So.", None)), (example, Passed("b", "So.", None))], "cell", "knows")
    with kept.path.open("ab") as file:
        file.write(b'{"key": "torn", "ques')
    other = Example("2", "Who?", ("a", "b"), "", {})
    kept.add([(other, Passed("a", "", None)), (example, Passed(None, "", "silent"))], "cell", "knows")
    assert [row["key"] for row in kept] == [question_key(example), question_key(other)]
    learned = examples_in(iter(kept))
    assert [(each.text, each.answer) for each in learned] == [(example.text, "b"), (other.text, "a")]
    assert learned[0].meta["labelled_by"] == "knows"


# In a run


def recipe(root: Path, **changes: Any) -> Recipe:
    block = {"teacher": "fake", "budget": 0.4, "by": "likelihood"}
    data = {
        "name": "unsure",
        "task": {"use": "everyday", "dev": 0.3, "limit": {"train": 12, "dev": 24, "test": 8}},
        "teacher": {"use": "fake"},
        "student": {"use": "tiny"},
        "train": {"examples": 12, "curve": 0},
        "evaluate": {"max_tokens": 8, "metrics": ["accuracy", "accuracy_likelihood"], "zero_shot": False},
        "cascade": block,
        **changes,
    }
    return Recipe.parse(data).model_copy(update={"root": root})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascade")
    run = Run(recipe(folder))
    run.train()
    run.evaluate()
    return folder


def threshold(run: Run) -> dict[str, Any]:
    path = run.cells[0].folder / "cascade.json"
    found: dict[str, Any] = json.loads(path.read_text())["threshold"]
    return found


def test_the_threshold_is_picked_on_dev_for_the_goal_of_the_recipe(root: Path) -> None:
    run = Run(recipe(root))
    found = threshold(run)
    assert found["n"] == 24
    assert found["kept"] > 24 * 0.6
    assert found["bound"] <= 0.4
    Run(recipe(root, cascade={"accuracy": 0.9})).evaluate()
    missing = threshold(run)
    assert missing["value"] is None
    both = cascade(Run(recipe(root, cascade={"accuracy": 0.9})))
    assert both.passing is None
    assert {answer.answer for answer in both.predict(run.splits["test"])} == {None}
    run.evaluate()
    assert threshold(run) == found
    (run.cells[0].folder / "cascade.json").write_text("{")
    with pytest.raises(StudentError, match="shrinklm evaluate"):
        cascade(run)
    run.evaluate()
    assert threshold(run) == found


def test_the_teacher_s_answers_to_the_test_questions_are_stored_and_reported(root: Path) -> None:
    run = Run(recipe(root))
    first = ask_tests(run)
    assert len(first) == 8
    assert ask_tests(Run(recipe(root))) == first
    kept = json.loads((run.folder / "cascade.json").read_text())
    assert kept["teacher"] == "fake"
    assert set(kept["answers"]) == {example.id for example in run.splits["test"]}
    done = call("cascade", run.folder, "--json")
    [row] = json.loads(done.stdout)
    right = sum(kept["answers"][example.id]["answer"] == example.answer for example in run.splits["test"]) / 8
    assert row["always"] == right
    assert 0 <= row["passed_on"] <= 1
    assert min(row["never"], right) <= row["cascade"] <= 1
    assert "The teacher answered 8 of 8" in call("cascade", run.folder).stdout


def test_the_report_draws_it_with_and_without_the_teacher(root: Path) -> None:
    run = Run(recipe(root))
    ask_tests(run)
    page = run.report().read_text(encoding="utf-8")
    assert '<section id="cascade">' in page
    assert "alone is right in" in page
    text = (run.folder / "report.md").read_text(encoding="utf-8")
    assert "at most 40.0 % of the questions are passed on" in text
    (run.folder / "cascade.json").unlink()
    run.report()
    text = (run.folder / "report.md").read_text(encoding="utf-8")
    assert "this asks for them: shrinklm cascade RECIPE" in text
    assert "Accuracy and what is withheld" in text


def test_a_file_is_answered_by_student_and_teacher(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "in.jsonl"
    row = {"question": "Where does a kettle go?", "choices": ["shed", "kitchen"]}
    table.write_text(json.dumps(row) + "\n")
    out = tmp_path / "out.jsonl"
    folder = Run(recipe(root)).folder
    done = call("predict", folder, "--cascade", "--by", "likelihood", "--input", table, "--output", out)
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())["by"] in ("student", "teacher")


def test_escalated_questions_wait_until_the_recipe_takes_them_in(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(recipe(root))
    kept = Escalations(run.folder / "escalated.jsonl")
    new = Example("x", "Where does a kettle go?", ("shed", "kitchen"), "", {})
    kept.add([(each, Passed(each.choices[0], "", None)) for each in (new, run.splits["test"][0])], "cell", "fake")
    try:
        assert len(Run(recipe(root)).splits["train"]) == 12
        for learn in (True, "unsure", str(kept.path)):
            changed = recipe(root, cascade={"budget": 0.4, "learn": learn})
            train = Run(changed).splits["train"]
            assert [each.question for each in train[12:]] == [new.question], "a test question is never trained on"
            assert (train[12].answer, train[12].meta["labelled_by"]) == ("shed", "fake")
        begun = Run(recipe(root, name="next", cascade={"budget": 0.4, "learn": "unsure"}))
        begun.start()
        assert json.loads((begun.folder / "data.json").read_text())["escalated"] == 1
        with pytest.raises(RecipeError, match="No escalated questions at"):
            Run(recipe(tmp_path, cascade={"budget": 0.4, "learn": "nobody"})).start()
        show.waiting(run)
        assert "2 questions that were passed on wait" in capsys.readouterr().out
    finally:
        kept.path.unlink()


def test_the_budget_counts_what_earlier_commands_passed_on(root: Path) -> None:
    paid = {"use": "fake", "price": {"input": 1.0, "output": 1.0}}
    asked = []
    for _ in range(2):
        run = Run(recipe(root, teacher=paid, budget=0.0025, store="paid.db"), Knows())
        both = cascade(run)
        both.threshold = None
        answers = both.predict(run.splits["test"])
        assert run.writers.budget is not None
        asked.append((sum(answer.by == "teacher" for answer in answers), run.writers.budget.spent))
    assert 0 < asked[0][0] < 8
    assert asked[1] == (asked[0][0], pytest.approx(110e-6 * asked[0][0])), "found in the store, and counted once"
    run = Run(recipe(root, teacher=paid, budget=0.0025, store="paid.db"), Knows())
    both = cascade(run)
    both.threshold = None
    [answer] = both.predict([{"question": "Where does a kettle go?", "choices": ["shed", "kitchen"]}])
    (run.folder / "escalated.jsonl").unlink()
    assert run.writers.budget is not None
    spent = 110e-6 * (asked[0][0] + (answer.by == "teacher"))
    assert run.writers.budget.spent == pytest.approx(spent), "what was passed on before counts"


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ({"accuracy": 0.9, "budget": 0.2}, "needs one goal"),
        ({}, "needs one goal"),
        ({"accuracy": 1.5}, "cascade.accuracy"),
        ({"accuracy": 0.9, "acuracy": 1}, "accuracy"),
    ],
)
def test_a_block_that_cannot_be_meant_is_refused(tmp_path: Path, block: dict[str, Any], found: str) -> None:
    with pytest.raises(RecipeError, match=found):
        recipe(tmp_path, cascade=block)


def test_a_cascade_needs_dev_answers_a_block_and_a_teacher_that_answers_at_once(root: Path) -> None:
    with pytest.raises(RecipeError, match="picks its threshold on dev answers"):
        recipe(root, evaluate={"calibrate": 0})
    with pytest.raises(RecipeError, match=r"cascade: \{accuracy: 0.9\}"):
        cascade(Run(recipe(root, cascade=None)))
    with pytest.raises(RecipeError, match="names no teacher"):
        ask_tests(Run(recipe(root, cascade={"budget": 0.4})))
    teachers = {"strong": {"use": "fake:cut"}, "weak": {"use": "fake"}}
    named = Run(recipe(root, teacher=teachers, cascade={"budget": 0.4, "teacher": "strong"}))
    assert cascade(named).passing is not None
    assert all(one.answer is None and one.why for one in ask_tests(named)), "`fake:cut` ends before it has answered"
    (exported := root / "exported").mkdir()
    (exported / "answering.json").write_text("{}")
    with pytest.raises(RecipeError, match="exported student"):
        opened(str(exported), None, cascade=True)
