"""Results → one HTML file that opens offline. Everything from a file is escaped; the page may load nothing (its own policy says so)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .findings import Cell, Item
from .look import tables, words
from .look.figures import Figure
from .look.style import METHODS, variables
from .measures import ordered
from .results import Results, Row
from .sections import audit, decision, examples, saliency, saliency_words
from .sections.saliency_plots import ranks_of

HERE = Path(__file__).parent
SECTIONS = HERE / "sections"
SHOWN = 50
"""Duplicates listed; the rest are counted."""


def page(results: Results, figures: Sequence[Figure]) -> str:
    """The page as text. Equal results and figures give equal text."""
    findings = results.findings
    main, light_dark = tables.main(results), variables()
    listed = tables.duplicates(findings.data.get("duplicates") or ())
    text: str = environment().get_template("page.html.j2").render(
        question=words.question(results), answer=words.answer(results), cautions=words.cautions(results), name=findings.name,
        facts=facts(results), css=(HERE / "page.css").read_text(encoding="utf-8"), js=(HERE / "page.js").read_text(encoding="utf-8"),
        light=light_dark[0], dark=light_dark[1], main=main, groups=groups(main),
        comparisons=tables.comparisons(results), cells=tables.cells(results), steps=tables.steps(results), unbuilt=tables.unbuilt(results),
        figures={figure.name: figure for figure in figures}, curves=[f for f in figures if f.name.startswith("losses")],
        dev=[f for f in figures if f.name.startswith("dev")], exposure=words.equal_exposure(results), data=findings.data,
        duplicates=listed[:SHOWN], more=max(0, len(listed) - SHOWN), recipe=findings.recipe_text, env=environment_lines(findings.env),
        islands={name: island(value) for name, value in islands(results).items()}, seeds=_seeds(results),
        count=words.count, doubled=words.duplicates,
        browsable=any(cell.said for cell in findings.cells), rows=[row for row in results.rows if any(cell.said for cell in row.cells)],
        label=lambda row: _label(results, row), shade=_shade, marked=_marked(results), decision=_decision(results),
        audited=_audited(results),
    )  # fmt: skip
    return text


def environment(*folders: Path) -> Any:
    """Where pages of results find their templates: the folders', then ours."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([*folders, HERE, SECTIONS]), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters["breaks"] = breaks
    made.globals |= {"grouped": groups, "marks": len(METHODS)}
    return made


def _decision(results: Results) -> dict[str, Any] | None:
    """What the section to decide by shows; None when nothing was measured of the explanations."""
    found = decision.decide(results)
    if found is None:
        return None
    return {
        "title": decision.TITLE, "axis": found.axis, "sentences": decision.sentences(results, found), "table": decision.table(results),
        "examples": examples.examples(results, found), "value": examples.value,
        "meanings": ordered({key for row in results.rows for key in row.estimates}),
        "css": (SECTIONS / "decision.css").read_text(encoding="utf-8"),
    }  # fmt: skip


def _audited(results: Results) -> dict[str, Any] | None:
    """What the section about the teacher's texts shows; None when nobody looked them through."""
    found = results.findings
    if audit.found(found) is None:
        return None
    return {"title": audit.TITLE, "sentences": audit.sentences(found), "table": audit.table(found)}


def _marked(results: Results) -> dict[str, Any] | None:
    """What the section about marked words shows; None when the run has none."""
    found = results.findings.saliency
    if found is None:
        return None
    code = {kind: (SECTIONS / f"saliency.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")}
    return {
        "title": saliency_words.TITLE, "sentences": saliency_words.sentences(found), "table": saliency.table(found, ranks_of(results)),
        "refused": saliency.refused(found), "items": len(found.items), "picked": saliency.picked(found),
        "island": island(saliency.island(found)), **code,
    }  # fmt: skip


def breaks(name: str) -> str:
    """A name, escaped, that may break after its joints: "multitask+counterfactual:revised" is wider than a phone's column."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=[+:=/_,])(?=\w)", "<wbr>", str(escape(name))))


def island(value: Any) -> str:
    """JSON that may stand inside a <script> element: no character of it can end the element or open a comment."""
    text = json.dumps(_numbers(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def islands(results: Results) -> dict[str, Any]:
    """What the browser of test items reads: items and rows once, then what was said from each seed, parsed when that seed is picked."""
    findings = results.findings
    shown = [row for row in results.rows if any(cell.said for cell in row.cells)]
    rows = [{"name": _label(results, row), "shade": _shade(row), "trained": row.trained} for row in shown]
    found: dict[str, Any] = {"items": {"items": [_item(item) for item in findings.items], "rows": rows}}
    for seed in _seeds(results):
        found[f"seed-{seed}"] = [_said(results, row, seed) for row in shown]
    return found


def facts(results: Results) -> list[tuple[str, str]]:
    """The run at a glance, as (name, value)."""
    findings = results.findings
    splits = ", ".join(
        f"{words.count(findings.data[name])} {name}"
        for name in ("train", "dev", "test")
        if isinstance(findings.data.get(name), int)
    )
    seeds = sorted({cell.seed for cell in findings.cells if cell.trained})
    pairs = (
        ("Task", findings.task), ("Questions", splits or f"{len(findings.items):,} test"), ("Teacher", findings.teacher or "none"),
        ("Student", ", ".join(results.students)), ("Methods", str(len({row.method for row in results.trained}))),
        ("Seeds", ", ".join(map(str, seeds))), ("Run", findings.name), ("Started", str(findings.env.get("started") or "")),
    )  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def environment_lines(env: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """A nested mapping as (dotted name, value)."""
    lines = []
    for key, value in env.items():
        if isinstance(value, Mapping):
            lines += environment_lines(value, f"{above}{key}.")
        else:
            lines.append((f"{above}{key}", " ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return lines


def _item(item: Item) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": item.id,
        "q": item.question,
        "a": item.answer,
        "c": list(item.choices),
        "f": list(item.fields.items()),
    }
    if item.reference:
        shown |= {"r": item.reference, "w": item.teacher}
    return shown


def _said(results: Results, row: Row, seed: int) -> list[Any] | None:
    """[answer, right, explanation, raw text where it did not parse] of each item; None where the row lacks the seed."""
    cell = next((cell for cell in row.cells if cell.seed == seed or not cell.trained), None)
    if cell is None or not cell.said:
        return None
    return [_line(results, cell, index, item) for index, item in enumerate(results.findings.items)]


def _line(results: Results, cell: Cell, index: int, item: Item) -> list[Any] | None:
    said = cell.said.get(item.id)
    if said is None:
        return None
    score = cell.scores["accuracy"][index] if "accuracy" in cell.scores else math.nan
    right = said.answer == item.answer if math.isnan(score) else score >= 1
    line: list[Any] = [said.answer, int(right), said.explanation]
    return [*line, said.raw] if said.answer is None else line


def _seeds(results: Results) -> list[int]:
    """Seeds to pick from; an untrained student has none of its own and stands beside each."""
    cells = [cell for cell in results.findings.cells if cell.said]
    return sorted({cell.seed for cell in cells if cell.trained}) or sorted({cell.seed for cell in cells})


def _label(results: Results, row: Row) -> str:
    return f"{row.method} on {row.student}" if len(results.students) > 1 else row.method


def _shade(row: Row) -> str:
    return f"m{row.rank % len(METHODS)}" if row.rank >= 0 else "muted"


def groups(table: tables.Table) -> list[tuple[str, int]]:
    """(heading, columns below it), left to right; "" over a column that stands alone."""
    found: list[tuple[str, int]] = []
    for column in table.columns:
        if found and column.group and found[-1][0] == column.group:
            found[-1] = (column.group, found[-1][1] + 1)
        else:
            found.append((column.group, 1))
    return found


def _numbers(value: Any) -> Any:
    """NaN and infinities are not JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    return [_numbers(inner) for inner in value] if isinstance(value, (list, tuple)) else value
