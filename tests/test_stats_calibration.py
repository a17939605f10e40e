"""Temperature, calibration error and thresholds: by hand, against other searches, and on simulated students."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shrinklm.stats import (
    calibration_error,
    calibration_gain,
    reliability,
    selective,
    temperature,
    threshold_for_accuracy,
    threshold_for_budget,
)

NAN = float("nan")


def simulated(questions: int, true_temperature: float, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """Scores of four options, and right options drawn with the probabilities softmax(scores / true_temperature)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, (questions, 4))
    shares = softmax(scores, true_temperature)
    return scores, [int(rng.choice(4, p=row)) for row in shares]


def softmax(scores: np.ndarray, divisor: float) -> np.ndarray:
    weights = np.exp(scores / divisor)
    return weights / weights.sum(axis=1, keepdims=True)


def told(scores: np.ndarray, gold: list[int], divisor: float) -> tuple[np.ndarray, np.ndarray]:
    """The confidence in the likeliest option, and whether it is right."""
    shares = softmax(scores, divisor)
    return shares.max(axis=1), (shares.argmax(axis=1) == np.array(gold)).astype(float)


def test_temperature_by_hand():
    # Two options a logarithmic odds of 1 apart, right three times out of four: 1/T = log 3 puts 0.75 on the first.
    scores, gold = [[1.0, 0.0]] * 40, [0, 0, 0, 1] * 10
    found = temperature(scores, gold)
    assert found.value == pytest.approx(1 / math.log(3))
    assert found.low < found.value < found.high
    assert (found.n, found.bound) == (40, None)


def test_temperature_is_the_one_that_a_search_over_all_of_them_finds():
    scores, gold = simulated(400, 0.3)
    grid = np.geomspace(0.05, 5, 4001)
    losses = [-np.log(softmax(scores, each)[np.arange(400), gold]).sum() for each in grid]
    found = temperature(scores, gold)
    assert found.value == pytest.approx(grid[int(np.argmin(losses))], rel=2e-3)
    inside = grid[np.array(losses) <= min(losses) + 1.920729]  # half of χ²'s 95 % quantile
    assert (found.low, found.high) == (pytest.approx(inside[0], rel=3e-3), pytest.approx(inside[-1], rel=3e-3))


def test_temperature_leaves_out_what_tells_nothing_and_takes_options_of_any_number():
    scores, gold = simulated(60, 1.0)
    ragged = [*scores.tolist(), [0.5], [NAN, 1.0], [-math.inf, 0.0], []]
    found = temperature([*ragged, [0.2, 0.1, 0.0]], [*gold, 0, 1, 1, 0, 2])
    assert found.n == 61
    assert found.value == temperature([*scores.tolist(), [0.2, 0.1, 0.0]], [*gold, 2]).value
    with pytest.raises(ValueError, match="one for each"):
        temperature(ragged, gold)


def test_temperature_says_where_it_stops_and_when_questions_are_too_few():
    always = temperature([[1.0, 0.0]] * 30, [0] * 30)
    assert (always.value, always.bound) == (pytest.approx(0.01), "low")
    never = temperature([[1.0, 0.0]] * 30, [1] * 30)
    assert (never.value, never.bound) == (pytest.approx(100.0), "high")
    assert temperature([[1.0, 0.0]] * 19, [0] * 19).value is None


def test_calibration_error_by_hand():
    # Ten bins of two answers each: .05 apart, one of each two right, so that a bin is off by |confidence - .5|.
    confidence = np.repeat(np.arange(1, 11) / 10 - 0.05, 2)
    right = [1.0, 0.0] * 10
    expected = np.mean(np.abs(np.arange(1, 11) / 10 - 0.05 - 0.5))
    found = calibration_error(confidence, right)
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high
    shuffled = np.random.default_rng(1).permutation(20)
    assert calibration_error(confidence[shuffled], np.array(right)[shuffled]).value == pytest.approx(expected)


def test_equal_confidences_are_one_bin_whatever_their_order():
    assert calibration_error([0.7] * 10, [1] * 7 + [0] * 3).value == pytest.approx(0)
    assert len(reliability([0.7] * 10, [1] * 7 + [0] * 3)) == 1


def test_several_seeds_are_each_measured_and_then_averaged():
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.3, 1, (2, 80))
    right = (rng.random((2, 80)) < confidence**2).astype(float)
    alone = [calibration_error(*pair).value for pair in zip(confidence, right, strict=True)]
    both = calibration_error(confidence, right)
    assert both.value == pytest.approx(np.mean(alone))
    assert (both.n, both.seeds) == (80, 2)


def test_answers_without_a_confidence_are_left_out():
    confidence, right = [0.9, NAN, 0.4, 0.6], [1.0, 0.0, 0.0, 1.0]
    found = calibration_error(confidence, right)
    kept = calibration_error([0.9, 0.4, 0.6], [1.0, 0.0, 1.0])
    assert (found.value, found.n) == (pytest.approx(kept.value), 3)
    assert sum(each.n for each in reliability(confidence, right)) == 3
    with pytest.raises(ValueError, match="No answer has a confidence"):
        calibration_error([NAN], [1])
    with pytest.raises(ValueError, match="within 0 and 1"):
        calibration_error([1.2], [1])
    with pytest.raises(ValueError, match="same answers"):
        calibration_error([0.2, 0.3], [1])


def test_a_calibrated_student_shows_the_noise_and_no_more():
    errors = [calibration_error(*told(*simulated(200, 0.5, seed), 0.5), resamples=200) for seed in range(40)]
    assert np.mean([each.value - each.noise for each in errors]) == pytest.approx(0, abs=0.006)
    # 95 % of the intervals reach 0; of 40, fewer than 34 would come with a probability of 0.4 %.
    assert sum(each.low == 0 for each in errors) >= 34


def test_a_temperature_repairs_an_overconfident_student():
    true = 0.5
    scores, gold = simulated(500, true, seed=3)
    found = temperature(scores, gold)
    assert found.low < true < found.high
    others, answers = simulated(500, true, seed=4)  # other questions than those it was fitted on
    before, right = told(others, answers, 0.1)
    after, _ = told(others, answers, found.value)
    worse, better = calibration_error(before, right), calibration_error(after, right)
    assert worse.p < 0.01
    assert worse.low > 0
    assert better.p > 0.05
    gain = calibration_gain(before, after, right)
    assert gain.value == pytest.approx(worse.value - better.value)
    assert gain.low > 0
    assert gain.p < 0.01
    assert calibration_gain(after, after, right).p == 1


def test_threshold_for_accuracy_is_the_loosest_before_the_first_test_that_fails():
    from scipy.stats import binomtest

    confidence = np.linspace(1, 0.01, 100)
    right = np.ones(100)
    right[[30, 42, 50, 55]] = 0
    right[60:] = 0
    found = threshold_for_accuracy(confidence, right, 0.8)
    assert found.value == pytest.approx(confidence[found.kept - 1])
    assert found.right == int(right[: found.kept].sum())

    def bound(kept: int) -> float:
        test = binomtest(int(right[:kept].sum()), kept, alternative="greater")
        return float(test.proportion_ci(0.95, "exact").low)

    assert found.bound == pytest.approx(bound(found.kept))
    assert min(bound(kept) for kept in range(20, found.kept + 1)) >= 0.8 > bound(found.kept + 1)


def test_no_threshold_says_how_many_questions_it_would_take():
    from scipy.stats import binom

    few = threshold_for_accuracy(np.linspace(1, 0.1, 20), np.ones(20), 0.9)
    assert few.value is None
    # 29 right answers out of 29 are the fewest: 0.9 ** 29 < 0.05. A fifth of the questions must be so many.
    assert few.needed == 29 * 5
    right = np.tile([1.0] * 19 + [0.0], 5)  # 95 % right, whatever the confidence
    some = threshold_for_accuracy(np.linspace(1, 0.1, 100), right, 0.93)
    assert some.value is None
    kept = some.needed * some.kept // 100
    assert binom.sf(math.floor(some.right / some.kept * kept) - 1, kept, 0.93) <= 0.05
    assert threshold_for_accuracy(np.linspace(1, 0.1, 100), np.tile([1.0, 0.0], 50), 0.9).needed is None


def test_an_unread_answer_is_the_first_to_be_passed_on():
    confidence = [NAN] * 10 + np.linspace(0.5, 1, 90).tolist()
    right = [0.0] * 10 + [1.0] * 90
    found = threshold_for_accuracy(confidence, right, 0.9)
    assert found.kept == 90
    assert found.value == 0.5
    assert threshold_for_budget(confidence, right, 0.2).value > 0.5


def test_threshold_for_budget_keeps_to_its_share_whatever_the_distribution():
    confidence, right = np.linspace(0.01, 1, 100), np.ones(100)
    found = threshold_for_budget(confidence, right, 0.2)
    # Of 100 questions 14 or more are below a quantile of 0.2 with a probability of 0.953, 15 or more of 0.920.
    assert (found.kept, found.value) == (87, pytest.approx(0.14))
    assert found.bound <= 0.2
    few = threshold_for_budget([0.5, 0.6], [1, 1], 0.2)
    assert (few.value, few.kept, few.needed) == (0.0, 2, 14)
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_for_budget(confidence, right, 1.0)


def test_a_guarantee_fails_no_more_often_than_it_says():
    rng = np.random.default_rng(5)
    wrong = over = 0
    for _ in range(300):
        confidence = rng.random(150)
        right = (rng.random(150) < 0.5 + confidence / 2).astype(float)
        # The share of right answers above a confidence of c is 0.75 + c / 4.
        accuracy = threshold_for_accuracy(confidence, right, 0.85).value
        wrong += accuracy is not None and 0.75 + accuracy / 4 < 0.85
        over += threshold_for_budget(confidence, right, 0.3).value > 0.3
    assert wrong <= 23, "5 % of 300 are 15; more than 23 come with a probability of 2 %"
    assert 2 <= over <= 23


def test_selective_accuracy_with_and_without_somebody_else():
    confidence, right, other = [0.9, 0.8, 0.8, NAN], [1, 0, 1, 0], [1, 1, 0, 1]
    alone = selective(confidence, right)
    assert alone.kept == (0, 0.25, 0.75, 1)
    assert alone.thresholds == (math.inf, 0.9, 0.8, 0)
    assert math.isnan(alone.accuracy[0])
    assert alone.accuracy[1:] == (1, pytest.approx(2 / 3), 0.5)
    assert selective(confidence, right, other).accuracy == (0.75, 0.75, 0.75, 0.5)
