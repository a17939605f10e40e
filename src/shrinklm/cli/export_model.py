"""The command `export-model`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import ExportError
from .app import Json, command, open_target
from .printed import say, say_json
from .progress import Progress


class To(StrEnum):
    """The formats."""

    safetensors = "safetensors"
    gguf = "gguf"
    onnx = "onnx"


@command("export-model", code=True)
def export_model(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run, or its recipe.", show_default=False)],
    to: Annotated[
        To, typer.Option(help="For transformers and vLLM, for llama.cpp, or for onnxruntime.", show_default=False)
    ],
    cell: Annotated[
        str | None, typer.Option(help="A student's cell, or its method. Left out: the last method.", show_default=False)
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(help="Bits of a weight: 32, 16, 8 or 4.", show_default="16 for gguf, 32 for the others"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="in the run's folder, below export/")
    ] = None,
    bound: Annotated[
        float, typer.Option(min=0, max=100, help="Points that accuracy on the test questions may fall by.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Write a trained student in the format of another runtime.

    It is loaded again by the runtime that reads the format and asked the test questions. Where accuracy falls by more
    than the bound, nothing is left and the command fails.
    """
    from ..deploy.export import Wanted
    from ..run.stages.answering import trained_cell
    from ..run.stages.exporting import default_place, export_cell

    with Progress() as progress:
        target = open_target(run, progress.tick)
        found = trained_cell(target.cells, cell, target.folder)
        place = output or default_place(target.folder, found, to.value, bits)
        wanted = Wanted(to.value, place, bits, bound)
        try:
            report = export_cell(found, target.recipe, target.task, target.splits, wanted, progress.tick)
        except ExportError as error:
            if error.report is not None:
                _show(error.report, as_json)
            raise
    _show(report, as_json)
    if not as_json:
        say(f"Written: {report['folder']}")


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(report)
        return
    from .show.exported import table

    table(report)
