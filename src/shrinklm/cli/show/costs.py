"""What the commands print about what is to be paid, and what was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..app import say

if TYPE_CHECKING:
    from ...run.stages.generate import Teaching
    from ...teachers.usage import Report


def by_teacher(report: Report, teaching: Teaching) -> None:
    """What each teacher wrote, and what it costs, where there are several."""
    teachers = teaching.writers.all
    for teacher in teachers if len(teachers) > 1 else ():
        steps = [step for name, step in report.steps.items() if teaching.writer_of(name) is teacher]
        costs = [step.cost for step in steps if step.cost is not None]
        asked, tokens = sum(step.asked for step in steps), sum(step.tokens_in + step.tokens_out for step in steps)
        cost = f"${sum(costs):,.2f}" if len(costs) == len(steps) else "price unknown"
        say(f"{teacher.name}: {asked:,} asked, {tokens:,} tokens, {cost}")
