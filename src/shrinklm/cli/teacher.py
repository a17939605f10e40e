"""The command `teacher serve`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.request import ProxyHandler, build_opener

import typer

from ..core.errors import TeacherError
from ..core.launched import threads
from .address import free, loopback, url
from .app import app, command

if TYPE_CHECKING:
    from ..models.locate import Model

teacher = typer.Typer(help="A teacher on this machine.", no_args_is_help=True)
app.add_typer(teacher, name="teacher")

CONTEXT = 4096
"""Tokens that a request to llama.cpp may have, prompt and completion together."""


@command("serve", on=teacher)
def teacher_serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A folder, a .gguf file, a hub id, or a packaged name such as smollm2-135m-instruct.",
            show_default=False,
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Requests answered at a time.", show_default="as the engine likes")
    ] = None,
) -> None:
    """Serve a model behind an OpenAI-compatible address, and print the line for the recipe.

    A GGUF file runs in llama.cpp (xllamacpp) where that is installed, any other model in vLLM where that and a GPU are
    there; else transformers answers, with the same loop as the teacher `transformers:`.
    """
    from ..models.locate import locate_model

    found = locate_model(model)
    if found.path is None and not found.on_hub:
        from ..models.load import weights_source

        weights_source(found)  # says what to install
    free(host, port, TeacherError)
    if not loopback(host):
        typer.echo(
            f"warning: {host} can be reached from other machines, and there is no key and no encryption. "
            "Leave --host at 127.0.0.1 unless the network is yours.",
            err=True,
        )
    serve = _engine(found)
    typer.echo(f"Loading {found.name} ({serve.__name__.strip('_')}) ...")
    with contextlib.suppress(ValueError):  # outside of the main thread there are no signals
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # an engine in a process of its own is stopped too
    with contextlib.suppress(KeyboardInterrupt):
        serve(found, host, port, batch)
    typer.echo("Stopped.")


def _engine(model: Model) -> Callable[[Model, str, int, int | None], None]:
    if model.path is not None and model.path.is_file():
        if importlib.util.find_spec("xllamacpp"):
            return _llama_cpp
        typer.echo('A GGUF file is served faster by llama.cpp: pip install "shrinklm[llamacpp]"', err=True)
    elif importlib.util.find_spec("vllm"):
        import torch

        if torch.cuda.is_available():
            return _vllm
    return _transformers


def _ready(model: Model, host: str, port: int) -> None:
    # What listens everywhere is reached at the address of this machine itself.
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    typer.echo("Ready. In the recipe:")
    typer.echo(f'  teacher: {{use: "endpoint:{url(asked, port)}/v1#{model.name}"}}')
    typer.echo("Stop with Ctrl-C.")
    sys.stdout.flush()  # whoever waits for the line may read a pipe


def _transformers(model: Model, host: str, port: int, batch: int | None) -> None:
    from ..teachers.base import TeacherOptions
    from ..teachers.serving.server import Server
    from ..teachers.transformers import TransformersTeacher

    server = Server(TransformersTeacher(model.ref, TeacherOptions(batch=batch)), model.name)
    asyncio.run(server.serve(host, port, lambda port: _ready(model, host, port)))


def _llama_cpp(model: Model, host: str, port: int, batch: int | None) -> None:
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = str(model.path)
    options.model_alias = {model.name}
    options.hostnames, options.port = [host], port
    options.n_parallel = batch or 4
    options.n_ctx = CONTEXT * options.n_parallel
    options.cpuparams.n_threads = threads()
    options.verbosity = 1  # errors alone
    try:
        running = xllamacpp.Server(options)
    except RuntimeError as error:
        raise TeacherError(f"llama.cpp cannot serve {model.path}: {error}. Is the file whole?") from error
    _ready(model, host, port)
    try:
        threading.Event().wait()
    finally:
        del running


def _vllm(model: Model, host: str, port: int, batch: int | None) -> None:
    from ..models.load import weights_source

    source, pinned = weights_source(model)
    line = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", source]
    line += ["--served-model-name", model.name, "--host", host, "--port", str(port)]
    line += [part for name, value in pinned.items() for part in (f"--{name}", str(value))]
    line += ["--max-num-seqs", str(batch)] if batch else []
    running = subprocess.Popen(line, cwd=Path.cwd())
    try:
        while not _healthy(f"{url(host, port)}/health"):
            if running.poll() is not None:
                raise TeacherError(f"vLLM ended with code {running.returncode}; its own words stand above.")
            time.sleep(0.5)
        _ready(model, host, port)
        running.wait()
    finally:
        running.terminate()
        running.wait()
    raise TeacherError(f"vLLM ended with code {running.returncode}; its own words stand above.")


def _healthy(address: str) -> bool:
    try:
        # Never through a proxy: it is on this machine.
        with build_opener(ProxyHandler({})).open(address, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
