"""What `judge` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ..printed import say
from ..terminal import Terminal
from . import percent, two

if TYPE_CHECKING:
    pass


def judged(figures: Mapping[str, Any]) -> None:
    """The judges' mean ratings by method, and what to know before believing them."""
    say(
        f"{figures['explanations']:,} explanations of {figures['questions']:,} questions, {figures['empty']:,} of them "
        "without a word"
    )
    for name, judge in figures["judges"].items():
        if "means" in judge:
            titles = [construct.capitalize() for construct in figures["constructs"]]
            table = Table("Method", *titles, title=f"{name}, 1 to 5", title_justify="left")
            for column in table.columns[1:]:
                column.justify = "right"
            for method, means in judge["means"].items():
                table.add_row(Text(method), *(two(means.get(construct)) for construct in figures["constructs"]))
            Terminal().print(table)
            for construct, unread in judge["unread"].items():
                if unread:
                    say(f"  {construct}: {unread:,} of {figures['explanations']:,} scores could not be read")
            by_length = {
                construct: value
                for construct, value in judge["length"].items()
                if value is not None and abs(value) >= 0.5
            }
            if by_length:
                correlations = ", ".join(f"{construct} {value:.2f}" for construct, value in by_length.items())
                say(f"  its scores go with the length of the text (rank correlation): {correlations}")
        if judge["wrote"]:
            say(f"  {name} is {judge['wrote']}: believe it less than the others")
        if "pairwise" in judge:
            _duels(name, judge["pairwise"])
    for construct, agreed in figures["agreement"].items():
        alpha, ac2 = (agreed[key]["value"] for key in ("alpha", "ac2"))
        if alpha is not None:
            say(f"Agreement of the judges, {construct}: Krippendorff's alpha {two(alpha)}, Gwet's AC2 {two(ac2)}")


def _duels(name: str, pairwise: Mapping[str, Any]) -> None:
    """What a judge preferred, pair by pair of methods."""
    names = ("First", "Second", "First better", "Second better", "Neither", "Unread")
    table = Table(*names, title=f"{name}, two by two", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in pairwise["wins"]:
        table.add_row(
            Text(row["a"]), Text(row["b"]), *(f"{row[key]:,}" for key in ("first", "second", "tie", "unread"))
        )
    Terminal().print(table)
    say(
        f"  alike in both orders: {percent(pairwise['consistent'])} %; preferred what stood first: "
        f"{percent(pairwise['first_position'])} % "
        f"(50: no liking for a place); preferred the longer: {percent(pairwise['longer'])} %"
    )
