"""Models of ratings have the levels that the design tells apart, and keep their size with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from shrinklm.stats import tost_of
from shrinklm.study import analyze, as_json
from shrinklm.study.analysis.levels import identified
from shrinklm.study.analysis.models import linear_mixed
from shrinklm.study.analysis.ratings import Ratings, ratings_of
from shrinklm.study.analysis.spreads import spreads

Row = tuple[str, str, str, float]


def table(rows: Sequence[Row], items: bool = True) -> Ratings:
    """Ratings from (person, condition, question, value)."""
    keys = ("who", "model", "item", "Clear")
    cells = [(f"row {at}", dict(zip(keys, row, strict=True))) for at, row in enumerate(rows)]
    return ratings_of("r", cells, "model", "who", ["Clear"], item="item" if items else None, scale=(-99, 99))


def simulated(
    seed: int,
    people: int = 20,
    each: int = 3,
    conditions: str = "ABC",
    taste: float = 0.0,
    explanation: float = 0.0,
    nested: bool = False,
    questions: int = 12,
) -> Ratings:
    """Ratings without effects: everybody rates `each` questions in every condition; `nested`: a question is shown in
    one condition only."""
    rng = np.random.default_rng(seed)
    quality = explanation * rng.standard_normal((questions, len(conditions)))
    rows: list[Row] = []
    for person in range(people):
        level = rng.normal(0, 0.5)
        order = rng.permutation(questions)
        likes = taste * rng.standard_normal(len(conditions))
        for at, condition in enumerate(conditions):
            own = order[at * each : (at + 1) * each]
            if nested:
                share = questions // len(conditions)
                own = at * share + rng.permutation(share)[:each]
            rows += [
                (f"p{person}", condition, f"q{q}", round(3 + level + likes[at] + quality[q, at] + rng.normal(0, 0.7)))
                for q in own
            ]
    return table(rows)


def alarms(studies: Sequence[Ratings], levels: Any = None) -> float:
    """The share of studies without effects in which the joint test finds one."""
    return float(
        np.mean([linear_mixed(one, "Clear", one.values["Clear"], levels=levels).joint.p < 0.05 for one in studies])
    )


def of(ratings: Ratings) -> list[str]:
    return list(identified(ratings, range(ratings.n)))


def test_levels_are_those_that_the_design_tells_apart() -> None:
    assert of(simulated(0)) == ["person", "taste", "question", "explanation"]
    assert of(simulated(0, nested=True)) == ["person", "taste", "question"]
    assert of(simulated(0, each=1)) == ["person", "question", "explanation"]
    # Each explanation is rated once, as in the published study.
    once = [(f"p{p}", "AB"[k % 2], f"q{(p * 4 + k) // 2}", 1.0) for p in range(8) for k in range(4)]
    assert of(table(once)) == ["person", "taste", "question"]
    assert of(table(once, items=False)) == ["person", "taste"]
    # One condition a person: what a person thinks of it is what she thinks.
    assert of(table([(f"p{p}", "AB"[p % 2], f"q{k}", 1.0) for p in range(6) for k in range(4)])) == [
        "person",
        "question",
        "explanation",
    ]
    assert of(table([(f"p{p}", "AB"[k % 2], f"q{p}{k}", 1.0) for p in range(6) for k in range(4)])) == [
        "person",
        "taste",
    ]
    assert of(table([(f"p{p}", "AB"[k % 2], f"q{p}", 1.0) for p in range(6) for k in range(4)])) == ["person", "taste"]


def test_where_people_differ_in_taste_the_test_keeps_its_size() -> None:
    studies = [simulated(seed, taste=0.8) for seed in range(30)]
    assert alarms(studies) <= 0.15
    assert alarms(studies, ["person", "question", "explanation"]) >= 0.25
    full = [linear_mixed(one, "Clear", one.values["Clear"]) for one in studies[:12]]
    assert np.mean([fit.sds["who:model"] for fit in full]) == pytest.approx(0.8, abs=0.1)
    assert all(fit.pairs[0].df < 60 for fit in full)


def test_where_each_question_has_one_condition_its_level_is_the_explanations() -> None:
    studies = [simulated(seed, explanation=0.8, nested=True, questions=18) for seed in range(30)]
    assert alarms(studies) <= 0.15
    assert alarms(studies, ["person"]) >= 0.25
    found = analyze(studies[0], resamples=50)
    why = found.measures["Clear"].mixed.with_explanations
    assert "Each question was shown in one condition" in why.why  # type: ignore[union-attr]
    assert "people, people in each condition and questions have levels" in found.paragraph
    assert "No explanation was rated by several people" not in str(as_json(found))


def test_every_spread_is_told_and_what_came_out_as_zero() -> None:
    ratings = simulated(1, taste=0.6, explanation=0.4)
    found = analyze(ratings, resamples=50)
    fits = found.measures["Clear"].mixed
    full, plain = as_json(fits.full), as_json(fits.simpler)
    assert full["formula"] == "Clear ~ model + (1 | who) + (1 | who:model) + (1 | item) + (1 | explanation)"
    assert plain["formula"] == "Clear ~ model + (1 | who) + (1 | item) + (1 | explanation)"
    assert list(full["sds"]) == ["who", "who:model", "item", "explanation", "residual"]
    assert full["sds"]["residual"] ** 2 == pytest.approx(full["variances"]["residual"])
    shown = spreads(found)
    assert shown is not None
    assert [column.name for column in shown.columns] == [
        "Measure",
        "People",
        "People in each condition",
        "Questions",
        "Explanations",
        "Single ratings",
    ]
    assert full["formula"] in shown.caption
    cells = dict(zip(full["sds"], shown.lines[0].cells[1:], strict=True))
    for group, sd in full["sds"].items():
        assert cells[group] == ("0" if group in full["singular"] else f"{sd:.2f}")
    flat = analyze(simulated(0, explanation=0.0), resamples=50)
    zero = flat.measures["Clear"].mixed.fullest.singular  # type: ignore[union-attr]
    assert zero
    assert "came out as zero" in flat.paragraph


def test_degrees_of_freedom_reach_intervals_pairs_and_equivalence() -> None:
    ratings = simulated(3, people=6, taste=0.4)
    fit = linear_mixed(ratings, "Clear", ratings.values["Clear"], margin=0.3)
    raised = linear_mixed(ratings, "Clear", ratings.values["Clear"], degrees="kenward-roger")
    for effect in fit.effects[1:]:
        assert 3 < effect.df < 60
        assert effect.equivalence == tost_of(effect.estimate, effect.se, 0.3, effect.df)
        assert effect.high - effect.estimate > 1.96 * effect.se
    assert all(row.df < 60 for row in fit.pairs)
    assert raised.joint.p > 0
    assert raised.degrees == "kenward-roger"
    assert raised.effects[1].se >= fit.effects[1].se * 0.999
    found = analyze(ratings, resamples=50)
    assert "--degrees kenward-roger" in found.paragraph
    assert "--degrees" not in analyze(ratings, resamples=50, degrees="kenward-roger").paragraph
    assert "--degrees" not in analyze(simulated(3, people=20), resamples=50).paragraph
