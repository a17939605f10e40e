"""Leakage-adjusted simulatability (Hase et al. 2020, arXiv 2010.04119) from a simulator's right and wrong answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .resampling import Matrix, blocks, counts, interval


@dataclass(frozen=True)
class Group:
    """The items whose explanation alone gives the student's answer away, or those whose explanation does not."""

    n: int
    """Items times seeds."""
    question: float
    """Share that the simulator has right from the question; NaN in an empty group."""
    both: float
    """Share that it has right from the question with the explanation."""

    @property
    def difference(self) -> float:
        """What the explanation adds: `both` - `question`."""
        return self.both - self.question


@dataclass(frozen=True)
class Las:
    """LAS = ½ (difference among leaking items + difference among the others), from -1 to 1."""

    value: float
    """NaN when a group is empty: half of the measure is then missing, and the other half is no stand-in for it."""
    low: float
    high: float
    leaking: Group
    not_leaking: Group
    simulatability: float
    """The same without regard to leaks: the mean of both - question over all items."""
    simulatability_low: float
    simulatability_high: float
    unit: str
    """What was resampled: "questions", or "questions and seeds"."""
    dropped: float
    """Share of the resamples in which a group was empty; they are left out of the interval of LAS."""

    @property
    def leakage(self) -> float:
        """Share of the items whose explanation gives the answer away."""
        return self.leaking.n / (self.leaking.n + self.not_leaking.n)

    @property
    def empty(self) -> str:
        """The group that holds nothing: "leaking", "not leaking", or ""."""
        return "leaking" if not self.leaking.n else "not leaking" if not self.not_leaking.n else ""


def las(
    question: ArrayLike,
    explanation: ArrayLike,
    both: ArrayLike,
    seed: int = 0,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Las:
    """LAS with its groups, and percentile bootstrap intervals over items (and over seeds where there are several).

    Args:
        question: [seeds, items] or [items]: 1 where the simulator is right from the question, 0 where wrong, NaN where
            not scored.
        explanation: the same from the explanation alone: 1 = the explanation leaks the answer.
        both: the same from both. The masked measure takes the two scores of the masked explanation.
        seed: of the resampling.
        resamples: how many.
        level: share of resampled figures inside the interval.

    Raises:
        ValueError: shapes that differ, values other than 0, 1 and NaN, or no item with all three scores.
    """
    sides = [np.atleast_2d(np.asarray(side, dtype=float)) for side in (question, explanation, both)]
    if len({side.shape for side in sides}) > 1:
        shapes = ", ".join(str(side.shape) for side in sides)
        raise ValueError(f"question, explanation and both must be scores of the same items, found shapes {shapes}.")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples must be at least 1 and level between 0 and 1, found {resamples} and {level}.")
    values = np.stack(sides)
    if not np.isin(values[~np.isnan(values)], (0, 1)).all():
        raise ValueError("LAS is made of right and wrong answers: 1, 0, or NaN for not scored.")
    scored = ~np.isnan(values).any(axis=0)
    if not scored.any():
        raise ValueError("No item has all three scores (question, explanation, both), so there is nothing to estimate.")
    # Items and seeds without any score must not be drawn: they would thin out every resample.
    values = values[:, :, scored.any(axis=0)][:, scored.any(axis=1)]
    scored = ~np.isnan(values).any(axis=0)
    q, e, b = np.where(scored, values, 0.0)
    groups = np.stack([scored * e, scored * (1 - e)])
    gain = b - q
    draws = np.concatenate([_draw(gain, groups, rows, rng) for rows, rng in blocks(scored.shape[1], resamples, seed)])
    # Of few leaking items a resample may hold none; LAS does not exist for it.
    defined = np.isfinite(draws[:, 0])
    leaking, others = (_group(q, b, member) for member in groups)
    value = (leaking.difference + others.difference) / 2
    low, high = interval(draws[defined, 0], level) if math.isfinite(value) and defined.any() else (math.nan, math.nan)
    sim_low, sim_high = interval(draws[:, 1], level)
    unit = "questions and seeds" if len(scored) > 1 else "questions"
    total = float(gain.sum() / scored.sum())
    return Las(value, low, high, leaking, others, total, sim_low, sim_high, unit, float(1 - defined.mean()))


def _group(q: Matrix, b: Matrix, member: Matrix) -> Group:
    n = int(member.sum())
    return Group(n, float((q * member).sum() / n) if n else math.nan, float((b * member).sum() / n) if n else math.nan)


def _draw(gain: Matrix, groups: Matrix, rows: Matrix, rng: np.random.Generator) -> Matrix:
    """[resamples, 2]: LAS (NaN where a group is empty) and simulatability; `rows` [resamples, items] are weights."""
    weights = counts(len(gain), len(rows), rng)
    sums = np.stack([(weights * (rows @ (gain * member).T)).sum(axis=1) for member in groups])
    sizes = np.stack([(weights * (rows @ member.T)).sum(axis=1) for member in groups])
    # 0 / 0 where a resample holds no item of a group: NaN, which `las` counts as dropped.
    with np.errstate(invalid="ignore"):
        return np.stack([(sums / sizes).mean(axis=0), sums.sum(axis=0) / sizes.sum(axis=0)], axis=1)
