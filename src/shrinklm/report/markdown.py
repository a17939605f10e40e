"""Results → Markdown, for a repository or a model card: the page without its browser of test items."""

from __future__ import annotations

from collections.abc import Sequence

from . import heading
from .look.md import text
from .results import Results
from .sections.base import Figures, Section


def render(results: Results, sections: Sequence[Section], figures: Figures) -> str:
    """The report as GitHub-flavoured Markdown. Equal results and figures give equal text."""
    blocks = [f"# {text(heading.question(results))}", text(heading.answer(results))]
    if cautions := heading.cautions(results):
        blocks.append("**Read with care**\n\n" + "\n".join(f"- {text(line)}" for line in cautions))
    blocks.append("\n".join(f"- {name}: {text(value)}" for name, value in heading.facts(results)))
    for section in sections:
        blocks += section.markdown(figures)
    return "\n\n".join(blocks) + "\n"
