"""Commands on tables of people's ratings and of runs: no model and no recipe."""

from __future__ import annotations

import typer

from .command import app

study = typer.Typer(help="A study with people: plan, analyse.", no_args_is_help=True)
app.add_typer(study, name="study")
