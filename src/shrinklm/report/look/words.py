"""Numbers and findings in words. Careful on purpose: what the intervals do not show is not said."""

from __future__ import annotations

from collections.abc import Sequence

from ..results import ALPHA, Pairwise, Results, Row

MINUS, DASH = "\u2212", "\u2013"
NO_DIFFERENCE = "no difference that this data can show"
NAMES = {
    "accuracy": "accuracy", "accuracy_likelihood": "accuracy by likelihood", "f1": "F1", "unparsed": "unparsed", "length": "words",
    "rougeL": "ROUGE-L", "bleu": "BLEU", "names_answer": "names its answer", "names_distractors": "names another option",
}  # fmt: skip
"""What each metric is called in tables and figures."""


def percent(share: float) -> str:
    """0.4917 → "49.2"."""
    return f"{100 * share:.1f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    text = f"{100 * difference:+.1f}"
    return text.replace("-", MINUS) if float(text) else "0.0"


def p_value(p: float) -> str:
    """Three decimals; "< 0.001" below that."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: float) -> str:
    """A whole number with commas."""
    return f"{number:,.0f}"


def short(number: float) -> str:
    """1,234,567 → "1.23 M"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def size(number: float) -> str:
    """Bytes in decimal units."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    """Seconds as "45 s", "12 min" or "3.4 h"."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def dollars(cost: float) -> str:
    """ "$0.42", with more digits below a cent."""
    return f"${cost:,.2f}" if cost >= 0.01 or not cost else f"${cost:.4f}"


def listing(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def question(results: Results) -> str:
    """What the run asked."""
    findings, students = results.findings, listing(results.students)
    if findings.teacher:
        return f"Which way of shrinking {findings.teacher} into {students} works best on {findings.task}?"
    return f"Which way of training {students} works best on {findings.task}?"


def answer(results: Results) -> str:
    """The answer, in two sentences."""
    if not results.primary or not any(results.primary in row.estimates for row in results.trained):
        return "No trained student has been scored yet, so there is no answer. Run: shrinklm evaluate recipe.yaml."
    by_student = [_best(results, student) for student in results.students]
    return f"{_capital('; '.join(filter(None, by_student)))}. {_above(results)}"


def _best(results: Results, student: str) -> str:
    """Which method of a student is ahead, and of which others that can be said."""
    metric = results.primary or ""
    rows = [row for row in results.trained if row.student == student and metric in row.estimates]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row.estimates[metric].value)
    best, others = rows[0], rows[1:]
    where = f" on {student}" if len(results.students) > 1 else ""
    share = _share(best, metric)
    if not others:
        return f"{best.method}{where} {share}; with one method there is nothing to compare it with"
    behind: list[str] = []
    tied: list[str] = []
    leads: list[tuple[float, float]] = []
    for row in others:
        pair = _pair(results.pairs, best, row)
        (behind if pair and pair.separated else tied).append(row.method)
        if pair and pair.separated:
            leads.append((abs(pair.comparison.difference), pair.adjusted))
    if not behind:
        top = f"the highest, {best.method}, {share}"
        some = any(
            pair.separated for pair in results.pairs if pair.first.student == student
        )  # between others than the best
        between = (
            f"between {best.method} and {listing(tied)}"
            if some or len(tied) == 1
            else f"between the {len(rows)} methods"
        )
        rest = (
            f"{_value(others[-1], metric)} for the other"
            if len(tied) == 1
            else f"the lowest, {others[-1].method}, {_value(others[-1], metric)}"
        )
        ps = [pair.adjusted for row in others if (pair := _pair(results.pairs, best, row))]
        least = f" ({'smallest ' if len(ps) > 1 else ''}Holm-adjusted p {p_value(min(ps))})" if ps else ""
        return f"{between}{where} there is {NO_DIFFERENCE}: {top}, and {rest}{least}"
    lead = f"at least {points(min(lead for lead, _ in leads)).lstrip('+')} points (Holm-adjusted p {_at_most(max(p for _, p in leads))})"
    if not tied:
        return f"{best.method} works best{where}: it {share}, ahead of {listing(behind)} by {lead}"
    return (
        f"{best.method} has the highest accuracy{where}: it {share}, ahead of {listing(behind)} by {lead}; "
        f"between it and {listing(tied)} there is {NO_DIFFERENCE}"
    )


def _above(results: Results) -> str:
    """How the trained students stand to themselves untrained and to chance."""
    metric = results.primary or ""
    rows = [row for row in results.trained if metric in row.estimates]
    flat: dict[str, list[str]] = {}  # what they are compared with → which of them are not shown to be above it
    if results.gains:
        shares = sorted({percent(pair.second.estimates[metric].value) for pair in results.gains}, key=float)
        name = f"the untrained student ({' to '.join(dict.fromkeys((shares[0], shares[-1])))} %)"
        flat[name] = [
            _name(results, pair.first)
            for pair in results.gains
            if not (pair.separated and pair.comparison.difference > 0)
        ]
    chance = max(
        (share for name in ("majority", "random") if (share := results.baseline(name)) is not None), default=None
    )
    if chance is not None and metric != "f1":
        name = f"chance ({percent(chance)} %, the better of guessing and the most frequent answer)"
        flat[name] = [_name(results, row) for row in rows if row.estimates[metric].low <= chance]
    if not flat:
        return "Neither the untrained student nor chance is known, so what training brought cannot be said."
    parts = []
    for names in dict.fromkeys(tuple(names) for names in flat.values()):
        below = [name for name, others in flat.items() if tuple(others) == names]
        many, either = len(rows) > 1, " or ".join(below)
        if not names:
            parts.append(f"{'every trained student' if many else 'it'} is above {listing(below)}")
        elif len(names) == len(rows):
            parts.append(f"{'no trained student is' if many else 'it is not'} shown to be above {either}")
        else:
            parts.append(
                f"{listing(names)} {'is' if len(names) == 1 else 'are'} not shown to be above {either}; the other trained students are"
            )
    text = ", and ".join(parts)
    return f"{text if rows and any(text.startswith(row.method) for row in rows) else text[:1].upper() + text[1:]}."


def cautions(results: Results) -> list[str]:
    """What a reader must know before believing the table."""
    findings, notes = results.findings, []
    cells = [cell for cell in findings.cells if cell.trained]
    diverged = [cell for cell in cells if cell.diverged]
    if diverged:
        names = ", ".join(cell.name for cell in diverged)
        notes.append(
            f"{_cells(len(diverged))} diverged ({names}). What they answered is in every mean and marked; nothing is dropped."
        )
    single = [row.method for row in results.trained if len(row.cells) == 1]
    if single:
        who = "Each method" if len(single) == len(results.trained) else listing(single)
        was = "were" if len(single) > 1 and len(single) < len(results.trained) else "was"
        notes.append(
            f"{who} {was} trained from one seed only: differences may be those of seeds, and the intervals do not include that."
        )
    unread = [row for row in results.trained if "unparsed" in row.estimates and row.estimates["unparsed"].value > 0.05]
    for row in unread:
        share = percent(row.estimates["unparsed"].value)
        notes.append(
            f"{_name(results, row)}: {share} % of the answers did not parse. They count as wrong, in accuracy by generation only."
        )
    partly = [
        row
        for row in results.trained
        if results.primary in row.estimates and row.estimates[results.primary or ""].n < len(findings.items)
    ]
    if partly:
        notes.append(
            f"Not every test question was scored for {listing([_name(results, row) for row in partly])}; n stands in the table's CSV."
        )
    teacher = results.teacher
    if teacher and teacher[2] != "test":
        notes.append(
            f"The teacher's accuracy is measured on {count(teacher[1])} questions of the {teacher[2]} split, not of the test split."
        )
    if len({exposure(row) for row in results.trained}) > 1:
        notes.append(
            "The methods did not see as many examples in equal batches: their comparison is confounded with exposure (see below)."
        )
    return notes + list(findings.gaps)


def exposure(row: Row) -> tuple[frozenset[object], ...]:
    """What must be equal for two rows to be compared: examples seen, effective batch, optimizer steps."""
    return tuple(
        frozenset(cell.info.get(key) for cell in row.cells if cell.trained)
        for key in ("examples_seen", "batch", "steps")
    )


def equal_exposure(results: Results) -> str:
    """Whether the methods can be compared: the statement above the table of exposure."""
    cells = [cell for cell in results.findings.cells if cell.trained]
    if not cells:
        return "No student was trained."
    seen = {tuple(cell.number(key) for key in ("examples_seen", "batch", "steps")) for cell in cells}
    if len(seen) > 1:
        return (
            f"Exposure was not equal: the {len(cells)} trained cells differ in examples seen, effective batch or steps."
        )
    examples, batch, steps = (count(number) if number is not None else "an unknown number of" for number in seen.pop())
    return (
        f"Every one of the {_cells(len(cells))} saw {examples} examples in {steps} optimizer steps at an effective batch of {batch}. "
        "Memory changes only the micro-batch; tokens differ with what a method shows of an example."
    )


def duplicates(number: int) -> str:
    """What the search for duplicates across splits found."""
    if not number:
        return "No question stands in two splits."
    return "One question stands in two splits." if number == 1 else f"{count(number)} questions stand in two splits."


def _cells(number: int) -> str:
    return f"{number} trained cell{'' if number == 1 else 's'}"


def _pair(pairs: Sequence[Pairwise], a: Row, b: Row) -> Pairwise | None:
    return next((pair for pair in pairs if {id(pair.first), id(pair.second)} == {id(a), id(b)}), None)


def _name(results: Results, row: Row) -> str:
    return f"{row.method} on {row.student}" if len(results.students) > 1 else row.method


def _share(row: Row, metric: str) -> str:
    found = row.estimates[metric]
    interval = f"95 % interval {percent(found.low)} to {percent(found.high)}"
    if metric == "f1":
        return f"reaches F1 {percent(found.value)} on {count(found.n)} test questions ({interval})"
    return f"answers {percent(found.value)} % of {count(found.n)} test questions right ({interval})"


def _value(row: Row, metric: str) -> str:
    return f"{percent(row.estimates[metric].value)} {'' if metric == 'f1' else '%'}".strip()


def _at_most(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"\u2264 {min(p, ALPHA):.3f}"


def _capital(text: str) -> str:
    """With a capital, unless the first word is the name of a method (which begins no sentence otherwise)."""
    return text[:1].upper() + text[1:] if text.startswith("between") else text
