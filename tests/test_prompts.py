"""Prompts: what a step asks, few-shot examples, overrides, and mistakes in a prompt file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shrinklm import Recipe, Run
from shrinklm.core.errors import RecipeError
from shrinklm.core.types import Example, Turn
from shrinklm.tasks.base import question_key
from shrinklm.teachers.prompts import FOLDER, Prompts, Template, fill
from shrinklm.teachers.steps import STEPS
from student_cases import TYPES

QUOTED = {"explanation": "It is windy there.", "critique": "It could say why."}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("step", [step.name for step in STEPS.values() if not step.marks])
def test_every_step_of_every_task_is_filled(step: str, kind: str) -> None:
    example = TYPES[kind]
    prompts = Prompts(kind)
    asked = prompts.prompt(STEPS[step], example, "" if STEPS[step].about == "own" else example.answer, QUOTED)
    assert [turn.role for turn in asked.turns] == ["system", *["user", "assistant"] * len(prompts.shots), "user"]
    assert len(prompts.shots) >= 3
    assert asked.turns[-1].text.startswith(example.text)
    assert "{" not in asked.text
    assert (asked.kind, asked.example) == (step, example)
    for need in STEPS[step].needs:
        assert QUOTED[need] in asked.turns[-1].text
    if STEPS[step].about != "own":
        assert example.answer in asked.turns[-1].text.removeprefix(example.text)


def test_the_teacher_is_not_told_the_answer_it_is_asked_for() -> None:
    free = TYPES["free"]
    assert "5" not in Prompts("free").prompt(STEPS["label"], free, "", {}).turns[-1].text


def test_defect_09_right_and_wrong_answers_are_asked_for_with_the_same_words() -> None:
    example = TYPES["choice"]
    right = Prompts("choice").prompt(STEPS["explanation"], example, "open field", {})
    wrong = Prompts("choice").prompt(STEPS["counterfactual"], example, "cellar", {})
    assert right.turns[:-1] == wrong.turns[:-1]
    assert right.turns[-1].text.replace("open field", "cellar") == wrong.turns[-1].text.replace("open field", "cellar")


def test_text_of_a_data_set_cannot_change_a_prompt() -> None:
    odd = Example("odd", "What is {answer} or {nonsense}?", ("{critique}", "b"), "{critique}")
    asked = Prompts("choice").prompt(STEPS["explanation"], odd, odd.answer, {})
    assert "What is {answer} or {nonsense}?" in asked.turns[-1].text
    assert 'why "{critique}" fits' in asked.turns[-1].text


def test_a_length_cap_stands_in_every_turn_that_asks() -> None:
    asked = Prompts("choice").prompt(STEPS["revision"], TYPES["choice"], "open field", QUOTED, max_words=30)
    users = [turn.text for turn in asked.turns if turn.role == "user"]
    assert all(text.endswith("Use at most 30 words.") for text in users)
    assert "at most" not in Prompts("choice").prompt(STEPS["revision"], TYPES["choice"], "open field", QUOTED).text


def test_a_users_file_replaces_the_packages_own(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    (tmp_path / "explanation.md").write_text(
        "# system\nBe brief.\n\n# user\n{text}\nWhy {answer}?\n\n# assistant\n{explanation}\n"
    )
    words = {"explanation": "Dogs\n bark.", "critique": "c", "revision": "r"}
    shot = {"question": "Who barks?", "choices": ["dog", "cat"], "answer": "dog", **words}
    (tmp_path / "shots" / "choice.yaml").write_text(json.dumps([shot]))
    prompts = Prompts("choice", tmp_path)
    asked = prompts.prompt(STEPS["explanation"], TYPES["choice"], "cellar", {})
    assert asked.turns == (
        Turn("system", "Be brief."),
        Turn("user", "Question: Who barks?\nChoices: (a) dog (b) cat\nWhy dog?"),
        Turn("assistant", "Dogs bark."),
        Turn("user", f"{TYPES['choice'].text}\nWhy cellar?"),
    )
    assert prompts.template("label") == Prompts("choice").template("label")


def test_mistakes_in_prompt_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    (tmp_path / "explanation.md").write_text("# system\nx\n# user\n{text}\n")
    (tmp_path / "label.md").write_text("# system\nx\n# user\n{txt}\n# assistant\n{answer}\n")
    (tmp_path / "shots" / "yesno.yaml").write_text("- question: Is it?\n  choices: [yes, no]\n")
    with pytest.raises(RecipeError, match=r"explanation\.md lacks the section '# assistant'"):
        Prompts("choice", tmp_path).template("explanation")
    with pytest.raises(RecipeError, match=r"uses \{txt\}, which is not a value of this step. Known: answer, .*, text"):
        Prompts("choice", tmp_path).prompt(STEPS["label"], TYPES["choice"], "", {})
    with pytest.raises(RecipeError, match=r"yesno\.yaml, example 1: KeyError\('answer'\)"):
        _ = Prompts("yesno", tmp_path).shots
    with pytest.raises(
        RecipeError, match=r"No prompt file 'shots/songs\.yaml' in .* Copy one to start from: .*templates"
    ):
        _ = Prompts("songs", tmp_path).shots


def test_fill_replaces_once() -> None:
    assert fill("{a} {b} { a } {}", {"a": "{b}", "b": "2"}) == "{b} 2 { a } {}"


def test_templates_have_their_three_sections() -> None:
    for file in FOLDER.glob("*.md"):
        template = Prompts("choice").template(file.stem)
        assert isinstance(template, Template)
        assert template.system
        assert "{text}" in template.user


@pytest.mark.parametrize("kind", TYPES)
def test_few_shot_examples_are_right_in_themselves(kind: str) -> None:
    for example, words in Prompts(kind).shots:
        assert not example.choices or example.answer in example.choices
        assert all(words[name].endswith((".", "!")) for name in ("explanation", "critique", "revision"))
        assert example.answer.lower() in {"yes", "no"} or example.answer.lower() in words["explanation"].lower()


def test_defect_14_few_shot_examples_are_held_out_of_training(tmp_path: Path) -> None:
    shot, _ = Prompts("choice").shots[0]
    rows = [{"id": f"r{i}", "question": f"Which {i}?", "choices": ["rope", "lamp"], "answer": "rope"} for i in range(8)]
    rows.append(
        {"id": "shot", "question": shot.question.upper() + " ", "choices": list(shot.choices), "answer": shot.answer}
    )
    run = table(tmp_path, rows, {})
    assert "shot" not in [example.id for example in run.splits["train"]]
    assert len(run.splits["train"]) == 8
    run.start()
    assert json.loads((run.folder / "data.json").read_text())["held_out"] == 1


def test_defect_14_only_the_same_premise_is_held_out(tmp_path: Path) -> None:
    shot, _ = Prompts("nli").shots[0]
    labels = list(TYPES["nli"].choices)
    common = {"question": shot.question, "hypothesis": "He runs.", "answer": 2}
    rows = [{**common, "id": f"r{i}", "premise": f"Man {i} sleeps."} for i in range(8)]
    rows.append({**common, "id": "shot", **shot.fields, "answer": 0})
    run = table(tmp_path, rows, {"choices": labels, "context": ["premise", "hypothesis"]})
    assert [example.id for example in run.splits["train"]] == [f"r{i}" for i in range(8)]
    assert question_key(shot) not in {question_key(example) for example in run.splits["train"]}


def table(root: Path, rows: list[dict[str, object]], columns: dict[str, object]) -> Run:
    (root / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "test.jsonl").write_text(json.dumps({**rows[0], "id": "test", "question": "Which?"}) + "\n")
    task = {"use": "table", "train": "t.jsonl", "test": "test.jsonl", "dev": 0.0}
    task["columns"] = {"id": "id", "question": "question", "choices": "choices", "answer": "answer", **columns}
    return Run(Recipe.parse({"name": "t", "task": task, "student": "tiny", "root": root}))
