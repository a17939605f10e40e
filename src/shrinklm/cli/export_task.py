"""The command `export-task`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .app import Target, command, open_target
from .printed import say


class Tool(StrEnum):
    """The tools."""

    lm_eval = "lm-eval"
    inspect = "inspect"


@command("export-task", code=True)
def export_task(
    target: Target,
    to: Annotated[Tool, typer.Option(help="lm-evaluation-harness, or Inspect.", show_default=False)],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write.", show_default=False)],
    cell: Annotated[
        str | None,
        typer.Option(help="The cell or method whose prompts are taken. Left out: the last method.", show_default=False),
    ] = None,
) -> None:
    """Write the test questions as a task of another tool, in the prompts that a student was trained with."""
    from ..run.sharing import export_task as write

    names = write(open_target(target), to.value, output, cell)
    say(f"Written to {output}: {', '.join(names)}.")
    say("With an exported student (shrinklm export-model RUN --to safetensors):")
    if to is Tool.lm_eval:
        say(f"lm_eval --model hf --model_args pretrained=STUDENT --include_path {output} --tasks {','.join(names)}")
    else:
        say(f"inspect eval {output / 'task.py'} --model hf/student -M model_path=STUDENT -M do_sample=false")
