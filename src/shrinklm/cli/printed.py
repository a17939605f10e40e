"""What commands print for people and for programs: nothing that data hold steers a terminal or breaks JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import typer

from ..core.finite import finite
from ..core.remote import named

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_STEERING_JSON = re.compile(r"[\x7f-\x9f\ud800-\udfff]")
"""Of these, what `json.dumps` leaves as it is."""


def say(text: str) -> None:
    """Prints one plain line, wrapped nowhere."""
    typer.echo(shown(text))


def shown(text: str) -> str:
    """A text for a terminal: characters that would steer it, and those that it cannot write, by their codes.

    Questions, and what models say to them, come from anybody. What stands at a URL is named by it, not by its mirror.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), named(text))


def say_json(value: Any, indent: int | None = None) -> None:
    """Prints one JSON text that every parser reads: a number that is not finite is null."""
    text = json.dumps(finite(value), ensure_ascii=False, indent=indent, allow_nan=False)
    typer.echo(_STEERING_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", named(text)))
