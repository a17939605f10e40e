"""To do it again: the recipe, the environment, and where the numbers stand with full precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...look.md import fenced, text
from ...results import Results
from ..base import Section


def section(results: Results) -> Section:
    """The section; every run has it."""
    findings = results.findings
    environment = dotted(findings.env)
    return Section(
        name="recipe",
        link="Recipe",
        template="recipe/recipe.html.j2",
        context={
            "recipe": findings.recipe_text,
            "environment": environment,
            "compared": bool(results.pairs or results.gains),
        },
        markdown=lambda figures: _markdown(findings.recipe_text, environment),
    )


def dotted(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """A nested mapping as (name, value), where a name holds those above it: "cpu.cores"."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += dotted(value, f"{above}{key}.")
        else:
            lines.append((f"{above}{key}", " ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return lines


def _markdown(recipe: str, environment: list[tuple[str, str]]) -> list[str]:
    blocks = ["## To do it again"]
    if recipe:
        blocks.append(fenced(recipe.rstrip(), "yaml"))
    if environment:
        blocks.append("\n".join(f"- {name}: {text(value)}" for name, value in environment))
    return blocks
