"""A person as a browser sees one: reads the form of each page, fills it in, submits it.

Knows nothing of the pages' insides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Sheet:
    """A form of a page."""

    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    """Hidden fields and texts, and what is chosen already."""
    choices: dict[str, list[str]] = field(default_factory=dict)
    """Radio groups, selects and boxes → their values."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sheets: list[Sheet] = []
        self.text: list[str] = []
        self._open: Sheet | None = None
        self._select = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Sheet(at.get("action", ""), at.get("method", "get").lower())
            self.sheets.append(self._open)
        elif self._open is None:
            return
        elif tag == "select":
            self._select = at.get("name", "")
        elif tag == "option" and self._select:
            self._open.choices.setdefault(self._select, []).append(at.get("value", ""))
        elif tag == "textarea" and at.get("name"):
            self._open.fields[at["name"]] = ""
        elif tag == "input" and at.get("name"):
            if at.get("type") in ("radio", "checkbox"):
                self._open.choices.setdefault(at["name"], []).append(at.get("value", "on"))
                if "checked" in at:
                    self._open.fields[at["name"]] = at.get("value", "on")
            elif at.get("type") not in ("submit", "button"):
                self._open.fields[at["name"]] = at.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def sheets(html: str) -> list[Sheet]:
    """The forms of a page that are sent by POST."""
    reader = _Reader()
    reader.feed(html)
    return [sheet for sheet in reader.sheets if sheet.method == "post"]


def words(html: str) -> str:
    """What the page says."""
    reader = _Reader()
    reader.feed(html)
    return " ".join(" ".join(reader.text).split())


def filled(
    sheet: Sheet, rng: random.Random, choose: Callable[[str, list[str]], str] | None = None
) -> Mapping[str, str]:
    """The form filled in: every choice made, by `choose` or by chance."""
    made = {name: choose(name, values) if choose else rng.choice(values) for name, values in sheet.choices.items()}
    return {**sheet.fields, **made}
