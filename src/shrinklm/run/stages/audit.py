"""The audit of a run: made once for the same texts, kept in `audit.json` for the report, and the gate before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import MethodError, RecipeError
from ...core.files import read_json, write_json, write_text
from ...core.types import Example, Tick, digest
from ...evaluation.audit import ARGUES, Said, audit, gate, recorded
from ...methods.view import Method
from ...teachers.base import BaseTeacher
from ...teachers.steps import STEPS, StepRequest, plan
from ..recipe import Recipe


def audited(steps: Sequence[StepRequest], teacher: BaseTeacher | None) -> list[str]:
    """The steps that can be looked through: those in which the teacher writes, but for its own answers."""
    order = plan(steps, teacher is not None and teacher.reads)
    return [] if teacher is None else [name for request, turn in order if turn == 1 and _writes(name := request.name)]


def look_through(
    folder: Path,
    teacher: BaseTeacher | None,
    examples: Sequence[Example],
    known: Said,
    steps: Sequence[str],
    tick: Tick,
) -> Any:
    """The audit of what was said about the examples, from `audit.json` when it is about the same texts.

    Raises RecipeError when the recipe asks for no text, MethodError when none was said yet.
    """
    if teacher is None or not steps:
        raise RecipeError(
            "The recipe asks a teacher for no text that could be looked through. Add: generate: [explanation, counterfactual]"
        )
    keys = sorted(
        (found.key, found.refusal or "") for said in known.values() for slot, found in said.items() if slot[0] in steps
    )
    if not keys:
        raise MethodError("The teacher has said nothing yet. Run: shrinklm generate RECIPE")
    asked = digest(keys, list(steps), [example.id for example in examples])
    file, marker = folder / "audit.json", folder / "done" / "audit"
    if not (file.is_file() and marker.is_file() and marker.read_text(encoding="utf-8") == asked):
        found = audit(examples, known, steps, recorded(teacher, examples, known, steps), tick)
        write_json(file, {"teacher": teacher.name, "split": "train", **found})
        write_text(marker, asked)
    return read_json(file)


def check(figures: dict[str, Any], recipe: Recipe, methods: Sequence[Method], least: float) -> None:
    """Passes, or raises AuditError: see `audit.gate`. Looks at the recipe's steps, else at those that the methods are trained on."""
    needed = [step for step in ARGUES if step in figures["steps"] and any(step in found.needs for found in methods)]
    gate(figures, least, recipe.audit.steps or needed)


def _writes(step: str) -> bool:
    return not STEPS[step].marks and STEPS[step].about != "own"
