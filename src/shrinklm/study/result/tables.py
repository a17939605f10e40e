"""The tables of a study's result, for its page and for the terminal."""

from __future__ import annotations

from typing import Any

from ...report.look.numbers import DASH, MINUS, p_value
from ...report.look.tables import Column, Line, Table
from ...report.rated import RATED
from ..analysis.paragraph import fullest, signed

Json = dict[str, Any]


def methods(found: Json) -> Table:
    """A row for each measure, by machine, judges and people, and a column for each condition; as records, a row for each condition."""
    people = found["kind"] == "rating"
    rows = [
        (_group(one["key"]), one["name"], "measures", one["key"], one["share"], one["digits"])
        for one in found["columns"]
    ]
    rows.sort(key=lambda row: row[0] != _MACHINE)
    rows += [("By people", name, "people", name, not people, 2 if people else 0) for name in found["measures"]]
    lines, group = [], ""
    for heading, name, part, key, share, digits in rows:
        if heading != group:
            lines.append(Line((heading,), kind="group"))
            group = heading
        cells, below = [f"{name}, %" if share else name], dict[int, str]()
        for entry in found["methods"]:
            _add(cells, below, entry[part].get(key), share, digits)
        lines.append(Line(tuple(cells), below))
    records = []
    for entry in found["methods"]:
        record: Json = {"condition": entry["condition"], "run": entry["run"], "cell": entry["cell"]}
        for _, _, part, key, _, _ in rows:
            _note(record, key, entry[part].get(key))
        records.append(record)
    caption = (
        "Machine figures are of the method on the whole test set, over all of its seeds; people's are of the explanations that were drawn, "
        "of one seed. Small print: 95 % intervals, over resampled questions and over resampled people."
    )
    columns = (Column("Measure", numeric=False), *(Column(entry["condition"]) for entry in found["methods"]))
    return Table("methods", caption, columns, tuple(lines), tuple(records))


def exclusions(found: Json) -> Table:
    """Each rule, and how many it left out."""
    rules, counts = found["exclusions"]["rules"], found["exclusions"]["counts"]
    said = {
        "failed_checks": ("failed attention checks", "{} or more"),
        "faster_than": ("was too fast", "median below {} s an item"),
        "same_answer": ("gave the same answer throughout", "the same step every time"),
        "unfinished": ("did not finish", "not at the end"),
        "item_faster_than": ("answered a single item too fast", "single items below {} s"),
    }
    lines = []
    for key, (reason, rule) in said.items():
        used = rules[key] not in (None, False)
        lines.append(
            Line(
                (
                    reason,
                    rule.format(rules[key]) if used else "not a rule here",
                    str(counts.get(reason, 0)) if used else DASH,
                )
            )
        )
    what = "People, and of the last rule items, that the rules of study.yaml leave out. One person may be counted under several."
    return Table(
        "exclusions",
        what,
        (Column("Reason", numeric=False), Column("Rule", numeric=False), Column("Left out")),
        tuple(lines),
    )


def sensitivity(found: Json) -> Table:
    """The means with the exclusions and without."""
    columns = [Column("Measure", numeric=False)]
    for name in found["conditions"]:
        columns += [Column("analysed", name), Column("everyone", name)]
    share, digits = found["kind"] != "rating", 2 if found["kind"] == "rating" else 0
    lines = []
    for measure in found["measures"]:
        given = [
            means.get(name, {}).get(measure)
            for name in found["conditions"]
            for means in (found["means"], found["everyone"])
        ]
        lines.append(Line((measure, *(_value(entry, share, digits) for entry in given))))
    return Table(
        "sensitivity", "Means of those who are analysed, and of everyone who answered.", tuple(columns), tuple(lines)
    )


def strata(found: Json) -> Table | None:
    """Means by whether the conditions were right."""
    if not found["strata"]:
        return None
    means = found["strata"]["means"]
    said = {"right": "all right", "differ": "answers differ", "wrong": "all wrong, alike"}
    shown = [name for name in said if name in means]
    columns = [Column("Condition", numeric=False), *(Column(said[name]) for name in shown)]
    lines = []
    for rank, name in enumerate(found["conditions"]):
        cells, below = [name], {}
        for at, stratum in enumerate(shown):
            entry = means[stratum].get(name)
            cells.append(f"{entry['mean']:.2f}" if entry else DASH)
            if entry:
                below[at + 1] = f"n = {entry['n']}"
        lines.append(Line(tuple(cells), below, rank=rank))
    return Table(
        "strata", f"Mean {found['strata']['measure']}, by what the conditions answered.", tuple(columns), tuple(lines)
    )


def agreement(found: Json) -> Table | None:
    """How far people who rated the same explanation agree."""
    if found["kind"] == "preference":
        return None
    columns = (Column("Measure", numeric=False), Column("Krippendorff's α"), Column("Gwet's AC2"), Column("ICC"))
    lines = []
    for name, entry in found["analysis"]["measures"].items():
        given = entry["agreement"]
        if "why" in given:
            continue
        cells, below = [name], {}
        for key in ("krippendorff", "gwet", "icc"):
            one = given.get(key, {})
            cells.append(DASH if "value" not in one else f"{one['value']:.2f}")
            if one.get("low") is not None:
                below[len(cells) - 1] = _between(one["low"], one["high"], 2)
        lines.append(Line(tuple(cells), below))
    return (
        Table("agreement", "Agreement of people on the same explanation; 95 % intervals.", columns, tuple(lines))
        if lines
        else None
    )


def effects(found: Json) -> Table | None:
    """Differences from the reference by the mixed model with people and questions."""
    if found["kind"] == "preference":
        return _pairs(found)
    columns = (
        Column("Measure", numeric=False),
        Column("Condition", numeric=False),
        Column("Difference"),
        Column("p, Holm"),
    )
    lines = []
    for name, entry in found["analysis"]["measures"].items():
        fit = fullest(entry["mixed"])
        for effect in fit.get("effects", ()):
            if "condition" in effect:
                shown = (name, effect["condition"], signed(effect["estimate"]), p_value(effect["p_adjusted"]))
                kind = "separated" if effect["p_adjusted"] < 0.05 else ""
                lines.append(Line(shown, {2: f"{signed(effect['low'])} to {signed(effect['high'])}"}, kind))
    levels = "person, question and explanation" if found["analysis"]["explained"] else "person"
    what = f"Differences from {found['analysis']['reference']}, in points: a linear mixed model with a level for each {levels}."
    return Table("effects", what, columns, tuple(lines)) if lines else None


def _pairs(found: Json) -> Table:
    columns = (Column("Asked", numeric=False), Column("Pair", numeric=False), Column("First preferred"), Column("p"))
    lines = []
    for name, entry in found["analysis"]["constructs"].items():
        for pair in entry["pairs"]:
            shown = (name, f"{pair['first']} to {pair['second']}", f"{pair['value']:.0%}", p_value(pair["p"]))
            below = {2: f"{_between(100 * pair['low'], 100 * pair['high'], 0)} %"}
            lines.append(Line(shown, below, "separated" if pair["p"] < 0.05 else ""))
    return Table("effects", "How often the first is preferred to the second; ties count half.", columns, tuple(lines))


_MACHINE = "By machine"


def _group(key: str) -> str:
    return "By judges" if key.startswith(RATED) else _MACHINE


_TITLES = {"Quality": "Mean of the constructs", "Simulated": "Share of people's guesses that are the model's answer"}


def _value(entry: Json | None, share: bool, digits: int) -> str:
    return DASH if entry is None else f"{100 * entry['value'] if share else entry['value']:.{digits}f}"


def _add(cells: list[str], below: dict[int, str], entry: Json | None, share: bool, digits: int) -> None:
    cells.append(_value(entry, share, digits))
    if entry and entry.get("low") is not None:
        times = 100 if share else 1
        below[len(cells) - 1] = _between(times * entry["low"], times * entry["high"], digits)


def _between(low: float, high: float, digits: int) -> str:
    """An interval; with a sign in it, in words."""
    ends = [f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS) for value in (low, high)]
    return f"{ends[0]}{' to ' if MINUS in ends[0] else DASH}{ends[1]}"


def _note(record: Json, key: str, entry: Json | None) -> None:
    if entry:
        record |= {
            key: entry["value"],
            f"{key}_low": entry.get("low"),
            f"{key}_high": entry.get("high"),
            f"{key}_n": entry.get("n"),
        }
