"""What the commands print about what is to be paid, and what was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ...teachers.costs import money
from ..printed import say, say_json
from ..terminal import Terminal

if TYPE_CHECKING:
    from ...run.stages.generate import Teaching
    from ...teachers.usage import Report, Usage


def generated(report: Report, teaching: Teaching, as_json: bool) -> None:
    """What became of each generation step, what each teacher wrote, and what all of it cost."""
    if as_json:
        say_json({"steps": report.as_dict(), "total": report.total.as_dict()})
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
    Terminal().print(table)
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
        steps = [
            step.by[taker.by] if taker.by else step
            for name, step in report.steps.items()
            for taker in teaching.takers_of(name)
            if taker.teacher is teacher
        ]
        costs = [step.cost for step in steps if step.cost is not None]
        asked, tokens = sum(step.asked for step in steps), sum(step.tokens_in + step.tokens_out for step in steps)
        cost = money(sum(costs)) if len(costs) == len(steps) else "price unknown"
        say(f"{teacher.name}: {asked:,} asked, {tokens:,} tokens, {cost}")


def plan(planned: Mapping[str, Any]) -> None:
    """The plan of a run: its texts, its students, and all together."""
    total, asked = planned["total"], [*planned["texts"], *planned["judges"]]
    if asked:
        names = ("Step", "Teacher", "Found", "Prompts", "Tokens in", "Tokens out", "Cost", "Time")
        table = _table(f"Texts of {planned['name']}", names, 2)
        for row in [*asked, {**total, "step": "total", "teacher": ""}]:
            if row["step"] == "total":
                table.add_section()
            counts = (f"{row[name]:,}" for name in ("found", "prompts", "tokens_in", "tokens_out"))
            table.add_row(row["step"], row["teacher"], *counts, _price(row["dollars"]), _time(row["seconds"]))
        Terminal().print(table)
        _sources((row["step"], row["sources"]) for row in asked)
    if planned["students"]:
        table = _table("Students", ("Cell", "Steps", "Training", "Evaluation", "Memory", "Disk"), 1)
        for row in planned["students"]:
            sizes = (_size(row["memory_bytes"]) if row["steps"] else "-", _size(row["disk_bytes"]))
            spans = (_time(row["train_seconds"]), _time(row["evaluate_seconds"]))
            table.add_row(row["cell"], f"{row['steps']:,}", *spans, *sizes)
        table.add_section()
        spans = (_time(total["train_seconds"]), _time(total["evaluate_seconds"]))
        table.add_row("total", "", *spans, _size(total["memory_bytes"]), _size(total["disk_bytes"]))
        Terminal().print(table)
        _sources((row["cell"], row["sources"]) for row in planned["students"])
    cost = _price(total["dollars"])
    if total["dollars"] is None and total["dollars_known"]:
        cost = f"{_price(total['dollars_known'])} and what is unknown"
    say(
        f"All: {cost}, {_time(total['all_seconds'])}, {_size(total['disk_bytes'])} of disk "
        f"({_size(planned['store_bytes'])} of it the store), and {_size(total['checkpoint_bytes'])} while a student is "
        "trained. Metrics that ask again or compare meanings, and the report, are not in it. Nothing was paid or kept."
    )
    if (passed := planned["cascade"]) is not None:
        say(
            f"Not in it: `shrinklm cascade` asks {passed['teacher']} {passed['prompts']:,} test questions more, "
            f"{_price(passed['dollars'])}, {_time(passed['seconds'])}."
        )
    if "elsewhere" in planned:
        _elsewhere(planned["elsewhere"])


def _elsewhere(found: Mapping[str, Any]) -> None:
    """The plan on other machines."""
    kind = "device" if found["devices"] == 1 else "devices"
    table = _table(f"On {found['on']}: {found['devices']} {kind}, {found['device']}", ("Part", "Time", "How"), 1)
    table.columns[2].justify = "left"
    for phase in found["phases"]:
        table.add_row(phase["phase"], _time(phase["seconds"]), phase["how"])
    table.add_section()
    table.add_row("total", _time(found["seconds"]), "one after another")
    Terminal().print(table)
    for source in found["sources"]:
        say(f"  {source}")
    if found["bottleneck"]:
        say(f"The longest part is {found['bottleneck']}.")
    if found["idle"]:
        say(f"{found['idle']:,} of the devices have no cell to train: a cell is trained on one.")
    if found["cells_on_a_device"] == 0:
        say(
            f"A cell takes about {_size(found['cell_memory_bytes'])}, more than the device has: take LoRA "
            "(student: {lora: 16}), several devices for one cell (docs/training.md), or another device."
        )
    if found["machine_dollars"] is not None:
        rest = "" if found["dollars"] is None else f", {money(found['dollars'])} with what teachers cost"
        say(f"{found['device_hours']:,.3g} device hours: {money(found['machine_dollars'])} for the machines{rest}.")


def _table(title: str, names: tuple[str, ...], left: int) -> Table:
    table = Table(*names, title=title, title_justify="left")
    for column in table.columns[left:]:
        column.justify = "right"
    return table


def _sources(rows: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Where the figures come from, those of several rows in one line."""
    named: dict[str, list[str]] = {}
    for name, sources in rows:
        for source in sources:
            named.setdefault(source, []).append(name)
    for source, names in named.items():
        say(f"  {', '.join(names)}: {source}")


def _price(value: float | None) -> str:
    return "unknown" if value is None else money(value)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 or not seconds else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(size: float | None) -> str:
    if size is None:
        return "unknown"
    unit = next(((limit, name) for limit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= limit), (1, "B"))
    return f"{size / unit[0]:.3g} {unit[1]}"
