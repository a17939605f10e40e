"""Agreement, correlation and planning against published worked examples and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shrinklm.stats import (
    Design,
    agreement,
    concordance,
    gwet,
    icc,
    krippendorff,
    mixed,
    partial,
    pearson,
    power,
    spearman,
    tost,
    tost_of,
)
from shrinklm.stats.agreement import table_of
from shrinklm.stats.correlation import bootstrap_pearson

NAN = float("nan")
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_own_example(level, alpha):
    """Krippendorff 2011, "Computing Krippendorff's alpha-reliability", part D: four observers, twelve units, gaps."""
    found = krippendorff(OBSERVERS, level)
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert (found.items, found.raters, found.ratings) == (11, 4, 40)
    assert found.low < found.value < found.high <= 1


def test_two_observers_of_two_values_by_hand():
    """Ten units, three of them apart; marginals 7 and 13: alpha = 1 - 19 · 6 / (2 · 7 · 13)."""
    table = np.array([[0, 0], [0, 0], [0, 1], [0, 1], [0, 1]] + [[1, 1]] * 5)
    assert krippendorff(table, "nominal", resamples=0).value == pytest.approx(1 - 19 * 6 / (2 * 7 * 13))
    for level in ("nominal", "ordinal", "interval"):
        assert krippendorff(table, level, resamples=0).value == pytest.approx(1 - 19 * 6 / (2 * 7 * 13))


def test_gwets_own_examples():
    """Gwet 2014: the same four raters, AC1 = 0.77544; two abstractors of 100 cases, AC1 = 0.84933."""
    found = gwet(OBSERVERS, weights="identity")
    assert found.value == pytest.approx(0.77544, abs=5e-6)
    assert (found.items, found.coefficient) == (11, "Gwet's AC1")
    cases = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
    table = np.array([pair for pair, count in np.ndenumerate(cases) for _ in range(count)])
    assert gwet(table, weights="identity", resamples=0).value == pytest.approx(0.84933, abs=5e-6)


def test_ac2_by_hand():
    """Three points, near misses worth 2/3 by rank: p_a = (1 + 1 + 2/3 + 2/3) / 4, π = (3, 4, 1) / 8."""
    table = [[1, 1], [2, 2], [1, 2], [2, 3]]
    shares = np.array([3, 4, 1]) / 8
    chance = (3 + 4 * 2 / 3) / 6 * (shares * (1 - shares)).sum()
    assert gwet(table, [1, 2, 3], resamples=0).value == pytest.approx((5 / 6 - chance) / (1 - chance))
    linear = (3 + 4 * 0.5) / 6 * (shares * (1 - shares)).sum()
    assert gwet(table, [1, 2, 3], "linear", resamples=0).value == pytest.approx((0.75 - linear) / (1 - linear))


def test_ac2_holds_where_nearly_everybody_says_the_same():
    table = np.full((40, 2), 5)
    table[0, 1] = 4
    assert krippendorff(table, "ordinal", resamples=0).value == pytest.approx(0.0, abs=0.02)
    assert gwet(table, range(1, 6), resamples=0).value > 0.95


@pytest.mark.parametrize(("kind", "value"), [("1", 0.17), ("2", 0.29), ("3", 0.71)])
def test_shrout_and_fleiss(kind, value):
    """Shrout & Fleiss 1979, tables 2 and 4."""
    found = icc(JUDGES, kind)
    assert found.value == pytest.approx(value, abs=0.005)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("kind", ["1", "2", "3"])
def test_an_icc_with_gaps_goes_on_where_the_full_table_ends(kind):
    rng = np.random.default_rng(0)
    full = rng.normal(0, 1, (60, 1)) + rng.normal(0, 0.5, (1, 5)) + rng.normal(0, 0.7, (60, 5))
    gaps = full.copy()
    gaps[0, 0] = NAN
    assert icc(gaps, kind, resamples=0).value == pytest.approx(icc(full, kind, resamples=0).value, abs=0.02)
    found = icc(gaps[:15], kind, resamples=10)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("coefficient", [krippendorff, gwet, icc])
def test_one_rater_an_item_is_said_in_words(coefficient):
    with pytest.raises(ValueError, match="cannot be computed: every item has one rater"):
        coefficient([[4, NAN], [NAN, 3], [5, NAN]])
    with pytest.raises(ValueError, match="nothing was rated"):
        coefficient([[NAN, NAN], [NAN, NAN]])


def test_agreement_says_what_is_wrong():
    with pytest.raises(ValueError, match="every rating is 4"):
        krippendorff([[4, 4], [4, 4]])
    with pytest.raises(ValueError, match=r"Found: \[7.0\]"):
        gwet([[4, 4], [7, 4]], range(1, 6))
    with pytest.raises(ValueError, match="Known: nominal, ordinal, interval"):
        krippendorff(JUDGES, "ratio")
    with pytest.raises(ValueError, match="compares items"):
        icc([[3, 4]])
    with pytest.raises(ValueError, match="shape"):
        icc([3, 4])


def test_a_long_list_becomes_a_table():
    table = table_of(["q1", "q1", "q2"], ["ann", "bob", "bob"], [4, 5, 1])
    assert table.tolist()[0] == [4, 5]
    assert np.isnan(table[1, 0])
    with pytest.raises(ValueError, match="ann rated item q1 more than once"):
        table_of(["q1", "q1"], ["ann", "ann"], [4, 5])


def test_intervals_of_agreement_are_seeded_and_shrink():
    rng = np.random.default_rng(1)
    truth = rng.integers(1, 6, 200)
    table = np.clip(truth[:, None] + rng.integers(-1, 2, (200, 3)), 1, 5)
    few, many = krippendorff(table[:30], seed=1), krippendorff(table, seed=1)
    assert many.high - many.low < 0.6 * (few.high - few.low)
    assert krippendorff(table, seed=1) == many
    assert krippendorff(table, seed=2).low != many.low


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_resamples_are_those_of_a_table_with_items_repeated(level, monkeypatch):
    rng = np.random.default_rng(1)
    table = 1e6 + rng.integers(1, 6, (9, 1)) + rng.integers(0, 2, (9, 3)).astype(float)
    table[0, 1:] = np.nan
    rated = table[1:]
    draws = np.random.default_rng(4)
    copies = [rated[draws.integers(0, 8, 8)] for _ in range(25)]
    each = [krippendorff(copy, level, resamples=0).value for copy in copies]
    found = krippendorff(table, level, seed=4, resamples=25)
    assert [found.low, found.high] == pytest.approx(np.quantile(each, [0.025, 0.975]), abs=1e-9)
    for numbers in (1, 50):
        monkeypatch.setattr(agreement, "_NUMBERS", numbers)
        assert krippendorff(table, level, seed=4, resamples=25) == found


def test_correlation_with_a_third_thing_taken_out():
    rng = np.random.default_rng(2)
    length = rng.normal(size=400)
    a, b = length + 0.5 * rng.normal(size=400), length + 0.5 * rng.normal(size=400)
    assert pearson(a, b) > 0.7
    assert abs(partial(a, b, length)) < 0.12
    ab, al, bl = pearson(a, b), pearson(a, length), pearson(b, length)
    assert partial(a, b, length) == pytest.approx((ab - al * bl) / np.sqrt((1 - al**2) * (1 - bl**2)))
    assert partial(a, b) == pytest.approx(ab)
    low, high = bootstrap_pearson(a, b)
    assert low < ab < high


def test_orders_by_hand():
    assert float(concordance([1, 2, 3], [10, 20, 15])) == pytest.approx(2 / 3)
    assert float(concordance([1, 2], [5, 5])) == 0.5
    assert concordance(np.array([[1, 2], [2, 1]]), np.array([[1, 2], [1, 2]])).tolist() == [1, 0]
    assert spearman([1, 2, 3, 4], [1, 8, 27, 64]) == pytest.approx(1)
    assert spearman([1, 2, 2], [1, 2, 3]) == pytest.approx(np.sqrt(0.75))


def test_what_has_no_correlation_is_said():
    for a, b, says in [
        ([1, 2], [1, 2], "three pairs"),
        ([1, 1, 1], [1, 2, 3], "does not vary"),
        ([1, NAN, 2], [1, 2, 3], "gaps"),
    ]:
        with pytest.raises(ValueError, match=says):
            pearson(a, b)
    with pytest.raises(ValueError, match="too few"):
        partial([1, 2, 4], [1, 3, 2], [1, 5, 2])
    with pytest.raises(ValueError, match="nothing is left"):
        partial([1, 2, 3, 4], [2, 1, 4, 3], [2, 4, 6, 8])
    with pytest.raises(ValueError, match="equally long"):
        concordance([1, 2], [1, 2, 3])


def test_tost_by_hand():
    """Differences 0, .2, -.1, .3, .1: mean .1, sd √.025, se √.005; t = (.1 ± .5) / se on 4 degrees of freedom."""
    from scipy.stats import t

    b = np.array([4.0, 3.0, 5.0, 2.0, 3.5])
    found = tost(b + np.array([0.0, 0.2, -0.1, 0.3, 0.1]), b, 0.5, paired=True)
    se = np.sqrt(0.005)
    assert (found.difference, found.se, found.df) == (pytest.approx(0.1), pytest.approx(se), 4)
    assert found.p_lower == pytest.approx(t.sf(0.6 / se, 4))
    assert found.p_upper == pytest.approx(t.cdf(-0.4 / se, 4))
    assert found.p == found.p_upper
    assert found.low == pytest.approx(0.1 - 2.131847 * se, abs=1e-6)
    assert found.equivalent


def test_tost_of_two_samples_is_welchs():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(3)
    a, b = rng.normal(4.0, 1, 60), rng.normal(4.05, 2, 80)
    found = tost(a, b, (-0.9, 0.7))
    assert found.p_lower == pytest.approx(ttest_ind(a, b - 0.9, equal_var=False, alternative="greater").pvalue)
    assert found.p_upper == pytest.approx(ttest_ind(a, b + 0.7, equal_var=False, alternative="less").pvalue)
    assert found.equivalent == (found.p < 0.05) == (found.low > -0.9 and found.high < 0.7)


def test_no_difference_is_not_yet_equivalence():
    assert not tost_of(0.0, 0.5, 0.5).equivalent
    assert tost_of(0.0, 0.1, 0.5).equivalent
    assert not tost_of(0.6, 0.01, 0.5).equivalent
    assert tost_of(0.0, 0.1, 0.5).p == pytest.approx(2.866516e-07, rel=1e-5)
    for arguments, says in [
        ((0.1, 0.0, 0.5), "standard error"),
        ((0.1, 0.1, (0.5, 0.5)), "margin"),
        ((0.1, 0.1, 0), "margin"),
    ]:
        with pytest.raises(ValueError, match=says):
            tost_of(*arguments)
    with pytest.raises(ValueError, match="equally many"):
        tost([1, 2, 3], [1, 2], 1, paired=True)


def test_false_alarms_are_five_percent_where_people_differ_in_taste():
    """Without a level for people in a condition they are 23 % here; 999 of 1,000 shares of 200 lie inside."""
    from scipy.stats import binom

    none = power(Design(12, 4, items=40, sd_taste=0.5), 0.0, simulations=200)
    low, high = binom.interval(0.999, 200, 0.05)
    assert low <= none.power * 200 <= high
    assert none.low < none.power < none.high
    assert (none.ratings, none.simulations) == (96, 200)


def test_tastes_and_explanations_that_differ_are_harder_to_find_an_effect_in():
    alike, *apart = (
        power(Design(12, 4, items=12, sd_taste=taste, sd_explanation=explanation), 0.4, simulations=50)
        for taste, explanation in [(0, 0), (0.7, 0), (0, 0.7)]
    )
    assert all(found.high < alike.low for found in apart)


def test_simulated_studies_are_fitted_with_the_levels_that_the_analysis_takes(monkeypatch):
    from shrinklm.stats import planning

    fitted = []

    def noted(y, columns, groups, **options):
        fitted.append({name: len(set(labels)) for name, labels in groups.items()})
        return mixed(y, columns, groups, **options)

    monkeypatch.setattr(planning, "mixed", noted)
    for design in (Design(10, 2, items=4), Design(10, 1, items=4), Design(4, 1, items=8000), Design(3, 2, items=8000)):
        power(design, 0.3, simulations=1)
    four = {"person": 10, "taste": 20, "question": 4, "explanation": 8}
    assert fitted[0] == four
    assert fitted[1] == {name: size for name, size in four.items() if name != "taste"}
    assert fitted[2] == {"person": 4}
    assert fitted[3] == {"person": 3, "taste": 6}


def test_ratings_that_leave_no_residual_detect_nothing():
    alike = Design(2, 2, items=4, sd_participant=0, sd_item=0, sd_residual=0.01, sd_taste=0, sd_explanation=0)
    assert power(alike, 2.0, simulations=3).power == 0
    assert power(alike, 1.0, simulations=3).effect == pytest.approx(1.0)


def test_power_grows_with_the_study_and_is_the_same_again():
    small = Design(12, 4, items=40)
    little, much = power(small, 0.3, simulations=40), power(Design(40, 4, items=80), 0.3, simulations=40)
    assert 0.1 < little.power < much.power
    assert much.power > 0.9
    assert power(small, 0.3, simulations=3, seed=1) == power(small, 0.3, simulations=3, seed=1)


def test_power_agrees_with_the_formula_where_there_is_one():
    """No rounding, no items: a paired t test of 15 people's means, whose differences have sd √(2 (.5² + .6² / 4))."""
    from scipy.stats import nct, t

    spreads = {"sd_item": 0.0, "sd_residual": 0.6, "sd_taste": 0.5, "sd_explanation": 0.0}
    found = power(Design(15, 4, items=1000, scale=None, **spreads), 0.6, simulations=150, seed=2)
    noncentral = 0.6 / np.sqrt(2 * (0.5**2 + 0.6**2 / 4) / 15)
    cut = t(14).ppf(0.975)
    assert found.low - 0.02 <= nct(14, noncentral).sf(cut) <= found.high + 0.02
    assert found.effect == pytest.approx(0.6, abs=0.05)


def test_designs_that_cannot_be():
    with pytest.raises(ValueError, match="two participants"):
        power(Design(1, 4), 0.3)
    with pytest.raises(ValueError, match="the pool has 5"):
        power(Design(10, 4, items=5), 0.3)
    for spreads in ({"sd_taste": -0.1}, {"sd_explanation": -0.1}, {"sd_residual": 0.0, "scale": None}):
        with pytest.raises(ValueError, match="Spreads"):
            power(Design(10, 4, items=40, **spreads), 0.3)
