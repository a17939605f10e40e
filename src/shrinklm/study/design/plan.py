"""How many people a study needs to find an effect, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, sqrt
from statistics import NormalDist

from ...core.errors import StudyError
from ...core.types import Tick
from ...stats.planning import Design as Simulated
from ...stats.planning import Power, power, preferred
from .form import Kind, Payment

SPREADS: Mapping[Kind, Mapping[str, float]] = {
    "rating": {"sd_participant": 0.5, "sd_item": 0.17, "sd_residual": 0.6},
    "simulation": {"sd_participant": 0.4, "sd_item": 0.8, "sd_residual": 1.0},
    "preference": {"sd_participant": 0.5, "sd_item": 0.5, "sd_residual": 1.0},
}
"""Standard deviations of people, questions and single answers.

Of ratings in points: those of the published ones (arXiv 2504.16056; 117 people, 375 questions), analysed again by a mixed model of the mean
of their five constructs: variances of .246, .028 and .355. A single construct spreads more: .13 to .89, .00 to .04 and .30 to .72.
Of guesses and preferences on the scale of a probit model, where only their ratios count: round figures, to be replaced by a pilot's.
"""
EFFECTS: Mapping[Kind, float] = {"rating": 0.3, "simulation": 0.1, "preference": 0.1}
"""The difference looked for where none is named: points, or the share of right guesses, or of a pair's preferences beyond a half."""
GUESSED = 0.6
"""Of a simulation: the share of right guesses without the effect."""
_MOST = 2000
"""People: more than this is no answer."""


@dataclass(frozen=True)
class Plan:
    """What a number of people can find."""

    kind: Kind
    effect: float
    wanted: float | None
    """Power that was asked for; None: the people were."""
    alpha: float
    """Of one comparison, after Bonferroni over `comparisons`."""
    comparisons: int
    found: Power
    """At the number of people."""
    raters_per_item: float
    """People who rate one question in one condition, on average."""
    cost: float
    """Of all people, with the platform's share."""
    payment: Payment
    spread: Mapping[str, float]
    """What was assumed, as in SPREADS."""


def plan(
    conditions: int,
    questions: int,
    per_person: int,
    effect: float | None = None,
    wanted: float = 0.8,
    people: int | None = None,
    payment: Payment | None = None,
    spread: Mapping[str, float] | None = None,
    kind: Kind = "rating",
    steps: int = 5,
    alpha: float = 0.05,
    simulations: int = 500,
    seed: int = 0,
    tick: Tick | None = None,
) -> Plan:
    """The people with whom a mixed model finds one condition raised by `effect`, with a chance of `wanted`, in simulated studies.

    People are counted in whole multiples of the conditions, as the booklets balance. The simulation draws each person's questions at random
    and shares them out over the conditions; booklets do so evenly, which is no worse. Right guesses of a simulation come from a threshold
    (probit); the model of them is that of the analysis. Of a preference the question is whether one pair's share differs from a half,
    tested over people, who each bring the mean of what they said.

    Args:
        conditions: that are compared, each with the first; of a preference, the pairs.
        questions: in the pool.
        per_person: items a person rates.
        effect: in points of the scale, before rounding to whole steps; of the other kinds a share, such as 0.1 for 60 instead of 50 %.
            None: that of EFFECTS.
        wanted: the power looked for.
        people: their number, to ask for the power instead.
        payment: what a person costs.
        spread: standard deviations: sd_participant, sd_item, sd_residual; those that are missing are those of SPREADS.
        kind: of study.
        steps: of the scale of ratings.
        alpha: of the study: shared out over the comparisons with the first condition.
        simulations: studies behind the result; a tenth of them behind each step of the search.
        seed: of all simulations.
        tick: progress.

    Raises:
        StudyError: numbers that do not fit together, or more than 2,000 people needed.
    """
    compared = kind == "preference"
    if conditions < (1 if compared else 2) or per_person % conditions or per_person > questions:
        raise StudyError(
            f"{per_person} items a person, {conditions} conditions and {questions} questions do not fit together: there are two conditions "
            "or more, the items are a multiple of them (--per-person), and no person sees a question twice."
        )
    effect = EFFECTS[kind] if effect is None else effect
    spread = {**SPREADS[kind], **(spread or {})}
    if not effect > 0 or not 0 < wanted < 1 or min(spread.values()) < 0 or not spread["sd_residual"] > 0:
        raise StudyError(
            f"Effect and spread are above 0 and the power between 0 and 1, found {effect:g}, {dict(spread)} and {wanted:g}."
        )
    most = {"rating": steps - 1.0, "simulation": 1 - GUESSED, "preference": 0.5}[kind]
    if not effect < most:
        raise StudyError(
            f"An effect of {effect:g} cannot be: in a {kind} study it is below {most:g}. Write a smaller one: --effect"
        )
    comparisons = conditions if compared else conditions - 1
    level = alpha / comparisons
    base = Simulated(
        conditions,
        per_person // conditions,
        conditions,
        questions,
        spread["sd_participant"],
        spread["sd_item"],
        spread["sd_residual"],
    )
    if kind == "rating":
        base, raised = replace(base, mean=1 + 0.75 * (steps - 1), scale=(1, steps)), effect
    else:
        share = 0.5 if compared else GUESSED
        low, high = _threshold(share, spread), _threshold(share + effect, spread)
        base, raised = replace(base, mean=0.5 + low, scale=(0, 1)), high - low

    def at(number: int, runs: int) -> Power:
        sized = replace(base, participants=number)
        return preferred(sized, raised, level, runs, seed) if compared else power(sized, raised, level, runs, seed)

    number = max(2, people) if people is not None else _search(at, conditions, wanted, simulations, tick)
    if tick is not None:
        tick("plan", 1, 2, f"{number} people")
    found = at(number, simulations)
    while people is None and found.power < wanted:
        number += conditions * max(1, round(number * 0.05 / conditions))
        found = at(number, simulations)
    if tick is not None:
        tick("plan", 2, 2, f"{number} people")
    payment = payment or Payment()
    cost = round(number * payment.per_person * (1 + payment.fee), 2)
    raters = number * per_person / (questions * conditions)
    return Plan(
        kind, effect, wanted if people is None else None, level, comparisons, found, raters, cost, payment, spread
    )


def _threshold(share: float, spread: Mapping[str, float]) -> float:
    """How far above the threshold the mean lies of which `share` is above."""
    return NormalDist(0, sqrt(sum(sd**2 for sd in spread.values()))).inv_cdf(share)


def _search(at: Callable[[int, int], Power], step: int, wanted: float, simulations: int, tick: Tick | None) -> int:
    """The number of people, by doubling and then halving, a little below rather than above."""
    rough = max(40, simulations // 10)
    low, high = step, 2 * step
    while at(high, rough).power < wanted:
        if tick is not None:
            tick("plan", 0, 2, f"more than {high} people")
        low, high = high, 2 * high
        if high > _MOST:
            raise StudyError(
                f"More than {_MOST:,} people would be needed. Look for a larger effect (--effect), or let people rate more (--per-person)."
            )
    while high - low > step:
        middle = low + step * ceil((high - low) / step / 2)
        if middle == high:
            break
        low, high = (middle, high) if at(middle, 2 * rough).power < wanted else (low, middle)
    return high
