"""`shrinklm demo`: the whole way on the packaged questions, with the teacher's words from the package or, `--live`,
asked anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import ModelError
from ..core.files import write_text
from ..core.registry import split_spec
from ..core.types import Tick
from ..models.locate import PACKAGED, locate_model
from ..run.recipe import Recipe
from ..run.run import Run
from ..teachers.store import read
from ..teachers.usage import Report
from .printed import say
from .show import runs as show

RECIPE = Path(__file__).parent / "recipes" / "demo.yaml"
GENERATIONS = Path(__file__).parent.parent / "tasks" / "data" / "everyday" / "demo-generations.parquet"
"""An export of the store after `shrinklm generate` with the demo's recipe and its teacher."""
WEAK = "smollm2-135m-instruct"

_SLICE: dict[str, dict[str, Any]] = {
    "task": {"limit": {"train": 24, "dev": 10, "test": 20}},
    "train": {"examples": 72},
    "evaluate": {"explanations": 20},
}
"""Replaces these keys of the recipe in a live demo, in which the teacher writes every text anew."""


def demo(folder: Path, live: bool = False, teacher: str | None = None, tick: Tick | None = None) -> Path:
    """Runs the demo in `folder` and returns the report's path; started again, it goes on where it was.

    Args:
        folder: Made when missing; holds the recipe, the store and the run.
        live: Ask the teacher everything anew, on a small slice.
        teacher: The teacher of a live demo; left out: the packaged SmolLM2.
        tick: Called with the progress.

    Raises:
        ModelError: A packaged model is not installed; the message has the line that adds it.
    """
    path = _live(folder, teacher) if live or teacher else _packaged(folder)
    recipe = Recipe.read(path, trust=teacher is not None)  # who typed the teacher trusts it
    # Looked for before anything is generated: the demo must not stop half way for want of a model.
    _installed([student.use for student in recipe.student])
    say(f"Recipe: {recipe.root / ('demo.yaml' if recipe.name == 'demo' else recipe.name + '.yaml')}")
    run = Run(recipe, tick=tick)
    if live or teacher:
        _installed([recipe.teacher.use] if recipe.teacher else [])
        if not teacher:
            say(
                f"The teacher is the packaged {WEAK}. So small a teacher is weak: "
                "its reasons are often wrong and many are refused."
            )
    elif GENERATIONS.is_file():
        # `generate` below then finds every text, as in a project that asked for them before.
        run.store.put(read(GENERATIONS))
    say(_summary(run.generate()))
    run.audit()
    show.already(run, "train", "evaluate")
    run.train(again=False)
    run.evaluate()
    page = run.report()
    show.results(page.parent)
    say(f"Report: {page}")
    return page


def _packaged(folder: Path) -> Path:
    """The demo's recipe in `folder`; one that the user has changed stays as it is."""
    path = folder / "demo.yaml"
    if not path.is_file():
        write_text(path, RECIPE.read_text(encoding="utf-8"))
    return path


def _live(folder: Path, teacher: str | None) -> Path:
    """The recipe of a live demo: the demo's, smaller, with another teacher."""
    data = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    for block, smaller in _SLICE.items():
        data[block] |= smaller
    data["teacher"] = {"use": _absolute(teacher) if teacher else f"transformers:{WEAK}", "batch": 8, "retries": 1}
    data["name"] = "demo-live" + (f"-{re.sub(r'[^A-Za-z0-9]+', '-', teacher).strip('-')}" if teacher else "")
    path = folder / f"{data['name']}.yaml"
    write_text(
        path,
        "# Written anew by each: shrinklm demo --live\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True),
    )
    return path


def _absolute(spec: str) -> str:
    """A teacher's folder or file starts where the user types, not in the demo's folder."""
    name, path = split_spec(spec)
    return f"{name}:{Path(path).resolve()}" if path and path not in PACKAGED and Path(path).exists() else spec


def _installed(specs: list[str]) -> None:
    """Raises ModelError for a packaged model that is missing, before anything is generated or trained."""
    for spec in specs:
        ref = split_spec(spec)[1]
        if ref in PACKAGED and locate_model(ref).path is None:
            raise ModelError(f"The model '{ref}' is not installed. Run: {PACKAGED[ref].install}")


def _summary(report: Report) -> str:
    stored, asked = (sum(getattr(step, what) for step in report.steps.values()) for what in ("found", "asked"))
    refused = sum(step.refused.total() for step in report.steps.values())
    return (
        f"Teacher's texts: {stored:,} found in the store, {asked:,} asked now; "
        f"{refused:,} refused and counted in the report."
    )
