"""Registration of commands: errors become messages, and a target becomes a run.

The commands themselves stand in `runs`, `study`, `create`, `compare` and `serve`.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core import launched, trust
from ..core.errors import Elsewhere, Pending, ShrinkError
from ..core.remote import is_url
from ..core.results import RunFile
from .printed import shown

if TYPE_CHECKING:
    from ..core.types import Tick
    from ..run.engines.base import Engine
    from ..run.run import Run

app = typer.Typer(
    name="shrinklm",
    help="Shrink a large language model into a small one that answers, explains itself, and comes with the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"shrinklm {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


PENDING = Pending.exit_code
STOPPED = "Stopped. The same command goes on from here."

Target = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe (YAML), or the folder of a run.", show_default=False)
]
Step = Annotated[str | None, typer.Option(help="Only this step.", show_default=False)]
Wait = Annotated[
    bool, typer.Option("--wait", help="Stay until a teacher that answers in batches has written everything.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")]


def command(
    name: str | None = None, on: typer.Typer = app, together: bool = False, code: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command that shows an error's message, and its traceback only with --debug.

    Args:
        name: Left out: the function's.
        on: What it is a command of.
        together: Of processes that were launched together all do it, and the first alone speaks; any other command is
            the first's.
        code: It may run code that a recipe names, and takes --trust.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(*, debug: bool = False, trusts: bool = False, **arguments: Any) -> None:
            if not (together or launched.first()):
                return
            debug = debug or os.environ.get("SHRINKLM_DEBUG", "") not in ("", "0")
            if not debug:
                _quiet()
            try:
                # Of several processes that were launched together none can wait for the answer to another.
                ask = _ask if launched.count() == 1 and sys.stdin.isatty() and sys.stderr.isatty() else None
                with nullcontext() if launched.first() else _silence(), trust.answering(trusts, ask):
                    function(**arguments)
            except Elsewhere as error:  # which has said why
                raise typer.Exit(error.exit_code) from None
            except Pending as error:
                typer.echo(str(error), err=True)
                raise typer.Exit(PENDING) from None
            except ShrinkError as error:
                if debug:
                    raise
                typer.echo(f"error: {shown(str(error))}", err=True)
                raise typer.Exit(error.exit_code) from None
            except KeyboardInterrupt:
                typer.echo(STOPPED, err=True)
                raise typer.Exit(130) from None  # 128 + SIGINT, as shells report it

        guarded.__signature__ = _signature(function, code)  # type: ignore[attr-defined]
        # A docstring breaks its lines for the reader of the code; --help and docs/cli.md break them for theirs.
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        on.command(name, help="\n\n".join(" ".join(text.split()) for text in paragraphs))(guarded)
        return function

    return register


def _signature(function: Callable[..., None], code: bool) -> inspect.Signature:
    """A command's own parameters, and the options that `command` reads."""
    # Typer reads types from the signature, and with `from __future__ import annotations` these are strings.
    own = inspect.signature(function, eval_str=True)
    flags = {"debug": ("--debug", "Show the traceback of an error.")}
    if code:
        flags["trusts"] = ("--trust", "Run code that the recipe names, wherever it lies: see docs/security.md.")
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, option])
        for name, option in ((name, typer.Option(flag, help=about)) for name, (flag, about) in flags.items())
    ]
    return own.replace(parameters=[*own.parameters.values(), *added])


def _ask(found: str) -> bool:
    from .progress import paused

    with paused():
        typer.echo(shown(found), err=True)
        return typer.confirm("Run it?", err=True)


def _quiet() -> None:
    """Silence the remarks of libraries, among which the command's own output would be lost."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")


@contextmanager
def _silence() -> Iterator[None]:
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        yield


def open_target(target: str, tick: Tick | None = None, engine: Engine | None = None) -> Run:
    """The run of a recipe, of a run folder, or of a folder that `shrinklm init` made."""
    from ..run.opening import open_run
    from ..run.recipe import Recipe
    from ..run.run import Run

    if is_url(target):
        return open_run(target, tick, engine)
    path = Path(target)
    # `init` makes a recipe without env.json; a run writes env.json first (`Run.start`).
    if path.is_dir() and not ((path / RunFile.RECIPE).is_file() and not (path / RunFile.ENVIRONMENT).is_file()):
        return open_run(path, tick, engine)
    recipe = Recipe.read(path / RunFile.RECIPE if path.is_dir() else path)
    run = Run(recipe, tick=tick, engine=engine)
    if recipe.file is not None and trust.trusted(recipe.file):
        trust.trust(run.folder / RunFile.RECIPE)  # of the same recipe, wherever its runs are
    run.lock.look()
    return run
