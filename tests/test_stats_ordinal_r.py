"""Ordinal mixed models against R's `ordinal::clmm` on simulated data (tests/data/r)."""

from __future__ import annotations

import pytest

from r_reference import indicators, number, read
from shrinklm.stats import ordinal

ORDINAL, WIDE = read("ordinal"), read("ordinal_wide_people")
NO_MAXIMUM = ("sim15_separated", "sim16_fullsep")
"""R stops anywhere; test_stats_separation.py has these."""
FITTED = [name for name, found in ORDINAL["R"].items() if "coef" in found and name not in NO_MAXIMUM]


@pytest.mark.parametrize("name", FITTED)
def test_it_is_rs_model(name):
    data, theirs = ORDINAL["data"][name], ORDINAL["R"][name]
    coefficients = {row["term"]: row for row in theirs["coef"]}
    found = ordinal(data["y"], indicators(data["x"], list(coefficients)), data["g"])
    assert found.converged
    assert found.trouble == ""
    assert found.separated == ()
    assert found.method == ("quadrature" if len(data["g"]) == 1 else "laplace")
    assert found.loglik == pytest.approx(theirs["loglik"], abs=2e-6)
    assert {effect.name for effect in found.effects} == set(coefficients)
    # R ends its search where a gradient is below 1e-6, which leaves its estimates the digits below.
    for effect in found.effects:
        row = coefficients[effect.name]
        assert effect.estimate == pytest.approx(row["est"], abs=2.5e-5)
        assert effect.se == pytest.approx(row["se"], abs=3e-6)
    thresholds = theirs["thr"] if isinstance(theirs["thr"], list) else [theirs["thr"]]
    assert found.thresholds == pytest.approx(thresholds, abs=1e-4)
    # R swaps the names of two groupings with equally many levels, see the note in the file.
    spreads = sorted(number(sd) for sd in theirs["sds"].values())
    assert sorted(found.sds.values()) == pytest.approx(spreads, abs=1e-4)


@pytest.mark.parametrize("name", WIDE["data"])
def test_people_who_differ_widely_are_fitted(name):
    data, (loglik, sd) = WIDE["data"][name], WIDE["R_loglik_sd"][name]
    found = ordinal(data["y"], indicators({"m": [str(m) for m in data["m"]]}, ["m1", "m2", "m3"]), {"p": data["p"]})
    assert found.converged
    assert found.loglik == pytest.approx(loglik, abs=1e-3)
    assert found.sds["p"] == pytest.approx(sd, rel=1e-3)
    assert all(0.3 < effect.se < 0.5 for effect in found.effects)


def test_two_people_are_fitted_where_r_gives_up():
    """R wants three levels or more of a grouping."""
    data = ORDINAL["data"]["sim08_2people"]
    [name] = data["x"]
    levels = list(dict.fromkeys(data["x"][name]))
    found = ordinal(data["y"], indicators(data["x"], [f"{name}{level}" for level in levels[1:]]), data["g"])
    assert found.converged
    assert all(effect.se > 0 for effect in found.effects)
