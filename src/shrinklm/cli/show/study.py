"""What `study analyze` and `study calibrate` print."""

from __future__ import annotations

import math
from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from ...report.look.numbers import p_value
from ...study.analysis.base import NotComputed
from ...study.analysis.fits import Fit, OrdinalFit
from ...study.analysis.judges import Calibration
from ...study.analysis.records import Analysis
from ...study.analysis.spreads import spreads
from ...study.analysis.summary import people, rounded, signed
from ..printed import say
from ..terminal import Terminal
from . import columns
from .outcome import print_table

_MISSING = "-"
"""What a cell shows that has no number."""


def analysis(result: Analysis) -> None:
    """Print means, tests and effects by measure, the outliers, and the paragraph."""
    console = Terminal()
    console.print(_means(result))
    console.print(_tests(result))
    console.print(_models(result))
    console.print(_effects(result))
    if (table := spreads(result)) is not None:
        print_table(table)
        say(table.caption.partition("; ")[2])
    _outliers(result)
    say("")
    say(result.paragraph)


def calibration(result: Calibration) -> None:
    """Print each judge's bias and correlations by measure, and the paragraph."""
    console = Terminal()
    for judge, measures in result.judges.items():
        table = columns(["Measure"], ["Bias (95 % interval)", "Same order", "r by condition", "r by item (n)"], judge)
        for name, measure in measures.items():
            bias, over, item = measure.bias, measure.by_condition, measure.by_item
            cells = [_MISSING] * 4
            if not isinstance(bias, NotComputed):
                cells[0] = f"{signed(bias.value)} ({signed(bias.low)} to {signed(bias.high)})"
            if not isinstance(over, NotComputed):
                cells[1] = "ties all" if over.tied == over.pairs else f"{100 * over.same_order.value:.0f} %"
                if not isinstance(over.pearson, NotComputed):
                    cells[2] = _number(over.pearson.value, rounded)
            if not isinstance(item, NotComputed) and not isinstance(item.pearson, NotComputed):
                cells[3] = f"{rounded(item.pearson.value)} ({item.n:,})"
            table.add_row(Text(name), *cells)
        console.print(table)
    say("")
    say(result.paragraph)


def _means(result: Analysis) -> Table:
    title = f"{result.n:,} ratings by {people(result.raters.n)}"
    table = columns(["Mean (SD)"], list(result.conditions), title)
    for name, measure in result.measures.items():
        cells = []
        for level in result.conditions:
            mean, sd = measure.means.get(level), measure.sds.get(level)
            cells.append(_MISSING if mean is None else f"{mean:.2f}" if sd is None else f"{mean:.2f} ({sd:.2f})")
        table.add_row(Text(name), *cells)
    return table


def _tests(result: Analysis) -> Table:
    title = "Every rating as independent: Kruskal–Wallis, Dunn, Levene"
    table = columns(["Measure"], ["H", "p", "η²", "Pairs told apart", "Levene p"], title)
    for name, measure in result.measures.items():
        cells = [_MISSING] * 5
        if not isinstance(test := measure.kruskal, NotComputed):
            cells[:3] = _number(test.statistic), _number(test.p, p_value), _number(test.eta2, _three)
        if not isinstance(pairs := measure.dunn, NotComputed):
            cells[3] = f"{sum(pair.p_adjusted < 0.05 for pair in pairs)} of {len(pairs)}"
        if not isinstance(levene := measure.levene, NotComputed):
            cells[4] = _number(levene.p, p_value)
        table.add_row(Text(name), *cells)
    return table


def _models(result: Analysis) -> Table:
    title = "Linear and ordinal mixed models, all conditions"
    table = columns(["Measure"], ["Linear F", "p", "Between people", "Ordinal χ²", "p"], title)
    for name, measure in result.measures.items():
        linear, order = measure.mixed.fullest, measure.ordinal.fullest
        between = _MISSING if isinstance(linear, NotComputed) else f"{100 * linear.shares[result.raters.column]:.0f} %"
        table.add_row(Text(name), *_joint(linear, divided=True), between, *_joint(order))
    return table


def _joint(fit: Fit | NotComputed, divided: bool = False) -> tuple[str, str]:
    """The χ² of all conditions, or `divided` by its degrees of freedom the F, and p."""
    if isinstance(fit, NotComputed):
        return _MISSING, _MISSING
    if isinstance(fit, OrdinalFit) and not fit.converged:
        return "no convergence", _MISSING
    ratio = " (LR)" if isinstance(fit, OrdinalFit) and fit.separated else ""
    return _number(fit.joint.chi2 / (fit.joint.df if divided else 1)) + ratio, _number(fit.joint.p, p_value)


def _effects(result: Analysis) -> Table:
    title = f"{result.main}: points above {result.reference}"
    table = columns(["Condition", "Model"], ["Estimate", "95 % interval", "p"], title)
    mixed, boot = result.measure.mixed, result.measure.bootstrap
    fits = {
        "mixed": mixed.fullest,
        "people not by condition": mixed.simpler,
        "with controls": mixed.with_controls,
        "no outliers": mixed.without_outliers,
    }
    for level in list(result.conditions)[1:]:
        lines = [
            (model, effect.estimate, effect.low, effect.high, effect.p)
            for model, fit in fits.items()
            if fit is not None and not isinstance(fit, NotComputed)
            for effect in fit.conditions
            if effect.condition == level
        ]
        difference = None if isinstance(boot, NotComputed) else boot.differences.get(level)
        if difference is not None and difference.p is not None:
            lines.append(("bootstrap", difference.value, difference.low, difference.high, difference.p))
        for index, (model, value, low, high, p) in enumerate(lines):
            between = f"{signed(low, 3)} to {signed(high, 3)}"
            table.add_row(Text("" if index else level), model, signed(value, 3), between, p_value(p))
        table.add_section()
    return table


def _outliers(result: Analysis) -> None:
    rows = [(level, row) for level, group in result.measure.outliers.items() for row in group.rows]
    if rows:
        say(f"Outside 1.5 interquartile ranges of {result.main} in their condition, and counted ({len(rows)}):")
        for level, row in rows[:20]:
            say(f"  {row.place}: {row.value:g}, {level}, rater {row.rater}")
        if len(rows) > 20:
            say(f"  and {len(rows) - 20} more: see the JSON (--json FILE)")


def _number(value: float, form: Callable[[float], str] = "{:.2f}".format) -> str:
    return form(value) if math.isfinite(value) else _MISSING


def _three(value: float) -> str:
    return f"{value:.3f}"
