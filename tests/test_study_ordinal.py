"""`study analyze` where ordinal models have no finite estimate: what it tests, and what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from shrinklm.cli.show.study import _models
from shrinklm.study.analysis.base import json_text
from shrinklm.study.analysis.models import ordinal_mixed
from shrinklm.study.analysis.pipeline import analyze
from shrinklm.study.analysis.ratings import ratings_of


def table(conditions, change, people=8, each=2, seed=4):
    """Ratings on Clear, 1 to 5, that `change` (condition, person, rating) has the last word on."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(people):
        questions = rng.permutation(20)[: each * len(conditions)]
        for index, question in enumerate(questions):
            condition = conditions[index % len(conditions)]
            rating = int(np.clip(np.round(3 + rng.normal()), 1, 5))
            cells = {"model": condition, "person": f"p{person}", "question": f"q{question}"}
            rows.append((f"line {len(rows)}", {**cells, "Clear": change(condition, person, rating)}))
    return ratings_of("ratings.csv", rows, "model", "person", ["Clear"], item="question")


def lowest(condition, person, rating):
    return 1 if condition == "A" else max(rating, 2)


def highest(condition, person, rating):
    return 5 if condition == "C" else rating


def one_above(condition, person, rating):
    return 1 + person % 4 + (condition == "B")


def test_a_condition_that_is_always_lowest_is_told_apart():
    ratings = table("ABC", lowest)
    fit = ordinal_mixed(ratings, "Clear", ratings.values["Clear"])
    assert fit.separated == ["B", "C"]
    assert all(effect.estimate == np.inf and effect.p_adjusted < 1e-3 for effect in fit.conditions)
    assert fit.joint.df == 2
    assert 20 < fit.joint.chi2 < 1000
    pairs = {(pair.a, pair.b): pair for pair in fit.pairs}
    assert pairs["A", "C"].difference == np.inf
    assert pairs["A", "C"].p_adjusted < 1e-3
    assert np.isfinite(pairs["B", "C"].difference)
    assert pairs["B", "C"].p > 0.05


def test_pairs_within_the_top_category_and_of_others_are_each_right():
    ratings = table("ABC", highest)
    fit = ordinal_mixed(ratings, "Clear", ratings.values["Clear"], levels=["person", "question"])
    assert (fit.separated, fit.method) == (["C"], "laplace")
    pairs = {(pair.a, pair.b): pair for pair in fit.pairs}
    assert np.isfinite(pairs["A", "B"].se)
    for a in "AB":
        assert pairs[a, "C"].difference == np.inf
        assert pairs[a, "C"].p < 1e-3


def test_the_words_the_table_and_the_json_say_so():
    analysis = analyze(table("ABC", lowest), resamples=50, permutations=20)
    text = analysis.paragraph
    assert "the ratings of B and C are separated from those of A" in text
    assert "Clear for B (no finite odds ratio, at least" in text
    assert "likelihood ratio" in text
    [cell] = list(_models(analysis).columns[4].cells)
    assert cell.endswith("(LR)")
    fit = json.loads(json_text(analysis))["measures"]["Clear"]["ordinal"]["with_items"]
    assert fit["separated"] == ["B", "C"]
    assert fit["effects"][0]["estimate"] is None
    assert fit["effects"][0]["p"] < 1e-3


def test_a_model_that_did_not_converge_has_no_p_and_says_so():
    ratings = table("AB", one_above)
    analysis = analyze(ratings, resamples=50, permutations=20)
    assert "The ordinal model of Clear did not converge and has no p." in analysis.paragraph
    assert "show no difference" not in analysis.paragraph.split("Ordinal", 1)[-1].split("ordinal", 1)[0]
    [cell] = list(_models(analysis).columns[4].cells)
    assert cell == "no convergence"
    fit = json.loads(json_text(analysis))["measures"]["Clear"]["ordinal"]["condition_only"]
    assert (fit["converged"], fit["joint"]["p"], fit["effects"][0]["p"]) == (False, None, None)
    assert fit["effects"][0]["p_adjusted"] is None
    assert "grows without limit" in fit["trouble"]


def test_without_separation_nothing_is_said_of_it():
    ratings = table("AB", lambda condition, person, rating: rating)
    fit = ordinal_mixed(ratings, "Clear", ratings.values["Clear"])
    assert (fit.separated, fit.trouble, fit.converged) == ([], "", True)
    [pair], [effect] = fit.pairs, fit.conditions
    assert pair.p == pytest.approx(effect.p)
