"""The figures of the audit, step by step: as a table and in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....stats import Estimate
from ...fields import block, finite, whole
from ...findings import Findings
from ...look.numbers import DASH, count, percent
from ...look.tables import NONE, Column, Line, Table


@dataclass(frozen=True)
class Measure:
    """One figure of a step."""

    key: str
    name: str
    group: str
    title: str
    share: bool = True

    def show(self, value: float) -> str:
        """A value as text."""
        return percent(value) if self.share else f"{value:.1f}"


_OWN, _OTHER, _WORDING = "Names its answer, %", "Other options", "Wording"
MEASURES = (
    Measure("support", "Supports, %", "", "Usable, names its answer, and argues for no other option"),
    Measure("occurs_as_said", "As said", _OWN,
            "The answer it argues for occurs in the first line as recorded, in any case"),
    Measure("occurs", "As kept", _OWN, "It occurs in the text as cleaned: a recording is trimmed to whole sentences"),
    Measure("named", "Whole words", _OWN,
            "It stands in the kept text as words of its own: “banks” does not name “bank”"),
    Measure("leaks", "States it", _OWN, "It is stated as the answer, in so many words or by its letter"),
    Measure("argues_other", "Argued for, %", _OTHER,
            "It is refused for arguing against its answer, or states or names only another"),
    Measure("names_other", "Named, %", _OTHER, "It names an option that it does not argue for"),
    Measure("others", "Times named", _OTHER, "How often a text names such an option", share=False),
    Measure("words", "Words", _WORDING, "Mean length", share=False),
    Measure("hedges", "Hedges", _WORDING, "Words that soften what is said, in a text", share=False),
    Measure("contrast", "Contrasts", _WORDING, "Words that set one thing against another, in a text", share=False),
)  # fmt: skip


def audit_of(findings: Findings) -> Mapping[str, Any] | None:
    """The audit of a run; None when there is none."""
    return findings.audit if block(findings.audit, "steps") else None


def steps_of(audit: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The figures of each step that has texts."""
    steps = block(audit, "steps")
    return {str(step): block(steps, step) for step in steps if finite(block(steps, step).get("n"))}


def estimate(figures: Mapping[str, Any], key: str) -> Estimate | None:
    """A figure with its interval; None when it does not apply."""
    value, ends = finite(figures.get(key)), block(figures, "interval").get(key)
    if value is None or not isinstance(ends, list) or len(ends) != 2:
        return None
    low, high = (finite(end) for end in ends)
    if low is None or high is None:
        return None
    return Estimate(value, low, high, whole(figures.get("n")), 1, "texts")


def measured(audit: Mapping[str, Any]) -> list[Measure]:
    """The measures that at least one step has."""
    steps = steps_of(audit).values()
    return [entry for entry in MEASURES if any(estimate(figures, entry.key) for figures in steps)]


def min_support(findings: Findings) -> float | None:
    """The share of texts that must support their answer, as the recipe sets it; None when it sets none."""
    return finite(block(findings.recipe, "audit").get("min_support"))


def audit_table(findings: Findings) -> Table:
    """One row a step."""
    audit = audit_of(findings) or {}
    measures = measured(audit)
    names = ("Step", "Texts", "Empty", "Cut off", "Refused")
    columns = (
        *(Column(name, numeric=name != "Step") for name in names),
        *(Column(entry.name, entry.group, title=entry.title) for entry in measures),
    )
    lines, records = [], []
    for step, figures in steps_of(audit).items():
        refused = sum(whole(number) for number in block(figures, "refused").values())
        counts = [*(whole(figures.get(key)) for key in ("n", "empty", "cut")), refused]
        cells, below = [step, *map(count, counts)], {}
        record: dict[str, Any] = {"step": step, **dict(zip(("texts", "empty", "cut", "refused"), counts, strict=True))}
        for column, entry in enumerate(measures, len(cells)):
            result = estimate(figures, entry.key)
            cells.append(NONE if result is None else entry.show(result.value))
            if result is not None:
                record |= {entry.key: result.value, f"{entry.key}_low": result.low, f"{entry.key}_high": result.high}
                # The interval of the measure that the gate goes by; those of the others are in the CSV.
                if entry.key == "support":
                    below[column] = f"{entry.show(result.low)}{DASH}{entry.show(result.high)}"
        lines.append(Line(tuple(cells), below))
        records.append(record)
    questions = count(finite(audit.get("examples")) or 0)
    caption = (
        f"What {audit.get('teacher') or 'the teacher'} wrote about {questions} training questions, "
        "by words alone; below “Supports” its 95 % interval. "
        "Cut off: at the token cap, also where a recording was then trimmed to whole sentences. A dash: does not apply."
    )
    return Table("audit", caption, columns, tuple(lines), tuple(records))


def sentences(findings: Findings) -> list[tuple[str, str]]:
    """(heading, what the audit shows), careful about what words alone can show."""
    audit = audit_of(findings) or {}
    steps = steps_of(audit)
    lines = [*_support(findings, steps), *_left_out(steps)]
    if audit.get("labels"):
        lines.append(("Labels", "All questions have the same options, so a text counts as support without naming one."))
    for step, figures in block(audit, "again").items():
        if isinstance(figures, Mapping):
            lines += _rewritten(str(step), figures)
    missing = sum(whole(figures.get("missing")) for figures in steps.values())
    if missing:
        lines.append(("Not all of it", f"{count(missing)} texts were not asked for yet when the audit was made."))
    return lines + [line for name, found in findings.weights.items() for line in _weighed(name, found)]


def _weighed(name: str, found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whose texts a rule chose, and what they are like beside all."""
    teachers, figures = block(found, "teachers"), block(found, "figures")
    if not teachers:
        return []
    names = ("questions", "dropped", "texts", "tied")
    questions, dropped, texts, tied = (count(whole(found.get(key))) for key in names)
    shares = [
        f"{teacher} has {percent(finite(block(teachers, teacher).get('share')) or 0)} % of the weight and the text "
        f"that alone weighs most in {count(whole(block(teachers, teacher).get('won')))}"
        for teacher in teachers
    ]
    equal = finite(found.get("effective"))
    effective = "" if equal is None else f" In the mean of the questions as many count as {equal:.1f} equal ones."
    means = [
        f"{figure} {mean:.3g} in all texts, {chosen:.3g} by weight"
        for figure in figures
        if (mean := finite(block(figures, figure).get("mean"))) is not None
        and (chosen := finite(block(figures, figure).get("chosen"))) is not None
    ]
    text = (
        f"Of {questions} questions with several texts: {'; '.join(shares)}; several in {tied}. "
        f"{dropped} of {texts} texts weigh nothing.{effective} Means: {'; '.join(means)}."
    )
    return [(f"Weights {name}", text)]


def _support(findings: Findings, steps: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    # Steps without texts of their own have no share.
    supports = {step: result for step, figures in steps.items() if (result := estimate(figures, "support"))}
    if not supports:
        return []
    worst = min(supports, key=lambda step: supports[step].value)
    shares = ", ".join(f"{step} {percent(result.value)} %" for step, result in supports.items())
    weakest = "" if len(supports) == 1 else f" The weakest step is {worst}."
    limit = min_support(findings)
    wanted = "" if limit is None else f" The recipe asks for {100 * limit:g} % at least."
    text = (
        f"Texts that name their answer and argue for no other option: {shares}.{weakest}{wanted} "
        "A good reason in other words is not found this way, so the true shares may be higher."
    )
    return [("Support", text)]


def _left_out(steps: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """How many texts of each step the recipe leaves out of training, and why."""
    lines = []
    for step, figures in steps.items():
        counts = [(str(reason), whole(number)) for reason, number in block(figures, "left_out").items()]
        if any(number for _, number in counts):
            reasons = "; ".join(f"{count(number)} {reason.removeprefix('left out ')}" for reason, number in counts)
            gone, n = sum(number for _, number in counts), whole(figures.get("n"))
            rest = percent(finite(figures.get("support_left")) or 0)
            text = (
                f"{count(gone)} of {count(n)} texts are left out of training: {reasons}. "
                f"Of those that stay, {rest} % support their answer. The figures of the table are of all texts."
            )
            lines.append((f"Left out: {step}", text))
    return lines


def _rewritten(step: str, figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the texts of a step that rewrites another one differ from those."""
    values = [finite(figures.get(key)) for key in ("changed", "gained", "lost", "ratio")]
    changed, gained, lost, ratio = values
    if changed is None or gained is None or lost is None or ratio is None:
        return []
    text = (
        f"{percent(changed)} % of {count(finite(figures.get('n')) or 0)} texts were changed; "
        f"{percent(gained)} % gained the name of their answer and {percent(lost)} % lost it. "
        f"They are {ratio:.1f} times as long."
    )
    return [(f"{step.capitalize()} against {figures.get('from') or 'explanation'}", text)]
