"""A comparison in words: what was tested, on how many rows, and what it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...stats import Term, Tukey
from ..look.numbers import ALPHA, fixed, fraction, interval, p_clause
from .analysis import Factorial, levels_text


def paragraph(analysis: Factorial) -> str:
    """What was tested, on how many rows, what it shows, and whether the outliers decide it."""
    sentences = [_tested(analysis), _spread(analysis), _terms(analysis), *_pairs(analysis)]
    if analysis.removed:
        sentences.append(_removed(analysis))
    elif analysis.outliers:
        sentences.append(
            f"{_rows(len(analysis.outliers))} outside 1.5 interquartile ranges of a cell count too; "
            "--drop-outliers iqr shows the rest."
        )
    sentences += analysis.notes
    if analysis.everything is not None:
        sentences.append(_with_all(analysis, analysis.everything))
    return " ".join(sentences)


def f_value(value: float) -> str:
    """An F value: "124.2", "0.33"."""
    return fixed(value, 1 if value >= 100 else 2)


def decimals(analysis: Factorial) -> int:
    """Decimals that the spread within cells can bear: 2 when it is about 1, 4 when it is about 0.01."""
    values = [row.value or 0.0 for row in analysis.rows]
    # Where all rows of a cell are equal there is no spread within; then the range of all values decides.
    spread = math.sqrt(analysis.anova.residual / analysis.anova.df) or (max(values) - min(values)) or 1.0
    return min(8, max(0, 2 - math.floor(math.log10(spread))))


def _term(term: Term) -> str:
    """ "model F(3, 31) = 124.2, p < .001, partial η² = .923"."""
    if not term.df1:
        return f"{_joined(term.term)} cannot be tested"
    effect = f"{p_clause(term.p)}, partial η² = {fraction(term.partial_eta2)}"
    return f"{_joined(term.term)} F({term.df1}, {term.df2}) = {f_value(term.F)}, {effect}"


def _pair(pair: Tukey, digits: int) -> str:
    """ "MT above CF by 12.66 (10.13 to 15.19, p < .001)"."""
    above, below, low, high = pair.a, pair.b, pair.low, pair.high
    if pair.difference < 0:
        above, below, low, high = pair.b, pair.a, -pair.high, -pair.low
    difference = fixed(abs(pair.difference), digits)
    return f"{above} above {below} by {difference} ({interval(low, high, digits)}, {p_clause(pair.p)})"


def _tested(analysis: Factorial) -> str:
    sizes = [cell.n for cell in analysis.cells if cell.n]
    each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    over = " and ".join(f"{name} ({', '.join(levels)})" for name, levels in analysis.levels.items())
    absent = f" {_rows(len(analysis.unmeasured))} without a value could not count." if analysis.unmeasured else ""
    return f"'{analysis.value}' was compared over {over}: {_rows(analysis.n)} in {len(sizes)} cells of {each}.{absent}"


def _spread(analysis: Factorial) -> str:
    levene, normal = analysis.levene, ""
    if levene is None:
        spread = f"Whether the cells differ in spread cannot be tested (Levene): {analysis.no_spread}."
    else:
        differ = "No sign that the cells differ in spread"
        if levene.p < ALPHA:
            differ = "The cells differ in spread, which the tests below do not allow for"
        figures = f"Levene F({levene.df1}, {levene.df2}) = {f_value(levene.statistic)}, {p_clause(levene.p)}"
        left = analysis.without_spread
        rest = f"; cells of fewer than three rows left out: {left}" if left else ""
        spread = f"{differ} ({figures}{rest})."
    if analysis.shapiro is not None:
        verdict = "are not normal" if analysis.shapiro.p < ALPHA else "show no sign of not being normal"
        test = f"Shapiro–Wilk W = {fraction(analysis.shapiro.statistic)}, {p_clause(analysis.shapiro.p)}"
        normal = f" The residuals {verdict} ({test})."
    return f"{spread}{normal}"


def _terms(analysis: Factorial) -> str:
    sentence = f"Type-II analysis of variance: {'; '.join(_term(entry) for entry in analysis.anova.terms)}."
    joint = [_joined(entry.term) for entry in analysis.anova.terms if ":" in entry.term and entry.p < ALPHA]
    if joint:
        sentence += f" What one factor does depends on the other ({', '.join(joint)}), so read the levels apart."
    return sentence


def _pairs(analysis: Factorial) -> list[str]:
    """One sentence for each combination of levels of the other factors."""
    sentences, digits = [], decimals(analysis)
    for within, pairs in _grouped(analysis).items():
        where = f"At {within}" if within else f"Between levels of {analysis.first}"
        apart = [_pair(entry, digits) for entry in pairs if entry.p < ALPHA]
        alike = [f"{entry.a} and {entry.b} ({p_clause(entry.p)})" for entry in pairs if not entry.p < ALPHA]
        rest = f"; not told apart: {', '.join(alike)}" if apart and alike else ""
        sentences.append(f"{where} Tukey's test (95 % intervals) shows {'; '.join(apart) or 'no pair apart'}{rest}.")
    return sentences


def _removed(analysis: Factorial) -> str:
    # "line 7" of "runs.csv, line 7": the reader named the file.
    rows = ", ".join(f"{row.location.rpartition(', ')[2]} ({row.value:g})" for row in analysis.removed)
    total = analysis.n + len(analysis.removed)
    why = "more than 1.5 interquartile ranges outside their cell's quartiles"
    return f"{len(analysis.removed)} of {_rows(total)} were left out as outliers, {why}: {rows}."


def _with_all(analysis: Factorial, whole: Factorial) -> str:
    """What the outliers decide: terms and pairs that are on another side of ALPHA when every row counts."""
    changes = [
        f"{_joined(after.term)} {p_clause(after.p)} instead of {p_clause(before.p)}"
        for before, after in zip(analysis.anova.terms, whole.anova.terms, strict=True)
        if (before.p < ALPHA) != (after.p < ALPHA)
    ]
    known = {(tuple(within.items()), entry.a, entry.b): entry.p for within, entry in whole.tukey}
    for within, entry in analysis.tukey:
        p = known.get((tuple(within.items()), entry.a, entry.b))
        if p is not None and (entry.p < ALPHA) != (p < ALPHA):
            at = f" at {levels_text(within)}" if within else ""
            changes.append(f"{entry.a} and {entry.b}{at} {p_clause(p)} instead of {p_clause(entry.p)}")
    if not changes:
        return (
            f"With all {_rows(whole.n)} in, every one of these findings stays on the same side of "
            f"p = {fraction(ALPHA)}."
        )
    return f"This rests on the rows left out. With all {_rows(whole.n)} in: {'; '.join(changes)}."


def _grouped(analysis: Factorial) -> Mapping[str, list[Tukey]]:
    groups: dict[str, list[Tukey]] = {}
    for within, entry in analysis.tukey:
        groups.setdefault(levels_text(within), []).append(entry)
    return groups


def _joined(name: str) -> str:
    return name.replace(":", " × ")


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
