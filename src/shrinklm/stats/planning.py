"""Planning a study with people, and reading a result of no difference: equivalence tests, and power by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import wilson
from .levels import Level, identified
from .linear_mixed import Array, mixed


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests of equivalence."""

    difference: float
    se: float
    df: float
    """Infinite: the normal distribution."""
    margin: tuple[float, float]
    p_lower: float
    """Of the difference not being above the lower margin."""
    p_upper: float
    """Of the difference not being below the upper margin."""
    p: float
    """The larger of the two."""
    low: float
    high: float
    """Interval at 1 - 2 alpha: inside the margin exactly when `equivalent`."""
    equivalent: bool


@dataclass(frozen=True)
class Power:
    """The share of simulated studies that detect an effect of one size."""

    power: float
    low: float
    high: float
    """95 % interval of the simulation (Wilson)."""
    simulations: int
    participants: int
    ratings: int
    """Of the whole study."""
    effect: float
    """The mean estimate over the simulations: below the effect put in, as rounding to a scale with ends shrinks it."""


@dataclass(frozen=True)
class Design:
    """A within-subject study: everyone rates every condition, on items drawn from a pool that the conditions share."""

    participants: int
    per_condition: int
    """Ratings that one person gives to one condition."""
    conditions: int = 2
    items: int = 100
    """Questions in the pool."""
    sd_participant: float = 0.5
    sd_item: float = 0.17
    sd_residual: float = 0.55
    """Standard deviations of people, items and single ratings, in points of the scale."""
    mean: float = 4.0
    """Of the condition without the effect."""
    scale: tuple[int, int] | None = (1, 5)
    """Ratings are rounded and clipped to it; None: they are continuous, as the mean of several ratings nearly is."""
    sd_taste: float = 0.16
    """Standard deviation of a person in one condition: who likes it more than others do."""
    sd_explanation: float = 0.17
    """Standard deviation of an item as one condition explains it.

    All five are about those of the study of arXiv 2504.16056, by a mixed model of the mean of its five constructs:
    variances of .242 (people), .027 (people in a condition), .027 (questions) and .334 (residual). There every
    explanation has one rating, so that the residual holds the explanations too: they are assumed to spread as questions
    do, and single ratings get the rest."""


def tost(
    a: ArrayLike, b: ArrayLike, margin: float | tuple[float, float], paired: bool = False, alpha: float = 0.05
) -> Tost:
    """Equivalence of two means by two one-sided t tests (Schuirmann 1987): Welch's for two samples, or paired.

    Args:
        a: [n] values.
        b: [m] values; paired: of the same people in the same order.
        margin: the largest difference that would not matter: one number for ±, or (lower, upper).
        paired: whether a[i] and b[i] belong together.
        alpha: of each test.

    Raises:
        ValueError: fewer than two values, missing values, unequal lengths though paired, no spread, or an empty margin.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if (
        first.ndim != 1
        or second.ndim != 1
        or min(len(first), len(second)) < 2
        or not np.isfinite([*first, *second]).all()
    ):
        raise ValueError(
            f"Equivalence needs two lists of two or more numbers without gaps, found shapes {first.shape} and "
            f"{second.shape}."
        )
    if paired:
        if len(first) != len(second):
            raise ValueError(f"Paired values must be equally many, found {len(first)} and {len(second)}.")
        differences = first - second
        se = float(differences.std(ddof=1) / np.sqrt(len(differences)))
        return tost_of(float(differences.mean()), se, margin, len(differences) - 1, alpha)
    parts = [float(side.var(ddof=1) / len(side)) for side in (first, second)]
    total = sum(parts)
    # Welch–Satterthwaite; without any spread `tost_of` raises before it uses the degrees of freedom.
    terms = (part**2 / (len(side) - 1) for part, side in zip(parts, (first, second), strict=True))
    df = total**2 / sum(terms) if total else 0.0
    return tost_of(float(first.mean() - second.mean()), float(np.sqrt(total)), margin, df, alpha)


def tost_of(
    difference: float, se: float, margin: float | tuple[float, float], df: float = float("inf"), alpha: float = 0.05
) -> Tost:
    """`tost` from a difference and its standard error, such as an effect of a mixed model.

    Raises ValueError as `tost`.
    """
    low, high = (-abs(margin), abs(margin)) if isinstance(margin, int | float) else margin
    if not low < high:
        raise ValueError(f"The margin must reach from a lower to a higher number, found {low} to {high}.")
    if not se > 0 or not 0 < alpha < 0.5:
        raise ValueError(f"The standard error must be above 0 and alpha between 0 and 0.5, found {se} and {alpha}.")
    from scipy.stats import norm, t

    distribution = norm if np.isinf(df) else t(df)
    p_lower = float(distribution.sf((difference - low) / se))
    p_upper = float(distribution.cdf((difference - high) / se))
    half = float(distribution.ppf(1 - alpha)) * se
    # Both must reject, so two tests at alpha need no adjustment: an intersection–union test.
    p = max(p_lower, p_upper)
    return Tost(
        difference, se, float(df), (low, high), p_lower, p_upper, p, difference - half, difference + half, p < alpha
    )


def power(design: Design, effect: float, alpha: float = 0.05, simulations: int = 500, seed: int = 0) -> Power:
    """The chance that a mixed model finds one condition raised by `effect` points.

    Each simulation draws people, items and ratings anew, gives the last condition the effect, and tests it against the
    first. As in the analysis, the model has an intercept for each level that the design tells apart (`identified`:
    people, people in a condition, items, explanations), and the test is a t with Satterthwaite's degrees of freedom.
    Ratings that leave no residual, as rounding can make those of a small study, detect nothing.

    Args:
        design: of the study.
        effect: in points of the scale, before rounding; 0 gives the rate of false alarms.
        alpha: of the test; divide it by the number of comparisons for Bonferroni.
        simulations: how many studies.
        seed: of all of them.

    Raises:
        ValueError: a design without two people, conditions and ratings, more ratings than items, spreads below 0, or no
            simulation.
    """
    if design.participants < 2 or design.conditions < 2 or design.per_condition < 1 or simulations < 1:
        raise ValueError(
            f"A study needs two participants, two conditions, a rating of each and a simulation: {design}, "
            f"{simulations}."
        )
    # Nobody rates an item twice: `_simulated` draws them without replacement.
    if design.per_condition * design.conditions > design.items:
        items = design.per_condition * design.conditions
        raise ValueError(f"One person would see {items} items, the pool has {design.items}. Raise items.")
    if min(*_spreads(design).values(), design.sd_residual) < 0 or not (design.sd_residual or design.scale):
        raise ValueError(f"Spreads are 0 or more, and that of ratings on no scale above 0, found {design}.")
    rng = np.random.default_rng(seed)
    return _power(design, [_simulated(design, effect, rng) for _ in range(simulations)], alpha)


def preferred(design: Design, effect: float, alpha: float = 0.05, simulations: int = 500, seed: int = 0) -> Power:
    """The chance that a t test over people finds the share of preferences for one of a pair to differ from a half.

    As in the analysis, the questions are fixed: the share is that of these questions, and only people are a sample.

    Args:
        design: of the study; its `conditions` are pairs, its `scale` is (0, 1), its `mean` the threshold, 0.5.
        effect: above the threshold, in units of the spreads.
        alpha: of the test; divide it by the number of pairs for Bonferroni.
        simulations: how many studies.
        seed: of all of them.

    Raises:
        ValueError: a design without two people and a comparison, or no simulation.
    """
    if design.participants < 2 or design.per_condition < 1 or simulations < 1:
        raise ValueError(
            f"A study of preferences needs two participants, a comparison and a simulation: {design}, {simulations}."
        )
    # One pair is simulated: all are alike, and `alpha` is divided by their number.
    rng = np.random.default_rng(seed)
    return _power(design, [_compared(design, effect, rng) for _ in range(simulations)], alpha)


def _power(design: Design, tests: Sequence[tuple[float, float]], alpha: float) -> Power:
    """The power from the (estimate, p) of each simulated study."""
    hits = sum(p < alpha for _, p in tests)
    low, high = wilson(hits, len(tests))
    ratings = design.participants * design.conditions * design.per_condition
    return Power(
        hits / len(tests),
        low,
        high,
        len(tests),
        design.participants,
        ratings,
        float(np.mean([estimate for estimate, _ in tests])),
    )


def _simulated(design: Design, effect: float, rng: np.random.Generator) -> tuple[float, float]:
    """(estimate, p) of the effect in one simulated study of ratings."""
    each = design.conditions * design.per_condition
    people = np.repeat(np.arange(design.participants), each)
    condition = np.tile(np.repeat(np.arange(design.conditions), design.per_condition), design.participants)
    items = np.concatenate([rng.permutation(design.items)[:each] for _ in range(design.participants)])
    labels: dict[Level, NDArray[np.intp]] = {
        "person": people,
        "taste": people * design.conditions + condition,
        "question": items,
        "explanation": items * design.conditions + condition,
    }
    spread = _spreads(design)
    last = condition == design.conditions - 1
    y: Array = design.mean + effect * last + design.sd_residual * rng.standard_normal(len(people))
    for level, of in labels.items():
        y = y + (spread[level] * rng.standard_normal(int(of.max()) + 1))[of]
    if design.scale is not None:
        y = np.clip(np.round(y), *design.scale)
    columns = {"(Intercept)": np.ones(len(y))} | {
        f"condition{k}": (condition == k) * 1.0 for k in range(1, design.conditions)
    }
    levels = identified(people.tolist(), condition.tolist(), items.tolist())
    # The search for the variances begins at the true ones, near which it ends. Rounding to whole steps adds 1/12.
    residual = design.sd_residual**2 + (1 / 12 if design.scale else 0.0)
    start: dict[str, float] = {level: spread[level] ** 2 / residual for level in levels}
    try:
        found = mixed(y, columns, {level: labels[level].tolist() for level in levels}, start=start).effects[-1]
    except ValueError:
        # Ratings without a residual have no test in the analysis either.
        return float(y[last].mean() - y[condition == 0].mean()), 1.0
    return found.estimate, found.p


def _spreads(design: Design) -> dict[Level, float]:
    """The standard deviation of each level."""
    return {
        "person": design.sd_participant,
        "taste": design.sd_taste,
        "question": design.sd_item,
        "explanation": design.sd_explanation,
    }


def _compared(design: Design, effect: float, rng: np.random.Generator) -> tuple[float, float]:
    """(share beyond a half, p) of one pair in one simulated study of preferences."""
    from scipy.stats import t

    people, each = design.participants, design.per_condition
    items = np.stack([rng.permutation(design.items)[:each] for _ in range(people)])
    latent = (
        effect
        + design.sd_residual * rng.standard_normal((people, each))
        + np.hypot(design.sd_participant, design.sd_taste) * rng.standard_normal((people, 1))
    )
    # Of one pair, a person and a person in this pair are one thing, and so are a question and its explanations.
    item = np.hypot(design.sd_item, design.sd_explanation) * rng.standard_normal(design.items)
    # Item effects are centred: the questions are fixed, so their mean belongs to the effect.
    means = (latent + (item - item.mean())[items] > 0).mean(axis=1) - 0.5
    mean, se = float(means.mean()), float(means.std(ddof=1) / np.sqrt(people))
    # Everybody alike leaves no standard error: a difference is then certain, and none has p = 1.
    return mean, float(2 * t(people - 1).sf(abs(mean) / se)) if se else float(mean == 0)
