"""How many people a study needs to find an effect, by simulation, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import hypot, inf, sqrt
from statistics import NormalDist

from ...core.errors import StudyError
from ...core.types import Tick
from ...stats.planning import Design as Simulated
from ...stats.planning import Power, power, preferred
from .form import Kind, Payment

SPREADS: Mapping[Kind, Mapping[str, float]] = {
    "rating": {
        "sd_participant": 0.5,
        "sd_taste": 0.16,
        "sd_item": 0.17,
        "sd_explanation": 0.17,
        "sd_residual": 0.55,
    },
    "simulation": {
        "sd_participant": 0.4,
        "sd_taste": 0.1,
        "sd_item": 0.8,
        "sd_explanation": 0.3,
        "sd_residual": 1.0,
    },
    "preference": {
        "sd_participant": 0.5,
        "sd_taste": 0.0,
        "sd_item": 0.5,
        "sd_explanation": 0.0,
        "sd_residual": 1.0,
    },
}
"""Standard deviations of people, people in a condition (taste), questions, explanations and single answers.

Of ratings, in points: those of the published study (arXiv 2504.16056; 117 people, 375 questions), analysed again by a
mixed model of the mean of its five constructs, as `study analyze` fits it: variances of .242, .027, .027 and, of what
is left, .334. Each of its explanations has one rating, so that what is left holds explanations too: they are assumed to
spread as questions do, and single answers get the rest. A single construct spreads more: people .13 to .86, people in a
condition .01 to .18, questions .00 to .04, the rest .29 to .67.

Of guesses and preferences, on the scale of a probit model, where only their ratios count: round figures, to be replaced
by a pilot's. Of a preference one pair is simulated, in which a person and a person in this pair are one, as are
question and explanations: both spreads are added to those.
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
    """Return the number of people with whom a mixed model finds one condition raised by the effect, by simulation.

    People are counted in whole multiples of the conditions, as the booklets balance. The simulation draws each person's
    questions at random and shares them out over the conditions; booklets do so evenly, which is no worse. Right guesses
    of a simulation come from a threshold (probit); the model of them is that of the analysis, with every level that the
    design tells apart: people, people in a condition, questions, explanations. Of a preference, one
    pair's share is tested against a half, over people, who each bring the mean of their answers.

    Args:
        layout: numbers of the design.
        aim: effect and power.
        payment: what a person costs.
        spread: standard deviations, called as in `SPREADS`, which has the missing ones.
        simulations: studies behind the result; fewer behind each step of the search.
        seed: seed of all simulations.
        tick: progress.

    Raises StudyError for numbers that do not fit together, or when more than 2,000 people are needed.
    """
    spread = {**SPREADS[layout.kind], **(spread or {})}
    effect = EFFECTS[layout.kind] if aim.effect is None else aim.effect
    _check(layout, effect, aim.power, spread)
    level = aim.alpha / layout.comparisons
    base, raised = _simulated(layout, effect, spread)

    def power_of(number: int, runs: int) -> Power:
        simulate = preferred if layout.kind == "preference" else power
        return simulate(replace(base, participants=number), raised, level, runs, seed)

    report = tick or _silent
    number = max(2, aim.people or _search(power_of, base, raised, level, aim.power, simulations))
    report("plan", 1, 2, f"{number} people")
    result = power_of(number, simulations)
    if aim.people is None:
        result = _settled(result, lambda people: power_of(people, simulations), layout.conditions, aim.power)
    number = result.participants
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
        sd_taste=spread["sd_taste"],
        sd_explanation=spread["sd_explanation"],
    )
    if layout.kind == "rating":
        # Three quarters up the scale: about where the published study's means lie, with room for the effect.
        return replace(base, mean=1 + 0.75 * (layout.steps - 1), scale=(1, layout.steps)), effect
    share = GUESSED
    if layout.kind == "preference":
        share, people = 0.5, hypot(base.sd_participant, base.sd_taste)
        items = hypot(base.sd_item, base.sd_explanation)
        # One pair, of fixed questions: what differs between people is their taste for it, and more questions no sample.
        base = replace(base, sd_participant=0.0, sd_taste=people, sd_item=items, sd_explanation=0.0)
    low, high = _threshold(share, spread), _threshold(share + effect, spread)
    # Rounded to 0 or 1, a value counts as 1 from 0.5 up: the threshold of the probit.
    return replace(base, mean=0.5 + low, scale=(0, 1)), high - low


def _threshold(share: float, spread: Mapping[str, float]) -> float:
    """Return how far above the threshold the mean lies of a normal distribution of which `share` is above the
    threshold."""
    return NormalDist(0, sqrt(sum(sd**2 for sd in spread.values()))).inv_cdf(share)


def _search(
    power_of: Callable[[int, int], Power], base: Simulated, raised: float, level: float, aim: float, simulations: int
) -> int:
    """Return about the number of people, rather below than above: by the normal distribution and without rounding,
    then corrected by what simulated studies of so many find."""
    normal, step, rough = NormalDist(), base.conditions, max(40, simulations // 10)
    most = _MOST // step * step
    # The variance of a condition's mean is people / number + questions: more people do not rate more explanations.
    single = base.sd_residual**2 + base.sd_item**2 + base.sd_explanation**2
    people, questions = base.sd_taste**2 + single / base.per_condition, base.sd_explanation**2 / base.items
    cut = normal.inv_cdf(1 - level / 2)
    wanted = cut + normal.inv_cdf(aim)
    variance = (raised / wanted) ** 2 / 2
    for _ in range(4):
        number = people / (variance - questions) if variance > questions else inf
        number = max(2, int(min(number, most) / step)) * step
        runs = rough if number >= most else 4 * rough
        # No simulation where the formula, which is right to a factor of two, says many times as many.
        share = power_of(number, runs).power if questions < 2 * variance and people < 4 * most * variance else 0.0
        if number >= most and share < aim:
            raise StudyError(
                f"More than {_MOST:,} people would be needed. Look for a larger effect (--effect), "
                "let people rate more (--per-person), or take more questions (--questions)."
            )
        # The studies found as much as if their variance were larger by this.
        found = max(0.3, cut + normal.inv_cdf(min(max(share, 0.5 / runs), 1 - 0.5 / runs)))
        variance = (people / number + questions) * (found / wanted) ** 2
        if 0.2 < share < 0.97:
            break
    number = people / (variance - questions) if variance > questions else inf
    return max(2, int(min(number, most) / step)) * step


def _settled(result: Power, power_of: Callable[[int], Power], step: int, aim: float) -> Power:
    """Return the power at a number of people near that of `result` which many simulations find to be enough: from too
    many down in steps of a tenth, and from too few up in steps of a twentieth."""
    while result.low > aim:
        fewer = result.participants - step * max(1, round(0.1 * result.participants / step))
        if fewer < 2:
            return result
        below = power_of(fewer)
        if below.power < aim:
            return result
        result = below
    while result.power < aim:
        result = power_of(result.participants + step * max(1, round(0.05 * result.participants / step)))
    return result
