"""A difference of means over questions and training seeds, both of them samples. No torch.

Few seeds say little of how far another training would land, and a bootstrap of two seeds does not know it: of 1,000
questions and a seed sd of 5 points it finds a difference that is not there in a fifth of the cases
(docs/statistics.md). So the part of the seeds has a t of its own
degrees of freedom, and the sum of the two parts the distribution of Behrens and Fisher (Fisher 1935, "The fiducial
argument in statistical inference"):

    difference  ~  s_questions · t(n - 1)  +  s_seeds · t(seeds beyond the first of each method)

s_questions² is the variance of the questions' differences divided by n, and s_seeds² that of the seeds' means divided
by their number. What is left of a single answer stands in both, which errs on the side of caution.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .resampling import Matrix

_REACH, _NODES = 7.0, 2001
"""Of the grid over which the questions' part is summed; its sinh is taken, close where t is high and far elsewhere."""


@dataclass(frozen=True)
class SeedSpread:
    """How far the mean of a method moves from one training to another."""

    variance: float
    """Of one seed's mean over the questions, pooled over methods."""
    df: int
    """Its degrees of freedom: the seeds beyond the first of each method."""


def seed_spread(methods: Iterable[Matrix]) -> SeedSpread | None:
    """The variance between seeds, pooled over methods, each [seeds, items] with NaN for not scored.

    None where no method has two seeds.
    """
    squares, df = 0.0, 0
    for matrix in methods:
        means = np.nanmean(matrix[~np.isnan(matrix).all(axis=1)], axis=1) if matrix.size else np.empty(0)
        if len(means) > 1:
            squares += float(((means - means.mean()) ** 2).sum())
            df += len(means) - 1
    return SeedSpread(squares / df, df) if df else None


@dataclass(frozen=True)
class Parts:
    """The two parts of what is not known of a difference."""

    questions: float
    """Standard error from the questions."""
    items: int
    seeds: float
    """Standard error from the training seeds."""
    df: int
    """Degrees of freedom of `seeds`."""

    def p(self, difference: float) -> float:
        """Two-sided p of a difference from zero; at least one of the two standard errors is above zero."""
        from scipy.special import stdtr

        if not self.questions:
            return float(2 * stdtr(self.df, -abs(difference) / self.seeds))
        if not self.seeds:
            return float(2 * stdtr(self.items - 1, -abs(difference) / self.questions))
        # For each value of the questions' part, the chance that the seeds' part takes the sum beyond the difference.
        steps = np.linspace(-_REACH, _REACH, _NODES)
        grid = np.sinh(steps)
        # The density of t(n - 1), up to a factor, times how far the steps lie apart.
        weights = (1 + grid**2 / (self.items - 1)) ** (-self.items / 2) * np.cosh(steps)
        above = stdtr(self.df, (self.questions * grid - abs(difference)) / self.seeds)
        below = stdtr(self.df, (-self.questions * grid - abs(difference)) / self.seeds)
        return float(min(1.0, (weights * (above + below)).sum() / weights.sum()))

    def half_width(self, level: float) -> float:
        """Half the width of the interval that holds the true difference with probability `level`."""
        from scipy.optimize import brentq

        high = self.questions + self.seeds
        while self.p(high) > 1 - level:
            high *= 2
        return float(brentq(lambda half: self.p(half) - (1 - level), 0.0, high, xtol=1e-7 * high))


def parts(first: Matrix, second: Matrix, spread: SeedSpread | None, fixed: bool) -> Parts | None:
    """The standard errors of mean(first) - mean(second), [seeds, items] each of the same two items or more.

    Args:
        first: Scores; NaN = not scored, every item and seed scored at least once.
        second: The same.
        spread: Between seeds; None: that of these two.
        fixed: `second` was not trained, so that another seed would give the same.

    Returns None where a trained side has one seed, which says nothing of another training.
    """
    trained = [first] if fixed else [first, second]
    spread = spread or seed_spread(trained)
    if spread is None or min(len(matrix) for matrix in trained) < 2:
        return None
    items = first.shape[1]
    apart = np.nanmean(first, axis=0) - np.nanmean(second, axis=0)
    seeds = spread.variance * sum(1 / len(matrix) for matrix in trained)
    return Parts(float(np.sqrt(apart.var(ddof=1) / items)), items, float(np.sqrt(seeds)), spread.df)
