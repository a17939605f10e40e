"""Writes docs/cli.md, docs/recipe.md and docs/form.md from the code. A test keeps them in step.

python docs/build.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from shrinklm.cli.app import app
from shrinklm.run import asked, blocks, recipe
from shrinklm.study.design import form

HERE = Path(__file__).parent
MADE = "Made by `python docs/build.py` from the code."

BLOCKS: dict[str, type[BaseModel]] = {
    "the recipe": recipe.Recipe,
    "task": blocks.TaskBlock,
    "teacher": asked.TeacherBlock,
    "generate: one step": blocks.StepBlock,
    "salient": blocks.SalientBlock,
    "audit": blocks.AuditBlock,
    "audit: drop": blocks.DropBlock,
    "student": blocks.StudentBlock,
    "train": blocks.TrainBlock,
    "distil": asked.DistilBlock,
    "evaluate": blocks.EvaluateBlock,
    "evaluate: simulator": blocks.SimulatorBlock,
    "judge": asked.JudgeBlock,
    "cascade": asked.CascadeBlock,
    "judge: one judge": asked.JudgeModelBlock,
}
FORM: dict[str, type[BaseModel]] = {
    "the study": form.Form,
    "statements: one": form.Statement,
    "scale": form.Scale,
    "consent": form.Consent,
    "instructions": form.Instructions,
    "instructions: example": form.Worked,
    "demographics: one": form.Demographic,
    "checks": form.Checks,
    "exclusions": form.Exclusions,
    "recruiting": form.Recruiting,
    "payment": form.Payment,
}


def recipe_page() -> str:
    """The keys of a recipe, block by block."""
    about = (
        "Unknown keys are errors; paths are relative to the recipe. A recipe is code: what it may run, and who is "
        "asked, stands in [files from others](security.md)."
    )
    return _keys(["# The recipe", "", f"{MADE} {about}", ""], BLOCKS)


def form_page() -> str:
    """The keys of a study's form, block by block."""
    about = (
        "`shrinklm study create` writes this file, with our wording; a study is translated or reworded there. "
        "Unknown keys are errors."
    )
    return _keys(["# study.yaml", "", f"{MADE} {about}", ""], FORM)


def _keys(lines: list[str], blocks: dict[str, type[BaseModel]]) -> str:
    for title, block in blocks.items():
        lines += [
            f"## {title}",
            "",
            (block.__doc__ or "").strip().splitlines()[0],
            "",
            "| key | type | default | |",
            "|---|---|---|---|",
        ]
        for name, info in block.model_fields.items():
            if not info.exclude:
                lines.append(
                    f"| `{name}` | {_type(info.annotation)} | {_default(info)} | {_cell(info.description or '')} |"
                )
        lines.append("")
    return "\n".join(lines)


def cli_page() -> str:
    """The help of every command."""
    lines = ["# The command line", "", f"{MADE} Every command has `--help` and `--debug`.", ""]
    for name, command in _commands("shrinklm", typer.main.get_command(app)):
        lines += [f"## {name}", "", (command.help or "").strip(), "", "| | |", "|---|---|"]
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


def _commands(name: str, command: Any) -> Iterator[tuple[str, click.Command]]:
    """A group's commands, and theirs, by name."""
    for own, below in sorted(command.commands.items()):
        if hasattr(below, "commands"):
            yield from _commands(f"{name} {own}", below)
        else:
            yield f"{name} {own}", below


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _type(annotation: Any) -> str:
    text = (
        annotation.__name__
        if isinstance(annotation, type) and not getattr(annotation, "__args__", None)
        else str(annotation)
    )
    for noise in (
        "shrinklm.run.blocks.",
        "shrinklm.run.asked.",
        "shrinklm.study.design.form.",
        "typing.",
        "<class '",
        "'>",
    ):
        text = text.replace(noise, "")
    # How a value is read has no name in the docs, and its address differs from run to run.
    text = re.sub(r"Optional\[Annotated\[([^,\]]+),.*\]\]", r"\1 | None", text)
    text = re.sub(r"Annotated\[([^,\]]+),.*\]", r"\1", text)
    return f"`{text}`".replace("|", "\\|")


def _default(info: Any) -> str:
    if info.is_required() or info.default is PydanticUndefined:
        return "required" if info.is_required() else ""
    value = info.default.model_dump() if isinstance(info.default, BaseModel) else info.default
    return "see below" if isinstance(info.default, BaseModel) else _cell(f"`{value}`")


PAGES = {"recipe.md": recipe_page, "cli.md": cli_page, "form.md": form_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page(), encoding="utf-8")
