"""A judge against people: a known bias is found, a judge of lengths is unmasked, and different names are said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cli_cases import call
from shrinklm.core.errors import TableError
from shrinklm.study import as_json, calibrate, read_pair
from shrinklm.study.analysis.ratings import QUALITY
from study_tables import CONSTRUCTS, ratings, write

PEOPLE = ratings(20, 5, shared=True)


def judged(score, judge="strict", seed=0):
    """One row for each explanation: `score` of its mean rating by people, its length and a generator."""
    rng, means = np.random.default_rng(seed), {}
    for row in PEOPLE:
        for name in CONSTRUCTS:
            means.setdefault((row["item"], row["model"]), {}).setdefault(name, []).append(row[name])
    lengths = {(row["item"], row["model"]): row["chars"] for row in PEOPLE}
    return [
        {"rater": judge, "model": model, "item": item, "chars": lengths[item, model]}
        | {
            name: round(float(np.clip(score(np.mean(values), lengths[item, model], rng), 1, 5)), 3)
            for name, values in found.items()
        }
        for (item, model), found in means.items()
    ]


def compare(root, rows, people=PEOPLE, length=None, **more):
    pair = read_pair(
        write(root / "p.csv", people),
        write(root / "j.csv", rows),
        "model",
        ("who", "rater"),
        CONSTRUCTS,
        length=length,
        **more,
    )
    return as_json(calibrate(*pair, length, resamples=500))


def test_a_known_bias_and_order_are_found(tmp_path):
    found = compare(tmp_path, judged(lambda mean, _, rng: mean - 0.5 + rng.normal(0, 0.1)))
    assert found["judged"]["judges"] == list(found["judges"]) == ["strict"]
    for entry in found["judges"]["strict"].values():
        assert entry["bias"]["low"] < -0.3
        assert entry["bias"]["value"] == pytest.approx(-0.5, abs=0.1)
        assert entry["by_condition"]["pearson"]["value"] > 0.95
        assert entry["by_item"]["n"] == 15
        assert entry["by_item"]["pearson"]["value"] > 0.9
        assert entry["by_item"]["bias"]["value"] == pytest.approx(-0.5, abs=0.1)
        assert "--length" in entry["by_item"]["pearson_without_length"]["why"]
    means = found["judges"]["strict"]["Clear"]["by_condition"]["means"]["revised"]
    assert means["difference"] == pytest.approx(means["judge"] - means["people"])
    assert "strict rates Quality −0.5" in found["paragraph"]


def test_a_judge_of_lengths_is_unmasked(tmp_path):
    people = [
        {**row, **{name: min(5, max(1, round(row["chars"] / 80))) for name in CONSTRUCTS}} for row in ratings(30, 6)
    ]
    rng = np.random.default_rng(0)
    rows = [
        {"rater": "long", **{key: row[key] for key in ("model", "item", "chars")}}
        | {name: min(5, max(1, round(row["chars"] / 80 + rng.normal(0, 0.5)))) for name in CONSTRUCTS}
        for row in people
    ]
    entry = compare(tmp_path, rows, people, "chars")["judges"]["long"][QUALITY]["by_item"]
    assert entry["pearson"]["value"] > 0.8
    assert abs(entry["pearson_without_length"]["value"]) < 0.3
    assert entry["pearson_without_length"]["df"] == entry["n"] - 3


def test_a_judge_who_knows_nothing_does_not_correlate(tmp_path):
    found = compare(tmp_path, judged(lambda *given: given[2].uniform(1, 5)))["judges"]["strict"]["Clear"]["by_item"][
        "pearson"
    ]
    assert found["low"] < 0 < found["high"]


def test_several_judges_each_and_together(tmp_path):
    rows = judged(lambda mean, *_: mean + 0.4, "kind") + judged(lambda mean, *_: mean - 0.4, "strict")
    found = compare(tmp_path, rows)
    assert list(found["judges"]) == ["kind", "strict", "mean of judges"]
    bias = {judge: measures[QUALITY]["bias"]["value"] for judge, measures in found["judges"].items()}
    assert bias["kind"] > 0.25
    assert bias["strict"] < -0.25
    assert abs(bias["mean of judges"]) < 0.1


def test_ties_of_a_judge_are_called_ties(tmp_path):
    every = compare(tmp_path, judged(lambda *_: 3.0))
    over = every["judges"]["strict"]["Clear"]["by_condition"]
    assert (over["same_order"]["value"], over["tied"]) == (0.5, 3)
    assert "and ties all 3 conditions" in every["paragraph"]
    assert "in people's order" not in every["paragraph"]
    rows = judged(lambda *_: 3.0)
    some = compare(tmp_path, [{**row, "Clear": 5, "Complete": 5} if row["model"] == "revised" else row for row in rows])
    assert some["judges"]["strict"]["Clear"]["by_condition"]["tied"] == 1
    assert "puts 2 of 3 pairs of conditions in people's order and ties 1" in some["paragraph"]
    done = call(
        *("study", "calibrate", tmp_path / "p.csv", write(tmp_path / "j.csv", rows)),
        *("--condition", "model", "--rater", "who", "--constructs", "Clear,Complete"),
    )
    assert "ties all" in done.output
    assert "50 %" not in done.output


def test_other_questions_leave_the_conditions(tmp_path):
    rows = [{**row, "item": f"other{row['item']}"} for row in judged(lambda mean, *_: mean)]
    entry = compare(tmp_path, rows)["judges"]["strict"]["Clear"]
    assert entry["by_item"]["why"].startswith("0 explanations")
    assert entry["by_condition"]["pearson"]["value"] > 0.99
    assert entry["by_condition"]["same_order"]["value"] == 1


def test_conditions_called_differently(tmp_path):
    rows = [{**row, "model": f"student-{row['model']}"} for row in judged(lambda mean, *_: mean)]
    with pytest.raises(
        TableError, match=r"share 0 conditions.*People: plain, short, revised. Judge: student-plain.*--same"
    ):
        compare(tmp_path, rows)
    same = {f"student-{name}": name for name in ("plain", "short", "revised")}
    assert compare(tmp_path, rows, same=same)["conditions"] == ["plain", "short", "revised"]
    with pytest.raises(TableError, match="no model 'x' to be called"):
        compare(tmp_path, rows, same={"x": "plain"})
    with pytest.raises(TableError, match=r"Neither p.csv nor j.csv has a column 'words', which --length names"):
        compare(tmp_path, rows, length="words")
    with pytest.raises(TableError, match="no column of numbers"):
        compare(
            tmp_path,
            judged(lambda mean, *_: mean),
            length="item_text",
            people=[{**row, "item_text": "a b"} for row in PEOPLE],
        )


def test_the_command(tmp_path):
    people, judge = write(tmp_path / "p.csv", PEOPLE), write(tmp_path / "j.csv", judged(lambda mean, *_: mean - 0.5))
    out = tmp_path / "out.json"
    options = (
        "--condition",
        "model",
        "--rater",
        "who",
        "--constructs",
        "Clear,Complete",
        "--length",
        "chars",
        "--json",
        out,
    )
    done = call("study", "calibrate", people, judge, *options)
    assert done.exit_code == 0, done.output
    assert "strict" in done.output
    assert "A correlation over 3 conditions says little" in done.output
    assert json.loads(out.read_text(encoding="utf-8"))["judges"]["strict"]["Clear"]["by_item"]["n"] == 15
    assert call("study", "calibrate", people, tmp_path / "none.csv", *options).exit_code == 1
