"""Shares at their ends have intervals with a width, and differences know how few training seeds there are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from shrinklm.stats import SeedSpread, cluster_bootstrap, estimate, estimates, paired, seed_spread, tango, wilson
from shrinklm.stats.crossed import Parts

ONES, ZEROS = [1.0] * 60, [0.0] * 60
EDGE = 3.841458820694124 / (60 + 3.841458820694124)
"""z² / (n + z²) at n = 60: Wilson's upper limit of 0 of 60, and Tango's of no discordant pair."""


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_share_at_its_ends_has_a_width(seeds: int) -> None:
    """Three seeds of 60 questions are 60 questions: the answers of one question are not independent."""
    low, high = estimate(np.zeros((seeds, 60)), share=True), estimate(np.ones((seeds, 60)), share=True)
    assert (low.low, low.high) == (0.0, pytest.approx(EDGE))
    assert (high.low, high.high) == (pytest.approx(1 - EDGE), 1.0)
    assert (high.n, high.low) == (60, pytest.approx(wilson(60, 60)[0], abs=1e-6))


def test_what_is_no_share_gets_no_width_that_is_not_known() -> None:
    """Differences, probabilities and ratings that are all alike say nothing of the next one."""
    for value in (0.0, 1.0, 3.0):
        found = estimate([value] * 60)
        assert found.low == found.high == value
    found = estimates({"share": ZEROS, "signed": ZEROS}, shares=["share"])
    assert found["signed"].high == 0.0 < found["share"].high


def test_a_share_within_is_the_bootstrap() -> None:
    values = [1.0] * 59 + [0.0]
    assert estimate(values, share=True) == estimate(values)


def test_what_is_called_a_share_and_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"values is no share"):
        estimate([0.5, 1], share=True)
    with pytest.raises(ValueError, match=r"b is no share"):
        paired([0, 1], [0.5, 1], share=True)


@pytest.mark.parametrize("seeds", [1, 2])
def test_equal_methods_have_a_width_between_them(seeds: int) -> None:
    same = paired([ONES] * seeds, [ONES] * seeds, share=True)
    assert (same.low, same.difference, same.high) == (pytest.approx(-EDGE), 0.0, pytest.approx(EDGE))
    assert same.p == 1.0
    mixed = [ONES[:30] + ZEROS[:30]] * seeds
    assert paired(mixed, mixed, share=True).high == pytest.approx(EDGE)
    apart = paired([ONES] * seeds, [ZEROS] * seeds, share=True)
    assert (apart.low, apart.high) == (pytest.approx((60 - 3.84146) / (60 + 3.84146), abs=1e-5), 1.0)
    unknown = paired([ONES] * seeds, [ONES] * seeds)
    assert unknown.equal
    assert not same.equal


@pytest.mark.parametrize(
    ("only_a", "only_b", "n"), [(0, 0, 9), (9, 0, 9), (0, 9, 9), (1, 8, 26), (12, 2, 50), (3, 3, 7)]
)
def test_tangos_interval_inverts_the_score_test(only_a: int, only_b: int, n: int) -> None:
    """Against the likelihood searched by numbers: where the score of the restricted fit is ± z."""
    z = norm.ppf(0.975)

    def score(delta: float) -> float:
        def loss(q: float) -> float:  # minus the log-likelihood of q = P(only b), given P(only a) = q + delta
            p = np.clip([q + delta, q, 1 - 2 * q - delta], 1e-300, 1)
            return -float(np.dot([only_a, only_b, n - only_a - only_b], np.log(p)))

        bounds = (max(0.0, -delta), (1 - delta) / 2)
        q = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        return (only_a - only_b - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta)))

    low, high = tango(only_a, only_b, n)
    assert tango(only_b, only_a, n) == (pytest.approx(-high), pytest.approx(-low))
    assert low == -1 or score(low) == pytest.approx(z, abs=2e-4)
    assert high == 1 or score(high) == pytest.approx(-z, abs=2e-4)
    for wrong in ((-1, 0, 5), (3, 3, 5), (0, 0, 0)):
        with pytest.raises(ValueError, match="discordant"):
            tango(*wrong)


def test_two_parts_are_the_sum_of_two_t() -> None:
    rng = np.random.default_rng(0)
    for questions, items, seeds, df, at in ((1, 200, 0.5, 2, 3.0), (1, 200, 3, 1, 8), (0.01, 100, 1, 5, 2.57)):
        drawn = np.abs(questions * rng.standard_t(items - 1, 400_000) + seeds * rng.standard_t(df, 400_000))
        known = Parts(questions, items, seeds, df)
        assert known.p(at) == pytest.approx((drawn >= at).mean(), abs=0.002)
        assert known.p(known.half_width(0.95)) == pytest.approx(0.05, abs=1e-6)


def test_a_comparison_says_what_it_speaks_of() -> None:
    rng = np.random.default_rng(1)
    one, two, three = (rng.random((seeds, 80)) < 0.5 for seeds in (1, 2, 3))
    assert (paired(one, one).unit, paired(one, three).unit) == ("questions", "questions")
    assert (paired(two, three).unit, paired(two, three).seeds) == ("questions and seeds", 2)
    assert paired(two, one, fixed=True).unit == "questions and seeds"


def test_seeds_far_apart_are_not_resampled_into_a_difference() -> None:
    """Two seeds of 40 and 50 % against 55 and 65 %: the questions tell them apart, another training might not."""
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 1000)) < np.array(shares)[:, None] for shares in ((0.55, 0.65), (0.4, 0.5)))
    assert paired(first, second).p > 0.05
    # Where other methods say that seeds hardly spread, it is shown.
    assert paired(first, second, spread=SeedSpread(0.0001, 8)).p < 0.001


def test_the_spread_of_seeds_is_pooled() -> None:
    first, second = np.array([[1.0, 0, 0, 0], [1, 1, 1, 0]]), np.array([[0.0, 0, np.nan, 0]])
    assert seed_spread([second]) is None
    spread = seed_spread([first, second, np.array([[1.0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])])
    assert spread == SeedSpread(pytest.approx(2 * 0.25**2 / 3), 3)


def test_people_who_all_guess_right_are_as_many_as_people() -> None:
    """Ten answers of each of six people: the interval is that of six, not of sixty."""
    people = [person for person in range(6) for _ in range(10)] * 2
    values, conditions = [1.0] * 60 + [0.0, 1.0] * 30, ["a"] * 60 + ["b"] * 60
    right, half = cluster_bootstrap(values, conditions, people, resamples=200, share=True).means
    assert (right.low, right.high) == (pytest.approx(wilson(6, 6)[0], abs=1e-6), 1.0)
    assert (half.low, half.high) == (0.5, 0.5)
    assert cluster_bootstrap(values, conditions, people, resamples=200).means[0].low == 1.0
