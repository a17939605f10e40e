"""What a model's licence or terms of service say about students: trained on its output, or started from its weights.

A table of names (`terms.yaml`), and no legal advice: it tells where to look.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from ...core import safe_yaml

NO_ADVICE = "This comes from a table of names and is no legal advice."


@dataclass(frozen=True)
class Terms:
    """A licence, or terms of service."""

    id: str
    """Its key in the table; "" where nothing is known."""
    title: str = ""
    link: str = ""
    year: int = 0
    """Of the text that the table speaks of."""
    output: Literal["allowed", "restricted", "forbidden", "unknown"] = "unknown"
    """Whether another model may be trained on the model's output."""
    says: str = ""
    """A clause on training on the output, such as "allows no commercial use"."""
    weights: str = ""
    """What holds for a student that starts from the weights; "" where nothing unusual does."""
    hub: str = ""
    """The licence in the front matter of a model card; "" where the Hub has no name for it."""


@dataclass(frozen=True)
class DataTerms:
    """A data set that a task knows by name."""

    terms: Terms
    hub: str = ""
    """Its name on the Hub."""
    language: str = ""


UNKNOWN = Terms("")


def terms_of(name: str, licence: str = "") -> Terms:
    """The terms of a model by its name; by its licence where that is stated and known.

    Args:
        name: A hub id, or a model's name.
        licence: As a model card's front matter writes it; "" where nothing is stated.
    """
    table = _table()
    if licence:
        return _terms(licence.strip().lower())
    plain = re.sub(r"[\s_]+", "-", name.strip().lower())
    return next((_terms(found) for pattern, found in table["models"] if _found(pattern, plain)), UNKNOWN)


def data_terms(task: str) -> DataTerms:
    """The data set of a named task."""
    row = _table()["data"].get(task)
    return DataTerms(UNKNOWN) if row is None else DataTerms(_terms(row["licence"]), row.get("hub", ""), row["language"])


def stated_licence(folder: Path) -> str:
    """The licence in the front matter of a folder's README.md; "" where it states none, or another kind of value."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        front = safe_yaml.load(text.split("---", 2)[1]) if text.startswith("---") else {}
    except (OSError, UnicodeDecodeError, IndexError, yaml.YAMLError):
        return ""
    value = front.get("license") if isinstance(front, dict) else ""
    return value if isinstance(value, str) else ""


def _found(pattern: str, name: str) -> bool:
    """Whether a name holds the pattern where a word begins."""
    return re.search(rf"(?<![a-z0-9])(?:{pattern})", name) is not None


def _terms(licence: str) -> Terms:
    row: dict[str, Any] | None = _table()["licences"].get(licence)
    return UNKNOWN if row is None else Terms(licence, **row)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "terms.yaml").read_text(encoding="utf-8"))
    return table
