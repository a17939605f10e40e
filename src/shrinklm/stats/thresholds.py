"""Which answers to keep: a threshold on the confidence with a guarantee from a sample of questions. No torch.

An answer is kept where its confidence is at least the threshold. An answer without one (NaN) counts as confidence 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_FIRST = 0.2
"""Share of the questions in the strictest test: fewer seldom pass, and a first test that fails ends the search."""
_STEP = 0.01
"""Share of the questions that each further test adds."""
_MOST = 10_000_000
"""No more questions than these are reckoned with."""


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what the sample says of it."""

    value: float | None
    """Keep answers with at least this confidence; None: none meets the goal, and no answer is kept."""
    n: int
    """Questions of the sample."""
    kept: int
    """Those that it keeps; without a threshold, those that the strictest one tested would keep."""
    right: int
    """Right answers among these."""
    bound: float | None
    """What holds of further questions with the probability asked for: accuracy at least this much, or share passed on
    at most this much."""
    needed: int | None = None
    """Without a threshold: about so many questions would be needed if accuracies stay; None: no number would do."""


@dataclass(frozen=True)
class Curve:
    """What becomes of a sample as the threshold falls: one point for each number of kept answers, 0 first."""

    thresholds: tuple[float, ...]
    """The confidence of the least confident kept answer; inf where none is kept."""
    kept: tuple[float, ...]
    """Share of the questions."""
    accuracy: tuple[float, ...]
    """Share of right answers among the kept ones, NaN for none; with `other`, among all questions."""


def threshold_for_accuracy(confidence: ArrayLike, right: ArrayLike, goal: float, level: float = 0.95) -> Threshold:
    """The threshold that keeps most, of those whose kept answers are right with a share of at least `goal`.

    With probability `level` over samples of questions the accuracy of kept answers to further questions is at least
    `goal`. Learn-then-Test (Angelopoulos et al. 2021, arXiv 2110.01052) with fixed-sequence testing: thresholds that
    keep a fifth of the sample, then a hundredth more each, are tested one after another by an exact binomial test (the
    lower Clopper-Pearson bound at `level` reaches `goal`); the search ends at the first that fails, so that all tests
    together err with probability 1 - `level` at most. The thresholds are order statistics of the sample's own
    confidences: given the k-th, the answers above it are a random sample of all such answers.
    `benchmarks/cascade_guarantee.py` counts how often the guarantee holds, with a temperature fitted on the same
    questions.

    Raises ValueError for other shapes, or a goal or level outside 0 and 1.
    """
    from scipy.stats import beta, binom

    shares, hits = _sample(confidence, right)
    if not (0 < goal < 1 and 0 < level < 1):
        raise ValueError(f"The goal and the level lie between 0 and 1, found {goal} and {level}.")
    n = len(shares)
    best: tuple[float, int, int] | None = None
    kept = correct = 0
    for rank in _ranks(n, goal, level):
        value = float(shares[rank - 1])
        kept = int((shares >= value).sum())  # equal confidences are kept or passed on together
        correct = int(hits[:kept].sum())
        if value <= 0 or binom.sf(correct - 1, kept, goal) > 1 - level:
            break
        best = value, kept, correct
    if best is None:
        # With too few questions for any test, so many right answers would do.
        fewest = min(n, max(1, math.ceil(_FIRST * n)))
        kept, correct = (kept, correct) if kept else (fewest, int(hits[:fewest].sum()))
        return Threshold(None, n, kept, correct, None, _needed(kept, correct, n, goal, level))
    value, kept, correct = best
    return Threshold(value, n, kept, correct, float(beta.ppf(1 - level, correct, kept - correct + 1)))


def threshold_for_budget(confidence: ArrayLike, right: ArrayLike, share: float, level: float = 0.95) -> Threshold:
    """The threshold that passes on most, of those that pass on at most `share` of the questions.

    With probability `level` over samples the share of further questions below it is at most `share`. The threshold is
    the k-th lowest confidence, and the share below that is at most a Beta(k, n - k + 1), whatever the distribution
    (Wilks 1941): k is the largest whose quantile at `level` is at most `share`.

    Raises ValueError for other shapes, or a share or level outside 0 and 1.
    """
    from scipy.stats import beta

    shares, hits = _sample(confidence, right)
    if not (0 < share < 1 and 0 < level < 1):
        raise ValueError(f"The share and the level lie between 0 and 1, found {share} and {level}.")
    n = len(shares)
    ranks = np.arange(1, n + 1)
    fits = ranks[beta.ppf(level, ranks, n - ranks + 1) <= share]
    if not len(fits):
        # Not even the lowest confidence is known to have so few below it: nothing is passed on.
        return Threshold(0.0, n, n, int(hits.sum()), 0.0, math.ceil(math.log(1 - level) / math.log(1 - share)))
    rank = int(fits[-1])
    value = float(shares[n - rank])
    kept = int((shares >= value).sum())
    bound = float(beta.ppf(level, rank, n - rank + 1))
    return Threshold(value, n, kept, int(hits[:kept].sum()), bound if value > 0 else 0.0)


def selective(confidence: ArrayLike, right: ArrayLike, other: ArrayLike | None = None) -> Curve:
    """Accuracy against the share of questions that is kept.

    Args:
        confidence: [items]; NaN = none.
        right: [items], 1 or 0.
        other: [items], 1 or 0: who answers the questions that are not kept. Left out: nobody does.

    Equal confidences are one point. Raises ValueError for other shapes.
    """
    shares, hits = _sample(confidence, right)
    n = len(shares)
    ends = [0, *(place for place in range(1, n + 1) if place == n or shares[place] < shares[place - 1])]
    total = np.concatenate([[0.0], np.cumsum(hits)])
    if other is None:
        accuracy = [math.nan if end == 0 else total[end] / end for end in ends]
    else:
        rest = np.concatenate([[0.0], np.cumsum(_sample(confidence, other)[1])])
        accuracy = [(total[end] + rest[n] - rest[end]) / n for end in ends]
    thresholds = [math.inf if end == 0 else float(shares[end - 1]) for end in ends]
    return Curve(tuple(thresholds), tuple(end / n for end in ends), tuple(float(value) for value in accuracy))


def _sample(confidence: ArrayLike, right: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both from the most confident answer to the least."""
    shares, hits = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    if shares.shape != hits.shape or shares.ndim != 1 or not len(shares):
        raise ValueError(f"Confidences {shares.shape} and right or wrong {hits.shape} must be of the same answers.")
    if not np.isin(hits, (0, 1)).all() or (shares < 0).any() or (shares > 1).any():
        raise ValueError("A confidence lies within 0 and 1, and an answer is right (1) or wrong (0).")
    shares = np.nan_to_num(shares)
    order = np.argsort(-shares, kind="stable")
    return shares[order], hits[order]


def _ranks(n: int, goal: float, level: float) -> range:
    """How many answers each tested threshold keeps, the strictest first."""
    # With fewer answers not even all right ones would pass.
    fewest = math.ceil(math.log(1 - level) / math.log(goal))
    return range(max(fewest, math.ceil(_FIRST * n)), n + 1, max(1, round(_STEP * n)))


def _needed(kept: int, right: int, n: int, goal: float, level: float) -> int | None:
    """How many questions the strictest test would need, if the accuracy among its answers stays; None: no number."""
    from scipy.stats import binom

    accuracy = right / kept

    def passes(number: int) -> bool:
        return bool(binom.sf(math.floor(accuracy * number + 1e-9) - 1, number, goal) <= 1 - level)

    low = high = kept
    while not passes(high):
        low, high = high, 2 * high
        if accuracy <= goal or high * n / kept > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return math.ceil(high * n / kept)
