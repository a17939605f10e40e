"""What the commands print for people: tables and coloured text, made from what the API returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text


def columns(left: list[str], right: list[str], title: str) -> Table:
    """A table with columns set to the left and to the right."""
    table = Table(title=Text(title), title_justify="left")
    for name in left:
        table.add_column(Text(name), no_wrap=True)
    for name in right:
        table.add_column(Text(name), justify="right", overflow="fold")
    return table


def two(value: float | None) -> str:
    """A number with two decimals; "-" for none."""
    return "-" if value is None else f"{value:.2f}"


def percent(value: Any) -> str:
    """An estimate or a bare share in percent."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return f"{100 * value['value']:.1f} ({100 * value['low']:.1f}–{100 * value['high']:.1f})"
    return f"{100 * value:.1f}"
