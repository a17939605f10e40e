"""Which method to take: accuracy against what was measured of the explanations."""

from __future__ import annotations

from dataclasses import replace

from ...look.md import grid, paragraphs, picture, text
from ...look.style import variable
from ...look.tables import Table
from ...measures import ordered
from ...results import Results
from ..base import Figures, Section, beside
from .choice import decide
from .examples import Contrast, pick_examples, score
from .plot import tradeoff
from .table import measures_table
from .words import sentences

TITLE = "Which one to take"


def section(results: Results) -> Section | None:
    """The section; None when nothing was measured of the explanations."""
    decision = decide(results)
    if decision is None:
        return None
    lines, table = sentences(results, decision), measures_table(results)
    examples = pick_examples(results, decision)

    def markdown(figures: Figures) -> list[str]:
        blocks = [f"## {TITLE}", *paragraphs(lines), *picture(figures, "tradeoff")]
        return [*blocks, *(_quote(results, example) for example in examples), text(table.caption), *_grids(table)]

    return Section(
        name="decision",
        link="Decide",
        template="decision/decision.html.j2",
        context={
            "title": TITLE,
            "sentences": lines,
            "axis": decision.axis,
            "table": table,
            "examples": examples,
            "score": score,
            "label": results.label,
            "shade": lambda row: variable(row.rank),
            "meanings": ordered({key for row in results.rows for key in row.estimates}),
        },
        css=beside(__file__, "decision.css"),
        markdown=markdown,
        tables=(table,),
        draw=lambda: (tradeoff(results),),
    )


def _quote(results: Results, example: Contrast) -> str:
    """A question with the two answers, as a quotation."""
    item = example.item
    choices = ", ".join(f"{choice} (right)" if choice == item.answer else choice for choice in item.choices)
    answers = [
        f"> - {text(results.label(response.row))}: {text(response.prediction.answer or 'no answer')}. "
        f"{text(response.prediction.explanation or '')}"
        for response in example.responses
    ]
    return "\n>\n".join([f"> **{text(item.question)}** {text(choices)}", f"> {text(example.why)}", "\n".join(answers)])


def _grids(table: Table) -> list[str]:
    """A table with groups as one grid below the heading of each: Markdown has no line that spans a table."""
    blocks = []
    starts = [index for index, line in enumerate(table.lines) if line.kind == "group"]
    for start, end in zip(starts, [*starts[1:], len(table.lines)], strict=True):
        heading, group = table.lines[start].cells[0], replace(table, lines=table.lines[start + 1 : end])
        blocks += [f"**{text(heading)}**", grid(group)]
    return blocks
