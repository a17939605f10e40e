"""How many people a study needs to find an effect, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from ..errors import StudyError
from ..stats.planning import Design as Simulated
from ..stats.planning import Power, power
from ..types import Tick
from .form import Payment

SPREAD: Mapping[str, float] = {"sd_participant": 0.49, "sd_item": 0.2, "sd_residual": 0.6}
"""Standard deviations of people, questions and single ratings, in points of a scale from 1 to 5. People's is that of the published ratings
(arXiv 2504.16056), analysed again by a mixed model: a variance of .244. The others are round figures to be replaced by those of a pilot."""
_MOST = 2000
"""People: more than this is no answer."""


@dataclass(frozen=True)
class Plan:
    """What a number of people can find."""

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


def plan(
    conditions: int,
    questions: int,
    per_person: int,
    effect: float,
    wanted: float = 0.8,
    people: int | None = None,
    payment: Payment | None = None,
    spread: Mapping[str, float] = SPREAD,
    alpha: float = 0.05,
    simulations: int = 500,
    seed: int = 0,
    tick: Tick | None = None,
) -> Plan:
    """The people with whom a mixed model finds one condition raised by `effect`, with a chance of `wanted`, in simulated studies.

    People are counted in whole multiples of the conditions, as the booklets balance. The simulation draws each person's questions at random
    and shares them out over the conditions; booklets do so evenly, which is no worse.

    Args:
        conditions: that are compared, each with the first.
        questions: in the pool.
        per_person: items a person rates.
        effect: in points of the scale, before rounding to whole steps.
        wanted: the power looked for.
        people: their number, to ask for the power instead.
        payment: what a person costs.
        spread: standard deviations: sd_participant, sd_item, sd_residual.
        alpha: of the study: shared out over the comparisons with the first condition.
        simulations: studies behind the result; a tenth of them behind each step of the search.
        seed: of all simulations.
        tick: progress.

    Raises:
        StudyError: numbers that do not fit together, or more than 2,000 people needed.
    """
    if conditions < 2 or per_person % conditions or per_person > questions:
        raise StudyError(
            f"{per_person} items a person, {conditions} conditions and {questions} questions do not fit together: there are two conditions "
            "or more, the items are a multiple of them (--per-person), and no person sees a question twice."
        )
    if not effect > 0 or not 0 < wanted < 1 or min(spread.values()) < 0 or not spread["sd_residual"] > 0:
        raise StudyError(f"Effect and spread are above 0 and the power between 0 and 1, found {effect:g}, {dict(spread)} and {wanted:g}.")
    comparisons = conditions - 1
    level = alpha / comparisons
    base = Simulated(
        conditions, per_person // conditions, conditions, questions, spread["sd_participant"], spread["sd_item"], spread["sd_residual"]
    )

    def at(number: int, runs: int) -> Power:
        return power(replace(base, participants=number), effect, level, runs, seed)

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
    return Plan(effect, wanted if people is None else None, level, comparisons, found, raters, cost, payment)


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
