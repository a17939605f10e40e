"""Separated ratings: no finite estimate, and so no test by Wald; models without a maximum."""

from __future__ import annotations

import numpy as np
import pytest

from r_reference import indicators, read
from shrinklm.stats import ordinal
from shrinklm.stats.ordinal_mixed import likelihood_ratio
from shrinklm.stats.separation import separation

CUTS = np.array([-2.0, -0.5, 0.7, 2.2])


def rated(conditions, people=10, each=3, seed=1, **forced):
    """Ratings 1 to 5 without an effect, but for conditions whose ratings a function changes."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), each * len(conditions))
    condition = np.tile(np.repeat(list(conditions), each), people)
    latent = rng.normal(size=people)[person] + rng.logistic(size=len(person))
    y = 1 + (latent[:, None] > CUTS).sum(axis=1)
    for name, change in forced.items():
        y[condition == name] = change(y[condition == name])
    return y, {c: (condition == c) * 1.0 for c in conditions[1:]}, {"person": person}


def low(y):
    return np.ones_like(y)


def above(y):
    return np.maximum(y, 2)


@pytest.mark.parametrize(
    ("conditions", "forced", "separated", "sign"),
    [
        ("AB", {"A": low, "B": above}, ("B",), 1),
        ("AB", {"A": above, "B": low}, ("B",), -1),
        ("ABC", {"C": lambda y: low(y) * 5}, ("C",), 1),
        ("ABC", {"A": low}, ("B", "C"), 1),
        ("AB", {"A": lambda y: np.minimum(y, 3), "B": lambda y: np.maximum(y, 3)}, ("B",), 1),
        ("AB", {"A": lambda y: (y > 3) * 1, "B": low}, ("B",), 1),
        ("AB", {"A": lambda y: y * 0, "B": low}, ("B",), 1),
    ],
    ids=["complete", "downwards", "all at the top", "reference at the bottom", "quasi", "binary", "binary complete"],
)
def test_separation_is_found_and_tested_by_likelihood_ratio(conditions, forced, separated, sign):
    y, columns, groups = rated(conditions, **forced)
    found = ordinal(y, columns, groups)
    assert found.converged
    assert found.separated == separated
    for effect in found.effects:
        if effect.name not in separated:
            assert 0 < effect.se < 2
            continue
        assert effect.estimate == sign * np.inf
        assert effect.p < 1e-6
        without = ordinal(y, {name: x for name, x in columns.items() if name != effect.name}, groups)
        ratio = likelihood_ratio(found, without)
        assert effect.z == pytest.approx(sign * np.sqrt(ratio.chi2))
        assert (effect.p, ratio.df) == (pytest.approx(ratio.p), 1)
        end = effect.low if sign > 0 else effect.high
        assert 1 < sign * end < 30


def test_the_interval_ends_where_the_likelihood_has_fallen():
    """Held at that end, by a binary model without people written out, the likelihood is lower by half of 3.84."""
    y = np.array([0] * 6 + [1] * 4 + [1] * 8)
    x = np.array([0] * 10 + [1] * 8)
    [effect] = ordinal(y, {"x": x}, {"g": np.tile([0, 1], 9)}).effects
    # The rows of either group are alike, so that σ is 0: 6 zeros and 4 ones where x is 0, only ones where it is 1.
    from scipy.optimize import minimize_scalar

    def loglik(cut, end):
        f = 1 / (1 + np.exp(-cut))
        return 6 * np.log(f) + 4 * np.log(1 - f) - 8 * np.log1p(np.exp(cut - end))

    held = -minimize_scalar(lambda cut: -loglik(cut, effect.low)).fun
    limit = 6 * np.log(0.6) + 4 * np.log(0.4)
    assert limit - held == pytest.approx(3.841459 / 2, abs=2e-3)
    null = 6 * np.log(6 / 18) + 12 * np.log(12 / 18)
    assert effect.z**2 == pytest.approx(2 * (limit - null), abs=1e-4)


def test_r_stops_anywhere_and_its_likelihood_is_reached():
    reference = read("ordinal")
    for name in ("sim15_separated", "sim16_fullsep"):
        data, theirs = reference["data"][name], reference["R"][name]
        assert theirs["coef"][0]["se"] > 100
        found = ordinal(data["y"], indicators(data["x"], [theirs["coef"][0]["term"]]), data["g"])
        assert found.loglik == pytest.approx(theirs["loglik"], abs=1e-4)
        assert found.effects[0].p < 1e-20


def test_conditions_that_both_lie_above_are_compared_with_each_other():
    y, columns, groups = rated("ABC", each=6, A=low, B=above, C=above)
    found = ordinal(y, columns, groups)
    assert found.contrast("B", [1, 0]) is None
    difference = found.contrast("C - B", [-1, 1])
    kept = np.flatnonzero(columns["B"] + columns["C"])
    alone = ordinal(y[kept], {"C": columns["C"][kept]}, {"person": groups["person"][kept]})
    assert not alone.separated
    # Without the rows of A, which say a little of people, it is nearly the same.
    assert difference.estimate == pytest.approx(alone.effects[0].estimate, abs=0.02)
    assert difference.se == pytest.approx(alone.effects[0].se, rel=0.02)


def test_what_overlaps_is_not_separated():
    y, columns, groups = rated("ABC")
    assert ordinal(y, columns, groups).separated == ()
    x = np.column_stack(list(columns.values()))
    assert separation(y - 1, x, 5) is None
    y[columns["C"] == 1] = 5
    face = separation(y - 1, x, 5)
    assert face.inner[-1] > 0
    assert np.abs(face.span[:-1]).max() < 1e-9


def test_separation_by_a_number():
    y, columns, groups = rated("AB", people=6)
    words = 100.0 * y + np.random.default_rng(0).uniform(0, 50, len(y))
    found = ordinal(y, {**columns, "words": words}, groups)
    assert "words" in found.separated
    assert found.effects[1].estimate == np.inf
    assert found.effects[1].p < 1e-9


def test_people_between_whom_nothing_is_left_to_chance_do_not_converge():
    """B is one above A, always: people's spread and the effect grow together, and no p is made of it."""
    person = np.repeat(np.arange(12), 4)
    b = np.tile([0, 0, 1, 1], 12)
    y = np.random.default_rng(3).integers(1, 5, 12)[person] + b
    found = ordinal(y, {"B": b}, {"person": person})
    assert not found.converged
    assert "grows without limit" in found.trouble
    assert np.isnan([found.effects[0].p, found.effects[0].se]).all()
    assert np.isnan(likelihood_ratio(found, ordinal(y, {}, {"person": person})).p)


def test_a_level_for_what_a_person_thinks_of_a_condition():
    """People, and each of them in each condition, as nested groupings."""
    rng = np.random.default_rng(0)
    person, b = np.repeat(np.arange(40), 20), np.tile(np.repeat([0, 1], 10), 40)
    taste = person * 2 + b
    latent = rng.normal(0, 1, 40)[person] + rng.normal(0, 0.8, 80)[taste] + rng.logistic(size=800)
    y = (latent[:, None] > CUTS).sum(axis=1)
    both = ordinal(y, {"B": b}, {"person": person, "person:condition": taste})
    alone = ordinal(y, {"B": b}, {"person": person})
    assert both.converged
    assert both.sds["person:condition"] == pytest.approx(0.8, abs=0.25)
    assert both.effects[0].se > 1.3 * alone.effects[0].se


def test_models_that_are_not_nested_are_not_compared():
    y, columns, groups = rated("AB")
    found = ordinal(y, columns, groups)
    with pytest.raises(ValueError, match="lacks some of its effects"):
        likelihood_ratio(found, found)
