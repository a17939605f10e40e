"""What `study analyze` prints of a study's folder."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from ...report.look.tables import Table
from ...study.result import page as result_page
from ...study.result import tables as result_tables
from ...study.result.records import Outcome
from ..printed import say
from ..terminal import Terminal
from . import columns


def result(outcome: Outcome) -> None:
    """Print the counts, machine and people by condition, differences, who was left out, and the answer."""
    people, answers = outcome.people, outcome.ratings
    say(f"{outcome.study}: {people.began} people began, {people.finished} finished, {people.analysed} are analysed.")
    for reason, count in outcome.exclusions.counts.items():
        say(f"- left out: {count} {reason}")
    say(f"{answers.analysed:,} of {answers.given:,} answers.")
    for line in result_page.work(outcome):
        say(line)
    for table in (result_tables.methods(outcome), result_tables.effects(outcome), result_tables.agreement(outcome)):
        if table is not None:
            print_table(table)
    for line in result_page.cautions(outcome):
        say(f"! {line}")
    for judged in outcome.judge:
        say(f"{judged.run}: {judged.calibration.paragraph}")
    say("")
    say(result_page.answer(outcome))


def page(path: Path) -> None:
    """Print where the page is."""
    say(f"Report: {path}")


def print_table(table: Table) -> None:
    """Print a table of the page, with intervals beside the values."""
    left = [column.name for column in table.columns if not column.numeric]
    right = [column.name for column in table.columns if column.numeric]
    printed = columns(left, right, table.caption.partition("; ")[0].rstrip("."))
    for line in table.lines:
        if line.kind == "group":
            printed.add_section()
            printed.add_row(Text(line.cells[0], style="bold"))
            continue
        printed.add_row(*(Text(cell) for cell in line.texts))
    Terminal().print(printed)
