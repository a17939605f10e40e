"""Ordinal models with crossed people and items: brute force, one grouping, simulated studies."""

from __future__ import annotations

import numpy as np
import pytest

from shrinklm.stats import ordinal
from shrinklm.stats.laplace import Laplace
from shrinklm.stats.quadrature import Quadrature

CUTS = np.array([-2.0, -0.5, 0.7, 2.2])


def simulated(people, items, each, sd_person, sd_item, seed=0):
    """Everybody rates `each` items; the odds of a higher rating are e^0.8 times as large where x is 1."""
    rng = np.random.default_rng(seed)
    person, item = (
        np.repeat(np.arange(people), each),
        np.concatenate([rng.permutation(items)[:each] for _ in range(people)]),
    )
    x = rng.integers(0, 2, len(person)).astype(float)
    levels = rng.normal(0, sd_person, people)[person] + rng.normal(0, sd_item, items)[item]
    latent = 0.8 * x + levels + rng.logistic(size=len(person))
    return 1 + (latent[:, None] > CUTS).sum(axis=1), x, {"person": person, "item": item}


def chances(y, eta, cuts):
    edges = np.array([-np.inf, *cuts, np.inf])
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(eta - edges[y])) - 1 / (1 + np.exp(eta - edges[y - 1]))


def test_a_tiny_likelihood_is_laplaces_by_brute_force_and_near_the_whole_integral():
    """Three people, two items, twelve ratings: mode and curvature without derivatives, all five levels on a grid."""
    from scipy.optimize import minimize

    y, x = np.array([1, 2, 3, 2, 3, 3, 1, 1, 2, 3, 2, 1]), np.tile([0.0, 1.0, 1.0], 4)
    person, item = np.repeat([0, 1, 2], 4), np.tile([0, 1], 6)
    cuts, beta, sd_person, sd_item = np.array([-0.6, 1.1]), 0.4, 0.7, 0.5
    model = Laplace(y - 1, x[:, None], 3, [person, item])
    value, _ = model.value(np.array([cuts[0], np.log(1.7), beta, sd_person, sd_item]))

    def depth(v):
        eta = beta * x + sd_person * v[person] + sd_item * v[3 + item]
        return -np.log(chances(y, eta, cuts)).sum() + v @ v / 2

    found = minimize(
        depth,
        np.zeros(5),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000},
    )
    h = 1e-3 * np.eye(5)
    curve = [
        [sum(a * b * depth(found.x + a * i + b * j) for a in (1, -1) for b in (1, -1)) / 4e-6 for i in h] for j in h
    ]
    assert value == pytest.approx(found.fun + np.linalg.slogdet(curve)[1] / 2, abs=1e-5)
    assert model.mode == pytest.approx(found.x, abs=1e-4)

    points, weights = np.polynomial.hermite_e.hermegauss(12)
    weights = weights / weights.sum()
    whole = 0.0
    for a, wa in zip(points, weights, strict=True):
        for b, wb in zip(points, weights, strict=True):  # the people fall apart once the items are held
            eta = (beta * x + sd_item * np.array([a, b])[item])[:, None] + sd_person * points
            each = chances(y[:, None], eta, cuts)
            whole += wa * wb * np.prod([each[person == k].prod(axis=0) @ weights for k in range(3)])
    assert value == pytest.approx(-np.log(whole), abs=0.03)


def test_the_gradient_is_that_of_the_value_with_three_groupings():
    rng = np.random.default_rng(0)
    codes = [np.arange(120) % 30, np.repeat(np.arange(20), 6), rng.integers(0, 5, 120)]
    model = Laplace(rng.integers(0, 4, 120), rng.normal(size=(120, 2)), 4, codes)
    at = model.start() + rng.normal(0, 0.3, 8)
    slopes = [(model.value(at + step)[0] - model.value(at - step)[0]) / 2e-5 for step in 1e-5 * np.eye(8)]
    assert model.value(at)[1] == pytest.approx(slopes, abs=1e-6)


def test_without_a_variance_of_items_it_is_quadrature_with_one_node():
    y, x, groups = simulated(30, 20, 8, 1.0, 0.0)
    at = np.array([-1.8, 0.3, 0.2, 0.4, 0.7, 0.1])
    one = Quadrature(y - 1, x[:, None], 5, groups["person"], nodes=1)
    one.adapt(at)
    both = Laplace(y - 1, x[:, None], 5, [groups["person"], groups["item"]])
    assert both.value(np.append(at, 0.0))[0] == pytest.approx(one.value(at)[0], abs=1e-7)


def test_items_that_are_all_alike_leave_the_fit_with_people_alone():
    """Items dealt out down the order of the ratings have less spread than chance gives, so their variance is zero."""
    y, x, groups = simulated(60, 30, 30, 1.0, 0.0)
    alike = np.empty(len(y), dtype=int)
    alike[np.argsort(y, kind="stable")] = np.arange(len(y)) % 20
    both, alone = (
        ordinal(y, {"x": x}, {"person": groups["person"], "item": alike}),
        ordinal(y, {"x": x}, {"person": groups["person"]}),
    )
    assert both.singular == ("item",)
    assert both.effects[0].estimate == pytest.approx(alone.effects[0].estimate, abs=2e-3)
    assert both.effects[0].se == pytest.approx(alone.effects[0].se, rel=2e-3)
    assert both.sds["person"] == pytest.approx(alone.sds["person"], rel=5e-3)
    assert both.thresholds == pytest.approx(alone.thresholds, abs=5e-3)
    assert both.loglik == pytest.approx(alone.loglik, abs=0.5)


def test_thresholds_effects_and_both_variances_are_recovered():
    y, x, groups = simulated(150, 100, 20, 1.2, 0.8)
    found = ordinal(y, {"x": x}, groups)
    assert found.converged
    assert not found.singular
    assert found.effects[0].estimate == pytest.approx(0.8, abs=3 * found.effects[0].se)
    assert found.effects[0].se < 0.1
    assert found.sds["person"] == pytest.approx(1.2, abs=0.25)
    assert found.sds["item"] == pytest.approx(0.8, abs=0.2)
    assert found.thresholds == pytest.approx(CUTS, abs=0.5)


def test_leaving_items_out_pulls_effects_to_zero():
    """A mixture of odds is flatter than each of its parts; items that differ much make that plain."""
    y, x, groups = simulated(80, 60, 15, 0.8, 1.6, seed=1)
    both, alone = ordinal(y, {"x": x}, groups), ordinal(y, {"x": x}, {"person": groups["person"]})
    assert both.effects[0].estimate > alone.effects[0].estimate
    assert both.loglik > alone.loglik + 20
