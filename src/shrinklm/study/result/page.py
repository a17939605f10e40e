"""A study's result as one HTML file that opens offline, in the look of a run's report."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ...report.look.figures import Figure
from ...report.look.html import environment, head
from ..analysis.base import NotComputed
from ..analysis.fits import ConditionEffect
from ..analysis.spreads import spreads
from ..analysis.summary import FEW
from . import tables
from .records import Outcome, Preferences

HERE = Path(__file__).parent


def render(outcome: Outcome, figures: Sequence[Figure]) -> str:
    """Return the page; everything from the study and the runs is escaped. Equal results and figures give equal text."""
    page_tables = {
        "methods": tables.methods(outcome),
        "effects": tables.effects(outcome),
        "spreads": None if isinstance(outcome.analysis, Preferences) else spreads(outcome.analysis),
        "strata": tables.strata(outcome),
        "exclusions": tables.exclusions(outcome),
        "changes": tables.changed(outcome),
        "sensitivity": tables.sensitivity(outcome),
        "agreement": tables.agreement(outcome),
    }
    template = environment(HERE).get_template("result.html.j2")
    text: str = template.render(
        outcome=outcome,
        figures={figure.name: figure for figure in figures},
        tables=page_tables,
        answer=answer(outcome),
        cautions=cautions(outcome),
        facts=facts(outcome),
        excluded=excluded(outcome),
        work=work(outcome),
        again=again(outcome),
        design=design(outcome),
        **head(),
    )
    return text


def answer(outcome: Outcome) -> str:
    """The result, in a sentence or two."""
    analysis = outcome.analysis
    if isinstance(analysis, Preferences):
        return analysis.paragraph
    main, reference = outcome.main, analysis.reference
    fit = analysis.measures[main].mixed.fullest
    means = ", ".join(
        f"{name} {_mean(outcome, name)}" for name in outcome.conditions if main in outcome.means.get(name, {})
    )
    if isinstance(fit, NotComputed):
        return f"{main}: {means}. No mixed model could be fitted: {fit.why}"
    if not fit.conditions:
        return f"{main}: {means}. No mixed model could be fitted: too few ratings"
    apart = [effect for effect in fit.conditions if effect.p_adjusted < 0.05]
    if not apart:
        return f"{main}: {means}. These ratings show no condition to differ from {reference}."
    differences = [
        f"{effect.condition} {'above' if effect.estimate > 0 else 'below'} {reference} ({_effect(effect)})"
        for effect in apart
    ]
    return f"{main}: {means}. Told apart: {'; '.join(differences)}."


def cautions(outcome: Outcome) -> list[str]:
    """What a reader should know before believing the answer."""
    lines = list(outcome.missing)
    if outcome.rules.changes:
        named = ", ".join(change.rule for change in outcome.rules.changes)
        lines.append(f"Rules changed after they had been kept: {named}.")
    people, wanted = outcome.people.analysed, outcome.asked.raters_per_item
    # Percentile intervals over few clusters are too narrow: see stats.clusters.
    if people < FEW:
        lines.append(f"{people} people are few: intervals over resampled people are too narrow below about {FEW}.")
        if not isinstance(outcome.analysis, Preferences) and outcome.analysis.degrees == "satterthwaite":
            lines.append(
                "With so few people, --degrees kenward-roger keeps the level of the mixed model's tests better."
            )
    raters = outcome.ratings.analysed / max(1, len(outcome.asked.questions) * len(outcome.conditions))
    if outcome.kind != "preference" and raters < wanted:
        lines.append(f"The design asked for {wanted} people for each explanation; on average {raters:.1f} rated one.")
    if outcome.people.answered and outcome.people.excluded > 0.2 * outcome.people.answered:
        lines.append(
            f"The rules left out {outcome.people.excluded} of {outcome.people.answered} people. See the means of "
            "everyone."
        )
    return lines


def facts(outcome: Outcome) -> list[tuple[str, str]]:
    """The figures at the top of the page."""
    minutes = outcome.time.minutes
    return [
        ("People", f"{outcome.people.analysed} of {outcome.people.began}"),
        ("Finished", str(outcome.people.finished)),
        ("Ratings" if outcome.kind == "rating" else "Answers", f"{outcome.ratings.analysed:,}"),
        ("Questions", str(len(outcome.asked.questions))),
        ("Conditions", str(len(outcome.conditions))),
        ("Median time", f"{minutes.median:.0f} min" if minutes else "not known"),
    ]


def excluded(outcome: Outcome) -> str:
    """Who was left out, in a sentence."""
    people, answers = outcome.people, outcome.ratings
    return (
        f"{rules(outcome)} {people.began} people began and {people.answered} "
        f"answered an item; {people.excluded} of these are left out, and with them "
        f"{answers.given - answers.analysed:,} of {answers.given:,} answers."
    )


def rules(outcome: Outcome) -> str:
    """Since when the rules stand, in a sentence."""
    kept = outcome.rules
    if kept.first is None and kept.registered is None:
        return "No rules were kept when the first answer came: those of study.yaml today are applied."
    stood = f"the first answer came ({kept.first})" if kept.first else f"they were registered ({kept.registered})"
    also = f", and were registered before ({kept.registered})" if kept.first and kept.registered else ""
    if not kept.changes:
        return f"The rules are those that stood when {stood}{also}; SHA-256 {(kept.digest or '')[:12]}."
    return f"{len(kept.changes)} of the rules changed after {stood}{also}: see below."


def work(outcome: Outcome) -> list[str]:
    """Times and checks, in sentences."""
    lines = []
    if (minutes := outcome.time.minutes) is not None:
        lines.append(
            f"{minutes.n} people came to the end, in {minutes.median:.1f} minutes (median; quartiles "
            f"{minutes.q1:.1f} and "
            f"{minutes.q3:.1f}, from {minutes.least:.1f} to {minutes.most:.1f})."
        )
    if (seconds := outcome.time.seconds_an_item) is not None:
        reach = f"{seconds.least:.0f} to {seconds.most:.0f}"
        lines.append(f"An item took {seconds.median:.0f} seconds (median of people's medians, which go from {reach}).")
    checks = outcome.checks
    if checks.given:
        lines.append(
            f"{checks.passed} of {checks.given} attention checks were answered as they asked, by {checks.people} "
            "people."
        )
    else:
        lines.append("There were no attention checks.")
    if not isinstance(outcome.analysis, Preferences) and (same := outcome.analysis.raters.always_the_same):
        lines.append(f"{len(same)} people gave one and the same answer throughout: {', '.join(same[:10])}.")
    return lines


def again(outcome: Outcome) -> str:
    """How to make the page again."""
    about = f"design {outcome.design[:12]}, seed {outcome.asked.seed}"
    return f"shrinklm {version('shrinklm')}: shrinklm study analyze {outcome.folder} ({about})."


def design(outcome: Outcome) -> list[tuple[str, str]]:
    """What was decided before the first answer."""
    asked = outcome.asked
    strata = outcome.facts.get("strata", {})
    chosen = "; ".join(f"{name} {counts['chosen']}" for name, counts in strata.items())
    return [
        ("Form", outcome.kind),
        ("Conditions", ", ".join(asked.conditions)),
        ("Questions", f"{len(asked.questions)} ({chosen})"),
        ("Items a person", str(asked.per_person)),
        ("People an explanation, at least", str(asked.raters_per_item)),
        ("Attention checks a person", str(asked.checks)),
        ("Seed", str(asked.seed)),
    ]


def _mean(outcome: Outcome, condition: str) -> str:
    value = outcome.means[condition][outcome.main].value
    return f"{value:.2f}" if outcome.kind == "rating" else f"{value:.0%}"


def _effect(effect: ConditionEffect) -> str:
    return f"{effect.estimate:+.2f}, {effect.low:+.2f} to {effect.high:+.2f}".replace("-", "\u2212")
