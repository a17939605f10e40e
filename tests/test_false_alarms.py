"""The report's tests keep their size; benchmarks/false_alarms.py counts the same at length."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from benchmarks_of import benchmark

RUNS = 60


@pytest.fixture(scope="module")
def counting() -> ModuleType:
    return benchmark("false_alarms")


def test_made_up_methods_are_equal_and_seeds_move_as_said(counting: ModuleType) -> None:
    rng = np.random.default_rng(0)
    runs = [counting.scores(counting.Setting(5, 0.05), rng) for _ in range(200)]
    means = np.array([[matrix.mean(axis=1) for matrix in run] for run in runs])  # [runs, methods, seeds]
    assert means.mean(axis=(0, 2)) == pytest.approx(0.5, abs=0.015)
    # What is left of 200 answers adds to the spread of seeds: their own variance given the question is below 1/4.
    spread = np.sqrt(means.var(axis=2, ddof=1).mean())
    assert 0.05 < spread < np.sqrt(0.05**2 + 0.25 / counting.QUESTIONS)


def test_two_seeds_that_spread_are_no_false_alarm(counting: ModuleType) -> None:
    """At most 9 of 60: with a size of 5 % more than that comes in 1 of 1,000 such tests. Resampling two seeds gave 15 %
    and more of the pairs, and one seed gives 28 %."""
    rates = counting.rates(counting.Setting(2, 0.05), range(RUNS))
    assert max(rates["pair"], rates["separated"]) <= 9 / RUNS


def test_the_table_has_a_row_for_each_setting(counting: ModuleType) -> None:
    counts = {"pair": 0.05, "holm": 0.04, "separated": 0.04, "mcnemar": 0.03, "covered": 0.95, "found": 0.5}
    settings = [counting.Setting(seeds, 0.0, gain) for gain in (0.0, counting.GAIN) for seeds in counting.SEEDS]
    lines = counting.table(dict.fromkeys(settings, counts), 1000).splitlines()
    assert lines[2] == "| 1 | 0 | 5.0 ± 1.4 | 4.0 ± 1.2 | 3.0 ± 1.1 | 95.0 | 50 |"
    assert len(lines) == 2 + len(counting.SEEDS)
