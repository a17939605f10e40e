"""An analysis in words: what was tested, on how many, and what it shows. What the data cannot show is not said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...report.look.numbers import ALPHA, MINUS, fraction, p_clause

Json = dict[str, Any]


def paragraph(found: Json) -> str:
    """Sentences over the JSON of `analyze`."""
    measures = found["measures"]
    said = [
        _tested(found),
        _differ(measures),
        *_pairs(found),
        _mixed(found),
        _controls(found),
        _ordinal(found),
        _outliers(found),
    ]
    said += [_equivalent(found), _together(found), _agreement(measures), _shows(found)]
    return " ".join(sentence for sentence in said if sentence)


def signed(value: float, digits: int = 2) -> str:
    """ "+0.21", "−0.05"."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def rounded(value: float) -> str:
    """ "0.62", "−0.05"."""
    return f"{value:.2f}".replace("-", MINUS)


def people(number: int) -> str:
    """ "1 person", "117 people"."""
    return "1 person" if number == 1 else f"{number:,} people"


def listed(names: Iterable[str]) -> str:
    """ "a, b and c"."""
    every = list(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}" if every else "none"


def told_apart(pairs: Sequence[Json]) -> list[Json]:
    """The pairs with an adjusted p below .05."""
    return [pair for pair in pairs if pair["p_adjusted"] < ALPHA]


def main(found: Json) -> str:
    """The measure that speaks for all: the mean of the constructs, or the only one."""
    return str(list(found["measures"])[-1])


def finest(fits: Json) -> Json:
    """The model with questions' levels; where there is none, the one with people's alone."""
    return dict(fits["condition_only"] if "why" in fits["with_items"] else fits["with_items"])


def fullest(fits: Json) -> Json:
    """The linear model with explanations' levels; where explanations were rated once, the one with people's alone."""
    return dict(fits["condition_only"] if "why" in fits["with_explanations"] else fits["with_explanations"])


def _tested(found: Json) -> str:
    raters = found["raters"]
    least, most = raters["rows_min"], raters["rows_max"]
    each = f"{least} to {most} times each" if least != most else "once each" if most == 1 else f"{most} times each"
    over = ", ".join(f"{level} {n:,}" for level, n in found["conditions"].items())
    low, high = found["scale"]
    gone = sum(found["missing"].values())
    absent = f" {gone:,} ratings were not given." if gone else ""
    same = raters["always_the_same"]
    still = f" {len(same)} of them gave the same rating throughout." if same else ""
    return (
        f"{people(raters['n'])} rated explanations of {len(found['conditions'])} conditions {found['n']:,} times ({over}), {each}, on "
        f"{listed(found['constructs'])} from {low:g} to {high:g}.{still}{absent}"
    )


def _differ(measures: Json) -> str:
    tests = {name: entry["kruskal"] for name, entry in measures.items() if "why" not in entry["kruskal"]}
    if not tests:
        return "No measure varies enough for a Kruskal–Wallis test."
    apart = [
        f"{name} (H({test['df']}) = {test['statistic']:.2f}, {p_clause(test['p'])}, η² = {fraction(test['eta2'])})"
        for name, test in tests.items()
        if test["p"] < ALPHA
    ]
    rest = [f"{name} ({p_clause(test['p'])})" for name, test in tests.items() if test["p"] >= ALPHA]
    start = "Taking every rating as independent, Kruskal–Wallis tests show"
    if not apart:
        return f"{start} no difference between the conditions on {listed(rest)}."
    return f"{start} that the conditions differ on {listed(apart)}" + (
        f", and no difference on {listed(rest)}." if rest else "."
    )


def _pairs(found: Json) -> list[str]:
    said, sizes = [], []
    for name, entry in found["measures"].items():
        pairs = entry["dunn"]
        if isinstance(pairs, list):
            said += [
                f"{name}, {higher} above {lower} ({p_clause(pair['p_adjusted'])}, A = {fraction(size)})"
                for pair in told_apart(pairs)
                for higher, lower, size in [_ordered(pair)]
            ]
            sizes += [abs(pair["A"] - 0.5) for pair in pairs]
    if not sizes:
        return []
    largest = max(sizes)
    word = "negligible" if largest < 0.06 else "small" if largest < 0.14 else "medium" if largest < 0.21 else "large"
    way = {"bonferroni": "Bonferroni-adjusted", "holm": "Holm-adjusted", "none": "unadjusted"}[found["adjustment"]]
    body = (
        f"Pairs told apart by Dunn's test ({way}): {'; '.join(said)}."
        if said
        else f"Dunn's test ({way}) tells no pair apart."
    )
    return [f"{body} The largest difference of all is {word} (A = {fraction(0.5 + largest)} for the higher)."]


def _ordered(pair: Json) -> tuple[str, str, float]:
    return (pair["a"], pair["b"], pair["A"]) if pair["A"] >= 0.5 else (pair["b"], pair["a"], 1 - pair["A"])


def _mixed(found: Json) -> str:
    name = main(found)
    fit = fullest(found["measures"][name]["mixed"])
    if "why" in fit:
        return f"A mixed model of {name} cannot be fitted: {fit['why']}"
    part = fit["shares"][found["raters"]["column"]]
    who = (
        "each person has a level of her or his own"
        if len(fit["groups"]) == 1
        else "people, questions and explanations have levels"
    )
    return (
        f"A linear mixed model, in which {who} ({100 * part:.0f} % of the variance of {name} lies "
        f"between people), puts {name} against {found['reference']} at {_effects(fit)}; jointly χ²({fit['joint']['df']}) = "
        f"{fit['joint']['chi2']:.1f}, {p_clause(fit['joint']['p'])}."
    )


def _effects(fit: Json) -> str:
    return listed(
        f"{signed(row['estimate'], 3)} for {row['condition']} ({signed(row['low'], 3)} to {signed(row['high'], 3)}, {p_clause(row['p'])})"
        for row in _named(fit)
    )


def _controls(found: Json) -> str:
    fit = found["measures"][main(found)]["mixed"]["with_controls"]
    if not found["controls"]:
        return ""
    if "why" in fit:
        return f"With the controls the model cannot be fitted: {fit['why']}"
    own = [
        f"{effect['term']} {p_clause(effect['p'])}" for effect in fit["effects"] if effect["term"] in found["controls"]
    ]
    held = listed(found["controls"])
    return f"With {held} held fixed ({fit['n']:,} rows) it is {_effects(fit)}{'; ' + ', '.join(own) if own else ''}."


def _ordinal(found: Json) -> str:
    fits = {name: finest(entry["ordinal"]) for name, entry in found["measures"].items()}
    fits = {name: fit for name, fit in fits.items() if "why" not in fit}
    if not fits:
        return ""
    shown = [
        f"{name} for {effect['condition']} (odds ratio {effect['odds_ratio']:.2f}, {p_clause(effect['p_adjusted'])})"
        for name, fit in fits.items()
        for effect in _named(fit)
        if effect["p_adjusted"] < ALPHA
    ]
    without = {name: found["measures"][name]["ordinal"]["with_items"] for name in fits}
    whys = [fit["why"] for fit in without.values() if "why" in fit]
    who = "people" if len(whys) == len(fits) else "people and questions"
    start = f"Ordinal mixed models of the single constructs, in which {who} have levels of their own, against {found['reference']} and"
    start += f" Holm-adjusted within each, show {listed(shown) if shown else 'no difference'}."
    if not whys:
        return start
    where = "" if len(whys) == len(fits) else f" of {listed(name for name, fit in without.items() if 'why' in fit)}"
    return f"{start} Questions have no level of their own in those{where}: {_sentence(whys[0])}"


def _sentence(why: str) -> str:
    return f"{why[0].lower()}{why[1:].rstrip('.')}."


def _outliers(found: Json) -> str:
    name = main(found)
    entry = found["measures"][name]
    gone = sum(group["n"] for group in entry["outliers"].values())
    if not gone:
        return f"No rating of {name} lies outside 1.5 interquartile ranges of its condition."
    before, after = fullest(entry["mixed"]), entry["mixed"]["without_outliers"]
    if "why" in before or "why" in after:
        return f"{gone} ratings of {name} lie outside 1.5 interquartile ranges of their condition; they count here."
    flips = [
        effect["condition"]
        for effect, other in zip(_named(before), _named(after), strict=False)
        if (effect["p"] < ALPHA) != (other["p"] < ALPHA)
    ]
    decided = (
        f"they decide {listed(flips)}, so read it with care"
        if flips
        else "without them the same effects are told apart"
    )
    return (
        f"{gone} ratings of {name} lie outside 1.5 interquartile ranges of their condition and count here; {decided}."
    )


def _named(fit: Json) -> list[Json]:
    return [effect for effect in fit["effects"] if "condition" in effect]


def _equivalent(found: Json) -> str:
    fit = fullest(found["measures"][main(found)]["mixed"])
    if found["margin"] is None or "why" in fit:
        return ""
    same = [effect["condition"] for effect in _named(fit) if effect["equivalence"]["equivalent"]]
    return f"Two one-sided tests with a margin of {found['margin']:g} show {listed(same)} to be equivalent to {found['reference']}."


def _together(found: Json) -> str:
    said = []
    if isinstance(found["cronbach_alpha"], float):
        said.append(f"the constructs hang together (Cronbach's α {fraction(found['cronbach_alpha'])})")
    if "why" not in found["manova"]:
        wilks, p = found["manova"]["wilks"], found["manova"]["p_wilks"]
        said.append(f"a nonparametric MANOVA over all of them gives Wilks' Λ {fraction(wilks)}, {p_clause(p)}")
    if not said:
        return ""
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _agreement(measures: Json) -> str:
    name = list(measures)[-1]
    entry = measures[name]["agreement"]
    if "why" in entry:
        return str(entry["why"])
    alpha, ac = entry["krippendorff"], entry.get("gwet")
    if "why" in alpha:
        return str(alpha["why"])
    more = f", {ac['coefficient']} {fraction(ac['value'])}" if ac and "why" not in ac else ""
    between = f"{fraction(alpha['low'])} to {fraction(alpha['high'])}"
    return f"Raters of the same explanation agree on {name} with {alpha['coefficient']} {fraction(alpha['value'])} ({between}){more}."


def _shows(found: Json) -> str:
    """The finding, from the model that fits the design."""
    name = main(found)
    fit = fullest(found["measures"][name]["mixed"])
    if "why" in fit:
        return ""
    pairs = told_apart(fit["pairs"])
    if not pairs:
        return f"So on {name} no difference between conditions is shown by these data."
    said = [
        f"{pair['b'] if pair['difference'] > 0 else pair['a']} above {pair['a'] if pair['difference'] > 0 else pair['b']} by "
        f"{abs(pair['difference']):.2f} ({p_clause(pair['p_adjusted'])})"
        for pair in pairs
    ]
    left = len(fit["pairs"]) - len(pairs)
    rest = f"; the other {left} {'pair is' if left == 1 else 'pairs are'} not told apart" if left else ""
    return f"So on {name}, by the mixed model and Holm-adjusted over all pairs: {'; '.join(said)}{rest}."
