"""A trained student of one run that teaches the student of another."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from architectures import saved_encoder
from shrinklm import Recipe, Run
from shrinklm.core.errors import TeacherError
from shrinklm.core.results import CellFile, read_predictions
from shrinklm.core.types import Example, Prompt, Sampling
from shrinklm.deploy.mentor import ANOTHER, Mentor
from shrinklm.methods.spec import method
from shrinklm.models.locate import Model
from shrinklm.students.likeliest import option_likelihoods
from shrinklm.teachers.base import DOES_NOT_FIT, TeacherOptions, make_teacher
from student_cases import fresh

MODEL = Model("m", "m", "1", None)


def mentor(run: Run, name: str, **options: Any) -> Mentor:
    found = make_teacher(f"run:{run.folder}#{name}", TeacherOptions(**options))
    assert isinstance(found, Mentor)
    return found


def said(teacher: Any, examples: list[Example], kind: str, answers: list[str], **sampling: Any) -> list[Any]:
    prompts = [Prompt((), example, kind, answer) for example, answer in zip(examples, answers, strict=True)]
    found = dict(teacher.complete(prompts, Sampling(**{"max_tokens": 20, **sampling})))
    return [found[index] for index in range(len(prompts))]


@pytest.mark.parametrize("name", ["finetune", "multitask", "explain-then-answer", "answer-then-explain"])
def test_a_mentor_labels_as_it_answers_and_tells_the_likelihood_of_every_option(deployed: Run, name: str) -> None:
    cell = next(cell for cell in deployed.cells if cell.method.name == name)
    tests, known = deployed.splits["test"], read_predictions(cell.folder / CellFile.PREDICTIONS)
    teacher = mentor(deployed, name)
    found = said(teacher, tests, "label", [""] * len(tests), logprobs=True, max_tokens=64)
    for label, example, row in zip(found, tests, known, strict=True):
        assert deployed.task.parse(label.text, example) == row.answer
        assert list(label.options) == list(dict.fromkeys(example.choices))
        if name in ("finetune", "multitask"):
            assert list(label.options.values()) == pytest.approx(row.likelihoods, rel=1e-4)
    raws = [label.text for label in found]
    if name == "explain-then-answer":
        values = option_likelihoods(teacher.student, cell.method.answer, tests, raws, 8)
        assert [pytest.approx(value) for value in values] == [label.options for label in found]
    plain = said(teacher, tests, "label", [""] * len(tests), max_tokens=64)
    assert not any(label.options for label in plain), "they are scored only where they are asked for"


def test_an_explanation_is_taken_where_the_mentor_answers_as_it_is_asked(deployed: Run) -> None:
    tests = deployed.splits["test"]
    for name in ("multitask", "explain-then-answer"):
        cell = next(cell for cell in deployed.cells if cell.method.name == name)
        known = read_predictions(cell.folder / CellFile.PREDICTIONS)
        found = said(mentor(deployed, name), tests, "explanation", [example.answer for example in tests], max_tokens=64)
        assert [done.refusal for done in found] == [
            None if row.answer == example.answer else ANOTHER for row, example in zip(known, tests, strict=True)
        ]
        if name == "multitask":
            assert all(
                row.explanation in (done.text, None) or row.explanation_cut
                for done, row in zip(found, known, strict=True)
            )


def test_a_method_that_answers_first_explains_any_answer(deployed: Run) -> None:
    teacher, example = mentor(deployed, "answer-then-explain"), deployed.splits["test"][0]
    view = method("answer-then-explain").answer
    options = [example.answer, *example.wrong]
    found = said(teacher, [example] * len(options), "counterfactual", options)
    begun = [view.states(option) for option in options]
    assert [done.text for done in found] == teacher.student.answer(
        [view.prompt(example)] * len(options), 20, begun=begun
    )
    assert {done.refusal for done in found} == {None}


@pytest.mark.parametrize("spec", ["tiny", "tiny:seq2seq"])
def test_samples_are_drawn_and_the_same_each_time(spec: str) -> None:
    student = fresh(spec)
    example = Example("q", "Where does it go?", ("apple", "river"), "apple")
    teacher = Mentor("m", method("answer-then-explain"), MODEL, student.family, lambda: student, TeacherOptions())
    drawn = [said(teacher, [example], "label", [""], temperature=1.0, seed=seed, max_tokens=8)[0] for seed in (1, 2, 1)]
    assert drawn[0].text == drawn[2].text != drawn[1].text
    [about] = said(teacher, [example], "explanation", ["apple"], temperature=1.0, max_tokens=8)
    # The decoder of an encoder–decoder goes on after given words by its likeliest tokens alone, and says so.
    assert about.adapted == (("no temperature",) if spec == "tiny:seq2seq" else ())


def test_a_question_that_does_not_fit_is_refused(deployed: Run) -> None:
    long = Example("long", "word " * 3000, ("apple", "river"), "apple")
    [done] = said(mentor(deployed, "finetune"), [long], "label", [""])
    assert done.refusal is not None
    assert done.refusal.startswith(DOES_NOT_FIT)


def test_the_steps_that_a_method_cannot_take_are_refused_before_anything_is_asked(deployed: Run) -> None:
    for name, steps in {
        "finetune": ("label",),
        "multitask": ("explanation", "label"),
        "answer-then-explain": ("explanation", "counterfactual", "label"),
    }.items():
        teacher = mentor(deployed, name)
        assert teacher.steps == steps
        teacher.check_access(steps)
        for step in {"explanation", "critique", "revision", "counterfactual", "judgement"} - set(steps):
            with pytest.raises(TeacherError, match=rf"trained with '{name}' and cannot take the step '{step}'.*label"):
                teacher.check_access([step])
    marked = Mentor("m", method("salient"), MODEL, "causal", fresh, TeacherOptions())
    assert marked.steps == ("label",), "marked words explain nothing"


def test_who_it_is(deployed: Run, tmp_path: Path) -> None:
    teacher = mentor(deployed, "multitask")
    assert teacher.name == f"{deployed.folder.name}#multitask--tiny--s0"
    assert (teacher.unpaid, teacher.price) == (True, None)
    assert teacher.revision == mentor(deployed, "multitask--tiny--s0").revision != mentor(deployed, "finetune").revision
    # The same weights under views that read otherwise say something else; so do other weights.
    views = replace(method("multitask"), answer=replace(method("multitask").answer, lead="I say"))
    others = [Mentor("m", views, teacher.model, "causal", fresh, TeacherOptions())]
    others.append(
        Mentor("m", method("multitask"), replace(teacher.model, revision="other"), "causal", fresh, TeacherOptions())
    )
    assert teacher.revision not in [each.revision for each in others]
    moved = Path(shutil.copytree(deployed.folder, tmp_path / "elsewhere"))
    assert make_teacher(f"run:{moved}#multitask").revision == teacher.revision
    tokenizer = next(moved.glob("cells/multitask--*/student/tokenizer_config.json"))
    tokenizer.write_text(tokenizer.read_text().replace("\n", " ", 1))
    assert make_teacher(f"run:{moved}#multitask").revision != teacher.revision


def test_what_is_no_mentor_is_told(deployed: Run, tmp_path: Path) -> None:
    def refused(spec: str, message: str, **options: Any) -> None:
        with pytest.raises(TeacherError, match=message):
            make_teacher(spec, TeacherOptions(**options))

    place = f"run:{deployed.folder}"
    refused("run:", r"names no run. Write run:PATH#METHOD")
    refused("run:nowhere#multitask", r"no run at .*There is no run in.*shrinklm run", root=tmp_path)
    refused(f"run:{deployed.folder.parent / 'other'}", rf"no run at .*Runs in .*: {deployed.folder.name}")
    refused(
        f"{place}#multitusk", r"No method or student of .* called 'multitusk'. There are: finetune--tiny--s0, multi"
    )
    refused(f"{place}#multitask@7", r"called 'multitask@7'")
    refused(place, r"has several students: finetune--tiny--s0, .*#finetune--tiny--s0")
    refused(f"{place}#multitask", "no student teaches itself", run=deployed.folder)
    moved = Path(shutil.copytree(deployed.folder, tmp_path / "moved"))
    shutil.rmtree(moved / "cells" / "multitask--tiny--s0" / "student")
    refused(
        f"run:{moved}#multitask",
        r"weights are missing or damaged. Run: shrinklm train RECIPE. Trained students there: fi",
    )
    text = (moved / "recipe.yaml").read_text()
    (moved / "recipe.yaml").write_text(text.replace("seeds:\n  - 0", "seeds:\n  - 0\n  - 1"))
    refused(f"run:{moved}#finetune", "several students called 'finetune': finetune--tiny--s0, finetune--tiny--s1")
    assert make_teacher(f"run:{moved}#finetune@0").name.endswith("#finetune--tiny--s0")
    refused(f"run:{moved}#finetune@1", "finetune--tiny--s1 of .* is not trained yet")


RECIPE: dict[str, Any] = {
    "task": {
        "use": "table",
        "type": "yesno",
        "train": "questions.csv",
        "test": 0.25,
        "dev": 0.1,
        "columns": {"question": "question", "answer": "answer"},
    },
    "student": "tiny",
    "train": {"examples": 12, "batch": 6, "learning_rate": 1e-3, "curve": 0, "checkpoints": 0},
    "evaluate": {"batch": 8, "max_tokens": 12, "zero_shot": False, "calibrate": 0},
}


def test_two_recipes_are_chained(tmp_path: Path) -> None:
    rows = "".join(f"Is {number} odd?,{'yes' if number % 2 else 'no'}\n" for number in range(16))
    (tmp_path / "questions.csv").write_text(f"question,answer\n{rows}")
    long = {**RECIPE["train"], "examples": 200, "batch": 2, "learning_rate": 4e-3}
    first = Recipe.parse({**RECIPE, "name": "large", "methods": ["finetune"], "root": tmp_path, "train": long})
    small: dict[str, Any] = {
        **RECIPE,
        "name": "small",
        "root": tmp_path,
        "teacher": {"use": "run:runs/large#finetune"},
        "generate": [{"label": {"logprobs": True}}],
        "methods": ["finetune:teacher-labels"],
    }
    with pytest.raises(TeacherError, match=r"no run at .*large"):
        Run(Recipe.parse(small)).all()
    assert not (tmp_path / "runs" / "small").exists(), "nothing was begun"
    Run(first).train()
    run = Run(Recipe.parse(small))
    run.all()
    labels = [slots["label", ""] for slots in run.teaching.known()[0].values()]
    assert len(labels) == len(run.splits["train"]) > 5
    for label in labels:
        assert label.source.teacher == "large#finetune--tiny--s0"
        assert label.logprobs is not None
        distribution = label.logprobs.distribution
        assert distribution is not None
        assert sum(distribution.values()) == pytest.approx(1)
    assert "large#finetune--tiny--s0" in (run.folder / "report.md").read_text()
    # A step that the mentor cannot take ends a run before anybody is asked.
    asks = Recipe.parse({**small, "name": "more", "generate": ["label", "explanation"], "methods": ["multitask"]})
    with pytest.raises(TeacherError, match="cannot take the step 'explanation'"):
        Run(asks).all()
    own = Recipe.parse({**small, "name": "large"})
    with pytest.raises(TeacherError, match="no student teaches itself"):
        Run(own).all()


def test_an_encoder_labels_by_its_likeliest_option(tmp_path: Path) -> None:
    student = fresh(saved_encoder("bert", tmp_path))
    example = Example("q", "Where does it go?", ("apple", "river"), "apple")
    teacher = Mentor("m", method("multitask"), MODEL, "encoder", lambda: student, TeacherOptions())
    for temperature in (0.0, 1.0):
        [label] = said(teacher, [example], "label", [""], logprobs=True, temperature=temperature)
        likeliest = max(label.options, key=lambda option: label.options[option])
        assert label.text == f"The answer is {likeliest}."
        assert label.adapted == (("no temperature",) if temperature else ())
