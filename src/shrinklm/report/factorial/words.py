"""A comparison in words: what was tested, on how many, and what it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...stats import Levene, Term, Tukey
from ..look.words import MINUS
from .analysis import Factorial, spoken

ALPHA = 0.05
"""Below this a difference is called one."""


def paragraph(found: Factorial) -> str:
    """What was tested, on how many, what it shows, and whether the outliers decide it."""
    said = [_tested(found), _spread(found), _terms(found), *_pairs(found)]
    if found.removed:
        said.append(_removed(found))
    elif found.outliers:
        said.append(
            f"{_rows(len(found.outliers))} outside 1.5 interquartile ranges of a cell count too; --drop-outliers iqr shows the rest."
        )
    said += found.notes
    if found.everything is not None:
        said.append(_with_all(found, found.everything))
    return " ".join(said)


def p_value(p: float) -> str:
    """ "p = .034", "p < .001"; a fourth digit where three would hide the side of ALPHA that it is on."""
    if p < 0.001 or p > 0.999:
        return "p < .001" if p < 0.5 else "p > .999"
    return f"p = {share(p)}" if round(p, 3) != ALPHA else f"p = {p:.4f}".replace("0", "", 1)


def number(value: float, digits: int) -> str:
    """So many decimals, with a true minus; none before a plain zero."""
    text = f"{value:,.{digits}f}"
    return text.replace("-", MINUS) if text.strip("-0.") else text.removeprefix("-")


def ratio(value: float) -> str:
    """An F value: "124.2", "0.33"."""
    return number(value, 1 if value >= 100 else 2)


def decimals(found: Factorial) -> int:
    """Decimals that the spread within cells can bear: 2 when it is about 1, 4 when it is about 0.01."""
    values = [row.value or 0.0 for row in found.rows]
    spread = math.sqrt(found.anova.residual / found.anova.df) or (max(values) - min(values)) or 1.0
    return min(8, max(0, 2 - math.floor(math.log10(spread))))


def share(value: float) -> str:
    """A number between 0 and 1 with three decimals and no leading zero."""
    return f"{value:.3f}".removeprefix("0") if value == value else "not known"


def term(found: Term) -> str:
    """ "model F(3, 31) = 124.2, p < .001, partial η² = .923"."""
    if not found.df1:
        return f"{_joined(found.term)} cannot be tested"
    effect = f"{p_value(found.p)}, partial η² = {share(found.partial_eta2)}"
    return f"{_joined(found.term)} F({found.df1}, {found.df2}) = {ratio(found.F)}, {effect}"


def pair(found: Tukey, digits: int) -> str:
    """ "MT above CF by 12.66 (10.13 to 15.19, p < .001)"."""
    above, below = (found.a, found.b) if found.difference >= 0 else (found.b, found.a)
    low, high = (found.low, found.high) if found.difference >= 0 else (-found.high, -found.low)
    return f"{above} above {below} by {number(abs(found.difference), digits)} ({between(low, high, digits)}, {p_value(found.p)})"


def between(low: float, high: float, digits: int) -> str:
    """ "10.13 to 15.19"."""
    return f"{number(low, digits)} to {number(high, digits)}"


def _tested(found: Factorial) -> str:
    sizes = [cell.n for cell in found.cells if cell.n]
    each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    over = " and ".join(f"{name} ({', '.join(levels)})" for name, levels in found.levels.items())
    absent = f" {_rows(len(found.unmeasured))} without a value could not count." if found.unmeasured else ""
    return f"'{found.value}' was compared over {over}: {_rows(found.n)} in {len(sizes)} cells of {each}.{absent}"


def _spread(found: Factorial) -> str:
    levene: Levene = found.levene
    figures = f"Levene F({levene.df1}, {levene.df2}) = {ratio(levene.statistic)}, {p_value(levene.p)}"
    differ = (
        "The cells differ in spread, which the tests below do not allow for"
        if levene.p < ALPHA
        else "No sign that the cells differ in spread"
    )
    normal = ""
    if found.shapiro is not None:
        judged = "are not normal" if found.shapiro.p < ALPHA else "show no sign of not being normal"
        normal = (
            f" The residuals {judged} (Shapiro–Wilk W = {share(found.shapiro.statistic)}, {p_value(found.shapiro.p)})."
        )
    return f"{differ} ({figures}).{normal}"


def _terms(found: Factorial) -> str:
    said = f"Type-II analysis of variance: {'; '.join(term(entry) for entry in found.anova.terms)}."
    joint = [entry.term for entry in found.anova.terms if ":" in entry.term and entry.p < ALPHA]
    if joint:
        said += f" What one factor does depends on the other ({', '.join(_joined(name) for name in joint)}), so read the levels apart."
    return said


def _pairs(found: Factorial) -> list[str]:
    """One sentence for each level of the other factors."""
    said, digits = [], decimals(found)
    for within, pairs in _grouped(found).items():
        where = f"At {within}" if within else f"Between levels of {found.first}"
        apart = [pair(entry, digits) for entry in pairs if entry.p < ALPHA]
        alike = [f"{entry.a} and {entry.b} ({p_value(entry.p)})" for entry in pairs if not entry.p < ALPHA]
        rest = f"; not told apart: {', '.join(alike)}" if apart and alike else ""
        said.append(f"{where} Tukey's test (95 % intervals) shows {'; '.join(apart) or 'no pair apart'}{rest}.")
    return said


def _removed(found: Factorial) -> str:
    rows = ", ".join(f"{row.place.rpartition(', ')[2]} ({row.value:g})" for row in found.removed)
    whole = found.n + len(found.removed)
    why = "more than 1.5 interquartile ranges outside their cell's quartiles"
    return f"{len(found.removed)} of {_rows(whole)} were left out as outliers, {why}: {rows}."


def _with_all(found: Factorial, whole: Factorial) -> str:
    """What the outliers decide: terms and pairs on another side of ALPHA when every row counts."""
    said = [
        f"{_joined(after.term)} {p_value(after.p)} instead of {p_value(before.p)}"
        for before, after in zip(found.anova.terms, whole.anova.terms, strict=True)
        if (before.p < ALPHA) != (after.p < ALPHA)
    ]
    known = {(tuple(within.items()), entry.a, entry.b): entry.p for within, entry in whole.tukey}
    for within, entry in found.tukey:
        after = known.get((tuple(within.items()), entry.a, entry.b))
        if after is not None and (entry.p < ALPHA) != (after < ALPHA):
            at = f" at {spoken(within)}" if within else ""
            said.append(f"{entry.a} and {entry.b}{at} {p_value(after)} instead of {p_value(entry.p)}")
    if not said:
        return (
            f"With all {_rows(whole.n)} in, every one of these findings stays on the same side of p = {share(ALPHA)}."
        )
    return f"This rests on the rows left out. With all {_rows(whole.n)} in: {'; '.join(said)}."


def _grouped(found: Factorial) -> Mapping[str, list[Tukey]]:
    groups: dict[str, list[Tukey]] = {}
    for within, entry in found.tukey:
        groups.setdefault(spoken(within), []).append(entry)
    return groups


def _joined(name: str) -> str:
    return name.replace(":", " × ")


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
