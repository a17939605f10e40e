"""Tests between groups against other packages, by hand, and at the edges; test_stats_r.py holds them against R."""

from __future__ import annotations

from itertools import product

import pytest

from shrinklm.stats import cliff_delta, dunn, holm, kruskal, levene, outliers, quartiles, shapiro, tukey, vargha_delaney

NAN = float("nan")
TIED = {"a": [1, 2, 2, 3, 3, 3, 5], "b": [3, 3, 4, 4, 5], "c": [5, 5, 4, 2, 5, 5]}


def test_quartiles_are_r_s_type_7():
    assert quartiles([1, 2, 3, 4]) == (1.75, 2.5, 3.25)
    assert quartiles([4.17, NAN, 5.58, 5.18]) == pytest.approx((4.675, 5.18, 5.38))


def test_outliers_lie_outside_the_fences_and_keep_their_places():
    found = outliers([10, 11, NAN, 12, 13, 30, -5, 12])
    assert found.indices == (5, 6)
    assert (found.low, found.high) == (pytest.approx(10.5 - 1.5 * 2), pytest.approx(12.5 + 1.5 * 2))
    assert outliers([1, 2, 3, 4, 7]).indices == (), "a value on the fence, 4 + 1.5 · 2 = 7, stays"
    assert outliers([1, 2, 3, 4, 7.001]).indices == (4,)
    assert outliers([3, 3, 3, 3]).indices == ()
    assert outliers([10, 11, 12, 13, 17], reach=3).indices == ()


def test_levene_is_scipy_s_on_unequal_groups_and_says_what_it_cannot_tell():
    from scipy.stats import levene as theirs

    assert levene(TIED).statistic == pytest.approx(theirs(*TIED.values(), center="median").statistic, rel=1e-12)
    assert levene({"a": [1, 1, 1], "b": [2, 2, 2]}).p == 1.0
    assert levene({"a": [1, 1, 3, 3], "b": [2, 2, 6, 6]}).p == 0.0, (
        "every value lies as far from its median as the others of its group"
    )
    for few in ({"a": [1], "b": [2]}, {"a": [1, 3], "b": [2, 6]}, {"a": [1, 3], "b": [2, 6], "c": [4]}):
        with pytest.raises(ValueError, match="at least three values; every group here has at most two"):
            levene(few)
    with pytest.raises(ValueError, match="only one group here has them"):
        levene({"a": [1, 3], "b": [2, 6], "c": [4, 5, 9]})


def test_shapiro_says_what_it_needs():
    with pytest.raises(ValueError, match="3 to 5,000 values that differ, found 4 with 1"):
        shapiro([2, 2, 2, 2])


def test_a_small_effect_can_be_below_zero():
    assert kruskal({"a": [1, 4], "b": [2, 3]}).eta2 < 0


def test_kruskal_leaves_out_what_was_not_scored():
    assert kruskal({"a": [1, NAN, 2, 9], "b": [3, 4, NAN]}) == kruskal({"a": [1, 2, 9], "b": [3, 4]})
    assert kruskal({"a": [1, NAN, 2, 9], "b": [3, 4, NAN]}).n == 5


@pytest.mark.parametrize("adjust", ["bonferroni", "holm"])
def test_dunn_is_scikit_posthocs_with_ties(adjust):
    theirs = pytest.importorskip("scikit_posthocs").posthoc_dunn(list(TIED.values()), p_adjust=adjust).to_numpy()
    found = dunn(TIED, adjust)
    assert [row.p_adjusted for row in found] == pytest.approx([theirs[0, 1], theirs[0, 2], theirs[1, 2]], rel=1e-10)
    if adjust == "holm":
        assert [row.p_adjusted for row in found] == pytest.approx(holm([row.p for row in found]))


def test_tukey_kramer_is_statsmodels_on_unequal_groups():
    multi = pytest.importorskip("statsmodels.stats.multicomp")
    values = [value for group in TIED.values() for value in group]
    names = [name for name, group in TIED.items() for _ in group]
    theirs = multi.pairwise_tukeyhsd(values, names)
    found = tukey(TIED)
    assert [-row.difference for row in found] == pytest.approx(list(theirs.meandiffs))
    assert [row.p for row in found] == pytest.approx(list(theirs.pvalues), abs=1e-6)
    assert [(-row.high, -row.low) for row in found] == [pytest.approx(tuple(pair), abs=1e-4) for pair in theirs.confint]


def test_tukey_of_groups_without_spread():
    same, apart, again = tukey({"a": [1, 1], "b": [1, 1], "c": [2, 2]})
    assert (same.p, apart.p, again.p) == (1.0, 0.0, 0.0)


def test_tukey_of_two_groups_is_the_t_test():
    from scipy.stats import ttest_ind

    a, b = TIED["a"], TIED["c"]
    assert tukey({"a": a, "b": b})[0].p == pytest.approx(ttest_ind(a, b).pvalue, abs=1e-9)


def test_vargha_delaney_and_cliff_are_counts_of_pairs():
    for a, b in ((TIED["a"], TIED["b"]), (TIED["c"], TIED["a"]), ([1.0], [2.0, 2.0])):
        more, less = sum(x > y for x, y in product(a, b)), sum(x < y for x, y in product(a, b))
        n = len(a) * len(b)
        assert cliff_delta(a, b) == pytest.approx((more - less) / n)
        assert vargha_delaney(a, b) == pytest.approx((more + (n - more - less) / 2) / n)
    assert vargha_delaney([1, 2], [3, 4]) == 0.0
    assert vargha_delaney([1, NAN], [1, 1]) == 0.5


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kruskal({"a": [1, 2]}), "at least two are needed; found 1: a"),
        (lambda: kruskal({"a": [1, 2], "b": [NAN]}), "group 'b' holds no number"),
        (lambda: kruskal({"a": [1, 2], "b": [float("inf"), 1]}), "group 'b' holds an infinite value at index 0"),
        (lambda: dunn({"a": [2, 2], "b": [2]}), "All values are equal"),
        (lambda: dunn(TIED, "bh"), "Adjustment 'bh' is not known"),
        (lambda: tukey({"a": [2], "b": [3]}), "every group here has one"),
        (lambda: vargha_delaney([], [1]), "a holds no number"),
        (lambda: vargha_delaney([[1, 2]], [1]), r"one list of numbers, found shape \(1, 2\)"),
    ],
)
def test_what_cannot_be_compared_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()
