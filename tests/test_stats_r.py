"""Statistics of groups, factors, columns and raters against R on simulated data (tests/data/r), to 6 digits or more."""

from __future__ import annotations

import numpy as np
import pytest

from r_reference import number, read
from shrinklm.stats import (
    anova,
    box_m,
    cliff_delta,
    cronbach_alpha,
    dunn,
    gwet,
    holm,
    icc,
    krippendorff,
    kruskal,
    levene,
    npmanova,
    ols,
    outliers,
    pearson,
    quartiles,
    shapiro,
    spearman,
    tost,
    tukey,
    vargha_delaney,
)

GROUPS, ANOVA, OLS, MULTI, MISC, AGREEMENT = map(read, ("groups", "anova", "ols", "multivariate", "misc", "agreement"))


def near(theirs, rel=1e-6, floor=1e-12):
    return pytest.approx(number(theirs), rel=rel, abs=floor)


def groups_of(name):
    return {key: [number(cell) for cell in cells] for key, cells in GROUPS["data"][name].items()}


def listed(cell):
    """R writes a vector of one value as the value."""
    return cell if isinstance(cell, list) else [cell]


@pytest.mark.parametrize("name", GROUPS["data"])
def test_groups(name):
    groups, theirs = groups_of(name), GROUPS["R"][name]
    for key, values in groups.items():
        # Values near 1e9 have their last digits in what is left after subtracting it.
        assert quartiles(values) == pytest.approx(theirs["quartiles"][key], rel=1e-12)
        assert list(outliers(values).indices) == listed(theirs["outliers"][key])
        if "error" in theirs["shapiro"][key]:
            with pytest.raises(ValueError, match="Shapiro"):
                shapiro(values)
        else:
            found = shapiro(values)
            assert found.statistic == near(theirs["shapiro"][key]["W"])
            assert found.p == near(theirs["shapiro"][key]["p"], rel=2e-6)
    first, second = list(groups.values())[:2]
    assert vargha_delaney(first, second) == near(theirs["A"])
    assert cliff_delta(first, second) == near(theirs["delta"])
    _ranks(groups, theirs)
    _spreads(name, groups, theirs)
    _pairs(groups, theirs)


def _ranks(groups, theirs):
    if theirs["kruskal"]["H"] == "NaN":
        for test in (kruskal, dunn):
            with pytest.raises(ValueError, match="equal"):
                test(groups)
        return
    test = kruskal(groups)
    assert (test.statistic, test.df) == (near(theirs["kruskal"]["H"]), theirs["kruskal"]["df"])
    assert (test.p, test.eta2) == (near(theirs["kruskal"]["p"]), near(theirs["kruskal"]["eta2"]))
    for adjust, rows in (("bonferroni", theirs["dunn_b"]), ("holm", theirs["dunn_h"])):
        found = {frozenset((pair.a, pair.b)): pair for pair in dunn(groups, adjust)}
        assert len(found) == len(rows)
        for row in rows:
            pair = found[frozenset((row["group1"], row["group2"]))]
            sign = 1 if pair.a == row["group1"] else -1
            assert sign * pair.statistic == near(row["statistic"], floor=1e-9)
            assert (pair.p, pair.p_adjusted) == (near(row["p"]), near(row["p.adj"]))


def _spreads(name, groups, theirs):
    """R's F of two values a group is a ratio of rounding errors, about 1e31; here it is said to be no test."""
    if max(np.count_nonzero(~np.isnan(values)) for values in groups.values()) <= 2:
        assert number(theirs["levene"]["F"]) > 1e20
        with pytest.raises(ValueError, match="every group here has at most two"):
            levene(groups)
        return
    found = levene(groups)
    assert (found.df1, found.df2) == (theirs["levene"]["df1"], theirs["levene"]["df2"])
    if theirs["levene"]["F"] == "NaN":
        assert found.p == 1.0, "no spread anywhere: none differs"
        return
    assert found.statistic == near(theirs["levene"]["F"])
    assert found.p == near(theirs["levene"]["p"])


def _pairs(groups, theirs):
    found = {f"{pair.b}-{pair.a}": pair for pair in tukey(groups)}
    for row in theirs["tukey"]:
        turned = "-".join(reversed(row["pair"].split("-")))
        pair, sign = (found[row["pair"]], 1) if row["pair"] in found else (found[turned], -1)
        size = max(1.0, max(np.nanmax(np.abs(values)) for values in groups.values()))
        # R's qtukey stops at about five digits.
        near_ = {"rel": 1e-6, "abs": 1e-9 * size + 2e-5 * (row["upr"] - row["lwr"])}
        assert abs(pair.difference) == pytest.approx(abs(row["diff"]), **near_)
        ends = sorted(sign * end for end in (pair.low, pair.high))
        assert sorted(map(abs, ends)) == pytest.approx(sorted(map(abs, (row["lwr"], row["upr"]))), **near_)
        # R's ptukey stops at about eight digits, and gives 0 where the rest is below them.
        if row["p"] != "NaN":
            assert pair.p == pytest.approx(row["p"], rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("name", ANOVA["data"])
def test_type_2_anova(name):
    data, theirs = ANOVA["data"][name], ANOVA["R"][name]
    found = anova(data["y"], data["f"])
    if name == "sim20_zero_residual":  # R refuses; here every effect that there is has p = 0
        assert {term.p for term in found.terms} <= {0.0, 1.0}
        return
    if name == "sim09_tiny":  # R takes values of 1e-9 for rounding
        larger = anova(np.array(data["y"]) * 1e9, data["f"])
        assert [term.p for term in found.terms] == pytest.approx([term.p for term in larger.terms], rel=1e-9)
        return
    assert found.df == theirs["df"]
    scale = max((number(row["SS"]) for row in theirs["terms"] if row["df"]), default=1.0)
    terms = {term.term.replace(" × ", ":"): term for term in found.terms}
    for row in theirs["terms"]:
        term = terms.pop(row["term"], None)
        if not row["df"]:
            assert term is None or term.df1 == 0
            continue
        assert term.df1 == row["df"]
        assert term.sum_of_squares == pytest.approx(row["SS"], rel=1e-5, abs=1e-7 * scale)
        assert near(row["F"], rel=1e-5, floor=1e-6) == term.F
        assert term.p == near(row["p"], rel=1e-5, floor=1e-9)
        assert term.partial_eta2 == near(row["eta"], rel=1e-5, floor=1e-7)
    assert not terms


@pytest.mark.parametrize("name", OLS["data"])
def test_least_squares(name):
    data, theirs = OLS["data"][name], OLS["R"][name]
    y = [number(cell) for cell in data["y"]]
    if name == "sim04":  # constant values: R's t are ratios of rounding errors
        with pytest.raises(ValueError, match="do not vary"):
            ols(y, data["c"])
        return
    found = ols(y, data["c"])
    if name == "sim06":  # explained without rest: R warns, and its t of what adds nothing is rounding too
        estimates = [row["est"] for row in theirs["coef"]]
        assert [row.estimate for row in found.coefficients] == pytest.approx(estimates, abs=1e-12)
        assert {row.error for row in found.coefficients} == {0.0}
        assert [row.p == 0.0 for row in found.coefficients] == [True] * 3 + [False] * 3
        assert (found.r2, found.p) == (1.0, 0.0)
        return
    if "error" in theirs:  # R wants two levels of a factor; here the column is left out and named
        assert found.aliased == ("gsame",)
        return
    assert (found.n, found.df1, found.df2) == (theirs["n"], theirs["df1"], theirs["df2"])
    assert list(found.aliased) == listed(theirs["aliased"])
    assert [row.term for row in found.coefficients] == [row["term"] for row in theirs["coef"]]
    size = max(abs(row["est"]) for row in theirs["coef"])
    for ours, row in zip(found.coefficients, theirs["coef"], strict=True):
        assert ours.estimate == near(row["est"], floor=1e-15 * size)
        assert ours.error == near(row["se"])
        assert (ours.t, ours.p) == (near(row["t"], floor=1e-6), near(row["p"], floor=1e-12))
        floor = max(1e-9, 1e-15 * size)
        assert (ours.low, ours.high) == (near(row["low"], floor=floor), near(row["high"], floor=floor))
    assert (found.r2, found.adjusted_r2) == (near(theirs["r2"]), near(theirs["ar2"], floor=1e-9))
    assert (found.F, found.p) == (near(theirs["F"]), near(theirs["p"]))


@pytest.mark.parametrize("name", MULTI["data"])
def test_several_variables(name):
    data, theirs = MULTI["data"][name], MULTI["R"][name]
    rows, groups = np.array([[number(cell) for cell in row] for row in data["x"]]), data["g"]
    # R leaves a constant item out of alpha, which it warns of; alpha here counts it.
    if (np.ptp(rows, axis=0) > 0).all():
        assert cronbach_alpha(rows) == near(theirs["alpha"])
    for kind, value in zip("123", theirs["icc"], strict=True):
        if not np.isnan(rows).any():
            assert icc(rows, kind, resamples=2).value == near(value, floor=1e-7)
    if number(theirs["boxm"]["chi"]) < np.inf:
        box = box_m(rows, groups)
        assert (box.statistic, box.df) == (near(theirs["boxm"]["chi"]), theirs["boxm"]["df"])
        assert box.p == near(theirs["boxm"]["p"])
    else:  # a group has too few rows, or a variable does not vary in it
        with pytest.raises(ValueError, match="Box"):
            box_m(rows, groups)
    if "error" in theirs["man"] or np.ptp(rows, axis=0).min() == 0:
        with pytest.raises(ValueError, match=r"rows|var"):
            npmanova(rows, groups, permutations=2)
        return
    found = npmanova(rows, groups, permutations=2)
    assert found.wilks == near(theirs["man"]["wilks"])
    assert found.anova_type == near(theirs["man"]["ats"])
    for group, shares in theirs["man"]["eff"].items():
        assert found.effects[group] == pytest.approx(shares, rel=1e-9)


@pytest.mark.parametrize("name", MISC["data"])
def test_equivalence_and_correlations(name):
    data, theirs = MISC["data"][name], MISC["R"]["tost"][name]
    a, b = data["a"], data["b"]
    size = max(map(abs, [*a, *b, 1.0]))
    n = min(len(a), len(b))
    for paired, rows in ((False, (a, b)), (True, (a[:n], b[:n]))):
        if (row := theirs["paired" if paired else "welch"]) is None or "error" in row:
            continue
        found = tost(*rows, tuple(data["margin"]), paired=paired)
        near_ = {"rel": 1e-6, "abs": 1e-9 * size}
        assert (found.p_lower, found.p_upper) == pytest.approx((row["p_lower"], row["p_upper"]), rel=1e-6, abs=1e-9)
        assert (found.df, found.se) == (near(row["df"]), near(row["se"]))
        assert (found.low, found.high) == pytest.approx((row["low"], row["high"]), **near_)
    if n < 3 or np.ptp(a) == 0:
        with pytest.raises(ValueError, match="correlation"):
            pearson(a[:n], b[:n])
        return
    assert pearson(a[:n], b[:n]) == near(theirs["pearson"], floor=1e-9)
    assert spearman(a[:n], b[:n]) == near(theirs["spearman"], floor=1e-9)


def test_holm():
    for raw, adjusted in zip(MISC["holm"], MISC["R"]["holm"], strict=True):
        assert holm(raw) == pytest.approx(listed(adjusted), rel=1e-9)


@pytest.mark.parametrize("name", AGREEMENT["data"])
def test_agreement(name):
    """By the packages krippendorff and irrCAC; ICC(1) to (3) of complete tables by psych are in multivariate.json."""
    table = [[number(cell) for cell in row] for row in AGREEMENT["data"][name]]
    for key, value in AGREEMENT["values"][name].items():
        if isinstance(value, str) or value != value or key.startswith("icc"):
            continue
        kind, how = key.split("_")
        found = (
            krippendorff(table, how, resamples=2)
            if kind == "k"
            else gwet(table, [step * max(1.0, np.nanmax(table) // 5) for step in range(1, 6)], how, resamples=2)
        )
        assert found.value == pytest.approx(value, rel=1e-9, abs=1e-12), key
