"""What the figures of calibration say, in sentences; differences are called so where a test shows them."""

from __future__ import annotations

from collections.abc import Sequence

from ....stats.calibration import COOLEST, HOTTEST, LEAST
from ...look.numbers import ALPHA, listing, p_clause, percent, points
from ...results import Results
from .figures import Measured

Sentences = list[tuple[str, str]]


def sentences(results: Results, rows: Sequence[Measured]) -> Sentences:
    """(heading, sentence)."""
    if not rows:
        return []
    cells = [cell for entry in rows for cell in entry.row.cells]
    summed = any(prediction.summed for cell in cells for prediction in cell.predictions.values())
    letters = " (where options are stated with their letters: of the log-likelihood itself)" if summed else ""
    lines = [
        (
            "What is measured",
            "The confidence is the probability of the answer that a student gave, among the options of its question; "
            "where the text it wrote names another than its likeliest option, that is a low one. Probabilities are the "
            f"softmax over the options of log-likelihood per character{letters}, divided by a temperature.",
        )
    ]
    if fitted := [entry for entry in rows if entry.after]:
        lines += [_calibration(results, fitted), _left(results, fitted)]
    if missing := [entry for entry in rows if entry.row.trained and not entry.after]:
        lines.append(_uncalibrated(results, missing))
    for entry in fitted:
        lines += _bounds(results.label(entry.row), entry)
    return lines


def _calibration(results: Results, rows: Sequence[Measured]) -> tuple[str, str]:
    fewest = min(entry.dev for entry in rows)
    parts = []
    for entry in rows:
        assert entry.gain is not None
        assert entry.adjusted is not None
        assert entry.after is not None
        change = f"{percent(entry.before.error.value)} to {percent(entry.after.error.value)} points"
        shown = entry.adjusted < ALPHA and entry.gain.low * entry.gain.high > 0
        verdict = ("smaller" if entry.gain.value > 0 else "larger") if shown else "no difference shown"
        parts.append(f"{results.label(entry.row)} from {change} ({verdict}, {p_clause(entry.adjusted)})")
    text = (
        f"A temperature, fitted on {fewest:,} dev questions or more, changed the calibration error of "
        f"{listing(parts)}; paired bootstrap over the test questions, p after Holm."
    )
    return "Calibration", text


def _left(results: Results, rows: Sequence[Measured]) -> tuple[str, str]:
    off = [entry for entry in rows if entry.after and entry.after.error.p < ALPHA]
    fine = [results.label(entry.row) for entry in rows if entry not in off]
    text = ""
    if off:
        parts = [
            f"{results.label(entry.row)} ({points(_surplus(entry))} points above chance)"
            for entry in off
            if entry.after
        ]
        text = f"After it, {listing(parts)} still {'is' if len(off) == 1 else 'are'} further off than chance explains. "
    if fine:
        text += f"Nothing here shows that {listing(fine)} {'is' if len(fine) == 1 else 'are'} not calibrated."
    return "After calibration", text.strip()


def _surplus(entry: Measured) -> float:
    assert entry.after is not None
    error = entry.after.error
    return error.value - error.noise


def _uncalibrated(results: Results, rows: Sequence[Measured]) -> tuple[str, str]:
    names = listing([results.label(entry.row) for entry in rows])
    asked = [
        int(cell.calibration.get("questions") or 0) for entry in rows for cell in entry.row.cells if cell.calibration
    ]
    if asked:
        why = f"{min(asked):,} dev questions are too few for a temperature, which takes {LEAST}"
    else:
        why = "no dev questions were asked; where there are some, shrinklm evaluate RECIPE asks them"
    return "Not calibrated", f"The probabilities of {names} stand as they are: {why}."


def _bounds(name: str, entry: Measured) -> Sentences:
    ends = {
        "low": f"{COOLEST:g}: the more sure its probabilities, the better they fitted the dev questions",
        "high": f"{HOTTEST:g}: its likelihoods say next to nothing of which option is right",
    }
    return [
        ("At the end of the scale", f"The temperature of {name} stopped at {ends[bound]}.") for bound in entry.bounds
    ]
