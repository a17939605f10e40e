"""Refused generations of the teacher, pairs that could not be built, and duplicate questions, with reasons."""

from __future__ import annotations

from ...look.md import captioned
from ...look.numbers import count
from ...results import Results
from ..base import Section
from .counts import duplicates, duplicates_sentence, steps, unbuilt

_LISTED = 50
"""Duplicates that are listed; the rest are counted."""


def section(results: Results) -> Section:
    """The section; every run has it."""
    data = results.findings.data
    generations, pairs = steps(results), unbuilt(results)
    lines = duplicates(data.get("duplicates") or ())
    # An empty list means that a search found none; without the key nobody searched.
    searched = data.get("duplicates") is not None
    return Section(
        name="refused",
        link="Refused",
        template="refused/refused.html.j2",
        context={
            "steps": generations,
            "unbuilt": pairs,
            "held_out": None if data.get("held_out") is None else count(data["held_out"]),
            "searched": duplicates_sentence(len(lines))
            if searched
            else "Duplicates across splits were not looked for.",
            "duplicates": lines[:_LISTED],
            "more": count(len(lines) - _LISTED) if len(lines) > _LISTED else "",
        },
        markdown=lambda figures: [
            "## What was refused, and why",
            *(captioned(generations) or ["No teacher was asked in this run."]),
            *(captioned(pairs) or ["Every pair of every view could be built."]),
            *_about_data(results),
        ],
        tables=(generations, pairs),
    )


def _about_data(results: Results) -> list[str]:
    data, blocks = results.findings.data, []
    if data.get("held_out") is not None:
        blocks.append(f"{count(data['held_out'])} examples were held out of training because a prompt shows them.")
    if data.get("duplicates") is not None:
        blocks.append(duplicates_sentence(len(data["duplicates"])))
    return blocks
