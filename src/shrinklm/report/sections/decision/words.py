"""The decision in words."""

from __future__ import annotations

from ...look.numbers import NO_DIFFERENCE, THESE_QUESTIONS, listing, percent
from ...measures import Measure, measure_of
from ...results import Results, Row
from .choice import Decision, Step, front


def sentences(results: Results, decision: Decision) -> list[tuple[str, str]]:
    """What to take and what it costs, as (heading, text)."""
    answers, axis = measure_of(results.primary or "accuracy"), decision.axis
    lines = _choice(results, decision, answers)
    lines += [("What the change costs", _exchange(results, step, answers, axis)) for step in decision.steps]
    if decision.behind:
        rows = "; ".join(
            f"{results.label(row)} ({_value(row, answers)} and {_value(row, axis)})" for row in decision.behind
        )
        lines.append(("Behind the front", f"{rows}. Another method is at least as good in both, by the means."))
    for other in decision.axes[1:]:
        ranked = [row for row in decision.rows if row.ranked(other.key)]
        names = [results.label(row) for row in front(ranked, answers.key, other.key)]
        if names:
            lines.append((f"The front by “{other.word}”", f"{listing(names)}."))
    lines += _silent(results, decision, answers)
    return lines


def _silent(results: Results, decision: Decision, answers: Measure) -> list[tuple[str, str]]:
    """The methods whose explanations were not measured, and those where too few were."""
    axis, lines = decision.axis, []
    few = [row for row in decision.silent if axis.key in row.estimates]
    silent = [row for row in decision.silent if axis.key not in row.estimates]
    if few:
        rows = "; ".join(
            f"{results.label(row)} ({answers.word} {_value(row, answers)}, {percent(row.missing(axis.key))} % without)"
            for row in few
        )
        lines.append(("Not ranked", f"{rows}. Too few of the questions have a score of {axis.word} there."))
    if silent:
        rows = "; ".join(f"{results.label(row)} ({answers.word} {_value(row, answers)})" for row in silent)
        whose = "its explanations" if len(silent) == 1 else "their explanations"
        text = f"{rows}. It was not measured there, and nothing can be said about {whose}."
        lines.append((f"Without {axis.word}", text))
    return lines


def _choice(results: Results, decision: Decision, answers: Measure) -> list[tuple[str, str]]:
    axis = decision.axis
    most_accurate, best_explaining = decision.front[0], decision.front[-1]
    if most_accurate is best_explaining:
        others = len(decision.rows) > 1
        ahead = f" No other method has a higher {answers.word} or a higher {axis.word}." if others else ""
        return [("Take", f"{results.label(most_accurate)}: {_both(most_accurate, answers, axis)}.{ahead}")]
    headings = [
        "If right answers count most",
        *("Between them" for _ in decision.front[1:-1]),
        "If explanations count most",
    ]
    return [
        (heading, f"{results.label(row)}: {_both(row, answers, axis)}.")
        for heading, row in zip(headings, decision.front, strict=True)
    ]


def _value(row: Row, measure: Measure) -> str:
    unit = (" %" if measure.unit == "%" else " points") if measure.share else ""
    return f"{measure.show(row.estimates[measure.key].value)}{unit}"


def _both(row: Row, answers: Measure, axis: Measure) -> str:
    values = []
    for measure in (answers, axis):
        estimate = row.estimates[measure.key]
        interval = measure.between(estimate.low, estimate.high)
        values.append(f"{measure.word} {_value(row, measure)} ({interval}{_lacking(row, measure)})")
    return listing(values)


def _lacking(row: Row, measure: Measure) -> str:
    """The share of questions without a score, and what becomes of them; "" where every one has one."""
    share = percent(row.missing(measure.key))
    if not float(share):
        return ""
    return (
        f"; {share} % have no score{' and count against it' if measure.unscored is not None else ', left out of all'}"
    )


def _exchange(results: Results, step: Step, answers: Measure, axis: Measure) -> str:
    """What a step along the front brings in explanations, and what it costs in answers."""
    changes = []
    sides = ((axis, step.explanations, step.separated[1]), (answers, step.answers, step.separated[0]))
    for measure, comparison, separated in sides:
        if comparison is None:
            continue
        unit = " points" if measure.share else ""
        interval = f"{measure.signed(comparison.low)} to {measure.signed(comparison.high)}"
        change = f"{measure.signed(comparison.difference)}{unit} in {measure.word} ({interval})"
        if not separated:
            # The interval is of this comparison alone and may exclude zero where the adjusted p does not.
            apart = comparison.low * comparison.high > 0
            change += f", {'not shown once adjusted for all of these comparisons' if apart else NO_DIFFERENCE}"
        changes.append(change)
    compared = [comparison for _, comparison, _ in sides if comparison is not None]
    once = f" {THESE_QUESTIONS}" if any(comparison.seeds < 2 for comparison in compared) else ""
    return f"From {results.label(step.accurate)} to {results.label(step.explaining)}: {'; '.join(changes)}.{once}"
