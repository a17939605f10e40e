"""From runs to a study's folder, and how many people it needs."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from cli_cases import call, golden
from report_run import write_run
from shrinklm.cli.app import app
from shrinklm.core.errors import ShrinkError, StoreError, StudyError
from shrinklm.study.design import sample_size
from shrinklm.study.design.booklets import UNEXPLAINED, Question, Shown
from shrinklm.study.design.folder import Study
from shrinklm.study.design.form import Kind
from shrinklm.study.design.pool import read_pool
from shrinklm.study.design.sample_size import Aim, Layout, plan
from shrinklm.study.design.selection import STRATA, Settings, _draw, create

REVISED = "revised=multitask+counterfactual:revised"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "first")


def test_what_a_condition_said_is_kept_word_for_word(run: Path) -> None:
    file = run / "cells" / "multitask--smollm2-135m--s0" / "predictions.parquet"
    rows = {row["example_id"]: row for row in pq.read_table(file).to_pylist()}
    pool = read_pool([run], ["multitask", REVISED, "reference"])
    assert [*pool.origins] == ["multitask", "revised", "reference"]
    for question in pool.questions:
        assert question.said["multitask"].explanation == rows[question.id]["explanation"].strip()
        assert question.said["multitask"].answer == rows[question.id]["answer"]
        assert question.said["reference"].right
    assert any("of 2 seeds the lowest, 0" in note for note in pool.notes)


def test_strata_are_what_the_answers_say(run: Path) -> None:
    for question in read_pool([run], ["multitask", REVISED]).questions:
        right = [one.right for one in question.said.values()]
        answers = {one.answer for one in question.said.values()}
        wanted = "right" if all(right) else "wrong" if len(answers) == 1 else "differ"
        assert question.stratum == wanted


def test_questions_are_drawn_by_strata_and_a_short_one_is_filled_up(run: Path, tmp_path: Path) -> None:
    made = create(
        tmp_path / "study",
        [run],
        ["multitask", REVISED],
        Settings(questions=24, strata={"right": 0.5, "differ": 0.25, "wrong": 0.25}),
    )
    strata = made.facts["strata"]
    assert {name: entry["wanted"] for name, entry in strata.items()} == {"right": 12, "differ": 6, "wrong": 6}
    found = Counter(made.questions[name].stratum for name in made.design.questions)
    assert found == {name: entry["chosen"] for name, entry in strata.items() if entry["chosen"]}
    few = strata["wrong"]["pool"]
    assert few < 6
    assert found["wrong"] == few
    assert found["right"] == pytest.approx(
        2 * found["differ"], abs=1.5
    )  # the others fill up two to one, as they were wanted
    assert f"Only {few} of 6 'wrong' questions could be had; the others fill up." in made.facts["notes"]
    assert not set(made.design.practice) & set(made.design.questions)


def test_the_same_seed_draws_the_same_study(run: Path, tmp_path: Path) -> None:
    first, again, other = (
        create(tmp_path / name, [run], ["multitask", "reference"], Settings(questions=24, seed=seed))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first.digest == again.digest
    assert first.design.questions != other.design.questions


def test_lengths_are_matched(run: Path, tmp_path: Path) -> None:
    free = create(tmp_path / "free", [run], ["multitask", REVISED], Settings(questions=12))
    held = create(tmp_path / "held", [run], ["multitask", REVISED], Settings(questions=12, match_length=1.0))
    for question in (held.questions[name] for name in held.design.questions):
        sizes = [len(one.explanation) for one in question.said.values()]
        assert max(sizes) <= 2 * min(sizes)

    def apart(study: Study) -> float:
        lengths = [float(origin["length"]) for origin in study.runs.values()]
        return max(lengths) - min(lengths)

    assert apart(held) < apart(free)


def test_a_simulation_can_ask_without_the_explanation(run: Path, tmp_path: Path) -> None:
    made = create(
        tmp_path / "study",
        [run],
        ["multitask", "finetune=reference"],
        Settings(kind="simulation", questions=24, baseline=True),
    )
    assert made.design.conditions == ("multitask", "multitask" + UNEXPLAINED, "finetune", "finetune" + UNEXPLAINED)
    for question in made.questions.values():
        bare, full = question.said["multitask" + UNEXPLAINED], question.said["multitask"]
        assert (bare.answer, bare.explanation) == (full.answer, "")
        assert full.explanation


def test_two_runs_are_joined_by_their_questions(run: Path, tmp_path: Path) -> None:
    second = write_run(tmp_path / "second", methods=("multitask",))
    pool = read_pool([run, second], ["first:multitask", "new=second:multitask"])
    assert [*pool.origins] == ["first:multitask", "new"]
    assert pool.origins["new"]["run"] == str(second.resolve())
    with pytest.raises(StudyError, match=r"may be any of: first:multitask.*second:multitask"):
        read_pool([run, second], ["multitask"])
    other = write_run(tmp_path / "other", seed=8)
    with pytest.raises(StudyError, match="asked differently in another run"):
        read_pool([run, other], ["first:multitask", "other:multitask"])


def test_folders_of_one_name_are_told_apart_by_their_paths(run: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        shutil.copytree(run, tmp_path / place / "out")
    runs = [tmp_path / place / "out" for place in ("a", "b")]
    with pytest.raises(StudyError, match=f"{runs[0]}:multitask.*{runs[1]}:multitask"):
        read_pool(runs, ["out:multitask"])
    pool = read_pool(runs, [f"old={runs[0]}:multitask", f"new={runs[1]}:multitask"])
    assert [origin["run"] for origin in pool.origins.values()] == [str(path.resolve()) for path in runs]
    assert read_pool([runs[0], runs[0].parent / "." / ".." / "a" / "out"], ["multitask"]).questions


def test_questions_whose_context_differs_are_not_joined(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "second")
    file = tmp_path / "second" / "examples.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[0]["fields"] = json.dumps({"premise": "Another one."})
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    pool = read_pool([run, tmp_path / "second"], ["first:multitask", "second:multitask"])
    assert pool.left_out["asked differently in another run"] == 1


def test_questions_about_which_conditions_differ_come_first() -> None:
    def question(at: int, second: str) -> Question:
        said = {"A": Shown("x", "one", True), "B": Shown("x", second, True)}
        return Question(str(at), "?", (), "x", {}, "right", said)

    pool = [question(at, "one" if at % 2 else "two") for at in range(20)]
    drawn, _ = _draw(pool, 12, STRATA, np.random.default_rng(0), False)
    assert sum(int(one.id) % 2 == 0 for one in drawn) == 10


def test_any_character_of_a_text_is_read_back(run: Path, tmp_path: Path) -> None:
    made = create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    odd = "a\u2028b\u2029c\x85d\x0be\r\nf\x1cg\x00"
    questions = {name: replace(one, question=odd) for name, one in made.questions.items()}
    replace(made, home=tmp_path / "other", questions=questions).write((tmp_path / "study" / "study.yaml").read_text())
    assert {one.question for one in Study.read(tmp_path / "other").questions.values()} == {odd}


def test_a_form_of_ones_own_is_kept_as_it_is(run: Path, tmp_path: Path) -> None:
    create(tmp_path / "one", [run], ["multitask", "reference"], Settings(questions=12))
    text = (
        (tmp_path / "one" / "study.yaml")
        .read_text()
        .replace("How good are these explanations?", "Wie gut sind diese Erklärungen?")
    )
    (tmp_path / "mine.yaml").write_text("# mine\n" + text, encoding="utf-8")
    made = create(
        tmp_path / "two", [run], ["multitask", "reference"], Settings(form=tmp_path / "mine.yaml", questions=12)
    )
    assert (tmp_path / "two" / "study.yaml").read_text(encoding="utf-8") == "# mine\n" + text
    assert made.form.title == "Wie gut sind diese Erklärungen?"
    with pytest.raises(StudyError, match="is of a rating study, not of a preference one"):
        create(
            tmp_path / "three",
            [run],
            ["multitask", "reference"],
            Settings(form=tmp_path / "mine.yaml", kind="preference", questions=12),
        )


def test_hostile_words_come_through_unchanged(tmp_path: Path) -> None:
    evil = write_run(tmp_path / "evil", evil=True)
    made = create(tmp_path / "study", [evil], ["multitask", "reference"], Settings(questions=12))
    assert Study.read(tmp_path / "study").questions == made.questions
    assert any("<script" in one.explanation for question in made.questions.values() for one in question.said.values())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"conditions": []}, "No condition is named"),
        ({"conditions": ["multitas"]}, "Did you mean 'multitask'"),
        ({"conditions": ["multitask", "multitask"]}, "Two conditions are called 'multitask'"),
        ({"conditions": ["multitask", "reference"], "questions": 500}, "Write --questions 59 or fewer"),
        ({"conditions": ["multitask", "reference"], "per_person": 13}, "--per-person 12 or 14"),
        ({"conditions": ["multitask", "reference"], "match_length": 0.0}, "Write --match-length"),
        ({"conditions": ["multitask", "reference"], "strata": {"good": 1.0}}, "Strata are shares of"),
        ({"conditions": ["multitask", "reference"], "baseline": True}, "for a forward simulation"),
        ({"conditions": ["multitask"], "kind": "preference"}, "two or more"),
        ({"conditions": ["multitask (no explanation)=multitask"]}, "does not end in"),
        ({"conditions": ["a\x1b[2Jb=multitask"]}, "printable"),
        ({"conditions": ["multitask", "reference"], "form": Path("/no/such.yaml")}, "There is no /no/such.yaml"),
        ({"runs": [Path("/no/such/run")], "conditions": ["multitask"]}, "There is no run folder"),
    ],
)
def test_what_cannot_be_made_is_told(run: Path, tmp_path: Path, changes: dict[str, object], says: str) -> None:
    options = {"questions": 24, **changes}
    runs, conditions = options.pop("runs", [run]), options.pop("conditions")
    with pytest.raises(ShrinkError, match=says):
        create(tmp_path / "study", runs, conditions, Settings(**options))  # type: ignore[arg-type]
    assert not (tmp_path / "study").exists()


def test_a_study_is_never_overwritten(run: Path, tmp_path: Path) -> None:
    create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    before = (tmp_path / "study" / "design.json").read_bytes()
    with pytest.raises(StudyError, match="holds a study already"):
        create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12, seed=9))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "study.yaml").write_text("mine: true\n")
    with pytest.raises(StudyError, match="holds a study already"):
        create(tmp_path / "own", [run], ["multitask", "reference"], Settings(questions=12))
    assert (tmp_path / "own" / "study.yaml").read_text() == "mine: true\n"
    assert (tmp_path / "study" / "design.json").read_bytes() == before


def test_a_study_that_cannot_be_written_leaves_none(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"file/study cannot be written: .* Name a place that you can write to"):
        create(tmp_path / "file" / "study", [run], ["multitask", "reference"], Settings(questions=12))

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shrinklm.core.files._flush", full)
        with pytest.raises(StoreError, match="study cannot be written: No space left on device"):
            create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    assert not any((tmp_path / "study").iterdir())
    create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))


def test_a_study_whose_making_was_broken_off_is_made_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def stopped(source: Path, target: Path) -> None:
        if Path(target).name == "design.json":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("shrinklm.core.files.os.replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    assert {path.name for path in (tmp_path / "study").iterdir()} == {"study.yaml", "questions.jsonl"}
    create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    assert Study.read(tmp_path / "study").design.conditions == ("multitask", "reference")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: rating", "kind: preference", "was made as 'rating'"),
        ("practice: 1", "practice: 3", "Write practice: 1"),
        ("title: ", "titel: ", "no such key"),
        ("practice: 1", "practice: many", "practice: "),
        ("redirect: null", "redirect: javascript:alert(1)", "starts with https"),
    ],
)
def test_an_edit_that_does_not_fit_is_told(run: Path, tmp_path: Path, old: str, new: str, says: str) -> None:
    create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    form = tmp_path / "study" / "study.yaml"
    text = form.read_text()
    assert old in text
    form.write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError, match=says):
        Study.read(tmp_path / "study")


def test_checks_and_scale_may_be_changed_until_people_come(run: Path, tmp_path: Path) -> None:
    home = tmp_path / "study"
    before = create(home, [run], ["multitask", "reference"], Settings(questions=12))
    text = (
        (home / "study.yaml")
        .read_text()
        .replace("rate: 0.08", "rate: 0.25")
        .replace("agree, strongly agree]", "strongly agree]")
    )
    (home / "study.yaml").write_text(text)
    after = Study.read(home)
    assert (before.design.checks, before.design.steps) == (1, 5)
    assert (after.design.checks, after.design.steps) == (3, 4)
    assert sum(page.kind == "check" for page in after.booklet(0)) == 3
    assert {page.wanted for seat in range(40) for page in after.booklet(seat) if page.kind == "check"} == {1, 2, 3, 4}
    assert before.digest != after.digest


def test_a_broken_folder_is_told(run: Path, tmp_path: Path) -> None:
    create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    for file, text in (
        ("design.json", "{"),
        ("design.json", '{"design": {}}'),
        ("questions.jsonl", "{}\n"),
        ("questions.jsonl", ""),
    ):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "study", tmp_path / "copy")
        (tmp_path / "copy" / file).write_text(text)
        with pytest.raises(StudyError, match="Make the study anew"):
            Study.read(tmp_path / "copy")
    with pytest.raises(StudyError, match="holds no study"):
        Study.read(tmp_path)


def test_the_shipped_forms_ask_for_the_five_constructs(run: Path, tmp_path: Path) -> None:
    made = create(tmp_path / "study", [run], ["multitask", "reference"], Settings(questions=12))
    assert made.form.constructs == (
        "Plausibility",
        "Understandability",
        "Completeness",
        "Satisfaction",
        "Contrastiveness",
    )
    assert set(yaml.safe_load((tmp_path / "study" / "study.yaml").read_text())) <= set(type(made.form).model_fields)


def test_more_people_find_a_smaller_effect() -> None:
    many = plan(Layout(2, 24, 8), Aim(0.6), simulations=100)
    assert many.found.power >= 0.8
    fewer = plan(Layout(2, 24, 8), Aim(0.6, people=max(2, many.found.participants // 3)), simulations=100)
    assert fewer.found.power < many.found.power
    assert many.cost == pytest.approx(many.found.participants * 2.0 * 1.33, abs=0.01)
    assert plan(Layout(4, 48, 12), Aim(0.5, people=20), simulations=20).alpha == pytest.approx(0.05 / 3)
    with pytest.raises(StudyError, match="More than 2,000 people"):
        plan(Layout(2, 24, 8), Aim(0.0001), simulations=40)
    with pytest.raises(StudyError, match="do not fit together"):
        plan(Layout(4, 48, 13), Aim(0.3))


@pytest.mark.parametrize(("kind", "conditions"), [("simulation", 2), ("preference", 1)])
def test_guesses_and_preferences_are_planned_as_shares(kind: Kind, conditions: int) -> None:
    found = plan(Layout(conditions, 24, 8, kind), Aim(people=60), simulations=150)
    assert found.effect == 0.1
    assert found.found.effect == pytest.approx(0.1, abs=0.02)
    assert found.found.power > 0.3
    assert found.alpha == 0.05
    none = plan(Layout(conditions, 24, 8, kind), Aim(1e-9, people=40), simulations=150)
    assert none.found.power < 0.1
    with pytest.raises(StudyError, match="cannot be"):
        plan(Layout(conditions, 24, 8, kind), Aim(0.7))


def test_a_longer_scale_has_more_points() -> None:
    five, nine = (
        plan(Layout(2, 24, 8, steps=steps), Aim(4.5 if steps > 5 else 0.5, people=8), simulations=20)
        for steps in (5, 9)
    )
    assert nine.found.effect > five.found.effect > 0
    with pytest.raises(StudyError, match="below 4"):
        plan(Layout(2, 24, 8), Aim(4.5))


@pytest.mark.parametrize("kind", ["rating", "simulation", "preference"])
def test_people_in_a_condition_and_explanations_are_planned_for(kind: Kind) -> None:
    layout = Layout(1 if kind == "preference" else 2, 12, 6, kind)
    aim = Aim(0.5 if kind == "rating" else 0.2, people=16)
    plain = plan(layout, aim, simulations=40)
    assert set(plain.spread) == {f"sd_{name}" for name in ("participant", "taste", "item", "explanation", "residual")}
    alike = plan(layout, aim, spread={"sd_taste": 0.0, "sd_explanation": 0.0}, simulations=40)
    taste = plan(layout, aim, spread={"sd_taste": 1.5}, simulations=40)
    assert taste.found.power < alike.found.power
    assert taste.spread["sd_taste"] == 1.5
    if kind != "preference":  # there the questions are fixed, and their explanations with them
        assert plan(layout, aim, spread={"sd_explanation": 1.5}, simulations=40).found.power < alike.found.power
    with pytest.raises(StudyError, match="spread"):
        plan(layout, aim, spread={"sd_explanation": -1.0})


def test_the_spreads_of_the_plan_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated: list[Any] = []

    def power(design: Any, effect: float, alpha: float, simulations: int, seed: int) -> Any:
        simulated.append(design)
        return whole(design, effect, alpha, min(simulations, 5), seed)  # the figures are looked at elsewhere

    whole = sample_size.power
    monkeypatch.setattr(sample_size, "power", power)
    options = ["--conditions", "2", "--questions", "12", "--per-person", "4", "--people", "4", "--json"]
    said = json.loads(call("study", "plan", *options, "--sd-taste", "0.9", "--sd-explanation", "0.8").stdout)
    assert (said["spread"]["sd_taste"], said["spread"]["sd_explanation"]) == (0.9, 0.8)
    assert said["spread"]["sd_participant"] == 0.5
    assert {(one.sd_taste, one.sd_explanation, one.sd_participant) for one in simulated} == {(0.9, 0.8, 0.5)}


def test_the_commands_say_what_was_made(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "first")
    made = call(
        "study",
        "create",
        "first",
        "--conditions",
        f"multitask,{REVISED},reference",
        "--questions",
        "24",
        "--out",
        "study",
    )
    assert made.exit_code == 0
    golden("study_create.txt", made.output)
    golden("study_plan.txt", call("study", "plan", "study", "--effect", "0.4", "--people", "18").stdout)
    looked, next_ = call("study", "check", "study").output.split("\nNext: ")
    assert looked == made.output.partition("\nWritten:")[0]
    assert next_ == "shrinklm study serve study\n"
    assert call("study", "plan", "study", "--questions", "3").exit_code == 1
    some = json.loads(
        call("study", "plan", "--kind", "preference", "--conditions", "3", "--people", "30", "--json").stdout
    )
    assert (some["kind"], some["comparisons"], some["found"]["participants"]) == ("preference", 3, 30)


def test_a_narrow_terminal_keeps_the_numbers(run: Path, tmp_path: Path) -> None:
    arguments = [
        "study",
        "create",
        str(run),
        "--conditions",
        f"multitask;{REVISED};reference",
        "--out",
        str(tmp_path / "my study"),
    ]
    made = CliRunner(env={"COLUMNS": "70"}).invoke(app, arguments)
    assert made.exit_code == 0
    assert "of 48" in made.output
    assert f"shrinklm study serve '{tmp_path / 'my study'}'" in made.output


def test_explanations_that_end_inside_a_sentence_are_told(tmp_path: Path) -> None:
    from shrinklm.cli.show.create import cut_off
    from study_site import make_study

    study = make_study(tmp_path / "study")
    assert cut_off(study) == {}
    said = study.questions["q0"].said
    cut = replace(said["multitask"], explanation="Money is kept in a bank, since it is sa")
    questions = {**study.questions, "q0": replace(study.questions["q0"], said={**said, "multitask": cut})}
    # Marked words are no sentences.
    marked = {
        name: replace(asked, said={**asked.said, "finetune": replace(asked.said["finetune"], explanation="money bank")})
        for name, asked in questions.items()
    }
    assert cut_off(replace(study, questions=marked)) == {"multitask": [cut.explanation]}
