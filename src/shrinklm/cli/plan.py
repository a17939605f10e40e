"""The commands that ask teachers, and that say beforehand what a recipe takes."""

from __future__ import annotations

from typing import Annotated

import typer

from ..run.engines.base import Engine
from .app import Json, Step, Target, Wait, command, open_target
from .engine import asking
from .printed import say_json
from .progress import Progress

_Trials = Annotated[
    bool, typer.Option("--trial/--no-trial", help="Time models on this machine where no earlier run tells their speed.")
]


@command(code=True)
@asking
def generate(
    recipe: Target,
    engine: Engine | None,
    step: Step = None,
    wait: Wait = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask nobody: say what it would take, as `plan` does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask the teacher for what the store lacks: explanations, critiques, revisions, counterfactuals."""
    from .show import costs

    if dry_run:
        _plan(recipe, step, False, True, as_json)
        return
    with Progress() as progress:
        run = open_target(recipe, progress.tick, engine)
        report = run.generate(step, wait)
    costs.generated(report, run.teaching, as_json)


@command(code=True)
def plan(recipe: Target, as_json: Json = False, trial: _Trials = True) -> None:
    """Say what a recipe will take: prompts, tokens, dollars, time, memory and disk. Nothing is paid or written."""
    _plan(recipe, None, True, trial, as_json)


def _plan(recipe: str, step: str | None, students: bool, trial: bool, as_json: bool) -> None:
    from .show import costs

    with Progress() as progress:
        from ..run.plan import plan_run

        planned = plan_run(open_target(recipe, progress.tick), step, students, trial)
    if as_json:
        say_json(planned)
    else:
        costs.plan(planned)
