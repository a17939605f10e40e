"""The head of a report: the question, the answer in two sentences, cautions, and facts about the run.

Careful on purpose: a difference that the intervals do not show is not called one.
"""

from __future__ import annotations

from collections.abc import Sequence

from .fields import block
from .findings import Cell
from .labelled import labelled
from .look.numbers import (
    ALPHA,
    NO_DIFFERENCE,
    THESE_QUESTIONS,
    count,
    fraction,
    listing,
    p_value,
    percent,
    plural,
    points,
)
from .results import Pairwise, Results, Row, compare_rows

_MAX_UNPARSED = 0.05
"""Share of unparsed answers above which a reader is warned."""


def question(results: Results) -> str:
    """The question that the run answers."""
    findings, students = results.findings, listing(results.students)
    if findings.teacher:
        return f"Which way of shrinking {findings.teacher} into {students} works best on {findings.task}?"
    return f"Which way of training {students} works best on {findings.task}?"


def answer(results: Results) -> str:
    """The answer to the question, in two sentences, and a third where p-values do not speak of training again."""
    if not results.primary or not any(results.primary in row.estimates for row in results.trained):
        return "No trained student has been scored yet, so there is no answer. Run: shrinklm evaluate recipe.yaml."
    by_student = [_best(results, student) for student in results.students]
    once = any(pair.comparison.seeds < 2 for pair in (*results.pairs, *results.gains))
    return f"{_capital('; '.join(filter(None, by_student)))}. {_above(results)}{f' {THESE_QUESTIONS}' if once else ''}"


def _best(results: Results, student: str) -> str:
    """Which method of a student is ahead, and of which others the data shows it."""
    metric = results.primary or ""
    rows = [row for row in results.trained if row.student == student and metric in row.estimates]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row.estimates[metric].value)  # stable: of equal methods the recipe's first leads
    best, others = rows[0], rows[1:]
    where = f" on {student}" if len(results.students) > 1 else ""
    result = _result(best, metric)
    if not others:
        return f"{best.method}{where} {result}; with one method there is nothing to compare it with"
    behind: list[str] = []
    tied: list[str] = []
    leads: list[tuple[float, float]] = []
    again = True  # whether every difference that is shown would come again with other seeds
    for row in others:
        pair = _pair(results.pairs, best, row)
        if pair and pair.separated:
            behind.append(row.method)
            leads.append((abs(pair.comparison.difference), pair.adjusted))
            again &= pair.comparison.seeds > 1
        else:
            tied.append(row.method)
    if not behind:
        return _undecided(results, student, rows)
    # The smallest lead and the largest p hold for every method that is behind.
    least = points(min(lead for lead, _ in leads)).lstrip("+")
    lead = f"at least {least} points (Holm-adjusted p {_at_most(max(p for _, p in leads))})"
    if not tied:
        best_of = "works best" if again else "is best on these questions"
        return f"{best.method} {best_of}{where}: it {result}, ahead of {listing(behind)} by {lead}"
    return (
        f"{best.method} has the highest accuracy{where}: it {result}, ahead of {listing(behind)} by {lead}; "
        f"between it and {listing(tied)} there is {NO_DIFFERENCE}"
    )


def _undecided(results: Results, student: str, rows: Sequence[Row]) -> str:
    """The sentence for a best method (the first of `rows`) that no other one is shown to be behind."""
    metric = results.primary or ""
    best, others = rows[0], rows[1:]
    where = f" on {student}" if len(results.students) > 1 else ""
    top = f"the highest, {best.method}, {_result(best, metric)}"
    # "Between the 3 methods there is no difference" would be wrong where two of the others differ.
    elsewhere = any(pair.separated for pair in results.pairs if pair.first.student == student)
    if elsewhere or len(others) == 1:
        between = f"between {best.method} and {listing([row.method for row in others])}"
    else:
        between = f"between the {len(rows)} methods"
    last = _value(others[-1], metric)
    rest = f"{last} for the other" if len(others) == 1 else f"the lowest, {others[-1].method}, {last}"
    ps = [pair.adjusted for row in others if (pair := _pair(results.pairs, best, row))]
    smallest = f" ({'smallest ' if len(ps) > 1 else ''}Holm-adjusted p {p_value(min(ps))})" if ps else ""
    return f"{between}{where} there is {NO_DIFFERENCE}: {top}, and {rest}{smallest}"


def _above(results: Results) -> str:
    """Whether the trained students are shown to be above the untrained student and above chance."""
    metric = results.primary or ""
    rows = [row for row in results.trained if metric in row.estimates]
    below: dict[str, list[str]] = {}  # a baseline in words → the trained students that are not shown to be above it
    if results.gains:
        shares = sorted({percent(pair.second.estimates[metric].value) for pair in results.gains}, key=float)
        name = f"the untrained student ({' to '.join(dict.fromkeys((shares[0], shares[-1])))} %)"
        below[name] = [
            results.label(pair.first)
            for pair in results.gains
            if not (pair.separated and pair.comparison.difference > 0)
        ]
    baselines = [share for name in ("majority", "random") if (share := results.baseline(name)) is not None]
    if baselines and metric != "f1":  # the baselines are shares of right answers, and F1 is none
        chance = max(baselines)
        name = f"chance ({percent(chance)} %, the better of guessing and the most frequent answer)"
        # Chance is known exactly, so an interval of the difference that does not reach down to it is a test.
        leads = [(row, compare_rows(row, chance, results.rows, metric)) for row in rows]
        below[name] = [results.label(row) for row, lead in leads if lead is None or lead.low <= 0]
    if not below:
        return "Neither the untrained student nor chance is known, so what training brought cannot be said."
    parts = []
    # Baselines with the same verdict share a clause: "above the untrained student and chance".
    for names in dict.fromkeys(tuple(names) for names in below.values()):
        baseline = [name for name, others in below.items() if tuple(others) == names]
        parts.append(_against(names, baseline, len(rows)))
    text = ", and ".join(parts)
    return f"{text if rows and any(text.startswith(row.method) for row in rows) else text[:1].upper() + text[1:]}."


def _against(names: Sequence[str], baselines: Sequence[str], rows: int) -> str:
    """The clause on trained students, `rows` in number, and baselines that those in `names` are not shown to beat."""
    many, either = rows > 1, " or ".join(baselines)
    if not names:
        return f"{'every trained student' if many else 'it'} is above {listing(baselines)}"
    if len(names) == rows:
        return f"{'no trained student is' if many else 'it is not'} shown to be above {either}"
    are = "is" if len(names) == 1 else "are"
    return f"{listing(names)} {are} not shown to be above {either}; the other trained students are"


def unread(row: Row) -> str:
    """ ": 3.1 % cut at the cap, 0.4 % states nothing", or "" where the reasons are not known."""
    reasons = ", ".join(f"{percent(share)} % {reason}" for reason, share in row.unread.items())
    return f" ({reasons})" if reasons else ""


def cautions(results: Results) -> list[str]:
    """What a reader must know before believing the table."""
    findings, notes = results.findings, []
    # Never dropped: a published ranking hung on the runs that were taken out (docs/honey.md, defect 24).
    diverged = [cell for cell in findings.cells if cell.trained and cell.diverged]
    if diverged:
        names = ", ".join(cell.name for cell in diverged)
        notes.append(
            f"{plural(len(diverged), 'trained cell')} diverged ({names}). "
            "What they answered is in every mean and marked; nothing is dropped."
        )
    notes += labelled(findings)
    notes += _single_seeds(results)
    for row in results.trained:
        unparsed = row.estimates.get("unparsed")
        if unparsed is not None and unparsed.value > _MAX_UNPARSED:
            notes.append(
                f"{results.label(row)}: {percent(unparsed.value)} % of the answers did not parse{unread(row)}. "
                "They count as wrong, in accuracy by generation only."
            )
    notes += _partly_scored(results)
    # A teacher that was recorded may have been asked about training questions alone.
    teacher = results.teacher
    if teacher and teacher[2] != "test":
        notes.append(
            f"The teacher's accuracy is measured on {count(teacher[1])} questions of the {teacher[2]} split, "
            "not of the test split."
        )
    # Batches that follow memory can make exposure differ sixteenfold (docs/honey.md, defect 21).
    if len({row.exposure for row in results.trained}) > 1:
        notes.append(
            "The methods did not see as many examples in equal batches: "
            "their comparison is confounded with exposure (see below)."
        )
    return notes + list(findings.gaps)


def _partly_scored(results: Results) -> list[str]:
    metric = results.primary or ""
    rows = [row for row in results.trained if metric in row.estimates]
    partly = [results.label(row) for row in rows if row.missing(metric) > 0]
    if not partly:
        return []
    notes = [f"Not every test question was scored for {listing(partly)}: see n in the table's CSV."]
    ns = {row.estimates[metric].n for row in rows if row.ranked(metric)}
    if len(ns) == 1:
        notes[0] += f" Methods are compared on the {count(ns.pop())} questions that all have."
    return notes


def _single_seeds(results: Results) -> list[str]:
    single = [row.method for row in results.trained if len(row.cells) == 1]
    if not single:
        return []
    every = len(single) == len(results.trained)
    return [
        f"{'Each method' if every else listing(single)} {'was' if every or len(single) == 1 else 'were'} "
        "trained from one seed only: differences may be those of seeds, which neither intervals nor p-values include."
    ]


def facts(results: Results) -> list[tuple[str, str]]:
    """The run at a glance, as (name, value)."""
    findings = results.findings
    splits = ", ".join(
        f"{count(findings.data[name])} {name}"
        for name in ("train", "dev", "test")
        if isinstance(findings.data.get(name), int)
    )
    seeds = sorted({cell.seed for cell in findings.cells if cell.trained})
    pairs = (
        ("Task", findings.task),
        ("Questions", splits or f"{len(findings.items):,} test"),
        ("Teacher", findings.teacher or "none"),
        ("Student", ", ".join(results.students)),
        ("Base weights", "; ".join(dict.fromkeys(text for cell in findings.cells if (text := _base(cell))))),
        ("Methods", str(len({row.method for row in results.trained}))),
        ("Seeds", ", ".join(map(str, seeds))),
        ("Run", findings.name),
        ("Started", str(findings.env.get("started") or "")),
    )
    return [(name, value) for name, value in pairs if value]


def _base(cell: Cell) -> str:
    """The weights and the tokenizer that a cell's student started from; "" where its record does not say."""
    base = block(cell.info, "base")
    if not base.get("revision"):
        return ""
    tokenizer = f", tokenizer {str(base['tokenizer'])[:12]}" if base.get("tokenizer") else ""
    return f"{base.get('name')} {str(base['revision'])[:12]}{tokenizer}"


def _pair(pairs: Sequence[Pairwise], a: Row, b: Row) -> Pairwise | None:
    """The comparison of two rows, whichever of them is the first."""
    return next((pair for pair in pairs if {id(pair.first), id(pair.second)} == {id(a), id(b)}), None)


def _result(row: Row, metric: str) -> str:
    estimate = row.estimates[metric]
    interval = f"95 % interval {percent(estimate.low)} to {percent(estimate.high)}"
    if metric == "f1":
        return f"reaches F1 {percent(estimate.value)} on {count(estimate.n)} test questions ({interval})"
    return f"answers {percent(estimate.value)} % of {count(estimate.n)} test questions right ({interval})"


def _value(row: Row, metric: str) -> str:
    return f"{percent(row.estimates[metric].value)} {'' if metric == 'f1' else '%'}".strip()


def _at_most(p: float) -> str:
    return p_value(p) if p < 0.001 else f"\u2264 {fraction(min(p, ALPHA))}"


def _capital(text: str) -> str:
    """With a capital, unless the first word is the name of a method (which begins no sentence otherwise)."""
    return text[:1].upper() + text[1:] if text.startswith("between") else text
