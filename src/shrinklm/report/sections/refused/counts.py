"""Counts of refused generations and unbuilt pairs; questions that stand in two splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...look.numbers import DASH, count, dollars, duration, short
from ...look.tables import NONE, Column, Line, Table
from ...results import Results

_STEPS = (
    *("Step", "Found in store", "Asked", "Shared", "Unasked", "Kept", "Refused", "Retried"),
    *("Reasons", "Tokens read", "Tokens written", "Time", "Cost"),
)
_RECORDED = (
    *("found", "asked", "shared", "unasked", "kept", "retried"),
    *("tokens_in", "tokens_out", "seconds", "cost"),
)
"""Keys of a step in generations.json that the CSV holds."""


def steps(results: Results) -> Table:
    """One row a step of the teacher: the generations asked for, kept and refused, by reason."""
    lines, records = [], []
    for name, step in (results.findings.generations.get("steps") or {}).items():
        refused: Mapping[str, int] = step.get("refused") or {}
        lines.append(_step(name, step, refused))
        record = {"step": name, **({"teacher": step["teacher"]} if step.get("teacher") else {})}
        record |= {key: step.get(key) for key in _RECORDED}
        records.append(record | {f"refused: {reason}": number for reason, number in refused.items()})
    columns = tuple(Column(name, numeric=name not in ("Step", "Reasons")) for name in _STEPS)
    caption = (
        "Texts of the teacher, by step. Found, asked, shared (two texts with one prompt) and unasked (what they build "
        "on is refused) add up to kept, refused and retried (refused, and taken anew)."
    )
    if any("retried" not in step for step in (results.findings.generations.get("steps") or {}).values()):
        caption += " A dash: the run was made by a version that did not count it."
    return Table("generations", caption, columns, tuple(lines), tuple(records))


def _step(name: str, step: Mapping[str, Any], refused: Mapping[str, int]) -> Line:
    reasons = sorted(refused.items(), key=lambda entry: (-entry[1], entry[0]))
    tokens = [step.get(key) or 0 for key in ("tokens_in", "tokens_out")]
    cost = step.get("cost")
    cells = (
        f"{name} ({step['teacher']})" if step.get("teacher") else name,
        *(count(step.get(key) or 0) for key in ("found", "asked")),
        *(_counted(step, key) for key in ("shared", "unasked")),
        count(step.get("kept") or 0),
        count(sum(refused.values())),
        _counted(step, "retried"),
        "; ".join(f"{reason}: {count(number)}" for reason, number in reasons) or NONE,
        *(short(number) if number else NONE for number in tokens),
        duration(step.get("seconds") or 0),
        NONE if cost is None else dollars(cost),
    )
    return Line(cells)


def _counted(step: Mapping[str, Any], key: str) -> str:
    """A count that generations.json of version 0.1.0 lacks."""
    return count(step[key]) if step.get(key) is not None else NONE


def unbuilt(results: Results) -> Table:
    """The pairs that could not be built, by method, view and reason."""
    numbers: dict[tuple[str, str, str], list[int]] = {}
    for cell in results.findings.cells:
        for view, reasons in (cell.info.get("unbuilt") or {}).items():
            for reason, number in reasons.items():
                numbers.setdefault((cell.method, view, reason), []).append(int(number))
    lines, records = [], []
    for (method, view, reason), by_cell in numbers.items():
        low, high = min(by_cell), max(by_cell)  # seeds see other examples, so their counts may differ
        pairs = count(low) if low == high else f"{count(low)}{DASH}{count(high)}"
        lines.append(Line((method, view, reason, pairs)))
        records.append({"method": method, "view": view, "reason": reason, "fewest": low, "most": high})
    columns = (*(Column(name, numeric=False) for name in ("Method", "View", "Reason")), Column("Pairs a cell"))
    return Table("unbuilt", "Pairs that could not be built, for each cell.", columns, tuple(lines), tuple(records))


def duplicates_sentence(number: int) -> str:
    """The result of the search for duplicates across splits."""
    if not number:
        return "No question stands in two splits."
    return "One question stands in two splits." if number == 1 else f"{count(number)} questions stand in two splits."


def duplicates(entries: Iterable[Any]) -> list[str]:
    """The duplicate questions of data.json, each on a line."""
    return [_entry(entry) for entry in entries]


def _entry(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return ", ".join(f"{key}: {_entry(value)}" for key, value in entry.items())
    return " = ".join(map(_entry, entry)) if isinstance(entry, Sequence) and not isinstance(entry, str) else str(entry)
