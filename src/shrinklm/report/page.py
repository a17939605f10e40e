"""Results → one HTML file that opens offline.

Everything from a file is escaped, and the page's own policy forbids it to load anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import heading
from .look.html import environment, head
from .results import Results
from .sections import FOLDER
from .sections.base import Figures, Section

HERE = Path(__file__).parent


def render(results: Results, sections: Sequence[Section], figures: Figures) -> str:
    """The page as text. Equal results and figures give equal text."""
    jinja = environment(HERE, FOLDER)
    text: str = jinja.get_template("page.html.j2").render(
        question=heading.question(results),
        answer=heading.answer(results),
        cautions=heading.cautions(results),
        facts=heading.facts(results),
        sections=sections,
        parts=[_part(jinja, section.template, section, figures) for section in sections],
        feet=[_part(jinja, section.foot, section, figures) for section in sections if section.foot],
        **head(),
    )
    return text


def _part(jinja: Any, template: str, section: Section, figures: Figures) -> str:
    """A section's template, rendered with its own context: no section reads that of another one."""
    text: str = jinja.get_template(template).render(figures=figures, **section.context)
    return text
