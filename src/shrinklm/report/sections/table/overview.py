"""Results → the main table: answers, explanations, and what training and the teacher cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....tasks.unread import UNREAD
from ...look.numbers import DASH, count, dollars, listing, percent, short, size
from ...look.tables import NONE, Column, Line, Table
from ...results import Results, Row, labels

_SHARES = ("accuracy", "f1", "accuracy_likelihood", "unparsed", "names_answer", "names_distractors")
"""Metrics that are shown in percent."""
_SHOWN = (*_SHARES, "length", "rougeL", "bleu")
"""Metrics that have a column."""
_ACCURACY = "Answers right, as generated and read by the task's parser, with the 95 % interval below"
_LIKELIHOOD = "Accuracy of the likeliest option: the highest mean log-probability of its tokens"
_UNPARSED = Column(
    "Unparsed",
    "Answers, %",
    title="Answers that the parser could not read; counted wrong. Below: cut at the cap / names something not offered"
    " / states nothing",
)
_UNPARSED_AT = 3
"""Its place among the columns."""
_CHOICES = (
    Column("Accuracy", "Answers, %", title=_ACCURACY),
    Column("By likelihood", "Answers, %", title=_LIKELIHOOD),
    _UNPARSED,
)
_F1 = "Overlap of words with the nearest accepted answer, with the 95 % interval below"
_FREE = (
    Column("F1", "Answers, %", title=_F1),
    Column("Exact match", "Answers, %", title="Answers right after normalising"),
    _UNPARSED,
)
"""The columns of answers where they are free text, in the place of `_CHOICES`."""
_NAMES = (
    Column("Names own, %", "Explanation", title="Explanations that name the predicted answer"),
    Column("Names others, %", "Explanation", title="Explanations that name another option (distractor)"),
)
"""Left out where the options are labels, behind the columns that hold a second line."""
_OTHERS = (
    Column("Words", "Explanation", title="Mean length"),
    Column("ROUGE-L", "Explanation", title="Overlap with the reference explanation, 0 to 100"),
    Column("BLEU", "Explanation", title="Overlap with the reference explanation, 0 to 100"),
    *_NAMES,
    Column("Weights", "Student", title="Parameters of the student"),
    Column("On disk", "Student"),
    Column("ms / answer", "Student", title="Median latency of one answer, one question at a time"),
    Column("Tokens / s", "Student"),
    Column("Examples", "Seen in training", title="Examples seen, each shown by every view of the method"),
    Column("Tokens", "Seen in training"),
    Column("Tokens", "Teacher", title="Read and written for the steps this method needs"),
    Column("Cost", "Teacher"),
)
_NUMBERS = (
    *("parameters", "bytes", "latency_ms", "tokens_per_second"),
    *("examples_seen", "tokens_seen", "train_seconds"),
)
"""Numbers of cell.json and timing.json that the CSV holds."""


def main_table(results: Results) -> Table:
    """One row for each method and student, then the baselines that are known."""
    lines, records = [], []
    for row in results.rows:
        diverged = sum(cell.diverged for cell in row.cells)
        mark = f" ({diverged} of {len(row.cells)} seeds diverged)" if diverged else ""
        cells = (results.label(row) + mark, *_scores(row), *_costs(row))
        # The interval stands below the first column alone: below all of them nobody could read the table.
        first = row.estimates.get("f1" if "f1" in row.estimates else "accuracy")
        below = {1: f"{percent(first.low)}{DASH}{percent(first.high)}"} if first else {}
        if row.unread:
            below[_UNPARSED_AT] = " / ".join(percent(row.unread.get(reason, 0.0)) for reason in UNREAD)
        kind = "diverged" if diverged else "" if row.trained else "baseline"
        lines.append(Line(cells, below, kind, row.rank))
        records.append(_record(row))
    free = results.primary == "f1" or any("f1" in row.estimates for row in results.rows)
    columns: tuple[Column, ...] = (Column("Method", numeric=False), *(_FREE if free else _CHOICES), *_OTHERS)
    for label, share, record in _baselines(results):
        lines.append(Line((label, percent(share), *(NONE,) * (len(columns) - 2)), kind="baseline"))
        records.append(record)
    if labels(results.findings):
        shown = [index for index, column in enumerate(columns) if column not in _NAMES]
        lines = [replace(line, cells=tuple(line.cells[index] for index in shown)) for line in lines]
        columns = tuple(columns[index] for index in shown)
    return Table("table", _caption(results), columns, tuple(lines), tuple(records))


def _baselines(results: Results) -> list[tuple[str, float, dict[str, Any]]]:
    """(name, share of right answers, record) of each baseline that is known."""
    rows: list[tuple[str, float, dict[str, Any]]] = []
    for label, key in (("Most frequent answer", "majority"), ("Random guess", "random")):
        share = results.baseline(key)
        if share is not None:
            rows.append((label, share, {"method": key, "accuracy": share}))
    if results.teacher:
        value, n, split = results.teacher
        record = {"method": "teacher", "accuracy": value, "accuracy_n": n, "split": split}
        rows.append((f"Teacher, {count(n)} {split} questions", value, record))
    return rows


def _caption(results: Results) -> str:
    units = (row.estimates[results.primary].unit for row in results.trained if results.primary in row.estimates)
    unit = next(units, "questions")
    seeds = sorted({len(row.cells) for row in results.trained})
    over = ""
    if seeds:
        fewest_to_most = f" {DASH} ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
        over = f" and {fewest_to_most} seed{'' if seeds[-1] == 1 else 's'}"
    unnamed = labels(results.findings)
    left_out = (
        f" Whether explanations name their answer is left out: all questions have the labels {listing(unnamed)}."
        if unnamed
        else ""
    )
    return (
        f"Means over {count(len(results.findings.items))} test questions{over}; "
        f"below them 95 % bootstrap intervals over {unit} (Wilson's over questions at 0 and 100 %). "
        f"A dash: does not apply, or not known.{left_out}{_lacking(results)}"
    )


def _lacking(results: Results) -> str:
    """What the figures stand on where a method lacks a score that another has."""
    rows = [
        f"{results.label(row)} {percent(lack)} %"
        for row in results.trained
        if (lack := max((row.missing(name) for name in _SHOWN if name in row.estimates), default=0.0)) >= 0.0005
    ]
    if not rows:
        return ""
    return (
        " Each figure is over the questions that every trained method has a score for. "
        f"Without one for some figure, at most: {listing(rows)}."
    )


def _scores(row: Row) -> tuple[str, ...]:
    answers = ("f1", "accuracy") if "f1" in row.estimates else ("accuracy", "accuracy_likelihood")
    names = (*answers, "unparsed", "length", "rougeL", "bleu", "names_answer", "names_distractors")
    values = {name: row.estimates[name].value for name in names if name in row.estimates}
    return tuple(
        NONE if name not in values else percent(values[name]) if name in _SHARES else f"{values[name]:.1f}"
        for name in names
    )


def _costs(row: Row) -> tuple[str, ...]:
    numbers = (
        (row.mean("parameters"), short),
        (row.mean("bytes"), size),
        (row.mean("latency_ms"), count),
        (row.mean("tokens_per_second"), count),
        (row.mean("examples_seen") if row.trained else 0, count),
        (row.mean("tokens_seen") if row.trained else 0, short),
        (row.teacher_tokens, short),
        (row.teacher_cost, dollars),
    )
    return tuple(NONE if number is None else show(number) for number, show in numbers)


def _record(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {"method": row.method, "student": row.student, "seeds": len(row.cells)}
    record["diverged"] = sum(cell.diverged for cell in row.cells)
    for name, estimate in row.estimates.items():
        record |= {name: estimate.value, f"{name}_low": estimate.low}
        record |= {f"{name}_high": estimate.high, f"{name}_n": estimate.n}
        if row.missing(name):
            record[f"{name}_missing"] = row.missing(name)
    record |= {key: row.mean(key) for key in _NUMBERS}
    return {**record, "teacher_tokens": row.teacher_tokens, "teacher_cost": row.teacher_cost}
