"""LAS on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shrinklm.stats import las

# Ten answers of a student. The explanation alone gives away the first four (they leak).
EXPLANATION = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
QUESTION = [1, 1, 0, 1, 0, 1, 0, 0, 0, 1]
BOTH = [1, 1, 1, 1, 1, 1, 0, 1, 0, 0]


def test_a_worked_example():
    """LAS = (1/4 + 1/6) / 2 = 5/24; in all 7/10 - 5/10.

    Leaking: both 4/4, question 3/4: +1/4. Others: both 3/6, question 2/6: +1/6.
    """
    found = las(QUESTION, EXPLANATION, BOTH)
    assert found.value == pytest.approx(5 / 24)
    assert (found.leaking.n, found.leaking.question, found.leaking.both) == (4, 0.75, 1.0)
    assert (found.not_leaking.n, found.not_leaking.question, found.not_leaking.both) == (6, pytest.approx(2 / 6), 0.5)
    assert found.leaking.difference == 0.25
    assert found.simulatability == pytest.approx(0.2)
    assert found.leakage == 0.4
    assert found.empty == ""
    assert found.low < found.value < found.high
    assert found.simulatability_low <= 0.2 <= found.simulatability_high
    assert found.unit == "questions"
    assert las(QUESTION, EXPLANATION, BOTH) == found
    assert las(QUESTION, EXPLANATION, BOTH, seed=1) != found


def test_the_interval_is_that_of_resampled_items():
    rng = np.random.default_rng(3)
    sides = np.array([QUESTION, EXPLANATION, BOTH], dtype=float)
    draws = []
    for _ in range(4000):
        q, e, b = sides[:, rng.integers(0, 10, 10)]
        if 0 < e.sum() < 10:
            draws.append(((b - q)[e == 1].mean() + (b - q)[e == 0].mean()) / 2)
    found = las(QUESTION, EXPLANATION, BOTH)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.03)
    assert found.dropped == pytest.approx(0.4**10 + 0.6**10, abs=0.004)


@pytest.mark.parametrize(("leak", "group"), [(1, "not leaking"), (0, "leaking")])
def test_an_empty_group_is_reported_and_not_averaged_away(leak, group):
    found = las(QUESTION, [leak] * 10, BOTH)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.empty == group
    assert found.dropped == 1
    assert found.simulatability == pytest.approx(0.2)
    empty = found.leaking if group == "leaking" else found.not_leaking
    assert empty.n == 0
    assert math.isnan(empty.difference)


def test_seeds_are_resampled_too_and_unscored_items_left_out():
    nan = math.nan
    twice = [[*side, nan] for side in (QUESTION, QUESTION)]
    found = las(twice, [[*EXPLANATION, 1]] * 2, [[*BOTH, 1], [*BOTH, 1]])
    assert (found.value, found.leaking.n, found.unit) == (pytest.approx(5 / 24), 8, "questions and seeds")
    mixed = las([QUESTION, QUESTION], [EXPLANATION, [1 - one for one in EXPLANATION]], [BOTH, BOTH])
    assert (mixed.leaking.n, mixed.not_leaking.n) == (10, 10)
    assert mixed.value == pytest.approx(0.2)  # every item once in each group


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (([1, 0], [1], [1, 0]), "same items"),
        (([0.5, 0], [1, 0], [1, 0]), "right and wrong"),
        (([math.nan], [1], [1]), "nothing to estimate"),
    ],
)
def test_what_cannot_be_estimated_is_said(sides, message):
    with pytest.raises(ValueError, match=message):
        las(*sides)
