"""The stage that audits the teacher's texts: once for the same texts, and as a gate before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...core.errors import MethodError, RecipeError
from ...core.files import write_json
from ...core.results import RunFile
from ...core.types import Example, Tick, digest
from ...evaluation.audit import ARGUES, audit_texts, check_support, recorded_texts
from ...evaluation.drop import Drop
from ...methods.view import Generations, Method
from ...teachers.steps import STEPS, StepRequest, plan
from ..once import Stage, marker
from ..recipe import Recipe
from .writers import Writers


def audited(steps: Sequence[StepRequest], writers: Writers) -> dict[str, int]:
    """The steps that can be audited, those in which a teacher writes but for its own answers → texts of a question.

    Of a recording 1, since what a cell lists is all there is; of several teachers those of all.
    """
    reads = writers.reads
    # The plan names a step once for each of its rounds.
    requests = [request for request, turn in plan(steps, reads) if turn == 1 and _writes(request.name)]
    return {
        request.name: sum(1 if taker.teacher.reads else request.samples or 1 for taker in takers)
        for request in requests
        if (takers := writers.takers(request.name))
    }


def audit_stage(
    folder: Path,
    writers: Writers,
    examples: Sequence[Example],
    known: Mapping[str, Generations],
    steps: Mapping[str, int],
    drop: Drop | None,
    tick: Tick,
) -> Stage:
    """Looks through the texts about the examples and writes the figures to `audit.json`; not again for the same texts.

    With `drop` the figures say what that leaves out.

    Raises RecipeError when the recipe asks for no text, MethodError when there is none yet.
    """
    if not steps:
        raise RecipeError(
            "The recipe asks a teacher for no text that could be looked through. "
            "Add: generate: [explanation, counterfactual]"
        )
    # The refusal too: it is no part of a generation's key, and the figures count it.
    keys = sorted(
        (text.key, text.refusal or "")
        for slots in known.values()
        for (kind, _), generation in slots.items()
        if kind in steps
        for text in generation.texts
    )
    if not keys:
        raise MethodError("The teacher has said nothing yet. Run: shrinklm generate RECIPE")
    teachers, path = writers.by_teacher(steps), folder / RunFile.AUDIT

    def work() -> None:
        texts: dict[str, str] = {}
        for step in steps:
            for taker in writers.takers(step):
                texts |= recorded_texts(taker.teacher, examples, known, [step], taker.by) or {}
        figures = audit_texts(examples, known, steps, texts or None, tick, drop.reason if drop else None, steps)
        write_json(
            path,
            {"teacher": " and ".join(dict.fromkeys(teacher.name for teacher in teachers)), "split": "train", **figures},
        )

    parts = [keys, list(steps), [example.id for example in examples], *([asdict(drop)] if drop else [])]
    key = digest(*parts)
    return Stage(marker(folder, "audit"), key, work, makes=(path,))


def gate(figures: dict[str, Any], recipe: Recipe, methods: Sequence[Method], least: float) -> None:
    """Raises AuditError when too few texts support their answer; see `shrinklm.evaluation.audit.check_support`.

    Looks at the recipe's steps, else at those that the methods are trained on.
    """
    trained_on = [step for step in ARGUES if step in figures["steps"] and any(step in each.needs for each in methods)]
    check_support(figures, least, recipe.audit.steps or trained_on)


def _writes(step: str) -> bool:
    return not STEPS[step].marks and STEPS[step].about != "own"
