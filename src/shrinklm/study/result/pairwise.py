"""Preferences: how often each condition's explanation is preferred, its strength, and whether the side decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...core.errors import StudyError
from ...report.look.numbers import p_clause
from ...stats import wilson
from ..analysis.judges import Interval
from ..design.folder import Study
from ..records.export import Rows
from .records import Means, PairShare, Preference, Preferences, Share

Array = NDArray[np.float64]


def preferences(study: Study, rows: Rows, seed: int = 0, resamples: int = 10_000) -> Preferences:
    """Compute, by construct, the shares of pairs won (a tie is half), Bradley–Terry strengths, each pair, and the
    sides.

    Intervals and p-values are over resampled people, who bring all of their answers. Strengths are log odds with a
    mean of 0 (Bradley & Terry 1952; a tie is half a win of each), so that their differences say how likely one is
    preferred to the other.

    Args:
        study: the design.
        rows: as `export.ratings` returns them.
        seed: seed of the bootstrap.
        resamples: draws of the bootstrap.

    Raises:
        StudyError: no pair was compared.
    """
    names = [name for name in study.design.conditions if any(name in (row["left"], row["right"]) for row in rows)]
    if len(names) < 2:
        raise StudyError("No two conditions were compared. Serve the study first: shrinklm study serve")
    people = list(dict.fromkeys(row["CASE"] for row in rows))
    # How often each person is drawn, in each resample: [resamples, people].
    draws = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), size=resamples)
    constructs = {construct: _construct(rows, construct, names, people, draws) for construct in study.form.constructs}
    means: Means = {name: {} for name in names}
    for construct, preference in constructs.items():
        for name, share in preference.shares.items():
            means[name][construct] = share
    return Preferences(
        n=len(rows),
        people=len(people),
        conditions=names,
        constructs=constructs,
        means=means,
        paragraph=_paragraph(len(people), len(rows), constructs),
    )


def _construct(
    rows: Rows, construct: str, names: Sequence[str], people: Sequence[str], draws: NDArray[np.int64]
) -> Preference:
    column, line = {name: at for at, name in enumerate(names)}, {code: at for at, code in enumerate(people)}
    wins = np.zeros((len(people), len(names), len(names)))  # [person, winner, loser]; a tie is half of each
    left, alike = np.zeros(len(people)), np.zeros(len(people))
    for row in rows:
        a, b, person = column[row["left"]], column[row["right"]], line[row["CASE"]]
        points = 0.5 if row[construct] == "alike" else float(row[construct] == row["left"])
        wins[person, a, b] += points
        wins[person, b, a] += 1 - points
        left[person] += points
        alike[person] += row[construct] == "alike"
    resampled = np.tensordot(draws, wins, axes=1)
    shares = {}
    for index, name in enumerate(names):
        resampled_share = _share(resampled[:, index, :].sum(1), resampled[:, :, index].sum(1))
        shares[name] = _estimate(wins[:, index, :].sum(1), wins[:, :, index].sum(1), resampled_share)
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        resampled_share = _share(resampled[:, a, b], resampled[:, b, a])
        if not np.isnan(resampled_share).all():  # NaN throughout: nobody compared these two
            share = _estimate(wins[:, a, b], wins[:, b, a], resampled_share)
            pairs.append(PairShare(names[a], names[b], share))
    strength = _strengths(wins.sum(0)[None])[0].tolist()
    # The fit is iterative and slow beside the rest; 1,000 resamples are enough for an interval.
    drawn_strengths = _strengths(resampled[:1000])
    low, high = np.nanquantile(drawn_strengths, [0.025, 0.975], axis=0)
    drawn_left = _share(draws @ left, draws @ (wins.sum((1, 2)) - left))
    return Preference(
        shares=shares,
        pairs=pairs,
        strengths={
            name: Interval(strength[index], float(low[index]), float(high[index])) for index, name in enumerate(names)
        },
        left=_estimate(left, wins.sum((1, 2)) - left, drawn_left),
        alike=float(alike.sum() / len(rows)),
    )


def _share(won: Array, lost: Array) -> Array:
    with np.errstate(invalid="ignore"):
        share: Array = won / (won + lost)
    return share


def _estimate(won: Array, lost: Array, draws: Array) -> Share:
    """Return the share, its percentile interval, and a two-sided p of a half, from the points of each person.

    At 0 and 1, where no resample differs, the interval is Wilson's of so many people: further pairs of one person are
    not as good as those of further people.
    """
    share, people = float(won.sum() / (won + lost).sum()), int(np.count_nonzero(won + lost))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    if share in (0.0, 1.0):
        low, high = wilson(round(share) * people, people)
    p = min(1.0, 2 * min(float(np.nanmean(draws <= 0.5)), float(np.nanmean(draws >= 0.5))))
    # No resample beyond a half does not make p zero: it is below what so many resamples can show.
    return Share(share, float(low), float(high), round((won + lost).sum()), max(p, 1 / len(draws)))


def _strengths(wins: Array, rounds: int = 200) -> Array:
    """Return log strengths [tables, names] by the minorisation of Hunter (2004), with a mean of 0, from wins
    [tables, winner, loser]."""
    # A tenth of a win of each over each keeps the strengths finite where one condition wins or loses throughout.
    table = wins + 0.1 * (1 - np.eye(wins.shape[1]))
    strength = np.ones(wins.shape[:2])
    won, games = table.sum(2), table + table.transpose(0, 2, 1)
    moving = np.arange(len(wins))
    for _ in range(rounds):
        old = strength[moving]
        new = won[moving] / (games[moving] / (old[:, :, None] + old[:, None, :])).sum(2)
        new /= np.exp(np.log(new).mean(1, keepdims=True))
        moved = ~np.isclose(new, old, rtol=1e-8).all(1)
        moving = moving[moved]
        if not len(moving):
            break
        strength[moving] = new[moved]
    return np.log(strength)


def _paragraph(people: int, pairs: int, constructs: Mapping[str, Preference]) -> str:
    sentences = []
    for construct, preference in constructs.items():
        best = max(preference.shares, key=lambda name: preference.shares[name].value)
        share = preference.shares[best]
        sentences.append(
            f"{construct}: {best} is preferred in {share.value:.0%} of its comparisons "
            f"(95 % interval {share.low:.0%} to {share.high:.0%})"
        )
        left = preference.left
        if left.p < 0.05:
            sentences.append(f"The left one was preferred in {left.value:.0%}, which is no chance ({p_clause(left.p)})")
    return f"{people} people compared {pairs:,} pairs. {'. '.join(sentences)}."
