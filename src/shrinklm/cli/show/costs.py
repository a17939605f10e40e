"""What the commands print about what is to be paid, and what was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ...teachers.costs import money
from ..app import say

if TYPE_CHECKING:
    from ...run.stages.generate import Teaching
    from ...teachers.usage import Report, Usage


def generated(report: Report, teaching: Teaching, as_json: bool) -> None:
    """What became of each generation step, what each teacher wrote, and what all of it cost."""
    if as_json:
        print(json.dumps({"steps": report.as_dict(), "total": report.total.as_dict()}, ensure_ascii=False))
        return
    table = Table(
        *("Step", "Found", "Asked", "Shared", "Unasked", "Kept", "Refused", "Retried", "Tokens", "Cost"),
        title="Generations",
        title_justify="left",
    )
    for column in table.columns[1:]:
        column.justify, column.overflow = "right", "fold"
    for column in table.columns[-2:]:  # a number that is cut says nothing, or something else
        column.no_wrap = True
    for name, step in report.steps.items():
        table.add_row(name, *_figures(step))
    if len(report.steps) > 1:
        table.add_section()
        table.add_row("total", *_figures(report.total))
    Console().print(table)
    say("Found + asked + shared (a prompt of two texts) + unasked (nothing to build on) = kept + refused + retried.")
    if lost := report.total.uncounted:
        say(f"Of the cost, up to {money(lost)} are for calls whose answer or count was lost.")
    for name, step in report.steps.items():
        for reason, count in step.refused.most_common():
            say(f"  {name}: {count:,} refused: {reason}")
    by_teacher(report, teaching)


def _figures(step: Usage) -> list[str]:
    cost = "-" if step.cost is None else money(step.cost)
    numbers = (step.found, step.asked, step.shared, step.unasked, step.kept, step.refused.total(), step.retried)
    return [*(f"{number:,}" for number in (*numbers, step.tokens_in + step.tokens_out)), cost]


def by_teacher(report: Report, teaching: Teaching) -> None:
    """What each teacher wrote, and what it costs, where there are several."""
    teachers = teaching.writers.all
    for teacher in teachers if len(teachers) > 1 else ():
        steps = [step for name, step in report.steps.items() if teaching.writer_of(name) is teacher]
        costs = [step.cost for step in steps if step.cost is not None]
        asked, tokens = sum(step.asked for step in steps), sum(step.tokens_in + step.tokens_out for step in steps)
        cost = money(sum(costs)) if len(costs) == len(steps) else "price unknown"
        say(f"{teacher.name}: {asked:,} asked, {tokens:,} tokens, {cost}")
