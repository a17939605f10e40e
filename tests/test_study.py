"""Ratings read, analysed, told and drawn: on tables with known effects, and on the real study where it is at hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from cli_cases import call
from shrinklm.core.errors import TableError
from shrinklm.study import analyze as analyze_records
from shrinklm.study import as_json, read_ratings
from shrinklm.study.analysis.figures import draw
from shrinklm.study.analysis.ratings import QUALITY, parse_scale
from study_tables import CONSTRUCTS, HUMAN, ratings, write

NAMED = ("--condition", "model", "--rater", "who", "--constructs", "Clear,Complete")


def table(root: Path, rows=None, **more):
    path = write(root / "ratings.csv", rows if rows is not None else ratings())
    return read_ratings(path, "model", "who", CONSTRUCTS, **more)


def analyze(read, **options):
    return as_json(analyze_records(read, **options))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    read = table(root, controls=("chars", "sex"), reference="plain")
    return read, analyze_records(read, margin=0.6, resamples=1000, permutations=200)


@pytest.fixture(scope="module")
def found(records):
    return records[0], as_json(records[1])


def test_a_table_is_read(tmp_path):
    rows = ratings(4, 2)
    rows[3]["Clear"] = "NA"
    rows[5]["Complete"] = ""
    rows[0]["sex"] = ""
    read = table(tmp_path, rows, controls=("chars", "sex"), reference="revised")
    assert (read.n, read.levels, read.item) == (24, ("revised", "plain", "short"), "item")
    assert np.isnan(read.values["Clear"][3])
    assert np.isnan(read.measures[QUALITY][[3, 5]]).all()
    assert read.measures[QUALITY][0] == (rows[0]["Clear"] + rows[0]["Complete"]) / 2
    assert read.controls["chars"][1] == rows[1]["chars"]
    assert read.controls["sex"][:2] == (None, "f")
    assert {level: len(values) for level, values in read.by_condition(read.values["Clear"]).items()} == {
        "revised": 8,
        "plain": 8 - 0,
        "short": 7,
    }
    scores = read.scores()
    assert len(scores) == 46
    assert (scores[0].run, scores[0].example_id, scores[0].metric, scores[0].rater) == ("plain", "q0", "Clear", "p0")


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, {"condition": "modle"}, r"no column 'modle'. Did you mean 'model'\? Columns found: who, model"),
        ({}, {"constructs": ["Clear", "Nice"]}, "no column 'Nice'"),
        ({}, {"constructs": []}, "No construct is named"),
        ({}, {"controls": ["model"]}, "'model' is asked for twice"),
        ({}, {"item": "question"}, "no column 'question'"),
        ({}, {"reference": "gold"}, "no model 'gold' to compare with. Found: plain, short, revised"),
        ({"Clear": 7}, {}, "line 2: Clear is 7, outside the scale 1-5"),
        ({"Clear": "very"}, {}, "line 2: Clear is 'very', which is no number"),
        ({"who": " "}, {}, "line 2: no who"),
        ({"model": ""}, {}, "line 2: no model"),
        ({}, {"condition": "item"}, "an id, not a condition"),
        ({}, {"scale": (0, 3)}, "outside the scale 0-3"),
    ],
)
def test_a_bad_table_is_said_to_be(tmp_path, change, options, says):
    rows = ratings(12)
    rows[0] |= change
    given = {"condition": "model", "rater": "who", "constructs": ["Clear"], **options}
    with pytest.raises(TableError, match=says):
        read_ratings(write(tmp_path / "r.csv", rows), **given)


def test_one_condition_and_no_file(tmp_path):
    with pytest.raises(TableError, match="one model only"):
        table(tmp_path, [row for row in ratings() if row["model"] == "plain"])
    with pytest.raises(TableError, match="No file at"):
        read_ratings(tmp_path / "none.csv", "model", "who", CONSTRUCTS)
    assert parse_scale("1-7") == (1, 7)
    for text in ("5", "5-1", "a-b"):
        with pytest.raises(TableError, match="--scale 1-5"):
            parse_scale(text)


def test_every_statistic_has_its_key(found):
    _, analysis = found
    json.dumps(analysis, allow_nan=False)
    assert set(analysis["measures"]) == {"Clear", "Complete", QUALITY}
    keys = {"n", "ns", "means", "sds", "kruskal", "dunn", "levene", "shapiro", "outliers", "without_outliers"}
    keys |= {"ols", "mixed", "ordinal", "bootstrap", "agreement"}
    for entry in analysis["measures"].values():
        assert keys <= set(entry)
        assert set(entry["means"]) == set(entry["shapiro"]) == {"plain", "short", "revised"}
        assert len(entry["dunn"]) == 3
        assert {"a", "b", "p", "p_adjusted", "A", "delta"} <= set(entry["dunn"][0])
        assert entry["dunn"][0]["delta"] == pytest.approx(2 * entry["dunn"][0]["A"] - 1)
        assert entry["n"] == sum(entry["ns"].values()) == 288
        assert entry["without_outliers"]["n"] == 288 - sum(group["n"] for group in entry["outliers"].values())
    assert 0.5 < analysis["cronbach_alpha"] < 1
    assert analysis["manova"]["p_wilks"] < 0.05
    assert analysis["box_m"]["df"] == 6
    assert analysis["raters"]["n"] == 24
    assert analysis["items"] == {"column": "item", "n": 96, "explanations": 288, "rated_by_several": 0}


def test_known_effects_are_found_by_every_way(found):
    _, analysis = found
    entry = analysis["measures"][QUALITY]
    for fit in ("condition_only", "with_controls", "with_items", "without_outliers"):
        rows = {row["condition"]: row for row in entry["mixed"][fit]["effects"] if "condition" in row}
        assert rows["revised"]["low"] < 0.9 < rows["revised"]["high"]
        assert rows["revised"]["p"] < 0.001 < 0.05 < rows["short"]["p"]
    assert entry["mixed"]["condition_only"]["formula"] == "Quality ~ model + (1 | who)"
    assert [row["term"] for row in entry["mixed"]["with_controls"]["effects"]][-2:] == ["chars", "sexm"]
    ols = {row["term"]: row for row in entry["ols"]["all"]["coefficients"]}
    assert ols["modelrevised"]["estimate"] == pytest.approx(0.9, abs=0.4)
    assert entry["bootstrap"]["differences"]["revised"]["low"] > 0.4
    joint = entry["mixed"]["condition_only"]["joint"]
    assert (joint["df"], joint["p"] < 0.001) == (2, True)
    pairs = {(pair["a"], pair["b"]): pair for pair in entry["mixed"]["condition_only"]["pairs"]}
    effects = {
        row["condition"]: row["estimate"] for row in entry["mixed"]["condition_only"]["effects"] if "condition" in row
    }
    assert pairs["short", "revised"]["difference"] == pytest.approx(effects["revised"] - effects["short"])
    assert "mean of ratings" in entry["ordinal"]["condition_only"]["why"]
    ordinal = {row["condition"]: row for row in analysis["measures"]["Clear"]["ordinal"]["condition_only"]["effects"]}
    assert ordinal["revised"]["odds_ratio"] == pytest.approx(math.exp(ordinal["revised"]["estimate"]))
    assert ordinal["revised"]["p_adjusted"] < 0.001
    items = analysis["measures"]["Clear"]["ordinal"]["with_items"]
    assert items["formula"] == "Clear ~ model + (1 | who) + (1 | item)"
    assert (items["method"], items["groups"], set(items["sds"])) == (
        "laplace",
        {"who": 24, "item": 96},
        {"who", "item"},
    )
    assert {row["condition"]: row["p_adjusted"] for row in items["effects"]}["revised"] < 0.001
    same = {
        row["condition"]: row["equivalence"]
        for row in entry["mixed"]["condition_only"]["effects"]
        if "condition" in row
    }
    assert same["short"]["equivalent"]
    assert not same["revised"]["equivalent"]


def test_the_paragraph_says_what_was_tested_on_how_many_and_what_it_shows(found):
    text = found[1]["paragraph"]
    for part in (
        "24 people rated explanations of 3 conditions 288 times (plain 96, short 96, revised 96), 12 times each, on "
        "Clear and Complete",
        "Kruskal–Wallis tests show that the conditions differ on Clear",
        "A linear mixed model (Quality ~ model + (1 | who) + (1 | who:model) + (1 | item)), in which people, people in "
        "each condition and questions have levels of their own, finds standard deviations of",
        "(single ratings) points",
        "(Satterthwaite's degrees of freedom)",
        "Without levels of people in each condition (p < .001 jointly) the same effects are told apart",
        "With chars and sex held fixed",
        "Ordinal mixed models of the single constructs, in which people, people in each condition and "
        "questions have levels of their own "
        "(by Laplace's approximation), against plain",
        "Agreement cannot be computed: every item has one rater",
        "show short to be equivalent to plain",
        "So on Quality, by the mixed model and Holm-adjusted over all pairs: revised above plain by",
    ):
        assert part in text
    assert "short above" not in text


def test_no_difference_is_not_called_one(tmp_path):
    rows = ratings(12, seed=3)
    rng = np.random.default_rng(0)
    for row in rows:
        row["model"] = ["a", "b"][int(rng.integers(2))]
    text = analyze(table(tmp_path, rows), resamples=200, permutations=50)["paragraph"]
    assert "no difference between the conditions on Clear" in text
    assert "So on Quality no difference between conditions is shown by these data." in text


def test_people_who_rate_the_same_agree(tmp_path):
    found = analyze(table(tmp_path, ratings(8, 6, shared=True)), resamples=500, permutations=50)
    agreement = found["measures"]["Clear"]["agreement"]
    assert 0.2 < agreement["krippendorff"]["value"] < 0.9
    assert agreement["gwet"]["coefficient"] == "Gwet's AC2 (ordinal weights)"
    assert agreement["icc"]["items"] == 18
    assert found["measures"][QUALITY]["agreement"]["krippendorff"]["coefficient"].endswith("(interval)")
    assert found["items"]["rated_by_several"] == 18
    assert "Raters of the same explanation agree on Quality" in found["paragraph"]


def test_small_and_odd_tables_give_words_instead_of_numbers(tmp_path):
    rows = [{"who": f"p{k}", "model": "ab"[k % 2], "Clear": 4, "Complete": 4} for k in range(6)]
    found = analyze(table(tmp_path, rows), resamples=50, permutations=20)
    json.dumps(found, allow_nan=False)
    entry = found["measures"]["Clear"]
    assert "equal" in entry["kruskal"]["why"]
    assert "its own 'who'" in entry["mixed"]["condition_only"]["why"]
    assert "All 6 ratings are 4" in entry["ordinal"]["condition_only"]["why"]
    assert "Name it: --item" in entry["agreement"]["why"]
    assert "each of the 6 complete rows has 4" in entry["ols"]["all"]["why"]
    assert "why" in found["cronbach_alpha"]
    assert "No measure varies enough" in found["paragraph"]
    rows = [*ratings(5, 2), {**ratings(1, 1)[0], "who": "once"}]
    assert analyze(table(tmp_path, rows), resamples=50, permutations=20)["raters"]["rows_min"] == 1
    alone = read_ratings(write(tmp_path / "one.csv", ratings(6)), "model", "who", ["Clear"])
    found = analyze(alone, resamples=50)
    assert list(found["measures"]) == ["Clear"]
    assert found["manova"]["why"].startswith("One construct")


def test_one_rater_is_said_to_speak_for_no_others(tmp_path):
    found = analyze(table(tmp_path, ratings(1, 8)), resamples=50, permutations=20)
    assert (
        "One person rated everything: what is shown holds for these ratings and says nothing of other people."
        in (found["paragraph"])
    )
    assert "one level only" in found["measures"]["Clear"]["mixed"]["condition_only"]["why"]
    assert "1 rating of Quality lies outside" in found["paragraph"]
    assert "One person" not in analyze(table(tmp_path, ratings(2, 4)), resamples=50, permutations=20)["paragraph"]


def test_ratings_given_twice_are_counted_and_said(tmp_path):
    once = ratings(6, 2)
    found = analyze(table(tmp_path, once), resamples=50, permutations=20)
    assert "repeated" not in found["items"]
    assert "a second time" not in found["paragraph"]
    twice = [*once, once[3], {**once[7], "Clear": 1}]
    found = analyze(table(tmp_path, twice), resamples=50, permutations=20)
    assert found["items"]["repeated"] == ["ratings.csv, line 38", "ratings.csv, line 39"]
    said = "2 rows rate an explanation that the same person rated in a row before (the first: ratings.csv, line 38);"
    assert f"{said} each counts." in found["paragraph"]
    found = analyze(table(tmp_path, [*once, once[3]]), resamples=50, permutations=20)
    assert "1 row rates an explanation that the same person rated in a row before" in found["paragraph"]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("", "no column says which question a rating is about. Name it: --item COLUMN."),
        ("question", "every row has its own 'question'"),
    ],
)
def test_questions_that_cannot_have_levels_are_said_why(tmp_path, item, why):
    rows = [{key: value for key, value in row.items() if key != "item"} for row in ratings(12)]
    for k, row in enumerate(rows if item else []):
        row[item] = k
    found = analyze(table(tmp_path, rows, item=item or None), resamples=50, permutations=20)
    assert "why" in found["measures"]["Clear"]["ordinal"]["with_items"]
    assert "in which people and people in each condition have levels of their own" in found["paragraph"]
    assert f"Questions have no level of their own in those: {why}" in found["paragraph"]


def test_missing_ratings_are_left_out_and_counted(tmp_path):
    rows = ratings()
    for row in rows[:10]:
        row["Clear"] = ""
    for row in rows[10:15]:
        row["chars"] = "NA"
    found = analyze(table(tmp_path, rows, controls=("chars",)), resamples=50, permutations=20)
    assert found["missing"] == {"Clear": 10, "Complete": 0}
    assert [found["measures"][name]["n"] for name in ("Clear", "Complete", QUALITY)] == [278, 288, 278]
    assert found["measures"]["Complete"]["mixed"]["with_controls"]["n"] == 283
    assert "10 ratings were not given" in found["paragraph"]


def test_figures_are_drawn_and_the_same_again(records):
    read, analysis = records
    drawn = {figure.name: figure for figure in draw(analysis, read)}
    assert set(drawn) == {"ratings", "effects", "normality"}
    assert all(figure.png.startswith(b"\x89PNG") and figure.pdf.startswith(b"%PDF") for figure in drawn.values())
    assert "revised" in drawn["effects"].alt
    assert [figure.png for figure in draw(analysis, read)] == [figure.png for figure in drawn.values()]


def test_the_command(tmp_path):
    path, out = write(tmp_path / "r.csv", ratings(8, 2)), tmp_path / "made" / "out.json"
    done = call(
        "study", "analyze", path, *NAMED, "--controls", "chars", "--json", out, "--figures", tmp_path / "figures"
    )
    assert done.exit_code == 0, done.output
    assert "Quality: points above plain" in done.output
    assert "8 people rated explanations" in done.output
    assert json.loads(out.read_text(encoding="utf-8"))["n"] == 48
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == [
        f"{name}.{kind}" for name in ("effects", "normality", "ratings") for kind in ("pdf", "png")
    ]


def test_the_command_says_what_is_wrong(tmp_path):
    done = call(
        "study",
        "analyze",
        write(tmp_path / "r.csv", ratings(6)),
        "--condition",
        "modle",
        "--rater",
        "who",
        "--constructs",
        "Clear",
    )
    assert done.exit_code == 1
    assert "Did you mean 'model'?" in done.output
    assert "Traceback" not in done.output


@pytest.fixture(scope="module")
def human():
    if not (HUMAN / "ratings.csv").is_file():
        pytest.skip("the ratings of the human study are not here")
    constructs = ("Plausibility", "Understandability", "Completeness", "Satisfaction", "Contrastiveness")
    read = read_ratings(HUMAN / "ratings.csv", "model", "CASE", constructs, ("rationale_length",), "CF:PosRationales")
    return analyze(read, resamples=500, permutations=50)


def test_the_human_study_is_as_in_r(human):
    theirs = json.loads((HUMAN / "r-results.json").read_text(encoding="utf-8"))
    ours = human["measures"]

    def near(value):
        return pytest.approx(value, rel=1e-6)

    for row in theirs["kruskal"]:
        assert ours[row["variable"]]["kruskal"]["statistic"] == near(row["statistic"])
    for row in theirs["dunn"]:
        [pair] = [p for p in ours[row["variable"]]["dunn"] if {p["a"], p["b"]} == {row["group1"], row["group2"]}]
        assert abs(pair["statistic"]) == near(abs(row["statistic"]))
        assert (pair["p"], pair["p_adjusted"]) == (near(row["p"]), near(row["p.adj"]))
    for row in theirs["levene"]:
        assert (ours[row["variable"]]["levene"]["statistic"], ours[row["variable"]]["levene"]["p"]) == (
            near(row["statistic"]),
            near(row["p"]),
        )
    for row in theirs["shapiro"]:
        assert ours[row["variable"]]["shapiro"][row["model"]]["statistic"] == near(row["statistic"])
    for row in theirs["n_outliers"]:
        assert ours[QUALITY]["outliers"][row["model"]]["n"] == row["n"]
    ols = ours[QUALITY]["ols"]["without_outliers"]
    found = {row["term"]: row for row in ols["coefficients"]}
    assert list(found) == theirs["lm"]["terms"]
    assert (ols["n"], ols["r2"]) == (theirs["lm"]["n"], near(theirs["lm"]["r2"]))


def test_the_human_study_is_as_published(human):
    """Means, effects and tests of the published study, and the mixed model with a level for each participant."""
    quality = human["measures"][QUALITY]
    effects = {row["condition"]: row for row in quality["mixed"]["condition_only"]["effects"] if "condition" in row}
    assert {level: round(row["estimate"], 3) for level, row in effects.items()} == {
        "MT:PosRationales": 0.139,
        "MT+CF:PosRationales": 0.113,
        "MT+CF:RevRationales": 0.215,
    }
    assert [round(row["p"], 3) for row in effects.values()] == [0.009, 0.032, 0.0]
    assert quality["mixed"]["condition_only"]["variances"]["CASE"] == pytest.approx(0.244, abs=5e-4)
    held = {row["term"]: row for row in quality["mixed"]["with_controls"]["effects"]}
    assert held["modelMT+CF:RevRationales"]["estimate"] == pytest.approx(0.248, abs=5e-4)
    assert held["rationale_length"]["p"] == pytest.approx(0.22, abs=0.005)
    # As in R (tests/data/r/human.R).
    full = quality["mixed"]["full"]
    assert full["formula"] == "Quality ~ model + (1 | CASE) + (1 | CASE:model) + (1 | rationale_id)"
    assert list(full["sds"].values()) == pytest.approx([0.4914746, 0.1636258, 0.1652734, 0.5775608], rel=1e-5)
    assert [row["df"] for row in full["effects"]] == pytest.approx([232.3094, 262.3939, 257.0008, 265.4081], rel=1e-5)
    assert (full["joint"]["df2"], full["joint"]["p"]) == pytest.approx((262.32, 0.002105), rel=1e-3)
    contrast = human["measures"]["Contrastiveness"]["mixed"]
    assert contrast["full"]["sds"]["CASE:model"] == pytest.approx(0.4198264, rel=1e-5)
    ratio = 2 * (contrast["full"]["loglik"] - contrast["with_items"]["loglik"])
    assert ratio == pytest.approx(35.724, abs=1e-3)
    assert human["measures"]["Satisfaction"]["mixed"]["full"]["singular"] == ["rationale_id"]
    assert human["cronbach_alpha"] == pytest.approx(0.844, abs=1e-3)
    assert (human["raters"]["n"], len(human["raters"]["always_the_same"]), human["items"]["n"]) == (117, 6, 375)
    assert human["measures"]["Contrastiveness"]["means"]["MT+CF:RevRationales"] == pytest.approx(3.96, abs=0.005)
    [pair] = [
        p
        for p in human["measures"]["Completeness"]["dunn"]
        if (p["a"], p["b"]) == ("CF:PosRationales", "MT+CF:RevRationales")
    ]
    assert (round(pair["p_adjusted"], 4), round(pair["A"], 3)) == (0.0044, 0.423)
    assert "every item has one rater" in quality["agreement"]["why"]


def test_columns_whose_names_have_commas(tmp_path):
    rows = [{"Clear, to me": row.pop("Clear"), "sex, age": row.pop("sex"), **row} for row in ratings(6, 2)]
    path, out = write(tmp_path / "r.csv", rows), tmp_path / "out.json"
    named = ("study", "analyze", path, "--condition", "model", "--rater", "who", "--json", out)
    for constructs in ("Clear, to me;Complete", '"Clear, to me",Complete', ' "Clear, to me" ; Complete ;'):
        done = call(*named, "--constructs", constructs, "--controls", "sex, age;")
        assert done.exit_code == 0, done.output
        assert json.loads(out.read_text(encoding="utf-8"))["constructs"] == ["Clear, to me", "Complete"]
        assert json.loads(out.read_text(encoding="utf-8"))["controls"] == ["sex, age"]
    done = call(*named, "--constructs", "Clear, to me,Complete")
    assert done.exit_code == 1
    words = " ".join(done.output.split())
    assert "'Clear, to me' has a comma in it" in words
    assert "join the names by semicolons instead, or put it in double quotes." in words
    runs = [{"base, large": size, "acc": seed + len(size)} for size in ("b", "large") for seed in range(3)]
    path = write(tmp_path / "runs.csv", runs)
    assert call("compare", path, "--value", "acc", "--factors", "base, large;").exit_code == 0
    done = call("compare", path, "--value", "acc", "--factors", "base, large")
    assert "'base, large' has a comma in it" in " ".join(done.output.split())


def test_twelve_conditions_are_told_apart_in_figures(tmp_path):
    from shrinklm.report.look.style import STYLE, colour, line, mark
    from shrinklm.study.analysis.figures import bars, forest

    assert len({(colour(rank), mark(rank)) for rank in range(30)}) == 30
    assert len({(colour(rank), line(rank)) for rank in range(30)}) == 30
    assert [line(rank) for rank in range(8)] == ["-"] * 8
    rows = [{**row, "model": f"{row['model']}{k}"} for k in range(4) for row in ratings(6, 2, seed=k)]
    analysis = analyze_records(table(tmp_path, rows), resamples=50, permutations=20)
    import matplotlib

    with matplotlib.rc_context(STYLE):
        effects, means = forest(analysis), bars(analysis)
    assert effects is not None
    # Each line has its name beside it instead of a legend of eleven.
    assert not effects.figure.legends
    [axes] = effects.figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[1:12] == list(analysis.conditions)[1:]
    assert names[0] == "Clear"
    boxes = means.figure.legends[0].get_patches()
    assert len({(box.get_facecolor(), box.get_hatch()) for box in boxes}) == 12
