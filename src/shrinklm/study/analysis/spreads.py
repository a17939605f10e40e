"""The tables of mixed models: how far people, questions and explanations spread, and what a simpler model finds."""

from __future__ import annotations

from ...report.look.numbers import DASH, p_value
from ...report.look.tables import Column, Line, Table
from .base import NotComputed
from .fits import LinearFit
from .levels import WORDS
from .records import Analysis
from .summary import DEGREES, signed


def spreads(analysis: Analysis) -> Table | None:
    """The standard deviation of every level by measure, of the model that the sentences speak of; None without one."""
    fits = {name: measure.mixed.fullest for name, measure in analysis.measures.items()}
    fitted = {name: fit for name, fit in fits.items() if not isinstance(fit, NotComputed)}
    if not fitted:
        return None
    shown = [level for level in WORDS if any(level in fit.levels for fit in fitted.values())]
    heads = [f"{WORDS[level][0].upper()}{WORDS[level][1:]}" for level in shown]
    lines = []
    for name, fit in fitted.items():
        groups = dict(zip(fit.levels, fit.groups, strict=True))
        cells = [_spread(fit, groups[level]) if level in groups else DASH for level in shown]
        lines.append(Line((name, *cells, _spread(fit, "residual"))))
    last = list(fitted.values())[-1]
    caption = (
        f"Standard deviations in points, by {last.formula}; {DEGREES[last.degrees]} degrees of freedom. 0: came out as "
        f"zero, so that the level explains nothing here. {DASH}: no such level in the model."
    )
    columns = (Column("Measure", numeric=False), *map(Column, [*heads, "Single ratings"]))
    return Table("spreads", caption, columns, tuple(lines))


def simpler_lines(analysis: Analysis) -> list[Line]:
    """What the main measure's model finds without levels of people in a condition, as lines (measure, condition,
    difference, p); none where it has no such level."""
    name, fit = analysis.main, analysis.measure.mixed.simpler
    return [
        Line(
            (f"{name}, without people in each condition", effect.condition, signed(effect.estimate),
             p_value(effect.p_adjusted)),
            {2: f"{signed(effect.low)} to {signed(effect.high)}"},
        )
        for effect in (fit.conditions if fit else [])
    ]  # fmt: skip


def _spread(fit: LinearFit, group: str) -> str:
    return "0" if group in fit.singular else f"{fit.sds[group]:.2f}"
