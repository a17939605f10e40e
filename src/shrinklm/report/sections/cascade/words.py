"""What the cascade does, in sentences; differences are called so where a test shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...fields import block, finite
from ...look.numbers import ALPHA, listing, p_clause, percent
from ...results import Results
from .figures import Passing

Sentences = list[tuple[str, str]]


def sentences(results: Results, rows: Sequence[Passing]) -> Sentences:
    """(heading, sentence)."""
    goal = block(results.findings.recipe, "cascade")
    lines = [("The rule", _rule(goal))] if goal else []
    if lacking := [entry for entry in rows if entry.thresholds and None in entry.thresholds]:
        lines.append(("No threshold", _lacking(results, lacking, goal)))
    teacher = rows[0].teacher
    if teacher is None:
        what = "withheld" if not goal.get("teacher") else "passed on"
        ask = (
            " The teacher's answers are not there; this asks for them: shrinklm cascade RECIPE"
            if goal.get("teacher")
            else ""
        )
        lines.append(("What is drawn", f"Accuracy among the answers kept, as more of the others are {what}.{ask}"))
        return lines
    tested = [entry for entry in rows if entry.compared]
    if tested:
        parts = [_compared(results.label(entry.row), entry) for entry in tested]
        text = f"{teacher.name} alone is right in {percent(float(teacher.right.mean()))} % of the test questions. "
        lines.append(("Asking at times", f"{text}{' '.join(parts)}"))
    return lines


def _rule(goal: Mapping[str, Any]) -> str:
    sure = percent(finite(goal.get("confidence")) or 0.95)
    how = "withheld" if not goal.get("teacher") else "passed on"
    if goal.get("accuracy") is not None:
        return (
            f"The threshold on the confidence is picked on dev answers so that, with a probability of {sure} % over "
            f"draws of dev questions, at least {percent(float(goal['accuracy']))} % of the answers kept are right "
            f"(Learn-then-Test, exact binomial tests in a fixed order); the other questions are {how}."
        )
    return (
        f"The threshold on the confidence is picked on dev answers so that, with a probability of {sure} % over draws "
        f"of dev questions, at most {percent(float(goal['budget']))} % of the questions are {how} (order statistics)."
    )


def _lacking(results: Results, rows: Sequence[Passing], goal: Mapping[str, Any]) -> str:
    parts = []
    for entry in rows:
        of = "" if len(entry.right) == 1 else f" (for {sum(v is None for v in entry.thresholds or ())} of its seeds)"
        need = (
            f"about {max(entry.needed):,} dev questions would be needed, if its accuracy stays"
            if entry.needed
            else "its surest answers are not right often enough for any number of dev questions"
        )
        parts.append(f"{results.label(entry.row)}{of}: {need}")
    return f"None met the goal, so that every question goes on, for {'; '.join(parts)}."


def _compared(name: str, entry: Passing) -> str:
    assert entry.answered is not None
    text = (
        f"{name} passes on {percent(1 - float(entry.kept.mean()))} % and with that is right in "
        f"{percent(float(entry.answered.mean()))} %"
    )
    parts = []
    for key, other in (("never", "never asking"), ("always", "always asking")):
        comparison, p = entry.compared[key], entry.adjusted[key]
        shown = p < ALPHA and comparison.low * comparison.high > 0
        side = "above" if comparison.difference > 0 else "below"
        size = f"{percent(abs(comparison.difference))} points {side} {other}"
        verdict = size if shown else f"no difference from {other} shown"
        parts.append(f"{verdict} ({p_clause(p)})")
    return f"{text}: {listing(parts)}."
