"""What `study analyze` and `study calibrate` print for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...report.look.numbers import p_value
from ...study.analysis.paragraph import finest, fullest, main, people, rounded, signed
from . import columns, say

Json = dict[str, Any]


def analysis(found: Json) -> None:
    """Means, tests and effects by measure, the outliers, and the paragraph."""
    console = Console()
    console.print(_means(found))
    console.print(_tests(found))
    console.print(_models(found))
    console.print(_effects(found))
    _outliers(found)
    say("")
    say(found["paragraph"])


def calibration(found: Json) -> None:
    """Each judge's bias and correlations by measure, and the paragraph."""
    console = Console()
    for judge, measures in found["judges"].items():
        table = columns(["Measure"], ["Bias (95 % interval)", "Same order", "r by condition", "r by item (n)"], judge)
        for name, entry in measures.items():
            bias, over, item = entry["bias"], entry["by_condition"], entry["by_item"]
            table.add_row(
                Text(name),
                "-" if "why" in bias else f"{signed(bias['value'])} ({signed(bias['low'])} to {signed(bias['high'])})",
                "-" if "why" in over else f"{100 * over['same_order']['value']:.0f} %",
                _cell(over.get("pearson", over), "value", rounded),
                "-" if "why" in item.get("pearson", item) else f"{rounded(item['pearson']['value'])} ({item['n']:,})",
            )
        console.print(table)
    say("")
    say(found["paragraph"])


def _means(found: Json) -> Table:
    table = columns(
        ["Mean (SD)"], list(found["conditions"]), f"{found['n']:,} ratings by {people(found['raters']['n'])}"
    )
    for name, entry in found["measures"].items():
        cells = []
        for level in found["conditions"]:
            mean, sd = entry["means"].get(level), entry["sds"].get(level)
            cells.append("-" if mean is None else f"{mean:.2f}" if sd is None else f"{mean:.2f} ({sd:.2f})")
        table.add_row(Text(name), *cells)
    return table


def _tests(found: Json) -> Table:
    title = "Every rating as independent: Kruskal–Wallis, Dunn, Levene"
    table = columns(["Measure"], ["H", "p", "η²", "Pairs told apart", "Levene p"], title)
    for name, entry in found["measures"].items():
        test, pairs = entry["kruskal"], entry["dunn"]
        apart = (
            f"{sum(pair['p_adjusted'] < 0.05 for pair in pairs)} of {len(pairs)}" if isinstance(pairs, list) else "-"
        )
        numbers = (
            _cell(test, "statistic"),
            _cell(test, "p", _p),
            _cell(test, "eta2", _three),
            apart,
            _cell(entry["levene"], "p", _p),
        )
        table.add_row(Text(name), *numbers)
    return table


def _models(found: Json) -> Table:
    items = any("why" not in entry["ordinal"]["with_items"] for entry in found["measures"].values())
    who = "People, and in ordinal models questions," if items else "People"
    title = f"{who} with a level of their own: linear and ordinal mixed models, all conditions"
    table = columns(["Measure"], ["Linear χ²", "p", "Between people", "Ordinal χ²", "p"], title)
    for name, entry in found["measures"].items():
        linear, order = fullest(entry["mixed"]), finest(entry["ordinal"])
        between = "-" if "why" in linear else f"{100 * linear['shares'][found['raters']['column']]:.0f} %"
        tests = [fit.get("joint", {}) for fit in (linear, order)]
        cells = [[_cell(test, "chi2"), _cell(test, "p", _p)] for test in tests]
        table.add_row(Text(name), *cells[0], between, *cells[1])
    return table


def _effects(found: Json) -> Table:
    name = main(found)
    table = columns(
        ["Condition", "Model"], ["Estimate", "95 % interval", "p"], f"{name}: points above {found['reference']}"
    )
    entry = found["measures"][name]
    fits = {
        "mixed": fullest(entry["mixed"]),
        "with controls": entry["mixed"]["with_controls"],
        "with items": entry["mixed"]["with_items"],
        "no outliers": entry["mixed"]["without_outliers"],
    }
    for level in list(found["conditions"])[1:]:
        rows = [
            (model, row)
            for model, fit in fits.items()
            for row in fit.get("effects", [])
            if row.get("condition") == level
        ]
        boot = entry["bootstrap"].get("differences", {}).get(level)
        lines = [(model, row["estimate"], row) for model, row in rows] + (
            [("bootstrap", boot["value"], boot)] if boot else []
        )
        for place, (model, value, row) in enumerate(lines):
            between = f"{signed(row['low'], 3)} to {signed(row['high'], 3)}"
            table.add_row(Text("" if place else level), model, signed(value, 3), between, _p(row["p"]))
        table.add_section()
    return table


def _outliers(found: Json) -> None:
    name = main(found)
    rows = [(level, row) for level, group in found["measures"][name]["outliers"].items() for row in group["rows"]]
    if rows:
        say(f"Outside 1.5 interquartile ranges of {name} in their condition, and counted ({len(rows)}):")
        for level, row in rows[:20]:
            say(f"  {row['place']}: {row['value']:g}, {level}, rater {row['rater']}")
        if len(rows) > 20:
            say(f"  and {len(rows) - 20} more: see the JSON (--json FILE)")


def _cell(entry: Json, key: str, form: Any = None) -> str:
    value = entry.get(key)
    return "-" if value is None else form(value) if form else f"{value:.2f}"


def _p(p: float) -> str:
    return p_value(p, zero=False)


def _three(value: float) -> str:
    return f"{value:.3f}"
