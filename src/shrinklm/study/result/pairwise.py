"""Preferences: how often each condition's explanation is preferred, how strong that makes it, and whether the side decided."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import StudyError
from ..design.folder import Study
from ..records.export import Rows

Json = dict[str, Any]
Array = NDArray[np.float64]


def preferences(study: Study, rows: Rows, seed: int = 0, resamples: int = 10_000) -> Json:
    """By construct: the share of its pairs that a condition wins (a tie is half), Bradley–Terry strengths, each pair, the sides.

    Intervals and p-values are over resampled people, who bring all of their answers. Strengths are log odds with a mean of 0 (Bradley &
    Terry 1952; a tie is half a win of each), so that their differences say how likely one is preferred to the other.

    Args:
        study: the design.
        rows: as `export.ratings` gives them.
        seed: of the bootstrap.
        resamples: how many.

    Raises:
        StudyError: no pair was compared.
    """
    names = [name for name in study.design.conditions if any(name in (row["left"], row["right"]) for row in rows)]
    if len(names) < 2:
        raise StudyError("No two conditions were compared. Serve the study first: shrinklm study serve")
    people = list(dict.fromkeys(row["CASE"] for row in rows))
    draws = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), size=resamples)
    found: Json = {
        "n": len(rows),
        "people": len(people),
        "conditions": names,
        "constructs": {},
        "means": {name: {} for name in names},
    }
    for construct in study.form.constructs:
        entry = _construct(rows, construct, names, people, draws)
        found["constructs"][construct] = entry
        for name, share in entry["shares"].items():
            found["means"][name][construct] = share
    found["paragraph"] = _paragraph(found)
    return found


def _construct(
    rows: Rows, construct: str, names: Sequence[str], people: Sequence[str], draws: NDArray[np.int64]
) -> Json:
    place, who = {name: at for at, name in enumerate(names)}, {code: at for at, code in enumerate(people)}
    wins = np.zeros((len(people), len(names), len(names)))  # [person, winner, loser]; a tie is half of each
    left, alike = np.zeros(len(people)), np.zeros(len(people))
    for row in rows:
        a, b, person = place[row["left"]], place[row["right"]], who[row["CASE"]]
        points = 0.5 if row[construct] == "alike" else float(row[construct] == row["left"])
        wins[person, a, b] += points
        wins[person, b, a] += 1 - points
        left[person] += points
        alike[person] += row[construct] == "alike"
    resampled = np.tensordot(draws, wins, axes=1)
    shares = {}
    for at, name in enumerate(names):
        given = _share(resampled[:, at, :].sum(1), resampled[:, :, at].sum(1))
        shares[name] = _interval(wins[:, at, :].sum(), wins[:, :, at].sum(), given)
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        given = _share(resampled[:, a, b], resampled[:, b, a])
        if not np.isnan(given).all():
            pairs.append(
                {"first": names[a], "second": names[b], **_interval(wins[:, a, b].sum(), wins[:, b, a].sum(), given)}
            )
    strength = _strengths(wins.sum(0))
    few = [_strengths(table) for table in resampled[: min(1000, len(resampled))]]
    low, high = np.nanquantile(few, [0.025, 0.975], axis=0)
    return {
        "shares": shares, "pairs": pairs,
        "strengths": {name: {"value": strength[at], "low": low[at], "high": high[at]} for at, name in enumerate(names)},
        "left": _interval(left.sum(), len(rows) - left.sum(), _share(draws @ left, draws @ (wins.sum((1, 2)) - left))),
        "alike": float(alike.sum() / len(rows)),
    }  # fmt: skip


def _share(won: Array, lost: Array) -> Array:
    with np.errstate(invalid="ignore"):
        found: Array = won / (won + lost)
    return found


def _interval(won: float, lost: float, draws: Array) -> Json:
    """The share, its percentile interval, and a two-sided p of a half."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    p = min(1.0, 2 * min(float(np.nanmean(draws <= 0.5)), float(np.nanmean(draws >= 0.5))))
    return {
        "value": float(won / (won + lost)),
        "low": float(low),
        "high": float(high),
        "n": round(won + lost),
        "p": max(p, 1 / len(draws)),
    }


def _strengths(wins: Array, rounds: int = 200) -> list[float]:
    """Log strengths by the minorisation of Hunter (2004), with a mean of 0. A tenth of a win of each over each keeps them finite."""
    table = wins + 0.1 * (1 - np.eye(len(wins)))
    strength = np.ones(len(table))
    games = table + table.T
    for _ in range(rounds):
        new = table.sum(1) / (games / (strength[:, None] + strength[None, :])).sum(1)
        new /= np.exp(np.log(new).mean())
        if np.allclose(new, strength, rtol=1e-8):
            break
        strength = new
    return [float(value) for value in np.log(strength)]


def _paragraph(found: Json) -> str:
    said = []
    for construct, entry in found["constructs"].items():
        best = max(entry["shares"], key=lambda name: entry["shares"][name]["value"])
        share = entry["shares"][best]
        said.append(
            f"{construct}: {best} is preferred in {share['value']:.0%} of its comparisons "
            f"(95 % interval {share['low']:.0%} to {share['high']:.0%})"
        )
        side = entry["left"]
        if side["p"] < 0.05:
            said.append(f"The left one was preferred in {side['value']:.0%}, which is no chance (p = {side['p']:.3f})")
    return f"{found['people']} people compared {found['n']:,} pairs. {'. '.join(said)}."
