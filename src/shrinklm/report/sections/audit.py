"""The report's section about what the teacher wrote: the audit that was made before training, as sentences and a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...stats import Estimate
from ..findings import Findings
from ..look.tables import NONE, Column, Line, Table
from ..look.words import DASH, count, percent
from .marked import block, number

TITLE = "What the teacher wrote"


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
    Measure("occurs_as_said", "As said", _OWN, "The answer it argues for occurs in the first line as recorded, in any case"),
    Measure("occurs", "As kept", _OWN, "It occurs in the text as cleaned: a recording is trimmed to whole sentences"),
    Measure("named", "Whole words", _OWN, "It stands in the kept text as words of its own: “banks” does not name “bank”"),
    Measure("leaks", "States it", _OWN, "It is stated as the answer, in so many words or by its letter"),
    Measure("argues_other", "Argued for, %", _OTHER, "It is refused for arguing against its answer, or states or names only another"),
    Measure("names_other", "Named, %", _OTHER, "It names an option that it does not argue for"),
    Measure("others", "Times named", _OTHER, "How often a text names such an option", share=False),
    Measure("words", "Words", _WORDING, "Mean length", share=False),
    Measure("hedges", "Hedges", _WORDING, "Words that soften what is said, in a text", share=False),
    Measure("contrast", "Contrasts", _WORDING, "Words that set one thing against another, in a text", share=False),
)  # fmt: skip


def found(findings: Findings) -> Mapping[str, Any] | None:
    """The audit of a run; None when there is none."""
    return findings.audit if block(findings.audit, "steps") else None


def steps(audit: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The figures of each step that has texts."""
    return {
        str(step): figures
        for step in block(audit, "steps")
        if number((figures := block(block(audit, "steps"), step)).get("n"))
    }


def estimate(figures: Mapping[str, Any], key: str) -> Estimate | None:
    """A figure with its interval; None when it does not apply."""
    value, edges = number(figures.get(key)), block(figures, "interval").get(key)
    if value is None or not isinstance(edges, list) or len(edges) != 2:
        return None
    low, high = (number(edge) for edge in edges)
    return (
        None
        if low is None or high is None
        else Estimate(value, low, high, int(number(figures.get("n")) or 0), 1, "texts")
    )


def measured(audit: Mapping[str, Any]) -> list[Measure]:
    """The figures that at least one step has."""
    return [measure for measure in MEASURES if any(estimate(figures, measure.key) for figures in steps(audit).values())]


def least(findings: Findings) -> float | None:
    """The recipe's least share of texts that support their answer."""
    return number(block(findings.recipe, "audit").get("min_support"))


def table(findings: Findings) -> Table:
    """One row a step."""
    audit = found(findings) or {}
    shown = measured(audit)
    names = ("Step", "Texts", "Empty", "Cut off", "Refused")
    columns = (
        *(Column(name, numeric=name != "Step") for name in names),
        *(Column(m.name, m.group, title=m.title) for m in shown),
    )
    lines, records = [], []
    for step, figures in steps(audit).items():
        refused = sum(int(number(times) or 0) for times in block(figures, "refused").values())
        counts = [int(number(figures.get(key)) or 0) for key in ("n", "empty", "cut")] + [refused]
        cells, below = [step, *map(count, counts)], {}
        record: dict[str, Any] = {"step": step, **dict(zip(("texts", "empty", "cut", "refused"), counts, strict=True))}
        for place, measure in enumerate(shown, len(cells)):
            got = estimate(figures, measure.key)
            cells.append(NONE if got is None else measure.show(got.value))
            if got is not None:
                record |= {measure.key: got.value, f"{measure.key}_low": got.low, f"{measure.key}_high": got.high}
                if measure.key == "support":
                    below[place] = f"{measure.show(got.low)}{DASH}{measure.show(got.high)}"
        lines.append(Line(tuple(cells), below))
        records.append(record)
    caption = (
        f"What {audit.get('teacher') or 'the teacher'} wrote about {count(number(audit.get('examples')) or 0)} training questions, "
        "by words alone; below “Supports” its 95 % interval. Cut off: at the token cap, also where a recording was then trimmed to "
        "whole sentences. "
        "A dash: does not apply."
    )
    return Table("audit", caption, columns, tuple(lines), tuple(records))


def sentences(findings: Findings) -> list[tuple[str, str]]:
    """(heading, what the audit says), careful about what words alone can show."""
    audit = found(findings) or {}
    said: list[tuple[str, str]] = []
    supports = {step: got for step, figures in steps(audit).items() if (got := estimate(figures, "support"))}
    if supports:
        worst = min(supports, key=lambda step: supports[step].value)
        shares = ", ".join(f"{step} {percent(got.value)} %" for step, got in supports.items())
        limit = least(findings)
        passed = f" The recipe asks for {100 * limit:g} % at least." if limit is not None else ""
        weak = "" if len(supports) == 1 else f" The weakest step is {worst}."
        text = f"Texts that name their answer and argue for no other option: {shares}.{weak}{passed} "
        said.append(
            ("Support", f"{text}A good reason in other words is not found this way, so the true shares may be higher.")
        )
    if audit.get("labels"):
        said.append(("Labels", "All questions have the same options, so a text counts as support without naming one."))
    for step, figures in block(audit, "again").items():
        if not isinstance(figures, Mapping) or any(
            number(figures.get(key)) is None for key in ("changed", "gained", "lost", "ratio")
        ):
            continue
        changed, gained, lost = (percent(figures[key]) for key in ("changed", "gained", "lost"))
        text = f"{changed} % of {count(number(figures.get('n')) or 0)} texts were changed; {gained} % gained the name of their answer and "
        text += f"{lost} % lost it. They are {figures['ratio']:.1f} times as long."
        said.append((f"{str(step).capitalize()} against {figures.get('from') or 'explanation'}", text))
    missing = sum(int(number(figures.get("missing")) or 0) for figures in steps(audit).values())
    if missing:
        said.append(("Not all of it", f"{count(missing)} texts were not asked for yet when the audit was made."))
    return said
