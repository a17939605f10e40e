"""The decision in words."""

from __future__ import annotations

from ...look.numbers import NO_DIFFERENCE, listing
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
        names = [results.label(row) for row in front(decision.rows, answers.key, other.key)]
        if names:
            lines.append((f"The front by “{other.word}”", f"{listing(names)}."))
    if decision.silent:
        rows = "; ".join(f"{results.label(row)} ({answers.word} {_value(row, answers)})" for row in decision.silent)
        whose = "its explanations" if len(decision.silent) == 1 else "their explanations"
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
        values.append(f"{measure.word} {_value(row, measure)} ({interval})")
    return listing(values)


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
    return f"From {results.label(step.accurate)} to {results.label(step.explaining)}: {'; '.join(changes)}."
