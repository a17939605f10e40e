"""The commands that ask teachers, and that say beforehand what a recipe takes."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.errors import RecipeError
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
def plan(
    recipe: Target,
    as_json: Json = False,
    trial: _Trials = True,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            help="Plan for other machines: 8xH100, 2x16cpu (cores like these), or 4 (machines like this one).",
            metavar="COUNTxKIND",
        ),
    ] = None,
    efficiency: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="Share of an accelerator's peak that is reached.")
    ] = None,
    hourly: Annotated[float | None, typer.Option(min=0, help="Dollars for one of these devices and hour.")] = None,
) -> None:
    """Say what a recipe will take: prompts, tokens, dollars, time, memory and disk. Nothing is paid or written."""
    if on is None and (efficiency is not None or hourly is not None):
        raise RecipeError(
            "--efficiency and --hourly are of the machines that --on names. Add, for example: --on 8xH100"
        )
    _plan(recipe, None, True, trial, as_json, on, efficiency, hourly)


def _plan(
    recipe: str,
    step: str | None,
    students: bool,
    trial: bool,
    as_json: bool,
    on: str | None = None,
    efficiency: float | None = None,
    hourly: float | None = None,
) -> None:
    from .show import costs

    with Progress() as progress:
        from ..run.plan import fleet, plan_run

        devices = None if on is None else fleet(on, efficiency, hourly)
        planned = plan_run(open_target(recipe, progress.tick), step, students, trial, devices)
    if as_json:
        say_json(planned)
    else:
        costs.plan(planned)
