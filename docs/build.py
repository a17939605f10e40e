"""Writes docs/cli.md and docs/recipe.md from the code: python docs/build.py. A test keeps them in step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from shrinklm import recipe
from shrinklm.cli import app

HERE = Path(__file__).parent
MADE = "Made by `python docs/build.py` from the code."

BLOCKS: dict[str, type[BaseModel]] = {
    "the recipe": recipe.Recipe,
    "task": recipe.TaskBlock,
    "teacher": recipe.TeacherBlock,
    "generate: one step": recipe.StepBlock,
    "salient": recipe.SalientBlock,
    "audit": recipe.AuditBlock,
    "student": recipe.StudentBlock,
    "train": recipe.TrainBlock,
    "evaluate": recipe.EvaluateBlock,
    "evaluate: simulator": recipe.SimulatorBlock,
    "judge": recipe.JudgeBlock,
    "judge: one judge": recipe.JudgeModelBlock,
}


def recipe_page() -> str:
    """The keys of a recipe, block by block."""
    lines = ["# The recipe", "", f"{MADE} Unknown keys are errors; paths are relative to the recipe.", ""]
    for title, block in BLOCKS.items():
        lines += [f"## {title}", "", (block.__doc__ or "").strip().splitlines()[0], "", "| key | type | default | |", "|---|---|---|---|"]
        for name, info in block.model_fields.items():
            if not info.exclude:
                lines.append(f"| `{name}` | {_type(info.annotation)} | {_default(info)} | {_cell(info.description or '')} |")
        lines.append("")
    return "\n".join(lines)


def cli_page() -> str:
    """The help of every command."""
    top = typer.main.get_command(app)
    assert isinstance(top, click.Group) or hasattr(top, "commands")
    lines = ["# The command line", "", f"{MADE} Every command has `--help` and `--debug`.", ""]
    for name, command in sorted(top.commands.items()):
        lines += [f"## shrinklm {name}", "", (command.help or "").strip(), "", "| | |", "|---|---|"]
        for parameter in command.params:
            if parameter.name == "help":
                continue
            if parameter.param_type_name == "argument":
                label = parameter.metavar or (parameter.name or "").upper()
            else:
                label = ", ".join(parameter.opts)
            lines.append(f"| `{label}` | {_cell(getattr(parameter, 'help', '') or '')} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _type(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) and not getattr(annotation, "__args__", None) else str(annotation)
    for noise in ("shrinklm.recipe.", "typing.", "<class '", "'>"):
        text = text.replace(noise, "")
    return f"`{text}`".replace("|", "\\|")


def _default(info: Any) -> str:
    if info.is_required() or info.default is PydanticUndefined:
        return "required" if info.is_required() else ""
    value = info.default.model_dump() if isinstance(info.default, BaseModel) else info.default
    return "see below" if isinstance(info.default, BaseModel) else _cell(f"`{value}`")


PAGES = {"recipe.md": recipe_page, "cli.md": cli_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page(), encoding="utf-8")
