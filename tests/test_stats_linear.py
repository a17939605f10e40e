"""Analysis of variance, regression, alpha and the multivariate tests against R, NIST, statsmodels and by hand."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from shrinklm.stats import anova, box_m, cronbach_alpha, dunn, kruskal, levene, npmanova, ols, outliers, shapiro

NAN = float("nan")
LONGLEY = [
    (60323, 83.0, 234289, 2356, 1590, 107608, 1947),
    (61122, 88.5, 259426, 2325, 1456, 108632, 1948),
    (60171, 88.2, 258054, 3682, 1616, 109773, 1949),
    (61187, 89.5, 284599, 3351, 1650, 110929, 1950),
    (63221, 96.2, 328975, 2099, 3099, 112075, 1951),
    (63639, 98.1, 346999, 1932, 3594, 113270, 1952),
    (64989, 99.0, 365385, 1870, 3547, 115094, 1953),
    (63761, 100.0, 363112, 3578, 3350, 116219, 1954),
    (66019, 101.2, 397469, 2904, 3048, 117388, 1955),
    (67857, 104.6, 419180, 2822, 2857, 118734, 1956),
    (68169, 108.4, 442769, 2936, 2798, 120445, 1957),
    (66513, 110.8, 444546, 4681, 2637, 121950, 1958),
    (68655, 112.6, 482704, 3813, 2552, 123366, 1959),
    (69564, 114.2, 502601, 3931, 2514, 125368, 1960),
    (69331, 115.7, 518173, 4806, 2572, 127852, 1961),
    (70551, 116.9, 554894, 4007, 2827, 130081, 1962),
]
"""Longley's data (NIST StRD): (employed, six predictors), so collinear that careless solvers lose every digit."""
STUDY = Path(__file__).parents[2] / "shared" / "data" / "human-study"


def long(cells):
    """Cells {(level, level): values} → values and one list of levels a factor."""
    rows = [(value, *levels) for levels, values in cells.items() for value in values]
    return [list(column) for column in zip(*rows, strict=True)]


def unequal(seed=1, factors=(3, 2)):
    rng = np.random.default_rng(seed)
    cells = {}
    for levels in np.ndindex(*factors):
        cells[tuple(f"l{level}" for level in levels)] = list(rng.normal(sum(levels), 1 + levels[0], rng.integers(1, 7)))
    return cells


@pytest.mark.parametrize("factors", [(3, 2), (2, 2, 3)], ids=["two factors", "three factors"])
def test_unequal_cells_are_statsmodels_type_2(factors):
    api, stats = pytest.importorskip("statsmodels.formula.api"), pytest.importorskip("statsmodels.stats.anova")
    pandas = pytest.importorskip("pandas")
    values, *levels = long(unequal(2, factors))
    names = ["f", "g", "h"][: len(factors)]
    frame = pandas.DataFrame({"y": values} | dict(zip(names, levels, strict=True)))
    theirs = stats.anova_lm(api.ols("y ~ " + " * ".join(f"C({name})" for name in names), frame).fit(), typ=2)
    found = anova(values, dict(zip(names, levels, strict=True)))
    ours = {frozenset(term.term.split(":")): term for term in found.terms}
    for name in theirs.index[:-1]:
        term = ours[frozenset(part[2:-1] for part in name.split(":"))]
        assert term.sum_of_squares == pytest.approx(theirs.loc[name, "sum_sq"], rel=1e-9)
        assert (term.F, term.p) == (
            pytest.approx(theirs.loc[name, "F"], rel=1e-9),
            pytest.approx(theirs.loc[name, "PR(>F)"], rel=1e-8),
        )
    assert found.residual == pytest.approx(theirs.loc["Residual", "sum_sq"])


def test_the_order_of_factors_does_not_matter_and_residuals_are_from_cell_means():
    cells = unequal(3)
    values, f, g = long(cells)
    one, other = anova(values, {"f": f, "g": g}), anova(values, {"g": g, "f": f})
    assert {term.term: term.F for term in one.terms}["f"] == pytest.approx(
        {term.term: term.F for term in other.terms}["f"], rel=1e-10
    )
    assert one.residuals == pytest.approx([value - np.mean(inside) for inside in cells.values() for value in inside])


def test_scale_and_offset_change_no_f():
    values, f, g = long(unequal(4))
    plain = anova(values, {"f": f, "g": g})
    moved = anova([1e6 + 1e-3 * value for value in values], {"f": f, "g": g})
    assert [term.F for term in moved.terms] == pytest.approx([term.F for term in plain.terms], rel=1e-5)


def test_an_empty_cell_leaves_fewer_degrees_of_freedom():
    cells = unequal(5)
    del cells["l2", "l1"]
    values, f, g = long(cells)
    found = {term.term: term for term in anova(values, {"f": f, "g": g}).terms}
    assert (found["f"].df1, found["g"].df1, found["f:g"].df1) == (2, 1, 1)
    diagonal = anova([1, 2, 3, 5], {"f": list("aabb"), "g": list("xxyy")})
    assert [term.df1 for term in diagonal.terms] == [0, 0, 0], "two factors that say the same cannot be told apart"


def test_no_spread_and_no_difference():
    factors = {"f": list("aabb")}
    apart, [same] = anova([1, 1, 2, 2], factors).terms[0], anova([3, 3, 3, 3], factors).terms
    assert (apart.F, apart.p, apart.partial_eta2) == (float("inf"), 0.0, 1.0)
    assert same.p == 1.0
    assert np.isnan(same.F)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: anova([1, 2, 3], {"f": ["a", "a", "a"]}), "Factor 'f' has one level"),
        (lambda: anova([1, 2, 3], {"f": ["a", "b"]}), "Factor 'f' has 2 rows, the values have 3"),
        (lambda: anova([1, 2], {"f": ["a", "b"]}), "Every one of the 2 cells has one value"),
        (lambda: anova([1, NAN, 3], {"f": ["a", "b", "b"]}), "finite numbers"),
        (lambda: ols([1, 2], {"x": [1, 2]}), "2 complete rows cannot tell 2 terms apart"),
        (lambda: ols([1, 2, 3], {"x": ["a", "b", "b"]}, {"x": "c"}), "'x' has no level 'c'. Its levels: a, b"),
        (lambda: ols([1, 2, 3], {"x": [1, 2, 3]}, {"z": "c"}), "'z', which is no column"),
        (lambda: ols([1, 2, 3], {"x": [1, 2]}), "'x' has 2 rows"),
        (lambda: cronbach_alpha([[1], [2]]), "at least two items"),
        (lambda: cronbach_alpha([[1, 2], [2, 1]]), "do not"),
        (lambda: npmanova([[1, 2], [2, 1], [3, 5]], ["a", "a", "b"]), "of one row: b"),
        (lambda: npmanova([[1, 1], [2, 2], [3, 3], [4, 4]], list("aabb")), "follow from the other variables"),
        (lambda: box_m([[1, 1], [2, 2], [3, 1], [4, 5]], list("aabb")), "has no inverse"),
    ],
)
def test_what_cannot_be_fitted_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_category_is_the_t_test_and_the_reference_can_be_named():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 1, 9), rng.normal(1, 1, 12)
    values, groups = long({("1",): first, ("2",): second})
    found = ols(values, {"group": groups}).coefficients[1]
    theirs = ttest_ind(second, first)
    assert (found.term, found.estimate) == ("group2", pytest.approx(second.mean() - first.mean()))
    assert (found.t, found.p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    turned = ols(values, {"group": groups}, {"group": "2"}).coefficients[1]
    assert (turned.term, turned.estimate) == ("group1", pytest.approx(-found.estimate))


def test_longley_keeps_its_digits():
    """NIST StRD's certified values."""
    columns = list(zip(*LONGLEY, strict=True))
    found = ols(columns[0], {f"x{place}": column for place, column in enumerate(columns[1:], 1)})
    certified = [
        -3482258.63459582,
        15.0618722713733,
        -0.358191792925910e-1,
        -2.02022980381683,
        -1.03322686717359,
        -0.511041056535807e-1,
        1829.15146461355,
    ]
    assert [row.estimate for row in found.coefficients] == pytest.approx(certified, rel=1e-8)
    assert found.coefficients[0].error == pytest.approx(890420.383607373, rel=1e-8)
    assert found.r2 == pytest.approx(0.995479004577296, rel=1e-10)
    assert not found.aliased


def test_rows_without_a_value_are_left_out_and_repeated_columns_named():
    y, x = [1.0, 2, 4, NAN, 7, 8], [1, 2, 3, 4, 5, 6]
    kind = ["a", None, "b", "b", "a", "b"]
    found = ols(y, {"x": x, "kind": kind, "twice": [2 * value for value in x]})
    assert (found.n, found.aliased) == (4, ("twice",))
    assert [row.term for row in found.coefficients] == ["(Intercept)", "x", "kindb"]
    assert found.fitted + found.residuals == pytest.approx([1, 4, 7, 8])


def test_alpha_from_variances_and_from_covariances():
    rng = np.random.default_rng(8)
    items = rng.normal(size=(40, 1)) + rng.normal(size=(40, 5))
    covariance = np.cov(items.T)
    mean_covariance = np.mean([covariance[a, b] for a, b in combinations(range(5), 2)])
    assert cronbach_alpha(items) == pytest.approx(
        5 * mean_covariance / (np.trace(covariance) / 5 + 4 * mean_covariance)
    )
    assert cronbach_alpha([[1, 2], [2, 3], [4, 5], [NAN, 9]]) == pytest.approx(1.0)


def profiles(shift, seed=9):
    """Two variables that move together; the groups differ across that direction, so neither variable shows it alone."""
    rng = np.random.default_rng(seed)
    common = np.tile(rng.normal(size=30), 2)
    across = 0.3 * rng.normal(size=60) + np.repeat([0, shift], 30)
    return np.column_stack([common + across, common - across]), ["a"] * 30 + ["b"] * 30


def test_npmanova_sees_a_profile_that_no_variable_shows():
    rows, groups = profiles(0.4)
    found = npmanova(rows, groups)
    assert found.p_wilks == pytest.approx(1 / 1001)
    assert min(kruskal({"a": rows[:30, place], "b": rows[30:, place]}).p for place in (0, 1)) > 0.05
    assert (found.n, found.permutations, list(found.effects)) == (60, 1000, ["a", "b"])
    assert found.effects["a"][0] + found.effects["b"][0] == pytest.approx(1.0), "of two equal groups"
    assert npmanova(rows, groups) == found


def test_npmanova_s_lambda_is_wilks_lambda_of_the_ranks():
    pandas, manova = pytest.importorskip("pandas"), pytest.importorskip("statsmodels.multivariate.manova")
    from scipy.stats import rankdata

    rows, groups = profiles(0.1)
    ranks = rankdata(rows, axis=0)
    frame = pandas.DataFrame({"x": ranks[:, 0], "y": ranks[:, 1], "g": groups})
    theirs = manova.MANOVA.from_formula("x + y ~ g", frame).mv_test().results["g"]["stat"].loc["Wilks' lambda", "Value"]
    assert npmanova(rows, groups, permutations=1).wilks == pytest.approx(float(theirs), rel=1e-9)


def test_npmanova_s_p_is_the_share_of_all_permutations():
    rows = np.array([[1, 5], [2, 2], [4, 4], [3, 1], [5, 3], [6, 7], [7, 6]], dtype=float)
    from scipy.stats import rankdata

    ranks = rankdata(rows, axis=0)

    def spread(chosen):
        inside = sum(
            ((ranks[part] - ranks[part].mean(axis=0)) ** 2).sum()
            for part in (chosen, [i for i in range(7) if i not in chosen])
        )
        return -inside

    every = [spread(list(chosen)) for chosen in combinations(range(7), 3)]
    exact = np.mean([value >= spread([0, 1, 2]) - 1e-9 for value in every])
    assert npmanova(rows, list("aaabbbb"), permutations=20_000).p_anova_type == pytest.approx(exact, abs=0.012)


def test_npmanova_holds_its_level():
    rng, hits = np.random.default_rng(10), 0
    for seed in range(200):
        hits += npmanova(rng.normal(size=(24, 3)), list("abc") * 8, permutations=99, seed=seed).p_wilks <= 0.05
    assert 2 <= hits <= 19


def test_box_m_is_statsmodels():
    theirs = pytest.importorskip("statsmodels.stats.multivariate").test_cov_oneway
    rng = np.random.default_rng(11)
    parts = [rng.normal(size=(n, 3)) * scale for n, scale in ((12, 1.0), (15, 1.5), (9, 0.8))]
    found = box_m(np.concatenate(parts), ["a"] * 12 + ["b"] * 15 + ["c"] * 9)
    reference = theirs([np.cov(part.T) for part in parts], [len(part) for part in parts])
    assert (found.statistic, found.df) == (pytest.approx(reference.statistic_chi2, rel=1e-9), 12)
    assert found.p == pytest.approx(reference.pvalue_chi2, rel=1e-9)


@pytest.mark.skipif(not (STUDY / "r-results.json").is_file(), reason="the study's data are not here")
def test_every_statistic_of_the_human_study_is_r_s():
    rows = list(csv.DictReader((STUDY / "ratings.csv").open(encoding="utf-8")))
    expected = json.loads((STUDY / "r-results.json").read_text(encoding="utf-8"))
    constructs = ["Plausibility", "Understandability", "Completeness", "Satisfaction", "Contrastiveness"]
    for row in rows:
        row["Quality"] = np.mean([float(row[name]) for name in constructs])
    models = [entry["model"] for entry in expected["n_outliers"]]
    groups = {
        name: {model: [float(row[name]) for row in rows if row["model"] == model] for model in models}
        for name in (*constructs, "Quality")
    }

    for entry in expected["kruskal"]:
        found = kruskal(groups[entry["variable"]])
        assert (found.n, found.df) == (entry["n"], entry["df"])
        assert found.statistic == pytest.approx(entry["statistic"], rel=1e-9)
        assert float(f"{found.p:.3g}") == entry["p"], "R rounds p to three digits here"
    for name, group in groups.items():
        found_pairs, theirs = (
            dunn(group, "bonferroni"),
            [entry for entry in expected["dunn"] if entry["variable"] == name],
        )
        for pair, entry in zip(found_pairs, theirs, strict=True):
            assert (pair.a, pair.b, pair.n_a, pair.n_b) == (entry["group1"], entry["group2"], entry["n1"], entry["n2"])
            assert (pair.statistic, pair.p, pair.p_adjusted) == pytest.approx(
                (entry["statistic"], entry["p"], entry["p.adj"]), rel=1e-9
            )
    for entry in expected["levene"]:
        spread = levene(groups[entry["variable"]])
        assert (spread.df1, spread.df2) == (entry["df1"], entry["df2"])
        assert (spread.statistic, spread.p) == pytest.approx((entry["statistic"], entry["p"]), rel=1e-9)
    for entry in expected["shapiro"]:
        normal = shapiro(groups[entry["variable"]][entry["model"]])
        assert (normal.statistic, normal.p) == pytest.approx((entry["statistic"], entry["p"]), rel=5e-7)
    fences = {model: outliers(values) for model, values in groups["Quality"].items()}
    assert {model: len(found.indices) for model, found in fences.items()} == {
        entry["model"]: entry["n"] for entry in expected["n_outliers"]
    }

    kept = [row for row in rows if fences[row["model"]].low <= row["Quality"] <= fences[row["model"]].high]
    columns = {
        "model": [row["model"] for row in kept],
        "rationale_length": [float(row["rationale_length"]) for row in kept],
    }
    fit, theirs = ols([row["Quality"] for row in kept], columns, {"model": models[0]}), expected["lm"]
    assert {row.term for row in fit.coefficients} == set(theirs["terms"])
    by_term = {row.term: row for row in fit.coefficients}
    for entry in theirs["coef"]:
        row = by_term[entry["_row"]]
        assert (row.estimate, row.error, row.t) == pytest.approx(
            (entry["Estimate"], entry["Std. Error"], entry["t value"]), rel=1e-9
        )
        assert row.p == pytest.approx(entry["Pr(>|t|)"], rel=1e-9, abs=1e-300)
    assert (fit.r2, fit.adjusted_r2, fit.F) == pytest.approx((theirs["r2"], theirs["adjr2"], theirs["f"][0]), rel=1e-9)
    assert [fit.df1, fit.df2, fit.n] == [*theirs["f"][1:], theirs["n"]]
    assert cronbach_alpha([[float(row[name]) for name in constructs] for row in rows]) == pytest.approx(0.844, abs=5e-4)


def test_ols_says_that_a_constant_response_cannot_be_explained():
    slopes = [0.3, 1.7, 2.2, 3.9, 4.1, 5.6]
    for constant in (0.0, 0.1, 0.7, 3.0, 1e9):
        with pytest.raises(ValueError, match="do not vary: each of the 6 complete rows has"):
            ols([constant] * 6, {"x": slopes})


def test_ols_names_a_constant_column_as_aliased():
    values = [1.0, 3.0, 2.0, 5.0, 4.0, 6.5]
    for column, term in (([0.1] * 6, "k"), ([0.0] * 6, "k"), (["a"] * 6, "ka")):
        fit = ols(values, {"k": column})
        assert fit.aliased == (term,)
        assert (fit.df1, fit.r2) == (0, 0.0)
        assert [row.term for row in fit.coefficients] == ["(Intercept)"]
        beside = ols(values, {"k": column, "x": [1, 2, 3, 4, 5, 6]})
        assert beside.aliased == (term,)
        assert beside.r2 == pytest.approx(ols(values, {"x": [1, 2, 3, 4, 5, 6]}).r2)


@pytest.mark.parametrize(("n", "variables"), [(4, 3), (4, 4), (5, 4), (6, 6)])
def test_npmanova_says_that_rows_are_too_few(n, variables):
    rows = np.random.default_rng(0).normal(size=(n, variables))
    with pytest.raises(ValueError, match=f"{n} complete rows in 2 groups are too few for {variables} variables"):
        npmanova(rows, (["a", "b"] * n)[:n], permutations=5)


def test_tests_of_several_variables_need_a_variable():
    for test in (npmanova, box_m):
        with pytest.raises(ValueError, match="at least one variable"):
            test(np.zeros((6, 0)), ["a", "b"] * 3)


def test_ols_of_values_that_the_columns_explain_without_rest():
    """t of a column that adds nothing is zero over zero, not the ratio of two rounding errors."""
    x = np.arange(12.0)
    found = ols(2 * x + 1, {"x": x, "noise": np.random.default_rng(0).normal(size=12)})
    assert [row.estimate for row in found.coefficients] == pytest.approx([1, 2, 0], abs=1e-12)
    assert [row.p for row in found.coefficients[:2]] == [0.0, 0.0]
    assert np.isnan(found.coefficients[2].p)
    assert (found.r2, found.F, found.p) == (1.0, np.inf, 0.0)
    assert not found.residuals.any()


def test_the_reference_is_the_first_level_of_the_table_whichever_rows_are_complete():
    found = ols([NAN, 1, 2, 3, 5, 4], {"g": ["a", "b", "b", "a", "c", "a"]})
    assert [row.term for row in found.coefficients] == ["(Intercept)", "gb", "gc"]
