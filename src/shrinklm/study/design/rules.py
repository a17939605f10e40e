"""The rules of a study: what is decided before the first answer, and must not follow from the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from .folder import Study

Rules = Mapping[str, Any]
"""Rule, such as "exclusions.faster_than" → its value, as JSON."""


@dataclass(frozen=True)
class Change:
    """A rule that is another one than was kept."""

    rule: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Kept:
    """The rules as they were kept."""

    at: str
    """Such as "2026-11-28 09:37:08 UTC"."""
    digest: str
    rules: Rules


def rules_of(study: Study, analysis: Rules | None = None) -> dict[str, Any]:
    """The rules of a study: what is compared, by what, in whom, who is left out, and how it is analysed.

    `analysis`: how it is analysed where that is not as the form says.
    """
    form, design = study.form, study.design
    return {
        "kind": form.kind,
        "conditions": list(design.conditions),
        "constructs": list(form.constructs),
        "questions and pages": study.digest,
        "items a person": design.per_person,
        "people": study.people,
        "further people": form.recruiting.more,
        **{f"exclusions.{name}": value for name, value in form.exclusions.model_dump(mode="json").items()},
        **{f"analysis.{name}": value for name, value in (analysis or form.analysis.model_dump(mode="json")).items()},
    }


def digest_of(rules: Rules) -> str:
    """The SHA-256 of rules, in hexadecimal: of their JSON with sorted keys and no blanks."""
    return sha256(json.dumps(rules, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def changes(before: Rules, after: Rules) -> list[Change]:
    """The rules that differ, in the order of `after`."""
    names = dict.fromkeys([*after, *before])
    return [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def said(value: Any) -> str:
    """The value of a rule for a page."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
