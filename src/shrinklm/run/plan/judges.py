"""The judges' part of a plan: the explanations that they would rate are supposed, and the questions counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...evaluation.judges.pairs import compare
from ...evaluation.judges.rating import Rated, rate, read_constructs
from ...evaluation.judges.sitting import Item
from ..asked import JudgeBlock
from ..run import Run
from ..stages.generate import Teaching
from .habits import Habits
from .texts import StandIn, costs


def plan_judges(run: Run, teaching: Teaching, trials: bool) -> list[dict[str, Any]]:
    """A row for each judge. Explanations that students have not written yet are taken to differ, so that all are rated.

    `teaching` has stand-ins for its teachers.
    """
    panel, block = run.panel(), run.recipe.judge
    assert block is not None
    if all(cell.answered for cell in run.cells):
        rated = panel.items(run.cells, run.splits["test"])
    else:
        rated = _supposed(run, block, _texts(teaching))
    compared_pairs = panel.pairs(run.cells, rated) if block.pairwise else []
    pairs = [(rated[first], rated[second]) for first, second in compared_pairs]
    constructs = read_constructs(run.prompts, block.constructs)
    compared = constructs or read_constructs(run.prompts, JudgeBlock.model_fields["constructs"].default)
    rows = []
    for judge, each in zip(panel.judges, block.use, strict=True):
        stand_in = StandIn(judge, Habits(judge, teaching.store, each.thinking), {}, None)
        asked = (
            [rate(stand_in, list(rated.values()), constructs, run.prompts, teaching.store, block.seed).usage]
            if (constructs and rated)
            else []
        )
        if pairs:
            asked.append(compare(stand_in, pairs, compared, run.prompts, teaching.store, block.seed).usage)
        row = {"step": "judge", "teacher": judge.name, "found": sum(usage.found for usage in asked)}
        rows.append(row | costs(stand_in, "judgement", each.price or judge.price, trials))
    return rows


def _supposed(run: Run, block: JudgeBlock, texts: Sequence[str]) -> dict[Item, Rated]:
    """What would be rated: an explanation of each explaining cell about each question."""
    tests, most = run.splits["test"], run.recipe.evaluate.explanations
    examples = (tests if most is None else tests[:most])[: block.items]
    cells = [cell for cell in run.cells if cell.method.explain is not None]
    return {
        (cell.name, example.id): Rated(example, example.answer, f"{texts[index % len(texts)]} ({number})")
        for number, cell in enumerate(cells)
        for index, example in enumerate(examples)
    }


def _texts(teaching: Teaching) -> list[str]:
    """Texts as long as a student's explanation."""
    known = teaching.known()[0]
    texts = [
        one.text for slots in known.values() for (kind, _), one in slots.items() if kind == "explanation" and one.text
    ]
    return texts or ["One of the options is what people use for this, and the others are made for something else."]
