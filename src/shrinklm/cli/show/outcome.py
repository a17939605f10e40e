"""What `study analyze` prints of a study's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ...report.look.tables import Table
from ...study.result import page as result_page
from ...study.result import tables as result_tables
from . import columns, say

Json = dict[str, Any]


def outcome(found: Json) -> None:
    """The counts, machine and people by condition, differences, who was left out, and what it comes to."""
    people, rows = found["people"], found["ratings"]
    say(
        f"{found['study']}: {people['began']} people began, {people['finished']} finished, {people['analysed']} are analysed."
    )
    for reason, count in found["exclusions"]["counts"].items():
        say(f"- left out: {count} {reason}")
    say(f"{rows['analysed']:,} of {rows['given']:,} answers.")
    for line in result_page.work(found):
        say(line)
    for table in (result_tables.methods(found), result_tables.effects(found), result_tables.agreement(found)):
        if table is not None:
            _print(table)
    for line in result_page.cautions(found):
        say(f"! {line}")
    for judge in found["judge"]:
        say(f"{judge['run']}: {judge['paragraph']}")
    say("")
    say(result_page.answer(found))


def page(path: Path) -> None:
    """Where the page is."""
    say(f"Report: {path}")


def _print(table: Table) -> None:
    """A table of the page, with intervals beside the values."""
    left = [column.name for column in table.columns if not column.numeric]
    right = [column.name for column in table.columns if column.numeric]
    shown = columns(left, right, table.caption.partition("; ")[0].rstrip("."))
    for line in table.lines:
        if line.kind == "group":
            shown.add_section()
            shown.add_row(Text(line.cells[0], style="bold"))
            continue
        shown.add_row(*(Text(cell) for cell in line.texts))
    Console().print(shown)
