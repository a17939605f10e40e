"""Questions that come without answers: who is asked, what is left out, and what the report says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shrinklm import Recipe, Run
from shrinklm.core.errors import MethodError, RecipeError, ShrinkError, TaskError
from shrinklm.core.types import Completion, Generation, Prompt, Sampling, Source
from shrinklm.run.stages.labels import vote

PLACES = ("in a bank", "in a zoo", "in the sea")


class Voter:
    """Answers each question by its number: the fourth of four is answered differently by each seed."""

    name, revision = "voter", "1"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            self.asked.append((prompt.kind, sampling.seed))
            number = int(prompt.example.question.split()[2])
            if prompt.kind != "label":
                text = f"People look for thing {number} {prompt.answer}, since it is kept there by its owners."
            elif number % 4 == 3:
                text = f"The answer is {PLACES[len(self.asked) % 3]}."
            else:
                text = f"It is kept there. The answer is {PLACES[number % 3]}."
            yield position, Completion(text, 100, 20, True)


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"text": f"Where is {number} thing number {number} kept?", "options": list(PLACES), **more}
        for number in range(count)
    ]


def written(path: Path, table: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, table)), encoding="utf-8")
    return path.name


def recipe(folder: Path, **changes: Any) -> Recipe:
    block = {
        "name": "r",
        "task": {
            "use": "table",
            "train": written(folder / "pool.jsonl", rows(40)),
            "columns": {"question": "text", "choices": "options"},
        },
        "teacher": {"use": "fake", "retries": 0},
        "generate": [{"label": {"samples": 5}}, "explanation"],
        "methods": ["multitask"],
        "student": "tiny",
        "train": {"examples": 16, "batch": 8, "curve": 0},
        "evaluate": {"metrics": ["accuracy"], "max_tokens": 4},
        "root": folder,
    }
    return Recipe.parse(block | changes)


def said(answer: str, refusal: str | None = None) -> Generation:
    return Generation("1", "label", answer, "", "", (), Source("t", "1", Sampling(), 0, "", 0, 0, "0"), "k", refusal)


def test_the_most_frequent_answer_is_the_label() -> None:
    label = vote([said("bank"), said("Zoo"), said("zoo"), said(""), said("bank", "the server failed")])
    assert (label.answer, label.share, label.votes) == ("Zoo", 2 / 5, {"Zoo": 2, "bank": 1})
    assert vote([said("b"), said("a")]).answer == "b"  # of equals the first
    assert vote([said("")]).answer == ""
    assert vote([]).share == 0


def test_a_table_without_answers_is_labelled_learned_and_reported(tmp_path: Path) -> None:
    teacher = Voter()
    page = Run(recipe(tmp_path), teacher).all().read_text()
    folder = tmp_path / "runs" / "r"
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    assert len(labels) == 40
    assert sum(kind == "label" for kind, _ in teacher.asked) == 5 * 40
    for row in labels:
        number = int(row["question"].split()[2])
        if number % 4 != 3:
            assert (row["answer"], row["agreement"], row["left_out"]) == (PLACES[number % 3], 1.0, None)
        assert sum(row["votes"].values()) == 5
    figures = json.loads((folder / "data.json").read_text())
    train = figures["labels"]["splits"]["train"]
    assert (train["questions"], train["labelled"], train["answers"]) == (figures["train"], figures["train"], 5)
    assert 0.7 < train["unanimous"] < 0.8
    assert figures["held_out"] == 0
    assert json.loads((folder / "generations.json").read_text())["teacher_accuracy"] is None
    assert "accuracy here is agreement with the teacher" in page
    assert "each by 5 answers" in page

    again = Voter()
    Run(recipe(tmp_path), again).all()
    assert again.asked == []


def test_gold_answers_of_the_test_alone(tmp_path: Path) -> None:
    gold = written(tmp_path / "gold.jsonl", rows(12, gold=PLACES[1]))
    task = {
        "use": "table",
        "train": written(tmp_path / "pool.jsonl", rows(24)),
        "test": gold,
        "columns": {"question": "text", "choices": "options", "answer": "gold"},
    }
    run = Run(recipe(tmp_path, task=task, methods=["finetune"]), Voter())
    page = run.all().read_text()
    assert {example.answer for example in run.splits["test"]} == {PLACES[1]}
    data = json.loads((run.folder / "data.json").read_text())
    assert set(data["labels"]["splits"]) == {"train", "dev"}
    # The teacher answers PLACES[number % 3]: right for a third, but for those that it guesses.
    accuracy = json.loads((run.folder / "generations.json").read_text())["teacher_accuracy"]
    assert accuracy["n"] == 12
    assert 0.2 < accuracy["value"] < 0.6
    assert "agreement with the teacher" not in page
    assert "The answers of the training and dev questions are those of voter" in page


def test_too_little_agreement_leaves_a_question_out(tmp_path: Path) -> None:
    steps = [{"label": {"samples": 5, "agreement": 0.9}}, "explanation"]
    run = Run(recipe(tmp_path, generate=steps), Voter())
    run.generate()
    train = json.loads((run.folder / "data.json").read_text())["labels"]["splits"]["train"]
    assert train["labelled"] == len(run.splits["train"]) < train["questions"]
    assert train["left_out"] == {"the teacher's answers agree too little": train["questions"] - train["labelled"]}
    # No text is asked for about a question that is left out.
    assert all(int(example.question.split()[2]) % 4 != 3 for example in run.splits["train"])


class Silent(Voter):
    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, _ in enumerate(prompts):
            yield position, Completion("It may be this one or that one, and nobody can tell which.", 100, 20, True)


def test_no_label_at_all(tmp_path: Path) -> None:
    with pytest.raises(ShrinkError, match=r"no answer could be read|nothing that can be used"):
        Run(recipe(tmp_path), Silent()).generate()


def test_before_the_teacher_was_asked(tmp_path: Path) -> None:
    teacher = Voter()
    for stage in ("train", "evaluate", "audit", "preview"):
        with pytest.raises(MethodError, match=r"come without answers.*Run: shrinklm generate RECIPE"):
            getattr(Run(recipe(tmp_path), teacher), stage)()
    assert teacher.asked == []


def test_nothing_is_asked_for_a_recipe_that_is_wrong(tmp_path: Path) -> None:
    teacher = Voter()
    for changes in (
        {"student": "causal:no/such/folder"},
        {"evaluate": {"metrics": ["acuracy"]}},
        {"methods": ["counterfactual"]},
    ):
        with pytest.raises(ShrinkError):
            Run(recipe(tmp_path, **changes), teacher).generate()
    with pytest.raises(RecipeError, match=r"has no step 'explain'. Its steps: label, explanation"):
        Run(recipe(tmp_path), teacher).generate("explain")
    assert teacher.asked == []


def test_answers_that_were_forgotten_are_not_paid_for(tmp_path: Path) -> None:
    task = {"use": "table", "train": written(tmp_path / "p.jsonl", rows(9, label=PLACES[0]))}
    columns = {"question": "text", "choices": "options"}
    with pytest.raises(TaskError, match=r"has a column 'label'.*answer: label.*answer: null"):
        Run(recipe(tmp_path, task={**task, "columns": columns}), Voter()).generate()
    run = Run(recipe(tmp_path, task={**task, "columns": {**columns, "answer": None}}), Voter())
    assert run.data.labelling is not None
    known = Run(recipe(tmp_path, task={**task, "columns": {**columns, "answer": "label"}}), Voter())
    assert known.data.labelling is None
    with pytest.raises(TaskError, match=r"no column 'lable'.*Did you mean 'label'"):
        Run(recipe(tmp_path, task={**task, "columns": {**columns, "answer": "lable"}}), Voter()).generate()


def test_somebody_must_label(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="names no teacher that could label them"):
        Run(recipe(tmp_path, teacher=None, generate=[], methods=["finetune"])).all()


def test_free_answers_are_counted_by_spelling() -> None:
    label = vote([said("The Sea."), said("the sea"), said("a lake")])
    assert (label.answer, label.share) == ("The Sea.", 2 / 3)


def test_labels_that_stand_in_a_column_cost_nothing(tmp_path: Path) -> None:
    table = [{**row, "said": f"I think so. The answer is {PLACES[2]}."} for row in rows(20)]
    pool = written(tmp_path / "p.jsonl", table)
    changes = {
        "task": {"use": "table", "train": pool, "columns": {"question": "text", "choices": "options"}},
        "teacher": {"use": f"recorded:{pool}", "columns": {"label": "said", "question": "text"}},
        "generate": ["label"],
        "methods": ["finetune"],
    }
    shown = list(Run(recipe(tmp_path, **changes)).preview(2))
    assert shown[0]["target"] == f"The answer is {PLACES[2]}."
    assert not (tmp_path / ".shrinklm").exists()
    assert not (tmp_path / "runs").exists()
