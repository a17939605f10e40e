"""The ordinal models of an analysis in words: what they show, what is separated, and which did not converge."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...report.look.numbers import ALPHA, p_clause
from ...report.look.numbers import listing as listed
from .base import NotComputed
from .fits import ConditionEffect, OrdinalFit
from .levels import WORDS
from .records import Analysis


def ordinal_sentences(analysis: Analysis) -> str:
    """Return the sentences; empty where no model could be fitted."""
    fits = {name: measure.ordinal.fullest for name, measure in analysis.measures.items()}
    fitted = {name: fit for name, fit in fits.items() if not isinstance(fit, NotComputed)}
    ended = {name: fit for name, fit in fitted.items() if fit.converged}
    which = "the single constructs" if len(ended) == len(fitted) else listed(list(ended))
    shown = _shown(analysis, ended, which) if ended else ""
    sentences = [shown, *_separated(analysis, ended), _unfinished(fitted)]
    return " ".join(sentence for sentence in sentences if sentence)


def _shown(analysis: Analysis, fits: Mapping[str, OrdinalFit], which: str) -> str:
    apart = [
        f"{name} for {effect.condition} ({_odds(effect)}, {p_clause(effect.p_adjusted)})"
        for name, fit in fits.items()
        for effect in fit.conditions
        if effect.p_adjusted < ALPHA
    ]
    without = {
        name: with_items.why
        for name, fit in fits.items()
        if "question" not in fit.levels
        and isinstance(with_items := analysis.measures[name].ordinal.with_items, NotComputed)
    }
    who = listed([WORDS[level] for level in WORDS if any(level in fit.levels for fit in fits.values())])
    ways = {fit.method for fit in fits.values()}
    # Which of the two ways was used depends on the number of groupings; a measure may have one less than another.
    way = " and ".join(
        text
        for method, text in (("quadrature", "adaptive quadrature"), ("laplace", "Laplace's approximation"))
        if method in ways
    )
    text = (
        f"Ordinal mixed models of {which}, in which {who} have levels of their own (by {way}), against "
        f"{analysis.reference} and Holm-adjusted within each, show {listed(apart) if apart else 'no difference'}."
    )
    if not without:
        return text
    where = "" if len(without) == len(fits) else f" of {listed(list(without))}"
    why = next(iter(without.values()))
    return f"{text} Questions have no level of their own in those{where}: {why[0].lower()}{why[1:].rstrip('.')}."


def _odds(effect: ConditionEffect) -> str:
    if np.isfinite(effect.estimate):
        return f"odds ratio {effect.odds_ratio:.2f}"
    # The end of the profile interval; none where a condition may lie on either side, or the end was not found.
    for end, word in ((effect.low, "least"), (effect.high, "most")):
        if np.isfinite(end):
            return f"no finite odds ratio, at {word} {np.exp(end):.3g}"
    return "no finite odds ratio"


def _separated(analysis: Analysis, fits: Mapping[str, OrdinalFit]) -> list[str]:
    """One sentence for each set of conditions that are separated on the same constructs."""
    where: dict[tuple[str, ...], list[str]] = {}
    for name, fit in fits.items():
        if fit.separated:
            where.setdefault(tuple(fit.separated), []).append(name)
    return [
        f"On {listed(names)} the ratings of {listed(conditions)} are separated from those of {analysis.reference}: "
        "they do not overlap as an odds ratio needs, so none is finite, and the test is of the likelihood ratio."
        for conditions, names in where.items()
    ]


def _unfinished(fits: Mapping[str, OrdinalFit]) -> str:
    ended = {name: fit.trouble for name, fit in fits.items() if not fit.converged}
    if not ended:
        return ""
    models = "The ordinal model" if len(ended) == 1 else "The ordinal models"
    verb = "has" if len(ended) == 1 else "have"
    return f"{models} of {listed(list(ended))} did not converge and {verb} no p. {next(iter(ended.values()))}"
