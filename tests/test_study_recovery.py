"""The analysis of a study finds effects that were put in; benchmarks/study_recovery.py does the same at length."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks_of import benchmark
from shrinklm.study.analysis.models import linear_mixed
from shrinklm.study.analysis.ratings import Ratings

STUDIES = 30


@pytest.fixture(scope="module")
def recovery() -> ModuleType:
    return benchmark("study_recovery")


def _found(recovery: ModuleType, share: float, **options: Any) -> list[dict[str, Any]]:
    return [recovery.analysed(recovery.Task(seed, share, **options)) for seed in range(STUDIES)]


def test_simulated_studies_are_as_balanced_as_real_ones(recovery: ModuleType) -> None:
    ratings = recovery.study(recovery.Task(0, 1.0))
    assert len(set(ratings.raters)) == 48
    assert set(Counter(zip(ratings.raters, ratings.conditions, strict=True)).values()) == {3}
    assert set(Counter(ratings.rated).values()) == {3}
    assert set(Counter(zip(ratings.raters, ratings.items, strict=True)).values()) == {1}


@pytest.mark.parametrize(
    "options",
    [{}, {"leave": 0.2}, {"rounded": True}, {"taste": 0.3, "questions": 24}],
    ids=["complete", "leaving", "rounded", "24 people with taste"],
)
def test_effects_are_recovered(recovery: ModuleType, options: dict[str, Any]) -> None:
    found, effects = _found(recovery, 1.0, **options), recovery.truth("rounded" in options)
    inside = []
    for name, true in effects.items():
        entries = [one["all levels"][name] for one in found]
        values = np.array([entry["estimate"] for entry in entries])
        inside += [entry["low"] <= true <= entry["high"] for entry in entries]
        assert abs(values.mean() - true) < 4 * values.std(ddof=1) / np.sqrt(STUDIES), name
        # The intervals are as wide as the estimates scatter, give or take what 30 studies leave open.
        assert 0.65 < np.mean([entry["se"] for entry in entries]) / values.std(ddof=1) < 1.5, name
    assert np.mean(inside) > 0.85
    if "rounded" not in options:
        taste = options.get("taste", 0.0)
        truth = {"CASE": 0.5**2, "CASE:model": taste**2, "item": 0.3**2, "explanation": 0.25**2, "residual": 0.7**2}
        for group, variance in truth.items():
            if not variance:  # an estimate of zero is never below it
                continue
            drawn = np.array([one["variances"][group] for one in found])
            assert abs(drawn.mean() - variance) < 4 * drawn.std(ddof=1) / np.sqrt(STUDIES), group


def test_rows_taken_as_independent_see_what_is_not_there(recovery: ModuleType) -> None:
    found = _found(recovery, 0.0, between=True)
    rows, model = (np.mean([one["p"][name] < 0.05 for one in found]) for name in ("rows", "all levels"))
    assert rows > 0.3
    assert model < 0.2


def test_the_rounded_truth_is_that_of_a_large_population(recovery: ModuleType) -> None:
    noise = np.sqrt(0.5**2 + 0.3**2 + 0.25**2 + 0.7**2) * np.random.default_rng(0).standard_normal(400_000)
    means = {
        name: np.clip(np.round(recovery.MEAN + effect + noise), 1, 5).mean()
        for name, effect in recovery.EFFECTS.items()
    }
    for name, true in recovery.truth(True).items():
        assert means[name] - means["A"] == pytest.approx(true, abs=0.003)


def test_what_must_hold_is_found_broken(recovery: ModuleType) -> None:
    good = {"bias": 0.01, "bias_se": 0.01, "coverage": 0.95}
    share = {"value": 0.95, "se": 0.005}

    def model() -> dict[str, Any]:
        alarms = {"value": 0.055, "se": 0.01}
        return {"all levels": {"effects": {"B": dict(good)}, "coverage": dict(share), "false_alarms": alarms}}

    results = {"scenarios": {name: model() for name in recovery.SCENARIOS}}
    assert recovery.broken(results) == []
    results["scenarios"]["complete"]["all levels"]["effects"]["B"]["bias"] = -0.08
    results["scenarios"]["rounded to 1-5"]["all levels"]["coverage"]["value"] = 0.9
    results["scenarios"]["12 people"]["all levels"]["false_alarms"]["value"] = 0.12
    assert recovery.broken(results) == [
        "complete: bias of B -8.0 %",
        "rounded to 1-5: coverage 90.0 %",
        "12 people: false alarms 12.0 %",
    ]


def test_labels_of_explanations_are_made_once_not_for_every_row(
    recovery: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratings, asked = recovery.study(recovery.Task(0, 1.0)), []
    made = Ratings.rated.fget
    assert made is not None
    monkeypatch.setattr(Ratings, "rated", property(lambda self: asked.append(1) or made(self)))
    linear_mixed(ratings, "Quality", ratings.values["Quality"], levels=["person", "question", "explanation"])
    assert len(asked) < 10
