"""Mixed models against brute force, statsmodels and known effects; test_stats_ordinal_r.py has R's ordinal ones."""

from __future__ import annotations

import numpy as np
import pytest

from shrinklm.stats import cluster_bootstrap, mixed, ordinal
from shrinklm.stats.clusters import cluster_draws

NAN = float("nan")
PERSON, X, Z = np.repeat(np.arange(9), 8), np.tile([0, 0, 0, 0, 1, 1, 1, 1], 9), np.tile([0, 0, 1, 1], 18)


def judged():
    """72 ratings from 1 to 5 by nine people, moved up by X and Z."""
    rng = np.random.default_rng(9)
    latent = 2.5 * X + 1.5 * Z + rng.normal(0, 1.2, 9)[PERSON] + rng.logistic(size=72)
    return 1 + (latent[:, None] > [-1.5, 1.5, 4, 6]).sum(axis=1)


RATINGS = judged()


def ones(n):
    return {"(Intercept)": np.ones(n)}


def crossed(seed=0, people=40, items=25):
    rng = np.random.default_rng(seed)
    person, item = np.repeat(np.arange(people), 8), np.concatenate([rng.permutation(items)[:8] for _ in range(people)])
    x = rng.integers(0, 2, len(person)).astype(float)
    y = (
        4
        + 0.5 * x
        + rng.normal(0, 0.7, people)[person]
        + rng.normal(0, 0.4, items)[item]
        + rng.normal(0, 0.6, len(person))
    )
    return y, {**ones(len(y)), "x": x}, {"person": person, "item": item}


def restricted(y, columns, groups, variances):
    """The restricted log-likelihood, written out with the covariance of the rows."""
    x = np.column_stack(list(columns.values()))
    v = variances["residual"] * np.eye(len(y))
    for name, labels in groups.items():
        v += variances[name] * (np.asarray(labels)[:, None] == np.asarray(labels)[None, :])
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    beta = np.linalg.solve(information, x.T @ inverse @ y)
    rest = y - x @ beta
    logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1] + rest @ inverse @ rest
    return -0.5 * (logs + (len(y) - x.shape[1]) * np.log(2 * np.pi)), beta, np.sqrt(np.diag(np.linalg.inv(information)))


def test_crossed_intercepts_are_the_restricted_likelihood_at_its_top():
    y, columns, groups = crossed()
    found = mixed(y, columns, groups)
    loglik, beta, se = restricted(y, columns, groups, found.variances)
    assert found.loglik == pytest.approx(loglik, abs=1e-6)
    assert [effect.estimate for effect in found.effects] == pytest.approx(list(beta), abs=1e-8)
    assert [effect.se for effect in found.effects] == pytest.approx(list(se), abs=1e-8)
    for name in found.variances:
        for factor in (0.97, 1.03):
            moved = {**found.variances, name: found.variances[name] * factor}
            assert restricted(y, columns, groups, moved)[0] < loglik


def test_known_effects_and_variances_are_recovered():
    found = mixed(*crossed(1, people=300, items=120))
    assert found.effects[1].estimate == pytest.approx(0.5, abs=3 * found.effects[1].se)
    assert found.effects[1].se < 0.04
    for name, variance in {"person": 0.49, "item": 0.16, "residual": 0.36}.items():
        assert found.variances[name] == pytest.approx(variance, rel=0.25)


def test_it_agrees_with_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    y, columns, groups = crossed(2)
    theirs = api.MixedLM(y, np.column_stack(list(columns.values())), groups["person"]).fit(reml=True)
    found = mixed(y, columns, {"person": groups["person"]})
    assert [effect.estimate for effect in found.effects] == pytest.approx(list(theirs.fe_params), abs=1e-5)
    assert [effect.se for effect in found.effects] == pytest.approx(list(theirs.bse_fe), rel=1e-3)
    assert found.variances["person"] == pytest.approx(float(np.asarray(theirs.cov_re)[0, 0]), rel=1e-3)


def test_scale_and_shift_of_columns_do_not_matter():
    y, columns, groups = crossed(3)
    length = np.random.default_rng(0).normal(300, 80, len(y))
    found = mixed(y, {**columns, "length": length}, groups)
    other = mixed(y + 1e4, {**columns, "length": length * 1e5}, groups)
    assert other.effects[2].estimate == pytest.approx(found.effects[2].estimate / 1e5, rel=1e-4)
    assert other.effects[2].z == pytest.approx(found.effects[2].z, rel=1e-4)


def test_a_joint_test_of_one_effect_is_its_square():
    found = mixed(*crossed(4))
    test = found.joint(["x"])
    assert (test.chi2, test.df, test.p) == (
        pytest.approx(found.effects[1].z ** 2),
        1,
        pytest.approx(found.effects[1].p),
    )
    with pytest.raises(ValueError, match="No effects called"):
        found.joint(["z"])


@pytest.mark.parametrize(
    ("y", "columns", "groups", "says"),
    [
        ([1, NAN, 2], ones(3), {"g": [0, 0, 1]}, "without gaps"),
        ([1, 2, 3], ones(3), {}, "at least one grouping"),
        ([1, 2, 3], ones(3), {"g": [0, 0, 0]}, "one level only"),
        ([1, 2, 3], ones(3), {"g": [0, 1, 2]}, "its own 'g'"),
        ([1, 2, 3], ones(3), {"g": [0, 1]}, "2 labels"),
        ([1, 2, 3, 5], {**ones(4), "a": [1, 1, 0, 0], "b": [0, 0, 1, 1]}, {"g": [0, 0, 1, 1]}, "'b' follows from"),
        ([1, 2, 3], {"a": [1, 2]}, {"g": [0, 0, 1]}, "shape"),
        ([1, 2, 3], {}, {"g": [0, 0, 1]}, "no fixed effects"),
        ([4, 4, 4, 4], ones(4), {"g": [0, 0, 1, 1]}, "nothing is left"),
        ([4, 4, 5, 5, 7, 7], ones(6), {"g": [0, 0, 1, 1, 2, 2]}, "nothing is left"),
        ([4, 5, 4, 6], ones(4), {"g": [0, 0, 1, 1], "h": ["x", "x", "y", "y"]}, "'g' and 'h' are the same"),
    ],
)
def test_what_cannot_be_fitted_is_said(y, columns, groups, says):
    with pytest.raises(ValueError, match=says):
        mixed(y, columns, groups)


def test_the_likelihood_is_the_integral():
    """Against numerical integration over each person's level."""
    from scipy.integrate import quad
    from scipy.stats import norm

    found = ordinal(RATINGS, {"x": X, "z": Z}, {"person": PERSON})
    cuts = np.array([-np.inf, *found.thresholds, np.inf])
    eta = X * found.effects[0].estimate + Z * found.effects[1].estimate
    rating = RATINGS

    def likelihood(u, who):
        rows = who == PERSON
        at = eta[rows] + u
        chances = 1 / (1 + np.exp(-(cuts[rating[rows]] - at))) - 1 / (1 + np.exp(-(cuts[rating[rows] - 1] - at)))
        return chances.prod() * norm.pdf(u, scale=found.sds["person"])

    with np.errstate(over="ignore"):
        whole = sum(np.log(quad(likelihood, -12, 12, args=(who,), epsabs=1e-14)[0]) for who in range(9))
    assert found.loglik == pytest.approx(whole, abs=1e-5)


def test_thresholds_and_effects_are_recovered():
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(250), 12)
    x, z = rng.integers(0, 2, 3000).astype(float), rng.normal(300, 50, 3000)
    latent = 0.8 * x - 0.008 * (z - 300) + rng.normal(0, 1.3, 250)[group] + rng.logistic(size=3000)
    cuts = np.array([-2.0, -0.5, 0.7, 2.2])
    found = ordinal(1 + (latent[:, None] > cuts).sum(axis=1), {"x": x, "z": z - 300}, {"group": group})
    assert found.converged
    assert found.effects[0].estimate == pytest.approx(0.8, abs=3 * found.effects[0].se)
    assert found.effects[1].estimate == pytest.approx(-0.008, abs=3 * found.effects[1].se)
    assert found.sds["group"] == pytest.approx(1.3, abs=0.2)
    assert found.thresholds == pytest.approx(cuts, abs=0.3)
    assert found.categories == (1, 2, 3, 4, 5)


def test_only_the_order_of_ratings_matters():
    plain = ordinal(RATINGS, {"x": X}, {"person": PERSON})
    bent = ordinal(np.exp(RATINGS), {"x": X}, {"person": PERSON})
    assert bent.effects[0].estimate == pytest.approx(plain.effects[0].estimate, abs=1e-6)
    turned = ordinal([6 - rating for rating in RATINGS], {"x": X}, {"person": PERSON})
    assert turned.effects[0].estimate == pytest.approx(-plain.effects[0].estimate, abs=1e-4)


@pytest.mark.parametrize(
    ("y", "columns", "groups", "nodes", "says"),
    [
        ([4, 4, 4, 4], {"x": [0, 1, 0, 1]}, {"g": [0, 0, 1, 1]}, 15, "All 4 ratings are 4"),
        ([1, 2, 3, 2], {"x": [1, 1, 1, 1]}, {"g": [0, 0, 1, 1]}, 15, "'x' follows"),
        ([1, 2, 3, 2], {"x": [0, 1, 0, 1]}, {"g": [0, 1, 2, 3]}, 15, "its own"),
        ([1, 2, 3, 2], {"x": [0, 1, 0, 1]}, {"g": [0, 0, 1, 1], "h": [0, 1, 2, 3]}, 15, "its own 'h'"),
        ([1, 2, 3, 2], {"x": [0, 1, 0, 1]}, {}, 15, "at least one grouping"),
        ([1, 2, 3, 2], {"x": [0, 1, 0, 1]}, {"g": [0, 0, 1, 1]}, 1, "5 nodes"),
    ],
)
def test_what_cannot_be_ordered_is_said(y, columns, groups, nodes, says):
    with pytest.raises(ValueError, match=says):
        ordinal(y, columns, groups, nodes)


def test_people_are_resampled_whole():
    """Two kinds of people, no spread within: the interval is that of 20 people, not of 400 ratings."""
    level = np.repeat([1.0, 5.0] * 10, 20)
    person, condition = np.repeat(np.arange(20), 20), ["a", "b"] * 200
    found = cluster_bootstrap(level, condition, person)
    half = 1.96 * 2 / np.sqrt(20)
    assert found.means[0].low == pytest.approx(3 - half, abs=0.1)
    assert found.means[0].high == pytest.approx(3 + half, abs=0.1)
    assert (found.clusters, found.means[0].n, found.means[0].clusters) == (20, 200, 20)
    [difference] = found.differences
    assert (difference.name, difference.value, difference.low, difference.high, difference.p) == (
        "b",
        0.0,
        0.0,
        0.0,
        1.0,
    )


def test_a_difference_within_people_is_found():
    rng = np.random.default_rng(6)
    person = np.repeat(np.arange(30), 10)
    condition = np.tile(["a", "b"], 150)
    y = rng.normal(0, 2, 30)[person] + 0.5 * (condition == "b") + rng.normal(0, 0.3, 300)
    y[3] = NAN
    found = cluster_bootstrap(y, condition, person, reference="b", seed=1)
    [difference] = found.differences
    assert difference.name == "a"
    assert -0.7 < difference.low < -0.5 < difference.high < -0.35
    assert difference.p == pytest.approx(2 / 10_001)
    assert cluster_bootstrap(y, condition, person, seed=1) == cluster_bootstrap(y, condition, person, seed=1)
    with pytest.raises(ValueError, match="No rating of 'c'"):
        cluster_bootstrap(y, condition, person, reference="c")
    with pytest.raises(ValueError, match="two clusters"):
        cluster_draws([1, 2], ["a", "b"], ["p", "p"])
