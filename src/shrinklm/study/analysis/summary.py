"""An analysis in words: what was tested, on how many ratings, and what it shows.

What the data do not show is not claimed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ...report.look.numbers import ALPHA, MINUS, fraction, p_clause
from ...stats.linear_mixed import Method
from .base import NotComputed
from .fits import Fit, LinearFit, LinearFits, ModelPair
from .levels import WORDS
from .ordinal_words import ordinal_sentences
from .records import Agreements, Analysis, Measure, Pair


def paragraph(analysis: Analysis) -> str:
    """Return the sentences about an analysis."""
    sentences = [
        _tested(analysis),
        _cautions(analysis),
        _differ(analysis.measures),
        _pairs(analysis),
        _mixed(analysis),
        _controls(analysis),
        ordinal_sentences(analysis),
        _outliers(analysis),
        _equivalent(analysis),
        _together(analysis),
        _agreement(analysis.main, analysis.measure.agreement),
        _shows(analysis),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, such as "+0.21" or "−0.05"."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def rounded(value: float) -> str:
    """Return a number of two decimals, such as "0.62" or "−0.05"."""
    return f"{value:.2f}".replace("-", MINUS)


def people(number: int) -> str:
    """Return "1 person" or "117 people"."""
    return "1 person" if number == 1 else f"{number:,} people"


def listed(names: Iterable[str]) -> str:
    """Return "a, b and c", or "none"."""
    every = list(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}" if every else "none"


def _tested(analysis: Analysis) -> str:
    raters, conditions = analysis.raters, analysis.conditions
    least, most = raters.rows_min, raters.rows_max
    each = f"{least} to {most} times each" if least != most else "once each" if most == 1 else f"{most} times each"
    over = ", ".join(f"{level} {n:,}" for level, n in conditions.items())
    low, high = analysis.scale
    missing = sum(analysis.missing.values())
    absent = f" {missing:,} ratings were not given." if missing else ""
    same = raters.always_the_same
    still = f" {len(same)} of them gave the same rating throughout." if same else ""
    return (
        f"{people(raters.n)} rated explanations of {len(conditions)} conditions {analysis.n:,} times ({over}), "
        f"{each}, on "
        f"{listed(analysis.constructs)} from {low:g} to {high:g}.{still}{absent}"
    )


def _cautions(analysis: Analysis) -> str:
    """What the design does not allow: conclusions from one person about others, and rows that are no new ratings."""
    sentences = []
    if analysis.raters.n == 1:
        sentences.append(
            "One person rated everything: what is shown holds for these ratings and says nothing of other people."
        )
    repeated = analysis.items.repeated if analysis.items else None
    if repeated:
        rows = "1 row rates" if len(repeated) == 1 else f"{len(repeated):,} rows rate"
        sentences.append(
            f"{rows} an explanation that the same person rated in a row before (the first: {repeated[0]}); each counts."
        )
    return " ".join(sentences)


def _differ(measures: Mapping[str, Measure]) -> str:
    tests = {
        name: measure.kruskal for name, measure in measures.items() if not isinstance(measure.kruskal, NotComputed)
    }
    if not tests:
        return "No measure varies enough for a Kruskal–Wallis test."
    apart = [
        f"{name} (H({test.df}) = {test.statistic:.2f}, {p_clause(test.p)}, η² = {fraction(test.eta2)})"
        for name, test in tests.items()
        if test.p < ALPHA
    ]
    rest = [f"{name} ({p_clause(test.p)})" for name, test in tests.items() if test.p >= ALPHA]
    start = "Taking every rating as independent, Kruskal–Wallis tests show"
    if not apart:
        return f"{start} no difference between the conditions on {listed(rest)}."
    more = f", and no difference on {listed(rest)}." if rest else "."
    return f"{start} that the conditions differ on {listed(apart)}{more}"


def _pairs(analysis: Analysis) -> str:
    apart, sizes = [], []
    for name, measure in analysis.measures.items():
        if isinstance(measure.dunn, NotComputed):
            continue
        for pair in measure.dunn:
            sizes.append(abs(pair.A - 0.5))
            if pair.p_adjusted < ALPHA:
                higher, lower, size = _ordered(pair)
                apart.append(f"{name}, {higher} above {lower} ({p_clause(pair.p_adjusted)}, A = {fraction(size)})")
    if not sizes:
        return ""
    largest = max(sizes)
    # The limits of Vargha & Delaney (2000): A of .56, .64 and .71.
    word = "negligible" if largest < 0.06 else "small" if largest < 0.14 else "medium" if largest < 0.21 else "large"
    way = {"bonferroni": "Bonferroni-adjusted", "holm": "Holm-adjusted", "none": "unadjusted"}[analysis.adjustment]
    body = (
        f"Pairs told apart by Dunn's test ({way}): {'; '.join(apart)}."
        if apart
        else f"Dunn's test ({way}) tells no pair apart."
    )
    return f"{body} The largest difference of all is {word} (A = {fraction(0.5 + largest)} for the higher)."


def _ordered(pair: Pair) -> tuple[str, str, float]:
    return (pair.a, pair.b, pair.A) if pair.A >= 0.5 else (pair.b, pair.a, 1 - pair.A)


def _mixed(analysis: Analysis) -> str:
    name, fits = analysis.main, analysis.measure.mixed
    fit = fits.fullest
    if isinstance(fit, NotComputed):
        return f"A mixed model of {name} cannot be fitted: {fit.why}"
    who = levels(fit)
    have = f"{listed(who)} have levels" if len(who) > 1 else "each person has a level"
    return (
        f"A linear mixed model ({fit.formula}), in which {have} of their own, finds standard deviations of "
        f"{_spreads(fit)} points ({100 * fit.shares[analysis.raters.column]:.0f} % of the variance of {name} "
        f"lies between people){_zero(fit)}. It puts {name} against {analysis.reference} at {_effects(fit)}; "
        f"jointly {joint_test(fit)}, {p_clause(fit.joint.p)} ({DEGREES[fit.degrees]} degrees of freedom)."
        f"{_simpler(fits)}{_few(analysis, fit)}"
    )


DEGREES: Mapping[Method, str] = {"satterthwaite": "Satterthwaite's", "kenward-roger": "Kenward and Roger's"}
"""Method → whose degrees of freedom they are."""
FEW = 20
"""People below whom Kenward and Roger's degrees of freedom are offered."""


def levels(fit: LinearFit) -> list[str]:
    """What has a level of its own in a model, in words."""
    return [WORDS[level] for level in fit.levels]


def joint_test(fit: LinearFit) -> str:
    """Return the test of all conditions at once, such as "F(3, 108.1) = 5.24"."""
    test = fit.joint
    return f"F({test.df}, {test.df2:.1f}) = {test.chi2 / test.df:.2f}"


def _spreads(fit: LinearFit) -> str:
    names = dict(zip(fit.groups, levels(fit), strict=True))
    sds = [f"{rounded(sd)} ({names.get(group, 'single ratings')})" for group, sd in fit.sds.items()]
    return listed(sds)


def _zero(fit: LinearFit) -> str:
    names = dict(zip(fit.groups, levels(fit), strict=True))
    zero = [names[group] for group in fit.singular]
    return f"; that of {listed(zero)} came out as zero" if zero else ""


def _simpler(fits: LinearFits) -> str:
    """What hangs on the levels of people in a condition."""
    simpler, full = fits.simpler, fits.full
    if simpler is None or isinstance(full, NotComputed):
        return ""
    flips = [
        effect.condition
        for effect, other in zip(full.conditions, simpler.conditions, strict=True)
        if (effect.p < ALPHA) != (other.p < ALPHA)
    ]
    what = f"{listed(flips)} would be judged otherwise" if flips else "the same effects are told apart"
    return f" Without levels of people in each condition ({p_clause(simpler.joint.p)} jointly) {what}."


def _few(analysis: Analysis, fit: LinearFit) -> str:
    if analysis.raters.n >= FEW or fit.degrees == "kenward-roger":
        return ""
    return (
        f" With {people(analysis.raters.n)}, see also --degrees kenward-roger, which keeps the level of tests better."
    )


def _effects(fit: Fit) -> str:
    return listed(
        f"{signed(effect.estimate, 3)} for {effect.condition} "
        f"({signed(effect.low, 3)} to {signed(effect.high, 3)}, {p_clause(effect.p)})"
        for effect in fit.conditions
    )


def _controls(analysis: Analysis) -> str:
    fit = analysis.measure.mixed.with_controls
    if not analysis.controls:
        return ""
    if isinstance(fit, NotComputed):
        return f"With the controls the model cannot be fitted: {fit.why}"
    # A control of categories has a term for each of them, whose names differ from the control's.
    terms = [f"{effect.term} {p_clause(effect.p)}" for effect in fit.effects if effect.term in analysis.controls]
    held = listed(analysis.controls)
    return f"With {held} held fixed ({fit.n:,} rows) it is {_effects(fit)}{'; ' + ', '.join(terms) if terms else ''}."


def _outliers(analysis: Analysis) -> str:
    name, measure = analysis.main, analysis.measure
    number = sum(group.n for group in measure.outliers.values())
    if not number:
        return f"No rating of {name} lies outside 1.5 interquartile ranges of its condition."
    before, after = measure.mixed.fullest, measure.mixed.without_outliers
    rows = f"1 rating of {name} lies" if number == 1 else f"{number} ratings of {name} lie"
    lie = f"{rows} outside 1.5 interquartile ranges of their condition"
    if isinstance(before, NotComputed) or isinstance(after, NotComputed):
        return f"{lie}; {'it counts' if number == 1 else 'they count'} here."
    flips = [
        effect.condition
        for effect, other in zip(before.conditions, after.conditions, strict=False)
        if (effect.p < ALPHA) != (other.p < ALPHA)
    ]
    decided = (
        f"{'it decides' if number == 1 else 'they decide'} {listed(flips)}, so read it with care"
        if flips
        else f"without {'it' if number == 1 else 'them'} the same effects are told apart"
    )
    return f"{lie} and {'counts' if number == 1 else 'count'} here; {decided}."


def _equivalent(analysis: Analysis) -> str:
    fit = analysis.measure.mixed.fullest
    if analysis.margin is None or isinstance(fit, NotComputed):
        return ""
    same = [effect.condition for effect in fit.conditions if effect.equivalence and effect.equivalence.equivalent]
    return (
        f"Two one-sided tests with a margin of {analysis.margin:g} show {listed(same)} to be equivalent to "
        f"{analysis.reference}."
    )


def _together(analysis: Analysis) -> str:
    alpha, manova = analysis.together.cronbach_alpha, analysis.together.manova
    clauses = []
    if not isinstance(alpha, NotComputed) and math.isfinite(alpha):
        clauses.append(f"the constructs hang together (Cronbach's α {fraction(alpha)})")
    if not isinstance(manova, NotComputed):
        clauses.append(
            f"a nonparametric MANOVA over all of them gives Wilks' Λ {fraction(manova.wilks)}, "
            f"{p_clause(manova.p_wilks)}"
        )
    if not clauses:
        return ""
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def _agreement(name: str, entry: Agreements | NotComputed) -> str:
    if isinstance(entry, NotComputed):
        return entry.why
    alpha, ac = entry.krippendorff, entry.gwet
    if isinstance(alpha, NotComputed):
        return alpha.why
    more = "" if ac is None or isinstance(ac, NotComputed) else f", {ac.coefficient} {fraction(ac.value)}"
    return (
        f"Raters of the same explanation agree on {name} with {alpha.coefficient} {fraction(alpha.value)} "
        f"({fraction(alpha.low)} to {fraction(alpha.high)}){more}."
    )


def _shows(analysis: Analysis) -> str:
    """The finding, by the model that fits the design."""
    name, fit = analysis.main, analysis.measure.mixed.fullest
    if isinstance(fit, NotComputed):
        return ""
    pairs = [pair for pair in fit.pairs if pair.p_adjusted < ALPHA]
    if not pairs:
        return f"So on {name} no difference between conditions is shown by these data."
    apart = "; ".join(map(_higher, pairs))
    others = len(fit.pairs) - len(pairs)
    rest = f"; the other {others} {'pair is' if others == 1 else 'pairs are'} not told apart" if others else ""
    return f"So on {name}, by the mixed model and Holm-adjusted over all pairs: {apart}{rest}."


def _higher(pair: ModelPair) -> str:
    higher, lower = (pair.b, pair.a) if pair.difference > 0 else (pair.a, pair.b)
    return f"{higher} above {lower} by {abs(pair.difference):.2f} ({p_clause(pair.p_adjusted)})"
