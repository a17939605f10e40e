"""How far a student's confidence can be believed: temperature scaling and calibration error. No torch.

Guo et al. (2017, arXiv 1706.04599): a classifier is calibrated when, of the answers given with a probability of p, a
share of p is right. The confidence here is the probability of the answer that was *given*; where that is a generated
text, it need not be the likeliest option. Matrices are [seeds, items], NaN for an answer without a confidence.
Questions are resampled, and training seeds with them, as in `bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import wilson
from .resampling import Matrix, blocks, counts

COOLEST, HOTTEST = 0.01, 100.0
"""The temperatures that are looked at."""
LEAST = 20
"""With fewer questions no temperature is fitted: its interval would span more than an order of magnitude."""
BINS = 10
_LUCK = 1 << 25
"""Numbers in memory at a time where calibrated students are drawn: 268 MB. Of more questions, sums are of parts, and
their last bits are others."""


@dataclass(frozen=True)
class Temperature:
    """What scores are divided by before they become probabilities."""

    value: float | None
    """None: too few questions to fit one."""
    low: float | None
    """Of the 95 % interval by the likelihood ratio, within the temperatures looked at."""
    high: float | None
    n: int
    """Questions that it was fitted on."""
    bound: str | None = None
    """"low" or "high": the likelihood still rises at that end of the temperatures looked at. Else None."""


@dataclass(frozen=True)
class CalibrationError:
    """An expected calibration error, the mean over seeds."""

    value: float
    low: float
    high: float
    noise: float
    """What a perfectly calibrated student with these confidences shows on average: so many questions are not more."""
    p: float
    """How often it shows at least `value`: small where the student is not calibrated."""
    n: int
    """Questions with a confidence."""
    seeds: int


@dataclass(frozen=True)
class CalibrationGain:
    """The error before less the error after, on the same answers."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided, by the bootstrap."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of similar confidence."""

    confidence: float
    """Their mean."""
    accuracy: float
    """Share of right ones."""
    low: float
    """Of Wilson's 95 % interval of the accuracy, as of one answer to a question."""
    high: float
    n: int
    """Answers, of all seeds."""


def temperature(scores: Sequence[ArrayLike], gold: Sequence[int]) -> Temperature:
    """The temperature T with the highest likelihood of the right options (Guo et al. 2017, section 4.2).

    It minimises the mean of -log softmax(scores / T)[gold], which is convex in 1/T, so there is one minimum; it is
    looked for between `COOLEST` and `HOTTEST`. T changes no order of options.

    Args:
        scores: For each question the scores of its options, such as log-likelihoods.
        gold: The index of the right one.

    Questions whose scores are not all finite, or that have one option, tell nothing and are left out.
    Raises ValueError unless there is one index for each question.
    """
    if len(scores) != len(gold):
        raise ValueError(f"{len(scores)} questions and {len(gold)} right options: one for each is needed.")
    rows = [(np.asarray(row, dtype=float), right) for row, right in zip(scores, gold, strict=True)]
    rows = [(row, right) for row, right in rows if len(row) > 1 and np.isfinite(row).all()]
    if len(rows) < LEAST:
        return Temperature(None, None, None, len(rows))
    # Relative to the right option, and -inf where a question has fewer options than another.
    most = max(len(row) for row, _ in rows)
    table = np.full((len(rows), most), -np.inf)
    for index, (row, right) in enumerate(rows):
        table[index, : len(row)] = row - row[right]

    def loss(inverse: float) -> float:
        return float(_log_sum(inverse * table).sum())

    def slope(inverse: float) -> float:
        """The derivative of `loss`, which rises: the mean score under the model less that of the right option."""
        weights = np.exp(inverse * table - _log_sum(inverse * table)[:, None])
        return float((weights * np.where(np.isfinite(table), table, 0.0)).sum())

    ends = 1 / HOTTEST, 1 / COOLEST
    if slope(ends[0]) >= 0:
        best, bound = ends[0], "high"
    elif slope(ends[1]) <= 0:
        best, bound = ends[1], "low"
    else:
        best, bound = _root(slope, *ends), None
    # χ² with one degree of freedom: twice the difference of log-likelihoods, at 95 %.
    reach = loss(best) + NormalDist().inv_cdf(0.975) ** 2 / 2

    def beyond(inverse: float) -> float:
        return loss(inverse) - reach

    cold = _root(beyond, best, ends[1]) if beyond(ends[1]) > 0 else ends[1]
    hot = _root(beyond, ends[0], best) if beyond(ends[0]) > 0 else ends[0]
    return Temperature(1 / best, 1 / cold, 1 / hot, len(rows), bound)


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> CalibrationError:
    """The expected calibration error: Σ_b n_b / n · |accuracy_b - confidence_b| over bins (Guo et al. 2017, eq. 3).

    The `BINS` bins have equally many answers each, by seed, rather than equal widths: confidences crowd at an end, and
    an almost empty bin is nothing but noise (Nixon et al. 2019, arXiv 1904.01685). Equal confidences share one.

    The error of few questions is too large, and that of a resample more so. The interval therefore is a normal one with
    the standard deviation of the resamples, whose lower end is moved down by their excess; it begins at 0 unless a
    perfectly calibrated student would show such an error with a probability below 1 - `level` (consistency resampling,
    Bröcker & Smith 2007).

    Args:
        confidence: [seeds, items] or [items], within 0..1; NaN = none.
        right: The same shape, 1 or 0.
        seed: of the resampling.
        resamples: how many.
        level: of the interval.

    Raises ValueError for other shapes or values, or where there is no confidence.
    """
    shares, hits = _answers(confidence, right)
    gaps = _gaps(shares, hits)
    value = float(_binned(np.ones((1, shares.shape[1])), gaps).mean())
    draws = _draws([gaps], seed, resamples)[0]
    nulls = _calibrated(shares, seed, resamples)
    p = float((np.count_nonzero(nulls >= value - 1e-12) + 1) / (resamples + 1))
    half = NormalDist().inv_cdf((1 + level) / 2) * float(draws.std(ddof=1))
    low = value - max(0.0, float(draws.mean()) - value) - half if p < 1 - level else 0.0
    n = int((~np.isnan(shares)).any(axis=0).sum())
    return CalibrationError(value, max(0.0, low), min(1.0, value + half), float(nulls.mean()), p, n, len(shares))


def calibration_gain(
    before: ArrayLike, after: ArrayLike, right: ArrayLike, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> CalibrationGain:
    """How much smaller the calibration error is with other confidences for the same answers: a paired bootstrap.

    Raises ValueError as `calibration_error` does.
    """
    (first, hits), (second, _) = _answers(before, right), _answers(after, right)
    gaps = [_gaps(first, hits), _gaps(second, hits)]
    whole = np.ones((1, first.shape[1]))
    value = float(_binned(whole, gaps[0]).mean() - _binned(whole, gaps[1]).mean())
    one, other = _draws(gaps, seed, resamples)
    draws = one - other
    tail = min(np.count_nonzero(draws <= 1e-12), np.count_nonzero(draws >= -1e-12))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return CalibrationGain(value, float(low), float(high), float(min(1.0, 2 * (tail + 1) / (len(draws) + 1))))


def reliability(confidence: ArrayLike, right: ArrayLike) -> list[ReliabilityBin]:
    """The bins of a reliability diagram, of all seeds together, from the least confident on.

    Raises ValueError as `calibration_error` does.
    """
    shares, hits = _answers(confidence, right)
    known = ~np.isnan(shares)
    flat, correct = shares[known], hits[known]
    bins = []
    for place in np.unique(places := _bins(flat)):
        among = places == place
        n, accuracy = int(among.sum()), float(correct[among].mean())
        questions = max(1, round(n / len(shares)))
        low, high = wilson(round(accuracy * questions), questions)
        bins.append(ReliabilityBin(float(flat[among].mean()), accuracy, min(low, accuracy), max(high, accuracy), n))
    return bins


def _answers(confidence: ArrayLike, right: ArrayLike) -> tuple[Matrix, Matrix]:
    """Both as [seeds, items], seeds without a confidence left out."""
    shares, hits = (np.atleast_2d(np.asarray(side, dtype=float)) for side in (confidence, right))
    if shares.shape != hits.shape or shares.ndim != 2:
        raise ValueError(f"Confidences {shares.shape} and right or wrong {hits.shape} must be of the same answers.")
    known = ~np.isnan(shares)
    if not known.any():
        raise ValueError("No answer has a confidence.")
    if ((shares[known] < 0) | (shares[known] > 1)).any() or not np.isin(hits[known], (0, 1)).all():
        raise ValueError("A confidence lies within 0 and 1, and an answer is right (1) or wrong (0).")
    rows = known.any(axis=1)
    return shares[rows], hits[rows]


def _bins(shares: Matrix) -> NDArray[np.int64]:
    """The bin of each confidence."""
    edges = np.unique(np.quantile(shares, np.arange(1, BINS) / BINS))
    return np.searchsorted(edges, shares, side="right")


def _placed(shares: Matrix) -> list[NDArray[np.bool_]]:
    """For each seed [items, bins]: which bin the answer is in; none without a confidence."""
    placed = []
    for row in shares:
        known = ~np.isnan(row)
        table = np.zeros((len(row), BINS), dtype=bool)
        table[np.flatnonzero(known), _bins(row[known])] = True
        placed.append(table)
    return placed


def _gaps(shares: Matrix, hits: Matrix) -> list[Matrix]:
    """For each seed [items, bins + 1]: right less confidence in its bin; last, whether there is a confidence."""
    differences = np.nan_to_num(hits - shares)
    return [
        np.column_stack([table * row[:, None], table.any(axis=1)])
        for table, row in zip(_placed(shares), differences, strict=True)
    ]


def _binned(weights: Matrix, gaps: Sequence[Matrix]) -> Matrix:
    """[resamples, seeds] errors of items weighted by `weights` [resamples, items]; NaN without an answer."""
    errors = []
    for table in gaps:
        sums = weights @ table
        with np.errstate(invalid="ignore"):
            errors.append(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1])
    return np.stack(errors, axis=1)


def _draws(sides: Sequence[Sequence[Matrix]], seed: int, resamples: int) -> list[Matrix]:
    """Resampled errors, means over resampled seeds, of each side on the same questions and seeds."""
    seeds = len(sides[0])
    parts: list[list[Matrix]] = [[] for _ in sides]
    for rows, rng in blocks(len(sides[0][0]), resamples, seed):
        drawn = counts(seeds, len(rows), rng)
        for part, gaps in zip(parts, sides, strict=True):
            part.append((drawn * _binned(rows, gaps)).sum(axis=1) / seeds)
    return [np.concatenate(part) for part in parts]


def _calibrated(shares: Matrix, seed: int, resamples: int) -> Matrix:
    """Errors of perfectly calibrated students with these confidences, means over seeds."""
    rng = np.random.default_rng(seed)
    known, placed = ~np.isnan(shares), _placed(shares)
    errors = np.zeros(resamples)
    some = max(1, _LUCK // shares.shape[1])
    for start in range(0, resamples, some):
        part = errors[start : start + some]
        # One number a question: seeds are right and wrong on much the same questions.
        luck = rng.random((len(part), shares.shape[1]))
        for row, there, table in zip(shares, known, placed, strict=True):
            gaps = np.where(there, (luck < np.nan_to_num(row)) - np.nan_to_num(row), 0.0)
            part += np.abs(gaps @ table.astype(float)).sum(axis=1) / there.sum()
    return errors / len(shares)


def _log_sum(table: Matrix) -> Matrix:
    """log Σ exp of each row."""
    top = table.max(axis=1)
    return np.asarray(top + np.log(np.exp(table - top[:, None]).sum(axis=1)))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a monotonous function of 1/T crosses zero; the logarithm is searched, over which T varies evenly."""
    from scipy.optimize import brentq

    return math.exp(brentq(lambda place: function(math.exp(place)), math.log(low), math.log(high), xtol=1e-10))
