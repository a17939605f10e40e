"""The options that say where a recipe's cells are trained and evaluated, and where its teachers are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Literal

import typer

from ..core.errors import RecipeError
from ..run.engines.base import Engine


class Where(StrEnum):
    """The engines."""

    local = "local"
    ray = "ray"


_OPTIONS: dict[str, Any] = {
    "jobs": Annotated[
        str | None,
        typer.Option(
            "--jobs",
            metavar="N|auto",
            help=(
                "Cells side by side on this machine, each in a process of its own; auto: as many as memory, GPUs and "
                "cores have room for. Left out: as the recipe says (`train: {at_once: N}`)."
            ),
            show_default=False,
        ),
    ],
    "where": Annotated[
        Where | None,
        typer.Option(
            "--engine", help="This machine (local), or a Ray cluster: see docs/scale.md.", show_default="local"
        ),
    ],
    "address": Annotated[
        str | None,
        typer.Option(
            "--address",
            help="The Ray cluster: auto on one of its nodes, HOST:PORT or ray://HOST:PORT. Left out: a Ray of this "
            "machine, for as long as the command takes.",
            show_default=False,
        ),
    ],
    "gpus": Annotated[
        float | None,
        typer.Option(
            "--gpus-per-cell",
            help="With Ray: GPUs of each cell, also a part of one, and of each copy of a teacher. Left out: 1 where "
            "the cluster has GPUs.",
            show_default=False,
        ),
    ],
    "cpus": Annotated[
        int | None,
        typer.Option(
            "--cpus-per-cell",
            help="With Ray: CPUs, and so threads, of each cell and of each copy of a teacher. Left out: 2.",
            show_default=False,
        ),
    ],
}


def placed(function: Callable[..., None], jobs: bool = True) -> Callable[..., None]:
    """Gives a command the options that name an engine; its parameter `engine` gets that, or None without any.

    `jobs`: it works on cells, which may stand side by side on this machine.
    """
    options = {name: kind for name, kind in _OPTIONS.items() if jobs or name != "jobs"}

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        engine = engine_of(**{name: arguments.pop(name) for name in options})
        try:
            function(**arguments, engine=engine)
        finally:
            if engine is not None:
                engine.close()

    signature = inspect.signature(function, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "engine"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    ]
    command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return command


asking = functools.partial(placed, jobs=False)
"""`placed` for a command that asks teachers alone."""


def engine_of(
    jobs: str | None = None,
    where: Where | None = None,
    address: str | None = None,
    gpus: float | None = None,
    cpus: int | None = None,
) -> Engine | None:
    """The engine that the options name; None for the one that a run takes by itself. Raises RecipeError."""
    if where != Where.ray:
        for option, value in {"address": address, "gpus-per-cell": gpus, "cpus-per-cell": cpus}.items():
            if value is not None:
                raise RecipeError(f"--{option} is for a Ray cluster. Write: --engine ray --{option} {value}")
        if jobs is None:
            return None
        from ..run.engines.local import LocalEngine

        return LocalEngine(_number(jobs))
    if jobs is not None:
        raise RecipeError(
            f"--jobs {jobs} is for this machine alone. With --engine ray there are as many cells at a time as the "
            "cluster has room for: leave it out, or write --cpus-per-cell and --gpus-per-cell"
        )
    from ..core import launched

    if launched.count() > 1:
        raise RecipeError("--engine ray is for one process, which Ray sends the works of: start it without torchrun.")
    from ..run.engines.ray import RayEngine

    return RayEngine(address, cpus, gpus)


def _number(jobs: str) -> int | Literal["auto"]:
    if jobs == "auto":
        return "auto"
    if not jobs.isdecimal() or int(jobs) < 1:
        raise RecipeError(f"--jobs takes a number from 1 or auto, and got '{jobs}'. Write: --jobs 4")
    return int(jobs)
