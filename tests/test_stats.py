from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from shrinklm.stats import Comparison, Estimate, McNemar, estimate, holm, mcnemar, mean_sd, paired

NAN = float("nan")


def test_an_estimate_says_what_it_stands_on():
    values = np.array([[1, 0, 1, NAN, NAN], [1, 1, 0, 0, NAN]])
    found = estimate(values)
    assert (found.value, found.n, found.seeds, found.unit) == (pytest.approx(4 / 7), 4, 2, "questions and seeds")
    assert found.low <= found.value <= found.high
    assert estimate([1, 0, 1]).unit == "questions"


def test_the_interval_of_one_seed_agrees_with_the_normal_one():
    values = np.random.default_rng(1).random(1221) < 0.45
    found, half = estimate(values), 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.002)
    assert found.high == pytest.approx(values.mean() + half, abs=0.002)


def test_the_interval_agrees_with_scipys_percentile_bootstrap():
    from scipy.stats import bootstrap

    values = np.random.default_rng(2).gamma(2.0, size=80)
    found = estimate(values, resamples=20_000)
    theirs = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(3)
    ).confidence_interval
    assert found.low == pytest.approx(theirs.low, abs=0.02)
    assert found.high == pytest.approx(theirs.high, abs=0.02)


def test_blocks_give_the_bootstrap_written_out():
    """The weighted sums against a loop that draws questions and seeds one by one."""
    rng = np.random.default_rng(4)
    values = (rng.random((3, 40)) < 0.5).astype(float)
    values[1, :10] = NAN
    means = [np.nanmean(values[rng.integers(0, 3, 3)][:, rng.integers(0, 40, 40)]) for _ in range(10_000)]
    found = estimate(values)
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.012)


def test_seeds_widen_the_interval():
    one = np.tile(np.random.default_rng(5).random(200) < 0.5, (4, 1)).astype(float)
    apart = one.copy()
    apart[:2] = 1.0
    assert estimate(apart).high - estimate(apart).low > 1.5 * (estimate(one).high - estimate(one).low)


def test_intervals_cover_the_truth():
    """Questions of differing difficulty, seeds of differing luck: 95 % intervals of one seed cover 92 to 98 %."""
    rng, hits, runs = np.random.default_rng(6), 0, 400
    for run in range(runs):
        difficulty = rng.beta(2, 3, size=150)
        found = estimate(rng.random(150) < difficulty, seed=run, resamples=600)
        hits += found.low <= 0.4 <= found.high
    assert 0.92 <= hits / runs <= 0.98


def test_intervals_over_seeds_and_questions_cover_the_truth():
    rng, hits, runs = np.random.default_rng(7), 0, 300
    for run in range(runs):
        chance = 0.5 + rng.normal(0, 0.1, size=150) + rng.normal(0, 0.03, size=(8, 1))
        found = estimate(rng.random((8, 150)) < chance, seed=run, resamples=600)
        hits += found.low <= 0.5 <= found.high
    assert hits / runs >= 0.93  # two-way resampling errs on the wide side


def test_paired_difference_covers_and_its_p_value_keeps_its_level():
    rng, false, runs = np.random.default_rng(8), 0, 300
    for run in range(runs):
        chance = rng.beta(2, 2, size=120)
        false += paired(rng.random(120) < chance, rng.random(120) < chance, seed=run, resamples=600).p < 0.05
    assert false / runs <= 0.09


def test_the_same_seed_gives_the_same_numbers_and_no_global_state_is_used():
    values = np.random.default_rng(9).random((3, 50))
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    assert estimate(values, seed=1) == estimate(values, seed=1) != estimate(values, seed=2)
    assert paired(values, values[::-1], seed=1) == paired(values, values[::-1], seed=1)
    assert (np.random.get_state()[1] == before).all()


def test_edges_of_an_estimate():
    assert estimate([0.3]) == Estimate(0.3, 0.3, 0.3, 1, 1, "questions")
    assert estimate([[1, 1], [1, 1]]) == Estimate(1.0, 1.0, 1.0, 2, 2, "questions and seeds")
    assert estimate([[NAN, NAN], [0, 1]]).seeds == 1
    disjoint = estimate([[1, NAN], [NAN, 0]])
    assert (disjoint.low, disjoint.value, disjoint.high) == (0.0, 0.5, 1.0)
    assert estimate([0, 1] * 50, level=0.5).high < estimate([0, 1] * 50).high


@pytest.mark.parametrize("values", [[], [[]], [NAN, NAN], [[NAN], [NAN]]])
def test_nothing_to_estimate_is_said_so(values):
    for call in (estimate, lambda v: paired(v, [1.0] * np.atleast_2d(v).shape[1]), mean_sd):
        with pytest.raises(ValueError, match="no score"):
            call(values)


def test_wrong_input_is_said_so():
    with pytest.raises(ValueError, match="infinite"):
        estimate([1, np.inf])
    with pytest.raises(ValueError, match="shape"):
        estimate(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="level"):
        estimate([1, 0], level=95)
    with pytest.raises(ValueError, match="resamples"):
        estimate([1, 0], resamples=0)
    with pytest.raises(ValueError, match="same items"):
        paired([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="nothing to compare"):
        paired([1, NAN], [NAN, 1])


def test_defect_30_methods_are_compared_question_by_question():
    """Two accuracies differ significantly when one method is right wherever the other is, not on unlike questions."""
    base = np.arange(400) % 2 == 0
    better = base | (np.arange(400) % 20 == 1)
    unlike = np.roll(better, 1)
    assert better.mean() == unlike.mean()
    assert paired(better, base).p < 0.001
    assert paired(unlike, base).p > 0.05
    assert mcnemar(better, base) == McNemar(20, 0, pytest.approx(2 * 0.5**20))
    assert mcnemar(unlike, base).p > 0.05
    assert paired(better, base).low > 0


def test_a_comparison_of_seeds_and_questions():
    rng = np.random.default_rng(10)
    chance = rng.random(300)
    a, b = rng.random((5, 300)) < chance + 0.15, rng.random((3, 300)) < chance
    found = paired(a, b)
    assert isinstance(found, Comparison)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert found.low <= found.difference <= found.high
    assert found.p < 0.01
    assert found.n == 300
    back = paired(b, a)
    assert back.difference == pytest.approx(-found.difference)
    assert back.p < 0.01


def test_edges_of_a_comparison():
    values = np.random.default_rng(11).random(30)
    same = paired(values, values)
    assert (same.difference, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    assert paired([1], [0]) == Comparison(1.0, 1.0, 1.0, pytest.approx(2 / 10_001), 1)
    some = paired([1, 1, NAN, 0], [[0, NAN, 1, 0], [NAN, NAN, 1, 0]])
    assert (some.difference, some.n) == (0.5, 2)


def test_ties_of_the_resampled_means_count_on_both_sides():
    a = np.tile([0.1, 0.2, 0.3], 50)
    b = np.tile([0.3, 0.1, 0.2], 50)
    assert paired(a, b).p == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (6, 0, 0.03125), (10, 2, 0.03857421875), (2, 10, 0.03857421875)],
)
def test_mcnemar_is_exact(only_a, only_b, p):
    a = [True] * only_a + [False] * only_b + [True, False]
    b = [False] * only_a + [True] * only_b + [True, False]
    assert mcnemar(a, b) == McNemar(only_a, only_b, pytest.approx(p))


def test_mcnemar_agrees_with_statsmodels():
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    rng = np.random.default_rng(12)
    for _ in range(20):
        a, b = rng.random(200) < 0.6, rng.random(200) < 0.5
        table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
        assert mcnemar(a, b).p == pytest.approx(contingency.mcnemar(table, exact=True).pvalue)


@pytest.mark.parametrize(("a", "b"), [([], []), ([1, 0], [1]), ([NAN, 1], [0, 1]), ([0.5], [1]), ([[1, 0]], [[1, 0]])])
def test_mcnemar_refuses_what_is_not_right_or_wrong(a, b):
    with pytest.raises(ValueError, match="McNemar"):
        mcnemar(a, b)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    for wrong in ([NAN], [1.1], [-0.1]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm(wrong)


def test_holm_agrees_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(13)
    for size in (1, 2, 5, 21):
        ps = np.round(rng.random(size) ** 3, 2)  # rounding makes ties
        assert holm(ps.tolist()) == pytest.approx(multitest.multipletests(ps, method="holm")[1])


def test_mean_and_deviation():
    assert mean_sd([1, 2, 3, NAN]) == (2.0, 1.0)
    assert mean_sd([4]) == (4.0, None)


def test_ten_thousand_resamples_of_a_real_run_are_fast_and_small():
    values = (np.random.default_rng(14).random((6, 1221)) < 0.5).astype(float)
    tracemalloc.start()
    started = time.process_time()
    estimate(values)
    elapsed = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert elapsed < 2
    assert peak < 30e6


def test_statistics_and_metrics_load_without_torch():
    names = ("stats", "evaluation.ask", "core.results", "evaluation.metrics.answers", "evaluation.metrics.explanations")
    modules = ", ".join(f"shrinklm.{name}" for name in names)
    code = (
        f"import sys, {modules}; print(*sorted({{'torch', 'transformers', 'scipy', 'pyarrow'}} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
