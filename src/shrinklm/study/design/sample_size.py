"""How many people a study needs to find an effect, by simulation, and what they cost."""

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

Of ratings, in points: those of the published study (arXiv 2504.16056; 117 people, 375 questions), analysed again by a
mixed model of the mean of its five constructs: variances of .246, .028 and .355. A single construct spreads more: .13
to .89, .00 to .04 and .30 to .72. Of guesses and preferences, on the scale of a probit model, where only their ratios
count: round figures, to be replaced by a pilot's.
"""
EFFECTS: Mapping[Kind, float] = {"rating": 0.3, "simulation": 0.1, "preference": 0.1}
"""Effect where none is named: points, the share of right guesses, or a pair's share of preferences beyond a half."""
GUESSED = 0.6
"""Share of right guesses in a simulation without the effect."""
_MOST = 2000
"""People beyond whom the search gives up."""


@dataclass(frozen=True)
class Layout:
    """Who sees what: the numbers of a design."""

    conditions: int
    """Conditions that are compared, each with the first; of a preference, the pairs."""
    questions: int
    """Questions in the pool."""
    per_person: int
    """Items that one person sees."""
    kind: Kind = "rating"
    steps: int = 5
    """Steps of the scale of ratings."""

    @property
    def comparisons(self) -> int:
        """Tests among which alpha is shared out."""
        return self.conditions if self.kind == "preference" else self.conditions - 1


@dataclass(frozen=True)
class Aim:
    """What a study is to find, and how surely."""

    effect: float | None = None
    """Points of the scale, before rounding to whole steps; of the other kinds a share, such as 0.1 for 60 instead of 50
    %. None: that of `EFFECTS`."""
    power: float = 0.8
    """Power to reach."""
    people: int | None = None
    """A number of people, to ask for the power instead; None: the number is looked for."""
    alpha: float = 0.05
    """Level of the study, shared out over the comparisons with the first condition."""


ANY_EFFECT = Aim()


@dataclass(frozen=True)
class Plan:
    """What a number of people can find."""

    kind: Kind
    effect: float
    wanted: float | None
    """Power that was asked for; None: the number of people was given."""
    alpha: float
    """Level of one comparison, after Bonferroni over `comparisons`."""
    comparisons: int
    found: Power
    """Power at the number of people."""
    raters_per_item: float
    """People who rate one question in one condition, on average."""
    cost: float
    """Payment of all people, with the platform's share."""
    payment: Payment
    spread: Mapping[str, float]
    """The standard deviations assumed, as in `SPREADS`."""


def plan(
    layout: Layout,
    aim: Aim = ANY_EFFECT,
    payment: Payment | None = None,
    spread: Mapping[str, float] | None = None,
    simulations: int = 500,
    seed: int = 0,
    tick: Tick | None = None,
) -> Plan:
    """Return the number of people with whom a mixed model finds one condition raised by the effect, in simulated
    studies.

    People are counted in whole multiples of the conditions, as the booklets balance. The simulation draws each person's
    questions at random and shares them out over the conditions; booklets do so evenly, which is no worse. Right guesses
    of a simulation come from a threshold (probit); the model of them is that of the analysis. Of a preference, one
    pair's share is tested against a half, over people, who each bring the mean of their answers.

    Args:
        layout: numbers of the design.
        aim: effect and power.
        payment: what a person costs.
        spread: standard deviations sd_participant, sd_item and sd_residual; missing ones are those of `SPREADS`.
        simulations: studies behind the result; a tenth of them behind each step of the search.
        seed: seed of all simulations.
        tick: progress.

    Raises StudyError for numbers that do not fit together, or when more than 2,000 people are needed.
    """
    spread = {**SPREADS[layout.kind], **(spread or {})}
    effect = EFFECTS[layout.kind] if aim.effect is None else aim.effect
    _check(layout, effect, aim.power, spread)
    level = aim.alpha / layout.comparisons
    base, raised = _simulated(layout, effect, spread)
    simulate = preferred if layout.kind == "preference" else power

    def power_of(number: int, runs: int) -> Power:
        return simulate(replace(base, participants=number), raised, level, runs, seed)

    step, report = layout.conditions, tick or _silent
    number = max(2, aim.people) if aim.people is not None else _search(power_of, step, aim.power, simulations, report)
    report("plan", 1, 2, f"{number} people")
    result = power_of(number, simulations)
    # The search runs on few simulations and errs to the low side: go up from there until many simulations agree.
    while aim.people is None and result.power < aim.power:
        number += step * max(1, round(number * 0.05 / step))
        result = power_of(number, simulations)
    report("plan", 2, 2, f"{number} people")
    payment = payment or Payment()
    return Plan(
        kind=layout.kind,
        effect=effect,
        wanted=aim.power if aim.people is None else None,
        alpha=level,
        comparisons=layout.comparisons,
        found=result,
        raters_per_item=number * layout.per_person / (layout.questions * layout.conditions),
        cost=round(number * payment.per_person * (1 + payment.fee), 2),
        payment=payment,
        spread=spread,
    )


def _silent(stage: str, done: int, total: int, note: str) -> None:
    """Report no progress."""


def _check(layout: Layout, effect: float, wanted: float, spread: Mapping[str, float]) -> None:
    """Raise StudyError for numbers that do not fit together."""
    conditions, per_person = layout.conditions, layout.per_person
    fewest = 1 if layout.kind == "preference" else 2
    if conditions < fewest or per_person % conditions or per_person > layout.questions:
        raise StudyError(
            f"{per_person} items a person, {conditions} conditions and {layout.questions} questions do not fit "
            "together: "
            "there are two conditions or more, the items are a multiple of them (--per-person), and no person sees a "
            "question twice."
        )
    if not effect > 0 or not 0 < wanted < 1 or min(spread.values()) < 0 or not spread["sd_residual"] > 0:
        raise StudyError(
            f"Effect and spread are above 0 and the power between 0 and 1, found {effect:g}, {dict(spread)} and "
            f"{wanted:g}."
        )
    most = {"rating": layout.steps - 1.0, "simulation": 1 - GUESSED, "preference": 0.5}[layout.kind]
    if not effect < most:
        raise StudyError(
            f"An effect of {effect:g} cannot be: in a {layout.kind} study it is below {most:g}. "
            "Write a smaller one: --effect"
        )


def _simulated(layout: Layout, effect: float, spread: Mapping[str, float]) -> tuple[Simulated, float]:
    """Return the study to simulate, whose number of people is to be set, and the effect on its scale."""
    base = Simulated(
        participants=layout.conditions,
        per_condition=layout.per_person // layout.conditions,
        conditions=layout.conditions,
        items=layout.questions,
        sd_participant=spread["sd_participant"],
        sd_item=spread["sd_item"],
        sd_residual=spread["sd_residual"],
    )
    if layout.kind == "rating":
        # Three quarters up the scale: about where the published study's means lie, with room for the effect.
        return replace(base, mean=1 + 0.75 * (layout.steps - 1), scale=(1, layout.steps)), effect
    share = 0.5 if layout.kind == "preference" else GUESSED
    low, high = _threshold(share, spread), _threshold(share + effect, spread)
    # Rounded to 0 or 1, a value counts as 1 from 0.5 up: the threshold of the probit.
    return replace(base, mean=0.5 + low, scale=(0, 1)), high - low


def _threshold(share: float, spread: Mapping[str, float]) -> float:
    """Return how far above the threshold the mean lies of a normal distribution of which `share` is above the
    threshold."""
    return NormalDist(0, sqrt(sum(sd**2 for sd in spread.values()))).inv_cdf(share)


def _search(power_of: Callable[[int, int], Power], step: int, wanted: float, simulations: int, report: Tick) -> int:
    """Return the number of people, by doubling and then halving: a little below rather than above."""
    rough = max(40, simulations // 10)
    low, high = step, 2 * step
    while power_of(high, rough).power < wanted:
        report("plan", 0, 2, f"more than {high} people")
        low, high = high, 2 * high
        if high > _MOST:
            raise StudyError(
                f"More than {_MOST:,} people would be needed. Look for a larger effect (--effect), "
                "or let people rate more (--per-person)."
            )
    while high - low > step:
        middle = low + step * ceil((high - low) / step / 2)
        if middle == high:
            break
        low, high = (middle, high) if power_of(middle, 2 * rough).power < wanted else (low, middle)
    return high
