"""From records to a result: exports for other tools, exclusions that were set before, statistics, and the page."""

from __future__ import annotations

import csv
import io
import json
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from playwright.sync_api import Browser

import chromium
from chromium import HOSTILE, inert, unguarded
from cli_cases import call, golden
from report_run import EVIL, add_measures, write_run
from shrinklm.core.errors import StudyError
from shrinklm.core.spreadsheet import csv_text
from shrinklm.study import as_json, read_ratings
from shrinklm.study.design.booklets import UNEXPLAINED
from shrinklm.study.design.folder import Study
from shrinklm.study.design.selection import Settings, create
from shrinklm.study.records import export
from shrinklm.study.records.database import Records
from shrinklm.study.records.exclude import excluded, kept
from shrinklm.study.records.key import Key
from shrinklm.study.result import write as result
from shrinklm.study.result.outcome import Options, outcome_of, sample_of
from shrinklm.study.result.page import cautions
from shrinklm.study.result.records import Outcome
from study_people import answered, stored
from study_site import form, make_study

PUBLISHED = [
    "CASE",
    "rationale",
    "Completeness",
    "Contrastiveness",
    "Plausibility",
    "Satisfaction",
    "Understandability",
]
PUBLISHED += ["rationale_id", "model", "rationale_length"]
REVISED = "revised=multitask+counterfactual:revised"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with measures, judged by a judge who likes what people like, half a point more."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "first")
    add_measures(folder)
    constructs = ["Plausibility", "Understandability", "Completeness", "Satisfaction", "Contrastiveness"]
    rows = []
    for method, level in (("multitask", 3), ("multitask+counterfactual:revised", 4)):
        for at, row in enumerate(pq.read_table(folder / "examples.parquet").to_pylist()):
            given = {name: level + (at + len(name)) % 2 for name in constructs}
            rows.append(
                {"rater": "a judge", "model": method, "student": "smollm2-135m", "seed": 0, "item": row["id"], **given}
            )
    with (folder / "judged.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "rationale_length"])
        writer.writeheader()
        writer.writerows({**row, "rationale_length": 100} for row in rows)
    return folder


def made(run: Path, home: Path, kind: str = "rating", **options: Any) -> Study:
    return create(home, [run], ["multitask", REVISED, "reference"], Settings(kind=kind, questions=24, **options))  # type: ignore[arg-type]


def brief(study: Study) -> Study:
    """The same study with two statements to rate: each more is only analysed once more."""
    path = study.home / "study.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["statements"] = data["statements"][:2]
    path.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return Study.read(study.home)


def records_of(study: Study, people: Any, responses: Any, **options: Any) -> Outcome:
    return outcome_of(study, sample_of(study, people, responses), Options(**options))


def outcome(study: Study, people: Any, responses: Any, **options: Any) -> Any:
    """The result as its JSON has it."""
    return as_json(records_of(study, people, responses, **options))


def test_ratings_have_the_columns_of_the_published_file(run: Path, tmp_path: Path) -> None:
    study = made(run, tmp_path / "study")
    people, responses = answered(study)
    rows = export.ratings(study, people, responses)
    assert list(rows[0])[: len(PUBLISHED)] == PUBLISHED
    assert {"item", "seconds", "order", "age", "english"} <= set(rows[0])
    assert len(rows) == sum(one.kind == "item" for one in responses)
    for row, one in zip(rows, [one for one in responses if one.kind == "item"], strict=True):
        assert row["CASE"] == people[one.participant - 1].code
        assert (row["item"], row["model"]) == (one.question, one.treatment[0])
        assert row["rationale_length"] == len(study.questions[one.question].said[one.treatment[0]].explanation)
        assert row["Plausibility"] == one.values["Plausibility"]
    for person in people:
        assert [row["order"] for row in rows if row["CASE"] == person.code] == list(range(1, 13))


def test_the_table_is_analysed_unchanged(run: Path, tmp_path: Path) -> None:
    study = brief(made(run, tmp_path / "study"))
    records = Records(study.database, Key.of(study.home))
    stored(records, *answered(study))
    records.close()
    done = call("study", "export", tmp_path / "study", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    constructs = study.form.constructs
    arguments = (
        "--condition",
        "model",
        "--rater",
        "CASE",
        "--constructs",
        ",".join(constructs),
        "--json",
        tmp_path / "found.json",
    )
    analysed = call("study", "analyze", tmp_path / "out" / "ratings.csv", *arguments)
    assert analysed.exit_code == 0, analysed.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["n"] == 216
    assert found["items"]["n"] == 24
    assert found["explained"]
    read = [
        read_ratings(tmp_path / "out" / f"ratings.{kind}", "model", "CASE", constructs) for kind in ("csv", "parquet")
    ]
    assert read[0].scores() == read[1].scores()


def test_a_spreadsheet_runs_no_formula(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", demographics=[{"name": "job", "asks": "?"}])
    people, responses = answered(study, 1)
    people = [replace(people[0], about={"job": "=HYPERLINK(1)"})]
    responses = [replace(one, remark='@SUM(A1)\n"two" lines') for one in responses]
    (row, *_) = csv.DictReader(io.StringIO(csv_text(export.ratings(study, people, responses)), newline=""))
    assert row["job"] == "'=HYPERLINK(1)"
    assert row["remark"] == '\'@SUM(A1)\n"two" lines'
    table = pq.read_table(io.BytesIO(export.parquet_bytes(export.ratings(study, people, responses)))).to_pylist()
    assert table[0]["job"] == "=HYPERLINK(1)"


def test_guesses_are_held_against_what_the_model_answered(run: Path, tmp_path: Path) -> None:
    study = made(run, tmp_path / "study", "simulation", baseline=True)
    people, responses = answered(study, 12)
    for row, one in zip(
        export.ratings(study, people, responses), [r for r in responses if r.kind == "item"], strict=True
    ):
        question = study.questions[one.question]
        said = question.said[one.treatment[0]].answer
        assert row["Choice"] == question.choices[one.values["Choice"] - 1]
        assert row["Simulated"] == int(row["Choice"] == said)
        assert row["given"] == said


def test_potato_gets_its_files(run: Path, tmp_path: Path) -> None:
    study = made(run, tmp_path / "study")
    people, responses = answered(study, 3)
    files = export.files(study, people, responses, ["potato"])
    config = yaml.safe_load(files["potato/config.yaml"])
    assert [scheme["name"] for scheme in config["annotation_schemes"]] == list(study.form.constructs)
    assert {scheme["size"] for scheme in config["annotation_schemes"]} == {5}
    known = {json.loads(line)["id"] for line in files["potato/data.jsonl"].decode().splitlines()}
    for person in people:
        lines = files[f"potato/annotation_output/{person.code}/annotated_instances.jsonl"].decode().splitlines()
        own = [one for one in responses if one.participant == person.id and one.kind == "item"]
        assert len(lines) == len(own) == 12
        for line, one in zip(map(json.loads, lines), own, strict=True):
            assert line["id"] in known
            step = str(one.values["Plausibility"])
            assert line["label_annotations"]["Plausibility"] == {f"scale_{step}": step}


@pytest.mark.parametrize("kind", ["rating", "simulation", "preference"])
def test_label_studio_gets_choices_that_its_configuration_knows(run: Path, tmp_path: Path, kind: str) -> None:
    study = made(run, tmp_path / "study", kind)
    people, responses = answered(study, 6)
    files = export.files(study, people, responses, ["label-studio"])
    view = ET.fromstring(files["label-studio/label_config.xml"].decode())
    known = {choices.attrib["name"]: {one.attrib["value"] for one in choices} for choices in view.iter("Choices")}
    assert set(known) == {name.replace(" ", "_") for name in study.form.constructs}
    tasks = json.loads(files["label-studio/tasks.json"])
    assert sum(len(task["annotations"]) for task in tasks) == 72
    for task in tasks:
        for annotation in task["annotations"]:
            for entry in annotation["result"]:
                assert entry["value"]["choices"][0] in known[entry["from_name"]]
                assert (entry["to_name"], entry["type"]) == ("text", "choices")


def test_exclusions_are_those_of_the_form(tmp_path: Path) -> None:
    rules = {"failed_checks": 1, "faster_than": 3.0, "same_answer": True, "unfinished": True, "item_faster_than": 4.0}
    study = make_study(tmp_path / "study", exclusions=rules, recruiting={"people": 10})
    people, responses = answered(study, 10, careless=2, hasty=1, leaving=2)
    responses = [
        replace(one, values=dict.fromkeys(one.values, 3)) if one.participant == 9 and one.kind == "item"
        else replace(one, seconds=2.0) if (one.participant, one.position) == (10, 3)
        else one
        for one in responses
    ]  # fmt: skip
    found = excluded(study, people, responses)
    by = {(one.participant, one.reason) for one in found if one.position is None}
    assert by == {(1, "checks"), (2, "checks"), (3, "fast"), (4, "unfinished"), (5, "unfinished"), (9, "same")}
    singles = {(one.participant, one.position) for one in found if one.reason == "item"}
    assert (10, 3) in singles or responses[-1].kind != "item"
    left = kept(responses, found)
    assert {one.participant for one in left} == {6, 7, 8, 10}
    assert (10, 3) not in {(one.participant, one.position) for one in left if one.kind == "item"}


def test_no_rule_leaves_nobody_out(tmp_path: Path) -> None:
    rules = {"failed_checks": None, "faster_than": None}
    study = make_study(tmp_path / "study", exclusions=rules)
    people, responses = answered(study, 6, careless=2, hasty=2, leaving=1)
    assert excluded(study, people, responses) == []


@pytest.fixture(scope="module")
def effective(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Any, Any, Any]:
    """A study of 36 people who like `revised` more: (study, people, responses, its result as JSON has it)."""
    study = brief(made(run, tmp_path_factory.mktemp("effective") / "study"))
    people, responses = answered(study, 36, {"revised": 0.6}, careless=2, hasty=1, seed=3)
    return study, people, responses, outcome(study, people, responses, resamples=300)


def test_known_effects_come_out(effective: tuple[Study, Any, Any, Any]) -> None:
    study, people, responses, found = effective
    assert found["people"] == {"began": 36, "finished": 36, "answered": 36, "excluded": 3, "analysed": 33}
    assert found["ratings"] == {"given": 432, "analysed": 396}
    assert found["exclusions"]["counts"] == {"failed attention checks": 2, "was too fast": 1}
    fit = found["analysis"]["measures"]["Quality"]["mixed"]["with_explanations"]
    assert set(fit["groups"]) == {"CASE", "item", "explanation"}
    effect = next(one for one in fit["effects"] if one.get("condition") == "revised")
    assert effect["low"] < 0.6 < effect["high"]
    assert effect["p"] < 0.001
    plain = found["analysis"]["measures"]["Quality"]["mixed"]["with_items"]
    narrow = next(one for one in plain["effects"] if one.get("condition") == "revised")
    assert effect["se"] > 1.1 * narrow["se"]
    assert found["checks"]["given"] - found["checks"]["passed"] == 2
    assert found["analysis"]["measures"]["Plausibility"]["agreement"]["krippendorff"]["value"] < 0.5
    rows = export.ratings(study, people, kept(responses, excluded(study, people, responses)))
    own = [np.mean([row[name] for name in study.form.constructs]) for row in rows if row["model"] == "revised"]
    assert found["means"]["revised"]["Quality"]["value"] == pytest.approx(np.mean(own))


def test_machine_judge_and_people_stand_in_one_table(run: Path, effective: tuple[Study, Any, Any, Any]) -> None:
    found = effective[-1]
    by = {entry["condition"]: entry for entry in found["methods"]}
    from shrinklm.report.findings import read
    from shrinklm.report.results import compare

    row = next(row for row in compare(read(run), 300).rows if row.method == "multitask")
    assert by["multitask"]["measures"]["accuracy"]["value"] == pytest.approx(row.estimates["accuracy"].value)
    assert by["reference"]["measures"] == {}
    assert by["revised"]["people"]["Quality"]["value"] > by["multitask"]["people"]["Quality"]["value"]
    (judge,) = found["judge"]
    assert judge["conditions"] == ["multitask", "revised"] or set(judge["conditions"]) == {"multitask", "revised"}
    entry = judge["judges"]["a judge"]["Quality"]
    assert entry["by_item"]["n"] == 48
    people = np.mean([by[name]["people"]["Quality"]["value"] for name in ("multitask", "revised")])
    assert entry["bias"]["value"] == pytest.approx(4.0 - people, abs=0.06)
    assert found["missing"] == []


def test_a_run_that_is_gone_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    study = brief(made(folder, tmp_path / "study"))
    shutil.rmtree(folder)
    found = outcome(study, *answered(study, 18), resamples=200)
    assert "cannot be read" in found["missing"][0]
    assert found["means"]["multitask"]["Quality"]["n"] == 72


def test_preferences_find_the_better_one_and_the_side(run: Path, tmp_path: Path) -> None:
    study = made(run, tmp_path / "study", "preference")
    people, responses = answered(study, 24, {"revised": 0.5})
    entry = outcome(study, people, responses, resamples=500)["analysis"]["constructs"]["Preference"]
    assert entry["shares"]["revised"]["low"] > 0.5
    assert entry["strengths"]["revised"]["low"] > entry["strengths"]["multitask"]["value"]
    assert sum(one["value"] for one in entry["strengths"].values()) == pytest.approx(0, abs=1e-6)
    rows = export.ratings(study, people, responses)
    pair = next(one for one in entry["pairs"] if {one["first"], one["second"]} == {"multitask", "revised"})
    both = [row for row in rows if {row["left"], row["right"]} == {"multitask", "revised"}]
    points = [0.5 if row["Preference"] == "alike" else float(row["Preference"] == pair["first"]) for row in both]
    assert pair["value"] == pytest.approx(np.mean(points))
    lazy = [replace(one, values=dict.fromkeys(one.values, 1)) if one.kind == "item" else one for one in responses]
    side = outcome(study, people, lazy, resamples=500)["analysis"]["constructs"]["Preference"]["left"]
    assert side["value"] == 1.0
    assert side["p"] < 0.01


def test_an_explanation_that_helps_to_guess_is_told_from_none(run: Path, tmp_path: Path) -> None:
    study = create(tmp_path / "study", [run], ["multitask"], Settings(kind="simulation", questions=24, baseline=True))
    effects = {"multitask": 1.2, "multitask" + UNEXPLAINED: -0.6}
    found = outcome(study, *answered(study, 24, effects), resamples=300)
    fit = found["analysis"]["measures"]["Simulated"]["mixed"]["with_explanations"]
    (effect,) = [one for one in fit["effects"] if "condition" in one]
    assert effect["estimate"] < -0.2
    assert effect["p"] < 0.001


@pytest.mark.parametrize("kind", ["rating", "simulation", "preference"])
def test_the_page_holds_what_was_found(run: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    study = brief(made(run, tmp_path / "study", kind))
    found, drawn = result.build(study, *answered(study, 18, {"revised": 0.5}, careless=1), Options(resamples=50))
    home = tmp_path / "study" / "analysis"
    page = (home / "report.html").read_text(encoding="utf-8")
    assert found.study in page
    for name in ("Accuracy", "revised", "failed attention checks"):
        assert name in page
    assert json.loads((home / "analysis.json").read_text()) == json.loads(json.dumps(as_json(found)))
    for figure in drawn:
        assert (home / "figures" / f"{figure.name}.png").read_bytes()[:4] == b"\x89PNG"
        assert f'href="figures/{figure.name}.pdf"' in page
    request.getfixturevalue("page_alone")
    again, _ = result.build(study, *answered(study, 18, {"revised": 0.5}, careless=1), Options(resamples=50))
    assert (home / "report.html").read_text(encoding="utf-8") == page
    assert again == found


@chromium.needed
@pytest.mark.usefixtures("page_alone")
def test_hostile_words_stay_words_on_the_page(tmp_path: Path, browser: Browser) -> None:
    evil = write_run(tmp_path / "evil", evil=True)
    study = create(tmp_path / "study", [evil], ["<script>1</script>=multitask", "reference"], Settings(questions=24))
    text = (tmp_path / "study" / "study.yaml").read_text()
    text = text.replace("How good are these explanations?", json.dumps(f"<img src=x onerror=alert(1)>{HOSTILE}"), 1)
    (tmp_path / "study" / "study.yaml").write_text(text)
    study = brief(Study.read(tmp_path / "study"))
    result.build(study, *answered(study, 24), Options(resamples=50))
    page = (tmp_path / "study" / "analysis" / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert EVIL not in page
    assert "<script>" not in page
    assert "&lt;script&gt;1" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    with unguarded(browser) as opened:
        scripts, links = inert(opened, page)
        assert scripts == []
        assert all(
            link.startswith(("#", "figures/")) or link in ("data:,", "analysis.json", "methods.csv", "ratings.csv")
            for link in links
        ), links
        assert HOSTILE in opened.inner_text("h1")


def test_too_little_is_told(run: Path, tmp_path: Path) -> None:
    study = made(run, tmp_path / "study")
    people, responses = answered(study, 6)
    with pytest.raises(StudyError, match="Nobody has answered an item yet"):
        outcome(study, people, [])
    with pytest.raises(StudyError, match="leave nobody"):
        outcome(study, people, [replace(one, seconds=0.5) for one in responses])
    first = {one.treatment for one in responses if one.kind == "item"}
    one = sorted(first)[0]
    with pytest.raises(StudyError, match="nothing to compare"):
        outcome(study, people, [r for r in responses if r.treatment == one or r.kind != "item"])
    with pytest.raises(StudyError, match="has no model 'nobody'"):
        outcome(study, people, responses, reference="nobody")
    single = records_of(study, people[:1], [r for r in responses if r.participant == 1], resamples=100)
    assert any("people are few" in line or "are few" in line for line in cautions(single))
    same = [replace(r, values=dict.fromkeys(r.values, 4)) if r.kind == "item" else r for r in responses]
    constant = outcome(study, people, same, resamples=100)
    assert constant["means"]["multitask"]["Quality"]["value"] == 4.0


def test_the_command_prints_and_writes_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = made(run, Path("study"))
    early = call("study", "analyze", "study")
    assert early.exit_code == 1
    assert "has no records yet" in early.output
    records = Records(study.database, Key.of(study.home))
    stored(records, *answered(study, 18, {"revised": 0.5}, careless=1))
    records.close()
    done = call("study", "analyze", "study", "--json", "all.json", "--figures", "figures")
    assert done.exit_code == 0, done.output
    golden("study_analyze.txt", done.stdout)
    assert json.loads(Path("all.json").read_text())["people"]["began"] == 18
    assert {path.suffix for path in Path("figures").iterdir()} == {".pdf", ".png"}
    for arguments, says in (
        (["study", "--rater", "CASE"], "is for a table"),
        (["nowhere"], "There is no nowhere"),
        (["all.json"], "A table needs --condition, --rater, --constructs"),
        (["figures"], "holds no study"),
        (["study", "--database", "mysql://x/y"], "SQLite or PostgreSQL"),
    ):
        wrong = call("study", "analyze", *arguments)
        assert wrong.exit_code == 1
        assert says in wrong.output


def test_people_who_all_give_the_same_rating_are_analysed(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", exclusions={"failed_checks": None, "faster_than": None})
    people, responses = answered(study, 6)
    records = Records(study.database, Key.of(study.home))
    stored(records, people, [replace(one, values=dict.fromkeys(one.values, 4)) for one in responses])
    records.close()
    done = call("study", "analyze", study.home)
    assert done.exit_code == 0, done.output
    agreement = json.loads((study.home / "analysis" / "analysis.json").read_text())["analysis"]["measures"]["Quality"]
    assert agreement["agreement"]["icc"].get("value") is None
    assert "nan" not in done.output


def test_withdrawn_people_are_in_no_table(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    records = Records(study.database, Key.of(study.home))
    stored(records, *answered(study, 4))
    records.withdraw("P002-TEST")
    found = export.files(study, records.participants(), records.responses(), ["csv"])
    records.close()
    assert not any(b"P002-TEST" in data for data in found.values())
    assert Counter(row["CASE"] for row in csv.DictReader(io.StringIO(found["ratings.csv"].decode()))) == {
        f"P{at:03d}-TEST": 6 for at in (0, 1, 3)
    }


def test_minutes_are_between_consent_and_end(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    people, responses = answered(study, 2)
    people = [
        replace(person, finished_at=person.consented_at + timedelta(minutes=6 + 2 * at))
        for at, person in enumerate(people)
    ]
    time = outcome(study, people, responses, resamples=100)["time"]
    assert time["minutes"]["median"] == pytest.approx(7)
    assert [row["minutes"] for row in export.people(study, people, responses)] == [6, 8]


def test_the_form_names_no_published_sentence() -> None:
    """The statements are ours: each is an assertion of its own, and no construct's name is the sentence."""
    texts = [one["text"] for one in form()["statements"]]
    assert len(set(texts)) == 5
    assert all(text.endswith(".") and len(text.split()) > 4 for text in texts)
