"""Linear mixed models against R (lme4, lmerTest, pbkrtest); tests/data/r/mixed.R makes its figures again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shrinklm.stats import mixed
from shrinklm.stats.linear_mixed import Mixed

SETS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "r" / "mixed.json").read_text())["sets"]
SHARED = Path(__file__).parents[2] / "shared" / "data" / "r-reference" / "mixed.json"
SIX, FOUR = 1e-6, 1e-4


def fitted(name: str, method: Any = "satterthwaite") -> tuple[Mixed, dict[str, Any], list[str]]:
    """(our fit, R's figures, the effects of the conditions)."""
    data, by_r = SETS[name]["data"], SETS[name]["R"]
    condition = np.array(data["condition"])
    levels = [str(level) for level in range(2, condition.max() + 1)]
    columns = {"(Intercept)": np.ones(len(condition))} | {level: (condition == int(level)) * 1.0 for level in levels}
    groups = [by_r["groups"]] if isinstance(by_r["groups"], str) else by_r["groups"]
    return mixed(data["y"], columns, {group: data[group] for group in groups}, method), by_r, levels


@pytest.mark.parametrize("name", SETS)
def test_estimates_variances_and_satterthwaite_are_rs(name):
    found, by_r, levels = fitted(name)
    for key in ("estimate", "se", "df"):
        assert [getattr(effect, key) for effect in found.effects] == pytest.approx(by_r[key], rel=SIX), key
    assert [effect.p for effect in found.effects] == pytest.approx(by_r["p"], rel=1e-4)
    assert found.loglik == pytest.approx(by_r["loglik"], abs=1e-6)
    residual = by_r["variances"]["Residual"]
    for group, variance in found.variances.items():
        other = by_r["variances"]["Residual" if group == "residual" else group]
        assert variance == pytest.approx(other, rel=FOUR, abs=1e-7 * residual), group
    test = found.joint(levels)
    assert (test.chi2 / test.df, test.df2, test.p) == pytest.approx((by_r["F"], by_r["df2"], by_r["p_joint"]), rel=1e-5)
    if by_r["last"]:
        last = found.contrast("last", np.eye(len(levels) + 1)[-1] - np.eye(len(levels) + 1)[1])
        assert (last.estimate, last.se, last.df) == pytest.approx(tuple(by_r["last"].values()), rel=SIX)


@pytest.mark.parametrize("name", SETS)
def test_kenward_and_roger_are_as_in_pbkrtest(name):
    found, by_r, levels = fitted(name, "kenward-roger")
    other = by_r["kenward_roger"]
    assert [effect.se for effect in found.effects] == pytest.approx(other["se"], rel=SIX)
    assert [effect.df for effect in found.effects] == pytest.approx(other["df"], rel=1e-5)
    test = found.joint(levels)
    assert (test.chi2 / test.df, test.df2, test.p) == pytest.approx((other["F"], other["df2"], other["p"]), rel=1e-5)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data/r-reference")
def test_every_shared_data_set_is_fitted_as_by_r():
    """R's own data sets, the published ratings and simulated extremes; where a variance is 10,000 times the residual's,
    or the ratings are near 1e9, R's own digits end earlier: there the likelihood must be no lower."""
    shared = json.loads(SHARED.read_text())
    for name, data in shared["data"].items():
        by_r = shared["R"][name]
        terms = [row["term"] for row in by_r["coef"]]
        columns: dict[str, Any] = {"(Intercept)": np.ones(len(data["y"]))}
        for key, cells in data["x"].items():
            texts = isinstance(cells[0], str)
            levels = [term.removeprefix(key) for term in terms if term.startswith(key)] if texts else [""]
            columns |= {
                key + level: np.array([(cell == level) if texts else cell for cell in cells]) for level in levels
            }
        found = mixed(data["y"], columns, data["g"])
        residual = by_r["var"]["Residual"]
        assert found.loglik >= by_r["loglik"] - (1e-4 if name == "sim07_1e9off" else 1e-6), name
        wide = name == "sim07_1e9off" or max(by_r["var"].values()) > 1e3 * residual
        for group, variance in by_r["var"].items():
            ours = found.variances["residual" if group == "Residual" else group]
            assert ours == pytest.approx(variance, rel=2e-3 if wide else FOUR, abs=1e-7 * residual), (name, group)
        for row, df in zip(by_r["coef"], by_r["satt"], strict=True):
            effect = next(effect for effect in found.effects if effect.name == row["term"])
            near = {"rel": SIX, "abs": (1e-4 if wide else SIX) * row["se"]}
            assert effect.estimate == pytest.approx(row["est"], **near), (name, effect.name)
            assert effect.se == pytest.approx(row["se"], rel=1e-4 if wide else SIX), (name, effect.name)
            # R differentiates numerically, in steps that do not fit these: ratings of 1e-7, or of 1e9 or around it.
            if not wide and name not in ("sim08_1e9scale", "sim12_tiny"):
                assert effect.df == pytest.approx(df["df"], rel=1e-3), (name, effect.name)


def test_no_search_ends_at_a_false_zero():
    """Small crossed studies, some of whose variances are zero: no other start finds a higher likelihood."""
    from shrinklm.stats.restricted import Restricted

    zeros = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        person, item = np.repeat(np.arange(12), 6), np.concatenate([rng.permutation(15)[:6] for _ in range(12)])
        condition = np.tile([0, 1], 36)
        sds = rng.choice([0.0, 0.1, 0.3, 2.0], 3)
        y = rng.normal(0, sds[0], 12)[person] + rng.normal(0, sds[1], 15)[item] + rng.normal(0, 0.7, 72)
        y += rng.normal(0, sds[2], 24)[person * 2 + condition]
        codes = [np.unique(labels, return_inverse=True)[1] for labels in (person, item, person * 2 + condition)]
        data = Restricted(y, np.column_stack([np.ones(72), condition]), codes)
        best = data.maximum()
        zeros += int((best.ratios == 0).sum())
        for start in (1e-3, 20.0):
            assert best.deviance <= data._search(np.full(3, start)).deviance + 1e-6, (seed, start)
        # At a zero the deviance rises, and elsewhere it is level.
        slope = best.curve.gradient * (1 + best.ratios)
        assert (slope[best.ratios == 0] >= 0).all()
        assert np.abs(slope[best.ratios > 0]).max(initial=0) < 1e-4
    assert zeros > 10


@pytest.mark.parametrize("name", SETS)
def test_small_models_are_fitted_by_dense_matrices_as_large_ones_by_sparse(name, monkeypatch):
    from shrinklm.stats import elimination

    small, _, _ = fitted(name)
    monkeypatch.setattr(elimination, "SMALL", 0)
    monkeypatch.setattr(elimination, "_FEW", 0)
    large, _, _ = fitted(name)
    assert small.loglik == pytest.approx(large.loglik, abs=1e-8)
    for key in ("estimate", "se", "df"):
        ours, others = ([getattr(effect, key) for effect in fit.effects] for fit in (small, large))
        assert ours == pytest.approx(others, rel=SIX), key


def test_a_search_that_starts_near_its_end_comes_to_the_same_end():
    rng = np.random.default_rng(0)
    people, items = np.repeat(np.arange(20), 6), np.concatenate([rng.permutation(12)[:6] for _ in range(20)])
    last = np.tile([0, 0, 0, 1, 1, 1], 20)
    y = rng.normal(0, 0.5, 20)[people] + rng.normal(0, 0.4, 40)[2 * people + last] + rng.normal(0, 0.6, 120)
    groups = {"person": people.tolist(), "taste": (2 * people + last).tolist(), "question": items.tolist()}
    columns = {"(Intercept)": np.ones(120), "last": last}
    start = {"taste": 0.4, "question": 0.0, "person": 0.7}
    near, plain = mixed(y, columns, groups, start=start), mixed(y, columns, groups)
    assert near.loglik == pytest.approx(plain.loglik, abs=1e-3)
    assert near.effects[1].p == pytest.approx(plain.effects[1].p, abs=1e-3)
    assert near.variances == pytest.approx(plain.variances, abs=0.01)
