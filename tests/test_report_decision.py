"""The section to decide by: which methods are on the front, its sentences, and what it leaves out."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from report_run import EVIL, METHODS, STUDENT, _parquet, add_measures, write_run
from shrinklm.report import build
from shrinklm.report.findings import read
from shrinklm.report.measures import LIKENESS, MEASURES, OTHER, measure_of, ordered
from shrinklm.report.rated import derived
from shrinklm.report.results import Results, compare
from shrinklm.report.sections.decision.choice import Decision, decide, front
from shrinklm.report.sections.decision.examples import pick_examples
from shrinklm.report.sections.decision.table import measures_table
from shrinklm.report.sections.decision.words import sentences

GOLDEN = Path(__file__).parent / "golden" / "decision.md"
FINETUNE, MULTITASK, REVISED = METHODS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("decision") / "run")
    add_measures(folder)
    build(folder)
    return folder


@pytest.fixture(scope="module")
def found(run: Path) -> Results:
    return compare(read(run))


def of(
    folder: Path, *, measures: dict[str, Any] | None = None, resamples: int = 300, **options: Any
) -> tuple[Results, Decision | None]:
    write_run(folder, **options)
    add_measures(folder, **(measures or {}))
    results = compare(read(folder), resamples=resamples)
    return results, decide(results)


def said(results: Results, decision: Decision | None) -> dict[str, str]:
    assert decision is not None
    return dict(sentences(results, decision))


def section(markdown: str) -> str:
    return markdown[markdown.index("## Which one to take") : markdown.index("## The table")]


def test_markdown_is_the_golden_one(run: Path) -> None:
    """Look at the difference, and when it is meant: UPDATE_GOLDEN=1 pytest tests/test_report_decision.py"""
    text = section((run / "report.md").read_text(encoding="utf-8"))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_accurate_and_well_explained_are_both_on_the_front(found: Results) -> None:
    decision = decide(found)
    assert decision is not None
    assert [row.method for row in decision.front] == [REVISED, MULTITASK]
    assert [row.method for row in decision.silent] == [FINETUNE]
    assert [axis.key for axis in decision.axes] == ["rated:quality", "cf_gain", "las"]
    text = said(found, decision)
    assert text["If right answers count most"].startswith(f"{REVISED}: accuracy 79.2 %")
    assert text["If explanations count most"].startswith(f"{MULTITASK}: accuracy 57.5 %")
    assert re.search(r"\+0\.6\d in quality .*−21\.7 points in accuracy", text["What the change costs"])
    assert text["Without quality"].startswith("finetune (accuracy 45.8 %)")
    assert "zero-shot" not in " ".join(text.values()), "what was not trained is nothing to take"


def test_a_difference_that_is_chance_is_called_so(tmp_path: Path) -> None:
    same = {"multitask": 3.4, REVISED: 3.4, "zero-shot": 2.0}
    results, decision = of(
        tmp_path / "run", measures={"taste": same, "seed": 2}, items=30, methods=(MULTITASK, REVISED)
    )
    assert decision is not None
    assert [step.separated for step in decision.steps] == [(False, False)]
    told = said(results, decision)["What the change costs"]
    assert told.count("no difference that this data can show") == 2


def test_one_method_ahead_in_both_is_taken(tmp_path: Path) -> None:
    better = {"multitask": 2.5, REVISED: 4.4, "zero-shot": 2.0}
    results, decision = of(tmp_path / "run", measures={"taste": better}, items=40)
    text = said(results, decision)
    assert text["Take"].startswith(f"{REVISED}: accuracy ")
    assert text["Take"].endswith("No other method has a higher accuracy or a higher quality.")
    assert text["Behind the front"].startswith(f"{MULTITASK} (")
    assert "If right answers count most" not in text
    assert decision is not None
    shown = pick_examples(results, decision)
    assert [response.row.method for response in shown[0].responses] == [MULTITASK, REVISED], (
        "the winner is shown beside the next best"
    )


def test_front_by_hand() -> None:
    class Point:
        def __init__(self, name: str, x: float, y: float) -> None:
            self.name = name
            self.estimates = {"x": Value(x), "y": Value(y)}

    class Value:
        def __init__(self, value: float) -> None:
            self.value = value

    points: Any = [
        Point("a", 0.9, 1),
        Point("b", 0.7, 3),
        Point("c", 0.7, 2),
        Point("d", 0.5, 3),
        Point("e", 0.4, 4),
        Point("f", 0.4, 4),
    ]
    assert [point.name for point in front(points, "x", "y")] == ["a", "b", "e", "f"]
    assert front([], "x", "y") == []


@pytest.mark.usefixtures("page_alone")
def test_nothing_measured_nothing_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=10, seeds=(0,))
    html = build(folder).read_text(encoding="utf-8")
    assert decide(compare(read(folder), resamples=50)) is None
    assert 'id="decision"' not in html
    assert "Which one to take" not in (folder / "report.md").read_text(encoding="utf-8")
    assert not (folder / "report" / "measures.csv").exists()
    assert not (folder / "report" / "figures" / "tradeoff.pdf").exists()


def test_without_ratings_the_next_measure_decides(tmp_path: Path) -> None:
    results, decision = of(tmp_path / "run", measures={"rated": False}, items=40)
    assert decision is not None
    assert [axis.key for axis in decision.axes] == ["cf_gain", "las", "supports_predicted"]
    assert said(results, decision)["Take"].startswith(REVISED)
    names = [line.cells[0] for line in measures_table(results).lines]
    assert not any(name.startswith("Ratings") for name in names)


def test_ratings_alone_draw_one_panel_in_one_column(tmp_path: Path) -> None:
    results, decision = of(tmp_path / "run", measures={"faithful": False}, items=20)
    assert decision is not None
    assert [axis.key for axis in decision.axes] == ["rated:quality"]
    from shrinklm.report.look.figures import styled
    from shrinklm.report.sections.decision.plot import tradeoff

    (figure,) = styled(lambda: [tradeoff(results)])
    assert not figure.wide
    assert figure.title == "Accuracy and quality"
    assert f"{REVISED} " in figure.alt
    assert "on the front" in figure.alt


def test_means_over_judges_and_constructs() -> None:
    nan = math.nan
    one = {"plausibility": np.array([4.0, 2.0, nan]), "completeness": np.array([2.0, nan, nan])}
    two = {
        "plausibility": np.array([5.0, 4.0, nan]),
        "completeness": np.array([5.0, 4.0, nan]),
        "preferred": np.array([1.0, 0.0, nan]),
    }
    scores = {"cf_consistency": np.array([1.0, 1.0, nan]), "cf_baseline": np.array([0.0, 1.0, 1.0])}
    got = derived(scores, {"one": one, "two": two})
    np.testing.assert_array_equal(got["rated:plausibility"], [4.5, 3.0, nan])
    np.testing.assert_array_equal(got["rated:quality"], [4.0, 4.0, nan])  # a judge counts where it gave every construct
    np.testing.assert_array_equal(got["rated:preferred"], [1.0, 0.0, nan])
    np.testing.assert_array_equal(got["cf_gain"], [1.0, 0.0, nan])
    assert derived({}, {}) == {}
    assert "rated:quality" not in derived({}, {"pairs only": {"preferred": np.array([1.0])}})


def test_a_rating_does_not_become_a_metric_of_the_same_name(run: Path) -> None:
    cell = next(cell for cell in read(run).cells if cell.method == MULTITASK)
    assert "plausibility" not in cell.scores
    assert cell.scores["rated:plausibility"].min() >= 1
    assert cell.raters == ("judge-one", "judge-two")


def test_las_is_the_one_of_the_statistics_and_has_no_value_when_a_group_is_empty(
    tmp_path: Path, found: Results
) -> None:
    from shrinklm.stats import las

    row = next(row for row in found.rows if row.method == REVISED)
    sides = [row.matrix(name) for name in ("sim_question", "sim_explanation", "sim_both")]
    assert row.estimates["las"].value == pytest.approx(las(*sides, resamples=10).value)
    assert row.estimates["las"].n == 60

    folder = write_run(tmp_path / "run", items=20, seeds=(0,))
    add_measures(folder)
    home = folder / "cells" / f"{MULTITASK}--{STUDENT}--s0"
    rows = [
        {**row, "value": 1.0} if row["metric"] == "sim_explanation" else row
        for row in pq.read_table(home / "scores.parquet").to_pylist()
    ]
    _parquet(home / "scores.parquet", rows)
    results = compare(read(folder), resamples=50)
    leaky = next(row for row in results.rows if row.method == MULTITASK)
    assert "las" not in leaky.estimates
    assert "simulatability" in leaky.estimates
    assert f"LAS has no value for {MULTITASK}: one of its groups" in measures_table(results).caption


def test_where_las_decides_a_method_without_one_is_not_ranked(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=20, seeds=(0,))
    add_measures(folder, rated=False)
    for path in folder.glob("cells/*/scores.parquet"):
        leaks = path.parent.name.startswith(f"{MULTITASK}--")
        _parquet(path, [
            {**row, "value": 1.0} if leaks and row["metric"] == "sim_explanation" else row
            for row in pq.read_table(path).to_pylist() if not row["metric"].startswith("cf_")
        ])  # fmt: skip
    decision = decide(compare(read(folder), resamples=50))
    assert decision is not None
    assert decision.axis.key == "las"
    assert [row.method for row in decision.rows] == [REVISED]
    assert MULTITASK in [row.method for row in decision.silent]
    build(folder)


def test_the_table_groups_every_measure_that_was_scored(found: Results) -> None:
    made = measures_table(found)
    headings = [line.cells[0].partition(":")[0] for line in made.lines if line.kind == "group"]
    groups = ["Answers", "Ratings", "Faithfulness", "Simulatability", "Support", "Wording"]
    assert headings == [*groups, "Likeness to the reference explanation", "Other measures"]
    assert any(line.cells[0].endswith("measures imitation, not quality") for line in made.lines)
    keys = {record["measure"] for record in made.records}
    assert keys == {key for row in found.rows for key in row.estimates}
    names = [line.cells[0] for line in made.lines]
    assert names[names.index("Counterfactual consistency, % ↑") + 1] == "the same by chance, %", (
        "a baseline stands below what it is for"
    )
    dashes = next(line for line in made.lines if line.cells[0] == "Quality ↑").cells
    assert dashes[1] == "–"
    assert "Rated by judge-one and judge-two." in made.caption


def test_measures_csv_has_full_precision(run: Path, found: Results) -> None:
    rows = list(csv.DictReader((run / "report" / "measures.csv").open(encoding="utf-8")))
    row = next(row for row in rows if row["measure"] == "cf_gain" and row["method"] == REVISED)
    estimate = next(entry for entry in found.rows if entry.method == REVISED).estimates["cf_gain"]
    assert float(row["value"]) == pytest.approx(estimate.value, rel=1e-6)
    assert row["group"] == "Faithfulness"
    assert row["n"] == "60"


def test_every_metric_of_the_package_has_a_name_here() -> None:
    scored = (
        "cf_consistency cf_baseline perturbation_drop perturbation_baseline early_0 early_25 early_50 early_75 "
        "early_100 early_aoc early_baseline filler_same paraphrase_same tag_follows reasons_follow tag_baseline "
        "sim_question sim_explanation sim_both names_gold supports_predicted supports_gold supports_other "
        "contrast_markers argues_against leaks hedges copies repetition reading_ease grade similarity bertscore_p "
        "bertscore_r bertscore_f roscoe_faithfulness roscoe_informativeness roscoe_repetition roscoe_coherence "
        "bleu rougeL length accuracy accuracy_likelihood unparsed f1 names_answer names_distractors"
    )
    assert set(scored.split()) <= MEASURES.keys()
    assert {one.key for one in MEASURES.values() if one.group == LIKENESS} >= {
        "bleu",
        "rougeL",
        "similarity",
        "bertscore_f",
    }
    assert not any(one.better for one in MEASURES.values() if one.group == LIKENESS), (
        "imitation is neither good nor bad"
    )


def test_an_unknown_measure_is_shown_as_it_is() -> None:
    assert measure_of("my_own").group == OTHER
    assert measure_of("rated:tone").name == "Tone"
    assert [one.key for one in ordered(["my_own", "length", "rated:tone", "accuracy"])] == [
        "accuracy",
        "rated:tone",
        "length",
        "my_own",
    ]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("accuracy", 0.791, "79.1"),
        ("rated:quality", 4.125, "4.12"),
        ("cf_gain", -0.05, "−5.0"),
        ("cf_gain", -0.0001, "0.0"),
    ],
)
def test_values_as_text(key: str, value: float, text: str) -> None:
    assert measure_of(key).show(value) == text


def test_signs_and_intervals_as_text() -> None:
    one = measure_of("cf_gain")
    assert (one.signed(0.1), one.signed(-0.1), one.signed(0.0)) == ("+10.0", "−10.0", "0.0")
    assert one.between(-0.1, 0.2) == "−10.0 to 20.0"
    assert one.between(0.1, 0.2) == "10.0–20.0"


def test_three_examples_show_the_difference(found: Results) -> None:
    decision = decide(found)
    assert decision is not None
    shown = pick_examples(found, decision)
    assert len(shown) == 3
    assert len({entry.item.id for entry in shown}) == 3
    for entry in shown:
        assert [response.row.method for response in entry.responses] == [REVISED, MULTITASK]
        assert all(response.prediction.explanation for response in entry.responses)
    one, two, three = (entry.responses for entry in shown)
    assert all(response.right for response in (*one, *two))
    assert one[1].value > one[0].value
    assert two[1].value < two[0].value
    assert three[0].right != three[1].right
    assert shown[0].why.startswith("Both are right. Quality: ")
    assert pick_examples(found, decision) == shown


def test_examples_need_two_methods_that_explain(tmp_path: Path) -> None:
    results, decision = of(tmp_path / "run", methods=(FINETUNE, MULTITASK), items=20)
    assert decision is not None
    assert pick_examples(results, decision) == []
    assert said(results, decision)["Take"].startswith(f"{MULTITASK}: accuracy ")


def test_methods_on_two_students_are_told_apart(tmp_path: Path) -> None:
    results, decision = of(tmp_path / "run", students=("small", "large"), items=20, seeds=(0,))
    assert decision is not None
    assert len(decision.rows) == 4
    text = " ".join(said(results, decision).values())
    assert " on small" in text
    assert " on large" in text


def test_the_page_has_the_section_with_its_figure_table_and_examples(run: Path) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")
    part = html[html.index('<section id="decision">') : html.index('<section id="table">')]
    assert '<a href="#decision">Decide</a>' in html
    assert part.count('<article class="item">') == 3
    assert 'class="measures"' in part
    assert "report/figures/tradeoff.pdf" in part
    assert "What the measures mean" in part
    for name in ("tradeoff.pdf", "tradeoff.png"):
        assert (run / "report" / "figures" / name).stat().st_size > 5000


@pytest.mark.usefixtures("page_alone")
def test_the_section_is_accessible_and_keeps_markup_as_text(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=20, evil=True)
    add_measures(folder)
    html = build(folder).read_text(encoding="utf-8")
    part = html[html.index('<section id="decision">') : html.index('<section id="table">')]
    assert EVIL not in html
    assert "<script" not in part
    assert "<img" not in part
    assert "&lt;/script&gt;" in part
    assert all("scope=" in head for head in re.findall(r"<th[\s>][^>]*>", part))
    ids = re.findall(r'\bid="([^"]+)"', html[: html.index('<script type="application/json"')])
    assert len(ids) == len(set(ids))
    markdown = section((folder / "report.md").read_text(encoding="utf-8"))
    assert "<script" not in markdown


def test_equal_results_give_equal_sections(run: Path, found: Results) -> None:
    again = compare(read(run))
    first, second = decide(found), decide(again)
    assert first is not None
    assert second is not None
    assert sentences(found, first) == sentences(again, second)
    assert measures_table(found) == measures_table(again)
    assert [entry.why for entry in pick_examples(found, first)] == [entry.why for entry in pick_examples(again, second)]


def test_a_person_s_ratings_stand_beside_the_judges(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=12, seeds=(0,))
    home = folder / "cells" / f"{MULTITASK}--{STUDENT}--s0"
    rows = pq.read_table(home / "scores.parquet").to_pylist()
    name = json.loads((home / "cell.json").read_text())["cell"]
    people = [
        {"run": name, "example_id": f"q{place:03d}", "metric": "plausibility", "value": 4.0, "rater": f"p{place}"}
        for place in range(12)
    ]
    _parquet(home / "scores.parquet", rows + people)
    results = compare(read(folder), resamples=50)
    row = next(row for row in results.rows if row.method == MULTITASK)
    assert row.estimates["rated:plausibility"].value == 4.0
    assert "Rated by 12 raters." in measures_table(results).caption
