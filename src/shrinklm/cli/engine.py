"""The options that say where a recipe's cells are trained and evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.errors import RecipeError

if TYPE_CHECKING:
    from ..run.engines.base import Engine

Jobs = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto",
        help=(
            "Cells side by side on this machine, each in a process of its own; auto: as many as memory, GPUs and cores "
            "have room for. Left out: as the recipe says (`train: {at_once: N}`)."
        ),
        show_default=False,
    ),
]


def engine_of(jobs: str | None) -> Engine | None:
    """The engine that the options name; None for the one that a run takes by itself. Raises RecipeError."""
    if jobs is None:
        return None
    from ..run.engines.local import LocalEngine

    return LocalEngine(_number(jobs))


def _number(jobs: str) -> int | Literal["auto"]:
    if jobs == "auto":
        return "auto"
    if not jobs.isdecimal() or int(jobs) < 1:
        raise RecipeError(f"--jobs takes a number from 1 or auto, and got '{jobs}'. Write: --jobs 4")
    return int(jobs)
