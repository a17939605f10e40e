"""The tables of a study's result, for its page and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...report.look.numbers import DASH, MINUS, p_value
from ...report.look.tables import Column, Line, Table
from ...report.rated import RATED
from ...stats.agreement import Agreement
from ..analysis.base import NotComputed
from ..analysis.records import Estimate
from ..analysis.spreads import simpler_lines
from ..analysis.summary import levels, listed, signed
from ..design.rules import said
from .records import Method, Outcome, Preferences

_MACHINE = "By machine"


@dataclass(frozen=True)
class _Row:
    """A measure in the table of methods."""

    group: str
    name: str
    key: str
    people: bool
    """Whether people gave it; otherwise it is the run's."""
    share: bool
    """Whether it is shown in per cent."""
    digits: int

    def estimate(self, method: Method) -> Estimate | None:
        """What a condition has of it."""
        return method.people.get(self.key) if self.people else method.measures.get(self.key)


def methods(outcome: Outcome) -> Table:
    """A row for each measure and a column for each condition; as records, a row for each condition."""
    rows = _method_rows(outcome)
    lines, group = [], ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append(Line((group,), kind="group"))
        cells, below = [f"{row.name}, %" if row.share else row.name], dict[int, str]()
        for method in outcome.methods:
            _add(cells, below, row.estimate(method), row.share, row.digits)
        lines.append(Line(tuple(cells), below))
    caption = (
        "Machine figures are of the method on the whole test set, over all of its seeds; people's are of the "
        "explanations that were drawn, of one seed. Small print: 95 % intervals, over resampled questions and over "
        "resampled people."
    )
    columns = (Column("Measure", numeric=False), *(Column(method.condition) for method in outcome.methods))
    records = tuple(_record(method, rows) for method in outcome.methods)
    return Table("methods", caption, columns, tuple(lines), records)


def _method_rows(outcome: Outcome) -> list[_Row]:
    machine = [
        _Row(_group(column.key), column.name, column.key, False, column.share, column.digits)
        for column in outcome.columns
    ]
    machine.sort(key=lambda row: row.group != _MACHINE)
    rating = outcome.kind == "rating"
    return machine + [_Row("By people", name, name, True, not rating, 2 if rating else 0) for name in outcome.measures]


def _record(method: Method, rows: Sequence[_Row]) -> dict[str, object]:
    record: dict[str, object] = {"condition": method.condition, "run": method.run, "cell": method.cell}
    for row in rows:
        if (estimate := row.estimate(method)) is not None:
            key = row.key
            record |= {
                key: estimate.value,
                f"{key}_low": estimate.low,
                f"{key}_high": estimate.high,
                f"{key}_n": estimate.n,
            }
    return record


def exclusions(outcome: Outcome) -> Table:
    """Each rule, and how many it left out."""
    rules, counts = outcome.exclusions.rules, outcome.exclusions.counts
    rows = {
        "failed_checks": ("failed attention checks", "{} or more"),
        "faster_than": ("was too fast", "median below {} s an item"),
        "same_answer": ("gave the same answer throughout", "the same step every time"),
        "unfinished": ("did not finish", "not at the end"),
        "item_faster_than": ("answered a single item too fast", "single items below {} s"),
    }
    lines = []
    for key, (reason, rule) in rows.items():
        used = rules[key] not in (None, False)
        limit = rule.format(rules[key]) if used else "not a rule here"
        lines.append(Line((reason, limit, str(counts.get(reason, 0)) if used else DASH)))
    caption = (
        "People, and of the last rule items, that the rules of study.yaml leave out. "
        "One person may be counted under several."
    )
    columns = (Column("Reason", numeric=False), Column("Rule", numeric=False), Column("Left out"))
    return Table("exclusions", caption, columns, tuple(lines))


def changed(outcome: Outcome) -> Table | None:
    """The rules that changed after they were kept; None: none did."""
    if not outcome.rules.changes:
        return None
    lines = tuple(
        Line((change.rule, said(change.before), said(change.after), change.since)) for change in outcome.rules.changes
    )
    columns = tuple(Column(name, numeric=False) for name in ("Rule", "Before", "In this analysis", "Kept at"))
    return Table(
        "changes", "Rules that are others in this analysis than they were when they were kept.", columns, lines
    )


def sensitivity(outcome: Outcome) -> Table:
    """The means with the exclusions and without."""
    columns = [Column("Measure", numeric=False)]
    for name in outcome.conditions:
        columns += [Column("analysed", name), Column("everyone", name)]
    share, digits = outcome.kind != "rating", 2 if outcome.kind == "rating" else 0
    lines = []
    for measure in outcome.measures:
        estimates = [
            means.get(name, {}).get(measure)
            for name in outcome.conditions
            for means in (outcome.means, outcome.everyone)
        ]
        lines.append(Line((measure, *(_value(estimate, share, digits) for estimate in estimates))))
    caption = "Means of those who are analysed, and of everyone who answered."
    return Table("sensitivity", caption, tuple(columns), tuple(lines))


def strata(outcome: Outcome) -> Table | None:
    """Means by whether the conditions were right."""
    means = outcome.strata.means
    if means is None:
        return None
    titles = {"right": "all right", "differ": "answers differ", "wrong": "all wrong, alike"}
    names = [name for name in titles if name in means]
    columns = [Column("Condition", numeric=False), *(Column(titles[name]) for name in names)]
    lines = []
    for rank, condition in enumerate(outcome.conditions):
        cells, below = [condition], {}
        for index, name in enumerate(names):
            entry = means[name].get(condition)
            cells.append(f"{entry.mean:.2f}" if entry else DASH)
            if entry:
                below[index + 1] = f"n = {entry.n}"
        lines.append(Line(tuple(cells), below, rank=rank))
    caption = f"Mean {outcome.strata.measure}, by what the conditions answered."
    return Table("strata", caption, tuple(columns), tuple(lines))


def agreement(outcome: Outcome) -> Table | None:
    """How far people who rated the same explanation agree."""
    if isinstance(outcome.analysis, Preferences):
        return None
    columns = (Column("Measure", numeric=False), Column("Krippendorff's α"), Column("Gwet's AC2"), Column("ICC"))
    lines = []
    for name, measure in outcome.analysis.measures.items():
        entry = measure.agreement
        if isinstance(entry, NotComputed):
            continue
        cells, below = [name], {}
        for coefficient in (entry.krippendorff, entry.gwet, entry.icc):
            # Ratings that are all the same leave nothing to agree about: the coefficient is NaN then.
            if not isinstance(coefficient, Agreement) or not math.isfinite(coefficient.value):
                cells.append(DASH)
                continue
            cells.append(f"{coefficient.value:.2f}")
            if math.isfinite(coefficient.low):
                below[len(cells) - 1] = _between(coefficient.low, coefficient.high, 2)
        lines.append(Line(tuple(cells), below))
    if not lines:
        return None
    return Table("agreement", "Agreement of people on the same explanation; 95 % intervals.", columns, tuple(lines))


def effects(outcome: Outcome) -> Table | None:
    """Differences from the reference, by the mixed model with all levels of the design, and of the main measure by the
    simpler one; of preferences, the pairs."""
    analysis = outcome.analysis
    if isinstance(analysis, Preferences):
        return _pairs(analysis)
    columns = (
        Column("Measure", numeric=False),
        Column("Condition", numeric=False),
        Column("Difference"),
        Column("p, Holm"),
    )
    lines = []
    for name, measure in analysis.measures.items():
        fit = measure.mixed.fullest
        for effect in [] if isinstance(fit, NotComputed) else fit.conditions:
            cells = (name, effect.condition, signed(effect.estimate), p_value(effect.p_adjusted))
            kind = "separated" if effect.p_adjusted < 0.05 else ""
            lines.append(Line(cells, {2: f"{signed(effect.low)} to {signed(effect.high)}"}, kind))
    fit = analysis.measure.mixed.fullest
    if not lines or isinstance(fit, NotComputed):
        return None
    who = listed(levels(fit))
    caption = f"Differences from {analysis.reference}, in points: a linear mixed model with levels of {who}."
    return Table("effects", caption, columns, (*lines, *simpler_lines(analysis)))


def _pairs(analysis: Preferences) -> Table:
    columns = (Column("Asked", numeric=False), Column("Pair", numeric=False), Column("First preferred"), Column("p"))
    lines = []
    for name, preference in analysis.constructs.items():
        for pair in preference.pairs:
            share = pair.share
            cells = (name, f"{pair.first} to {pair.second}", f"{share.value:.0%}", p_value(share.p))
            below = {2: f"{_between(100 * share.low, 100 * share.high, 0)} %"}
            lines.append(Line(cells, below, "separated" if share.p < 0.05 else ""))
    caption = "How often the first is preferred to the second; ties count half."
    return Table("effects", caption, columns, tuple(lines))


def _group(key: str) -> str:
    return "By judges" if key.startswith(RATED) else _MACHINE


def _value(estimate: Estimate | None, share: bool, digits: int) -> str:
    return DASH if estimate is None else f"{100 * estimate.value if share else estimate.value:.{digits}f}"


def _add(cells: list[str], below: dict[int, str], estimate: Estimate | None, share: bool, digits: int) -> None:
    """Add a cell, and its interval as small print."""
    cells.append(_value(estimate, share, digits))
    if estimate and estimate.low is not None and estimate.high is not None:
        factor = 100 if share else 1
        below[len(cells) - 1] = _between(factor * estimate.low, factor * estimate.high, digits)


def _between(low: float, high: float, digits: int) -> str:
    """Return an interval; where an end is negative with "to", since a dash would read as a sign."""
    # + 0.0: an end that rounds to zero from below would be "-0.00".
    ends = [f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS) for value in (low, high)]
    return f"{ends[0]}{' to ' if MINUS in ends[0] else DASH}{ends[1]}"
