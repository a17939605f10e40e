"""Results as tables: one shape for the page, the Markdown and the CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..results import Results, Row
from .words import DASH, NAMES, count, dollars, duration, p_value, percent, points, short, size

NONE = DASH
"""Stands where a number does not apply or is unknown."""


@dataclass(frozen=True)
class Column:
    """One column; `group` is the heading above its neighbours of the same group."""

    name: str
    group: str = ""
    numeric: bool = True
    title: str = ""
    """What it means, for a reader who asks."""


@dataclass(frozen=True)
class Line:
    """One row of text. `below` holds a second, smaller line of a cell (an interval), by column."""

    cells: tuple[str, ...]
    below: Mapping[int, str] = field(default_factory=dict)
    kind: str = ""
    """baseline, diverged, separated: how it is marked."""
    rank: int | None = None
    """The method's place, for its colour; None: no mark."""


@dataclass(frozen=True)
class Table:
    """A table for people, and the same as `records` with full precision for machines."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    records: tuple[Mapping[str, Any], ...] = ()

    def csv(self) -> str:
        """The records as CSV; empty text when there are none."""
        if not self.records:
            return ""
        out = io.StringIO()
        names = list(dict.fromkeys(name for record in self.records for name in record))
        writer = csv.DictWriter(out, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in record.items()} for record in self.records)
        return out.getvalue()


_SHARES = ("accuracy", "f1", "accuracy_likelihood", "unparsed", "names_answer", "names_distractors")
_MAIN = (
    Column("Method", numeric=False),
    Column(
        "Accuracy",
        "Answers, %",
        title="Answers right, as generated and read by the task's parser, with the 95 % interval below",
    ),
    Column(
        "By likelihood",
        "Answers, %",
        title="Accuracy of the likeliest option: the highest mean log-probability of its tokens",
    ),
    Column("Unparsed", "Answers, %", title="Answers that the parser could not read; counted wrong"),
    Column("Words", "Explanation", title="Mean length"),
    Column("ROUGE-L", "Explanation", title="Overlap with the reference explanation, 0 to 100"),
    Column("BLEU", "Explanation", title="Overlap with the reference explanation, 0 to 100"),
    Column("Names own, %", "Explanation", title="Explanations that name the predicted answer"),
    Column("Names others, %", "Explanation", title="Explanations that name another option (distractor)"),
    Column("Weights", "Student", title="Parameters of the student"),
    Column("On disk", "Student"),
    Column("ms / answer", "Student", title="Median latency of one answer, one question at a time"),
    Column("Tokens / s", "Student"),
    Column("Examples", "Seen in training", title="Examples seen, each shown by every view of the method"),
    Column("Tokens", "Seen in training"),
    Column("Tokens", "Teacher", title="Read and written for the steps this method needs"),
    Column("Cost", "Teacher"),
)


def main(results: Results) -> Table:
    """One row per method × student, then the baselines."""
    many = len(results.students) > 1
    lines, records = [], []
    for row in results.rows:
        name = f"{row.method} on {row.student}" if many else row.method
        lost = sum(cell.diverged for cell in row.cells)
        mark = f" ({lost} of {len(row.cells)} seeds diverged)" if lost else ""
        cells = (name + mark, *_scores(row), *_costs(row))
        first = row.estimates.get("f1" if "f1" in row.estimates else "accuracy")
        below = {1: f"{percent(first.low)}{DASH}{percent(first.high)}"} if first else {}
        kind = "diverged" if lost else "" if row.trained else "baseline"
        lines.append(Line(cells, below, kind, row.rank))
        records.append(_record(row))
    blank = (NONE,) * (len(_MAIN) - 2)
    for label, key in (("Most frequent answer", "majority"), ("Random guess", "random")):
        share = results.baseline(key)
        if share is not None:
            lines.append(Line((label, percent(share), *blank), kind="baseline"))
            records.append({"method": key, "accuracy": share})
    if results.teacher:
        value, n, split = results.teacher
        lines.append(Line((f"Teacher, {count(n)} {split} questions", percent(value), *blank), kind="baseline"))
        records.append({"method": "teacher", "accuracy": value, "accuracy_n": n, "split": split})
    unit = next(
        (row.estimates[results.primary].unit for row in results.trained if results.primary in row.estimates),
        "questions",
    )
    seeds = sorted({len(row.cells) for row in results.trained})
    caption = f"Means over {count(len(results.findings.items))} test questions"
    caption += (
        f" and {f' {DASH} '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seed{'' if seeds[-1] == 1 else 's'}"
        if seeds
        else ""
    )
    caption += f"; below them 95 % bootstrap intervals over {unit}. A dash: does not apply, or not known."
    columns = list(_MAIN)
    if results.primary == "f1" or any("f1" in row.estimates for row in results.rows):
        columns[1] = Column(
            "F1", "Answers, %", title="Overlap of words with the nearest accepted answer, with the 95 % interval below"
        )
        columns[2] = Column("Exact match", "Answers, %", title="Answers right after normalising")
        columns[3] = Column("Unparsed", "Answers, %", title=_MAIN[3].title)
    return Table("table", caption, tuple(columns), tuple(lines), tuple(records))


def _scores(row: Row) -> tuple[str, ...]:
    names = [
        "accuracy",
        "accuracy_likelihood",
        "unparsed",
        "length",
        "rougeL",
        "bleu",
        "names_answer",
        "names_distractors",
    ]
    if "f1" in row.estimates:
        names[:2] = ["f1", "accuracy"]
    found = []
    for name in names:
        value = row.estimates[name].value if name in row.estimates else None
        found.append(NONE if value is None else percent(value) if name in _SHARES else f"{value:.1f}")
    return tuple(found)


def _costs(row: Row) -> tuple[str, ...]:
    seen, tokens = row.mean("examples_seen"), row.mean("tokens_seen")
    numbers = (
        (row.mean("parameters"), short),
        (row.mean("bytes"), size),
        (row.mean("latency_ms"), count),
        (row.mean("tokens_per_second"), count),
        (seen if row.trained else 0, count),
        (tokens if row.trained else 0, short),
        (row.teacher_tokens, short),
        (row.teacher_cost, dollars),
    )
    return tuple(NONE if number is None else show(number) for number, show in numbers)


def _record(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {"method": row.method, "student": row.student, "seeds": len(row.cells)}
    record["diverged"] = sum(cell.diverged for cell in row.cells)
    for name, found in row.estimates.items():
        record |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_n": found.n}
    for key in (
        "parameters",
        "bytes",
        "latency_ms",
        "tokens_per_second",
        "examples_seen",
        "tokens_seen",
        "train_seconds",
    ):
        record[key] = row.mean(key)
    return {**record, "teacher_tokens": row.teacher_tokens, "teacher_cost": row.teacher_cost}


def comparisons(results: Results) -> Table:
    """Every two methods of a student, then every method against its untrained student."""
    columns = (
        Column("First", numeric=False),
        Column("Second", numeric=False),
        Column("Difference", "First minus second", title="Percentage points"),
        Column("95 % interval", "First minus second"),
        Column("p", "Bootstrap", title="Paired bootstrap over questions and seeds, two-sided"),
        Column("p, Holm", "Bootstrap", title="Adjusted for the number of comparisons of its family"),
        Column(
            "p by seed",
            "McNemar, exact",
            False,
            "Two-sided; in brackets, questions that only the first and only the second got right",
        ),
        Column("Reading", numeric=False),
    )
    many = len(results.students) > 1
    lines, records = [], []
    for family, pairs in (("methods", results.pairs), ("untrained", results.gains)):
        for pair in pairs:
            found = pair.comparison
            names = [f"{row.method} on {row.student}" if many else row.method for row in (pair.first, pair.second)]
            exact = "; ".join(
                f"{seed}: {p_value(test.p)} ({test.only_a}/{test.only_b})"
                for seed, test in sorted(pair.by_seed.items())
            )
            better = names[0] if found.difference > 0 else names[1]
            interval = f"{points(found.low)} to {points(found.high)}"
            cells = (
                *names,
                points(found.difference),
                interval,
                p_value(found.p),
                p_value(pair.adjusted),
                exact or NONE,
                f"{better} is higher" if pair.separated else "no difference shown",
            )
            lines.append(Line(cells, kind="separated" if pair.separated else ""))
            records.append(
                {
                    "family": family,
                    "student": pair.first.student,
                    "first": pair.first.method,
                    "second": pair.second.method,
                    "n": found.n,
                    "difference": found.difference,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p,
                    "p_holm": pair.adjusted,
                    **{f"mcnemar_p_seed_{seed}": test.p for seed, test in sorted(pair.by_seed.items())},
                }
            )
    metric = NAMES.get(results.primary or "", "accuracy")
    caption = (
        f"Differences in {metric}, in percentage points, on the same questions. "
        f"Holm's adjustment is over the {len(results.pairs)} comparisons of methods"
        + (f", and on its own over the {len(results.gains)} with the untrained student." if results.gains else ".")
    )
    return Table("comparisons", caption, columns, tuple(lines), tuple(records))


def cells(results: Results) -> Table:
    """Exposure and cost of every cell: what must be equal, and what was not."""
    names = (
        "Cell",
        "Seed",
        "Examples",
        "Batch",
        "Micro-batch",
        "Steps",
        "Tokens",
        "Pairs of each view",
        "Training time",
        "Accuracy, %",
    )
    numeric = {"Seed", "Examples", "Batch", "Micro-batch", "Steps", "Tokens", "Training time", "Accuracy, %"}
    lines, records = [], []
    for row in results.rows:
        for cell in row.cells:
            scores = {name: _mean(values) for name, values in cell.scores.items()}
            pairs = cell.info.get("pairs") or {}
            numbers = [cell.number(key) for key in ("examples_seen", "batch", "micro_batch", "steps")]
            first = scores.get(results.primary or "")
            name = f"{cell.method} on {cell.student}" + (
                ", diverged" if cell.diverged else "" if cell.trained else ", untrained"
            )
            text = (
                name,
                str(cell.seed) if cell.trained else NONE,
                *(NONE if number is None or not cell.trained else count(number) for number in numbers),
                NONE if (tokens := cell.number("tokens_seen")) is None or not cell.trained else short(tokens),
                ", ".join(f"{view} {count(number)}" for view, number in pairs.items()) or NONE,
                NONE if (seconds := cell.number("train_seconds")) is None or not cell.trained else duration(seconds),
                NONE if first is None else percent(first),
            )
            lines.append(
                Line(text, kind="diverged" if cell.diverged else "" if cell.trained else "baseline", rank=row.rank)
            )
            keys = (
                "examples_seen",
                "batch",
                "micro_batch",
                "steps",
                "tokens_seen",
                "train_seconds",
                "parameters",
                "bytes",
                "latency_ms",
            )
            record = {
                "cell": cell.name,
                "method": cell.method,
                "student": cell.student,
                "seed": cell.seed,
                "diverged": cell.diverged,
            }
            records.append({**record, **{key: cell.number(key) for key in keys}, **scores})
    columns = tuple(Column(name, numeric=name in numeric) for name in names)
    return Table("seeds", "Every cell: what it was shown, and what came of it.", columns, tuple(lines), tuple(records))


def steps(results: Results) -> Table:
    """What the teacher was asked, what was kept, and what was refused and why."""
    lines, records = [], []
    for name, step in (results.findings.generations.get("steps") or {}).items():
        refused = step.get("refused") or {}
        why = "; ".join(
            f"{reason}: {count(number)}"
            for reason, number in sorted(refused.items(), key=lambda pair: (-pair[1], pair[0]))
        )
        tokens = [step.get(key) or 0 for key in ("tokens_in", "tokens_out")]
        cost = step.get("cost")
        lines.append(
            Line(
                (
                    name,
                    count(step.get("found") or 0),
                    count(step.get("asked") or 0),
                    count(step.get("kept") or 0),
                    count(sum(refused.values())),
                    why or NONE,
                    *(short(number) if number else NONE for number in tokens),
                    duration(step.get("seconds") or 0),
                    NONE if cost is None else dollars(cost),
                )
            )
        )
        flat = {key: step.get(key) for key in ("found", "asked", "kept", "tokens_in", "tokens_out", "seconds", "cost")}
        records.append({"step": name, **flat, **{f"refused: {reason}": number for reason, number in refused.items()}})
    columns = tuple(
        Column(name, numeric=name not in ("Step", "Reasons"))
        for name in (
            "Step",
            "Found in store",
            "Asked",
            "Kept",
            "Refused",
            "Reasons",
            "Tokens read",
            "Tokens written",
            "Time",
            "Cost",
        )
    )
    return Table("generations", "Generations of the teacher, by step.", columns, tuple(lines), tuple(records))


def unbuilt(results: Results) -> Table:
    """The pairs that could not be built, by method, view and reason."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for cell in results.findings.cells:
        for view, reasons in (cell.info.get("unbuilt") or {}).items():
            for reason, number in reasons.items():
                found.setdefault((cell.method, view, reason), []).append(int(number))
    lines, records = [], []
    for (name, view, reason), numbers in found.items():
        low, high = min(numbers), max(numbers)
        lines.append(Line((name, view, reason, count(low) if low == high else f"{count(low)}{DASH}{count(high)}")))
        records.append({"method": name, "view": view, "reason": reason, "fewest": low, "most": high})
    columns = (
        Column("Method", numeric=False),
        Column("View", numeric=False),
        Column("Reason", numeric=False),
        Column("Pairs a cell"),
    )
    return Table("unbuilt", "Pairs that could not be built, for each cell.", columns, tuple(lines), tuple(records))


def logs(results: Results) -> tuple[Table, Table]:
    """The curves behind the figures, for machines alone: losses and dev accuracy."""
    loss: list[dict[str, Any]] = []
    dev: list[dict[str, Any]] = []
    for cell in results.findings.cells:
        who = {"method": cell.method, "student": cell.student, "seed": cell.seed}
        for point in cell.log:
            values = {name: value for name, value in point.values.items() if name == "loss" or name.startswith("loss/")}
            if values:
                loss.append({**who, "examples": point.examples, **values})
            if "dev_accuracy" in point.values:
                dev.append(
                    {
                        **who,
                        "examples": point.examples,
                        "dev_accuracy": point.values["dev_accuracy"],
                        "dev_n": point.values.get("dev_n"),
                    }
                )
    return Table("losses", "", (), (), tuple(loss)), Table("dev", "", (), (), tuple(dev))


def duplicates(entries: Iterable[Any]) -> list[str]:
    """Duplicate questions as found across splits, each as a line."""
    return [_entry(entry) for entry in entries]


def _entry(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return ", ".join(f"{key}: {_entry(value)}" for key, value in entry.items())
    return " = ".join(map(_entry, entry)) if isinstance(entry, Sequence) and not isinstance(entry, str) else str(entry)


def _mean(values: Any) -> float | None:
    kept = values[values == values]
    return float(kept.mean()) if kept.size else None


def _plain(value: Any) -> Any:
    """A value as CSV text: seven significant digits, whole numbers without a point."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.7g}"
    return value
